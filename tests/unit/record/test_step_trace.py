"""The step trace of real trainings: what it tells, and that it changes nothing."""

import os
import re
import shutil
from pathlib import Path

import pytest

from mlbom.record.steps.merkle import trace_root
from mlbom.record.steps.values import ProcessSteps, StepRecord
from tests.unit.record.trainings import Trained, train

pytest.importorskip("torch")

# Every kind of training in one process; what each optimizer is for, by its number.
ZOO = """
import hashlib, random
import numpy
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0); random.seed(1); numpy.random.seed(2)
KEPT = []
def model(norm=False):
    torch.manual_seed(len(KEPT))
    layers = [torch.nn.Linear(4, 8), *([torch.nn.BatchNorm1d(8)] if norm else []), torch.nn.Tanh()]
    KEPT.append(torch.nn.Sequential(*layers, torch.nn.Linear(8, 2)))
    return KEPT[-1]
def loss(m, x=None):
    return m(torch.randn(6, 4) if x is None else x).square().mean()

def simple(make, steps=3, norm=False):
    m = model(norm); o = make(m.parameters())
    for _ in range(steps):
        o.zero_grad(); loss(m).backward(); o.step()
def adamw(): simple(lambda p: torch.optim.AdamW(p, 0.01, fused=True), 5, norm=True)
def sgd(): simple(lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, foreach=True))
def lbfgs():
    m = model(); o = torch.optim.LBFGS(m.parameters(), max_iter=3); x = torch.randn(6, 4)
    def closure():
        o.zero_grad(); found = loss(m, x); found.backward(); return found
    for _ in range(2): o.step(closure)
class Outer(torch.optim.Optimizer):
    def __init__(self, inner): super().__init__(inner.param_groups, {}); self.inner = inner
    def step(self, closure=None): return self.inner.step(closure)
def wrapped():
    m = model(); o = Outer(torch.optim.SGD(m.parameters(), 0.1))
    for _ in range(2):
        o.zero_grad(); loss(m).backward(); o.step()
def gan():
    g, d = model(), model()
    og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
    for _ in range(2):
        od.zero_grad(); loss(d).backward(); loss(d, g(torch.randn(6, 4)).detach().repeat(1, 2)).backward(); od.step()
        og.zero_grad(); loss(d, g(torch.randn(6, 4)).repeat(1, 2)).backward(); og.step()
def accumulated():
    m = model(); o = torch.optim.SGD(m.parameters(), 0.1)
    loader = DataLoader(TensorDataset(torch.arange(48.0).reshape(12, 4)), batch_size=2)
    for index, (x,) in enumerate(loader):
        (loss(m, x) / 3).backward()
        if index % 3 == 2: o.step(); o.zero_grad()
def skipped():
    m = model(); o = torch.optim.SGD(m.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for index in range(3):
        o.zero_grad(); x = torch.randn(6, 4) * (float("inf") if index == 1 else 1)
        scaler.scale(loss(m, x)).backward(); scaler.step(o); scaler.update()
class Noisy(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        return {"x": torch.full((4,), float(index)) + random.random() + torch.rand(4), "name": str(index)}
def workers():
    m = model(); o = torch.optim.SGD(m.parameters(), 0.1)
    for batch in DataLoader(Noisy(), batch_size=2, num_workers=2, shuffle=True):
        o.zero_grad(); loss(m, batch["x"]).backward(); o.step(); random.random(); numpy.random.rand()
def odd():
    p = torch.nn.Parameter(torch.randn(3, 3, dtype=torch.complex64))
    q = torch.nn.Parameter(torch.randn(5, dtype=torch.bfloat16)); e = torch.nn.Embedding(5, 2, sparse=True)
    o = torch.optim.SGD([p, q, *e.parameters(), torch.nn.Parameter(torch.zeros(()))], 0.1)
    (p.abs().sum() + q.float().sum() + e(torch.tensor([1, 2])).sum()).backward()
    torch.use_deterministic_algorithms(True); o.step()
if __name__ == "__main__":
    for part in (adamw, sgd, lbfgs, wrapped, gan, accumulated, skipped, workers, odd): part()
    total = hashlib.sha256()
    for m in KEPT:
        for one in (*m.parameters(), *m.buffers()): total.update(one.detach().numpy().tobytes())
    print(total.hexdigest(), torch.rand(1).item().hex(), random.random(), numpy.random.rand())
"""
ADAMW, SGD, LBFGS, WRAPPED, DISCRIMINATOR, GENERATOR, ACCUMULATED, SKIPPED, WORKERS, ODD = range(10)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("zoo")
    runs = {level: train(folder, ZOO, level=level) for level in ("", "step", "tensors")}
    for trained in runs.values():
        assert trained.code == 0, trained.stderr
        assert trained.failures == []
    return runs


def only(trained: Trained) -> ProcessSteps:
    (process,) = trained.trace.processes
    return process


def of(trained: Trained, optimizer: int) -> list[StepRecord]:
    return [step for step in only(trained).steps if step.optimizer == optimizer]


def test_no_bit_of_the_training_is_changed_by_the_trace(zoo: dict[str, Trained]) -> None:
    assert zoo["step"].stdout == zoo[""].stdout == zoo["tensors"].stdout
    assert zoo["step"].stderr == zoo[""].stderr


def test_equal_trainings_have_equal_roots_whatever_the_level(zoo: dict[str, Trained]) -> None:
    roots = {trace_root(zoo[level].trace) for level in ("step", "tensors")}
    assert len(roots) == 1
    assert re.fullmatch("[0-9a-f]{64}", roots.pop())


def test_every_step_of_every_optimizer_has_one_record(zoo: dict[str, Trained]) -> None:
    steps = only(zoo["step"]).steps
    counts = [len(of(zoo["step"], number)) for number in range(10)]
    assert counts == [5, 3, 2, 2, 2, 2, 2, 2, 4, 1]
    assert [step.number for step in steps] == list(range(25))
    assert len({step.params for step in steps}) == 25
    # What is computed in a closure is digested after it; that a step without gradients changed
    # nothing would be a record of its own.
    assert all(re.fullmatch("[0-9a-f]{16}", step.grads) for step in steps)
    assert all("train.py:" in step.at for step in steps)


def test_a_wrapper_around_an_optimizer_counts_once(zoo: dict[str, Trained]) -> None:
    assert [len(step.losses) for step in of(zoo["step"], WRAPPED)] == [1, 1]


def test_losses_are_told_exactly_and_belong_to_the_step_that_they_led_to(
    zoo: dict[str, Trained],
) -> None:
    trained = zoo["step"]
    first = of(trained, ADAMW)[0].losses
    assert 0 < float.fromhex(first[0]) < 10
    assert [len(step.losses) for step in of(trained, LBFGS)] == [3, 3]
    assert [len(step.losses) for step in of(trained, DISCRIMINATOR)] == [2, 2]
    assert [len(step.losses) for step in of(trained, GENERATOR)] == [1, 1]
    assert [len(step.losses) for step in of(trained, ACCUMULATED)] == [3, 3]
    # The step that the scaler skipped leaves its loss and its batch to the next one.
    assert [len(step.losses) for step in of(trained, SKIPPED)] == [1, 2]
    assert of(trained, SKIPPED)[1].losses[0] == "nan"


def test_batches_are_seen_with_a_loader_and_without(zoo: dict[str, Trained]) -> None:
    trained = zoo["step"]
    assert [len(step.batches) for step in of(trained, ADAMW)] == [1] * 5
    assert [len(step.batches) for step in of(trained, ACCUMULATED)] == [3] * 2
    assert [len(step.batches) for step in of(trained, SKIPPED)] == [1, 2]
    assert [len(step.batches) for step in of(trained, WORKERS)] == [1] * 4
    seen = [
        batch
        for number in (ADAMW, ACCUMULATED, WORKERS)
        for step in of(trained, number)
        for batch in step.batches
    ]
    assert len(set(seen)) == len(seen)


def test_buffers_and_states_are_told_where_there_are_any(zoo: dict[str, Trained]) -> None:
    trained = zoo["step"]
    assert len({step.buffers for step in of(trained, ADAMW)}) == 5
    assert {step.buffers for step in of(trained, SGD)} == {""}
    assert [bool(step.state) for step in of(trained, ADAMW)] == [True, True, True, False, True]
    assert all(step.state for step in of(trained, LBFGS))
    entry = only(trained).entries[ADAMW]
    assert entry.state == ""
    assert entry.names[0] == ("0.weight", "float32", "8x4")
    assert {name for name, _, _ in entry.names} >= {"1.bias", "3.weight"}
    assert entry.params != of(trained, ADAMW)[0].params


def test_only_streams_that_moved_are_told(zoo: dict[str, Trained]) -> None:
    trained = zoo["step"]
    assert set(of(trained, ADAMW)[0].rng) == {"torch", "random", "numpy"}  # seeded by the program
    assert set(of(trained, ADAMW)[1].rng) == {"torch"}
    assert of(trained, LBFGS)[1].rng == {}
    assert set(of(trained, WORKERS)[-1].rng) == {"random", "numpy"}


def test_flags_are_told_when_they_change(zoo: dict[str, Trained]) -> None:
    steps = only(zoo["step"]).steps
    assert steps[0].flags["torch.num_threads"] == "1"
    assert "torch.cpu_capability" in steps[0].flags
    assert steps[-1].flags == {"torch.deterministic_algorithms": "True"}
    assert all(step.flags == {} for step in steps[1:-1])


def test_the_level_tensors_tells_each_of_them(zoo: dict[str, Trained]) -> None:
    first, second = of(zoo["tensors"], ADAMW)[:2]
    names = only(zoo["tensors"]).entries[ADAMW].names
    assert len(first.tensors["params"]) == len(first.tensors["grads"]) == len(names) == 6
    assert all(
        one != two
        for one, two in zip(first.tensors["params"], second.tensors["params"], strict=True)
    )
    assert of(zoo["step"], ADAMW)[0].tensors == {}


def test_what_has_no_digest_is_said_and_breaks_nothing(zoo: dict[str, Trained]) -> None:
    process = only(zoo["step"])
    (why,) = process.unseen
    assert "sparse" in why
    assert process.is_whole
    assert [name for name, _, _ in process.entries[ODD].names] == [
        "param.0",
        "param.1",
        "weight",
        "param.3",
    ]


def test_the_end_tells_the_modules_that_are_left(zoo: dict[str, Trained]) -> None:
    final = only(zoo["step"]).final
    assert final is not None
    assert final.params
    assert final.buffers
    assert final.losses == ()
    assert len(final.batches) == 0


EVENTS = """
import glob, os, random, pathlib, sys, tempfile
import numpy
import torch
from torch.utils.data import DataLoader, Dataset
class Data(Dataset):
    def __len__(self): return 4
    def __getitem__(self, index):
        return torch.rand(2) + numpy.random.default_rng().random()
if __name__ == "__main__":
    os.makedirs("data/sub"); [open(f"data/{n}.txt", "w").close() for n in "bca"]
    torch.manual_seed(7); random.seed(8); numpy.random.seed(9)
    names = os.listdir("data")
    list(pathlib.Path("data").iterdir()); glob.glob("data/*.txt"); list(os.walk("data"))
    with os.scandir("data") as found: next(found)
    private = random.Random(); random.Random(3); numpy.random.RandomState(); numpy.random.default_rng()
    numpy.random.default_rng(4); torch.seed(); tempfile.mkdtemp(dir="."); numpy.random.seed()
    for _ in range(100): random.seed(5)
    torch.set_num_threads(1)
    for batch in DataLoader(Data(), num_workers=1): pass
"""


def test_what_decides_numbers_is_told_with_its_line(tmp_path: Path) -> None:
    trained = train(tmp_path, EVENTS)
    assert trained.code == 0, trained.stderr
    assert trained.failures == []
    lines = EVENTS.splitlines()
    told = [
        (
            event.kind,
            event.what,
            event.value,
            lines[int(event.at.split(":")[1].split()[0]) - 1].strip(),
        )
        for event in trained.trace.events
        if not event.worker
    ]
    assert all(event.at.startswith(str(tmp_path / "train.py:")) for event in trained.trace.events)

    def values(kind: str, what: str) -> list[str]:
        return [value for k, w, value, _ in told if (k, w) == (kind, what)]

    assert values("seed", "torch.manual_seed") == ["7"]
    assert values("seed", "random.seed") == ["8", *["5"] * 64]
    assert values("seed", "numpy.random.seed") == ["9"]
    assert values("seed", "random.Random") == ["3"]
    assert values("seed", "numpy.default_rng") == ["4"]
    assert values("threads", "torch.set_num_threads") == ["1"]
    entropy = [what for kind, what, _, _ in told if kind == "entropy"]
    assert entropy == [
        "random.Random", "numpy.random", "numpy.default_rng", "torch.seed", "numpy.random.seed"
    ]  # fmt: skip
    listings = {line.split("(")[0] for kind, _, _, line in told if kind == "listing"}
    assert listings == {"names = os.listdir", "list", "with os.scandir"}
    assert len(set(values("listing", "os.listdir"))) == 1
    # A worker tells in a file of its own.
    worker = [event for event in trained.trace.events if event.worker]
    assert {(event.kind, event.what) for event in worker} == {("entropy", "numpy.default_rng")}
    assert {event.pid for event in worker}.isdisjoint(
        e.pid for e in trained.trace.events if not e.worker
    )
    assert trained.trace.is_empty
    assert trace_root(trained.trace) == ""


MANUAL = """
import torch
torch.manual_seed(0)
m = torch.nn.Linear(3, 1); x = torch.randn(5, 3)
for _ in range(4):
    m.zero_grad(); m(x).square().mean().backward()
    with torch.no_grad():
        for p in m.parameters(): p -= 0.1 * p.grad
"""


def test_a_training_without_an_optimizer_has_losses_and_an_end(tmp_path: Path) -> None:
    trained = train(tmp_path, MANUAL)
    process = only(trained)
    assert process.steps == ()
    assert process.final is not None
    assert len(process.final.losses) == 4
    assert len(process.final.batches) == 4
    assert process.final.params
    assert process.is_whole
    assert trace_root(trained.trace)
    changed = train(tmp_path, MANUAL.replace("0.1 *", "0.100001 *"))
    assert trace_root(changed.trace) not in ("", trace_root(trained.trace))


def test_a_long_training_by_hand_is_told_in_bounds_and_to_its_last_loss(tmp_path: Path) -> None:
    long = MANUAL.replace("range(4)", "range(1200)")
    finals = [only(train(tmp_path, code)).final for code in (long, long + "m(x).sum().backward()")]
    told = [(final.losses, final.batches) for final in finals if final]
    assert [len(losses) for losses, _ in told] == [1025, 1025]
    assert [len(batches) for _, batches in told] == [1025, 1025]
    assert told[0][0][:-1] == told[1][0][:-1]
    assert told[0][0][-1] != told[1][0][-1]


KILLED = """
import os, sys, torch
torch.manual_seed(0)
m = torch.nn.Linear(3, 1); o = torch.optim.SGD(m.parameters(), 0.1)
for n in range(9):
    if n == 5: FATE
    o.zero_grad(); m(torch.randn(5, 3)).square().mean().backward(); o.step()
"""


@pytest.mark.parametrize("fate", ["os.kill(os.getpid(), 9)", "os._exit(3)"])
def test_a_training_that_is_killed_leaves_the_steps_that_it_made(tmp_path: Path, fate: str) -> None:
    trained = train(tmp_path, KILLED.replace("FATE", fate))
    assert trained.code != 0
    process = only(trained)
    assert len(process.steps) == 5
    assert process.final is None
    assert not process.is_whole
    assert trace_root(trained.trace) == ""


def test_a_training_that_fails_leaves_its_end_too(tmp_path: Path) -> None:
    trained = train(tmp_path, KILLED.replace("FATE", "raise SystemExit(4)"))
    assert trained.code == 4
    assert len(only(trained).steps) == 5
    assert only(trained).is_whole


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"


def test_a_trace_that_cannot_be_written_breaks_no_training(tmp_path: Path) -> None:
    code = KILLED.replace("import os, sys", "import signal, os, sys").replace(
        "torch.manual_seed(0)", f"signal.signal(signal.SIGXFSZ, signal.SIG_IGN); {FULL}"
    )
    trained = train(tmp_path, code.replace("FATE", "pass") + "print('done')\n")
    assert (trained.code, trained.stdout) == (0, "done\n")
    assert not any(process.is_whole for process in trained.trace.processes)


FORKED = """
import os, torch
torch.manual_seed(0)
m = torch.nn.Linear(3, 1); o = torch.optim.SGD(m.parameters(), 0.1)
def step(): o.zero_grad(); m(torch.randn(5, 3)).square().mean().backward(); o.step()
step()
child = os.fork()
if not child:
    step(); step()
    raise SystemExit
os.waitpid(child, 0)
step()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_training_has_a_file_of_its_own(tmp_path: Path) -> None:
    trained = train(tmp_path, FORKED)
    assert trained.code == 0, trained.stderr
    parent, child = trained.trace.processes
    assert parent.pid != child.pid
    assert [step.number for step in parent.steps] == [step.number for step in child.steps] == [0, 1]
    assert parent.is_whole
    assert child.is_whole
    assert child.steps[0] == parent.steps[1].__class__(
        **{name: getattr(child.steps[0], name) for name in StepRecord.__slots__}
    )


def test_a_sitecustomize_of_the_program_runs_too(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.MARK = 'mine'\n")
    shim = str(Path(train.__globals__["SHIM"]))
    trained = train(
        tmp_path,
        KILLED.replace("FATE", "print(MARK)"),
        variables={"PYTHONPATH": os.pathsep.join([shim, str(own)])},
    )
    assert (trained.code, trained.stdout) == (0, "mine\n")
    assert len(only(trained).steps) == 9


COMPILED = """
import hashlib, torch
torch.manual_seed(0)
m = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
o = torch.optim.SGD(m.parameters(), 0.1)
def train(f, x):
    o.zero_grad(); loss = f(x).square().mean(); loss.backward(); o.step()
compiled = torch.compile(m)
for _ in range(3): train(compiled, torch.randn(4, 8))
train = torch.compile(train, backend="aot_eager")
for _ in range(4): train(m, torch.randn(4, 8))
from torch._dynamo.utils import counters
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in m.parameters())).hexdigest())
print(dict(counters["stats"]), sum(counters["graph_break"].values()))
"""


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_a_compiled_training_keeps_its_bits_and_its_graphs(tmp_path: Path) -> None:
    kept = {
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    plain = train(tmp_path, COMPILED, level="", variables=kept)
    assert plain.code == 0, plain.stderr
    trained = train(tmp_path, COMPILED, variables=kept)
    assert trained.stdout == plain.stdout
    assert "hook" not in trained.stderr
    assert trained.failures == []
    process = only(trained)
    assert [len(step.losses) for step in process.steps] == [1] * 3
    # The compiled step is not seen, the backward passes in it are: they are never compiled.
    assert process.final is not None
    assert len(process.final.losses) == 4
    assert any("compiled" in why for why in process.unseen)
