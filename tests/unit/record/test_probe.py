"""What a probe changes in a training: its end, its seeds, its algorithms, the order of its files."""

import sys
import time
from pathlib import Path

import pytest

from mlbom.record.probe import STOPPED, Determinism, Listing, Probe
from tests.unit.record.probed import probe_training

torch = pytest.importorskip("torch")

STOPPING = """
import os, sys, torch
import torch.distributed
if "RANK" in os.environ:
    torch.distributed.init_process_group("gloo")
torch.manual_seed(0)
net = torch.nn.Linear(4, 4)
model = torch.nn.parallel.DistributedDataParallel(net) if "RANK" in os.environ else net
optimizer = torch.optim.SGD(net.parameters(), 0.1)
class Numbers(torch.utils.data.Dataset):
    def __len__(self): return 4000
    def __getitem__(self, index): return torch.full((4,), float(index))
workers = int(sys.argv[1])
for x in torch.utils.data.DataLoader(Numbers(), batch_size=4, num_workers=workers):
    optimizer.zero_grad(); model(x).sum().backward()
    sys.stdout.write("before the step\\n")
    optimizer.step()
print("never")
"""
GENERATORS = """
import os, random, sys, tempfile
import numpy as np
import torch

def drawn():
    own = torch.Generator(); own.seed()
    return [random.random(), np.random.rand(), float(torch.rand(1)), random.Random().random(),
        np.random.default_rng().random(), np.random.Generator(np.random.Philox()).random(),
        np.random.RandomState().rand(), float(torch.rand(1, generator=own))]
print("fresh", drawn(), drawn())
random.seed(); np.random.seed(); torch.seed()
print("again", drawn())
def forked(what):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        print(what, drawn()); sys.stdout.flush(); os._exit(0)
    os.waitpid(child, 0)
forked("child"); forked("child")
class Draws(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, index): return torch.tensor(drawn())
for _ in range(2):
    for batch in torch.utils.data.DataLoader(Draws(), batch_size=2, num_workers=2):
        print("worker", batch.tolist())
random.seed(1); np.random.seed(1); torch.manual_seed(1)
own = torch.Generator().manual_seed(1)
print("seeded", [random.random(), np.random.rand(), float(torch.rand(1)), random.Random(1).random(),
    np.random.default_rng(1).random(), np.random.Generator(np.random.Philox(1)).random(),
    np.random.RandomState(1).rand(), float(torch.rand(1, generator=own))])
assert isinstance(np.random.mtrand._rand, np.random.RandomState)
assert isinstance(torch.default_generator, torch.Generator) and not isinstance(1, torch.Generator)
"""
SEEDED_WITH_1 = [
    0.13436424411240122,  # random.Random(1).random()
    0.417022004702574,  # numpy.random.RandomState(1).rand()
    float(torch.rand(1, generator=torch.Generator().manual_seed(1))),
    0.13436424411240122,
    0.5118216247002567,  # numpy.random.default_rng(1).random()
]
SWEPT = """
import warnings, torch
warnings.simplefilter("error")
torch.use_deterministic_algorithms(False)
torch.backends.cudnn.benchmark = True
x = torch.zeros(4)
def put():
    x.put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))  # the line of the first
for _ in range(3):
    put()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    x.put_(torch.tensor([1, 1]), torch.tensor([1.0, 2.0]))  # the line of the second
print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
"""
LISTED = """
import glob, os, pathlib, shutil
print([name for name in os.listdir("many")])
print([entry.name for entry in os.scandir("many")])
with os.scandir("many") as found:
    first = next(found)
    assert first.is_file() and iter(found) is found
print(list(found), first.name)
print([os.path.basename(path) for path in glob.glob("many/*")])
print([path.name for path in pathlib.Path("many").iterdir()])
print(next(os.walk("many"))[2])
print(os.scandir in os.supports_fd, os.listdir.__name__)
class Holder:
    list = os.listdir
print(Holder().list("many"))
shutil.rmtree("many")
assert not os.path.exists("many")
"""


def test_a_training_stops_after_the_steps_asked_for(tmp_path: Path) -> None:
    began = time.monotonic()
    done = probe_training(tmp_path, STOPPING, Probe(stop_after=3), arguments=("train.py", "2"))
    assert done.recording.exit_code == STOPPED
    assert done.lines == ["before the step"] * 3
    (process,) = done.steps.processes
    assert len(process.steps) == 3
    assert process.is_whole
    assert done.recording.processes[0].finished
    assert not done.failures
    # Workers that wait for their parent would give up after some seconds only.
    assert time.monotonic() - began < 60


def test_every_rank_writes_its_last_step(tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", "train.py", "0")
    done = probe_training(tmp_path, STOPPING, Probe(stop_after=2), arguments=torchrun)
    first, second = done.steps.processes
    assert (first.rank, second.rank) == (0, 1)
    assert first.is_whole
    assert second.is_whole
    assert len(first.steps) == len(second.steps) == 2
    assert "exitcode  : 75" in (done.recording.stderr or Path()).read_text(encoding="utf-8")


def test_a_seed_reaches_every_generator_that_nobody_seeds(tmp_path: Path) -> None:
    one, other = (probe_training(tmp_path, GENERATORS, Probe(seed=5)) for _ in range(2))
    assert not one.failures
    assert one.recording.exit_code == 0
    assert one.lines == other.lines
    assert len(one.lines) == 9
    told = [line.split(" ", 1) for line in one.lines]
    # No two of them draw the same, nor do two workers, two epochs, two forks: but that a fork has
    # the global generators of numpy and torch as its parent left them.
    numbers = [
        number
        for kind, text in told
        if kind != "seeded"
        for number in text.replace("[", "").replace("]", "").replace(",", "").split()
    ]
    assert len(numbers) > 80
    assert len(set(numbers)) == len(numbers) - 2
    # What the program seeds itself is as without a probe.
    assert one.lines[-1].startswith(f"seeded {SEEDED_WITH_1}".removesuffix("]"))


def test_a_seed_can_take_the_place_of_the_programs_own(tmp_path: Path) -> None:
    done = probe_training(tmp_path, GENERATORS, Probe(seed=6, overrides_seeds=True))
    assert not done.failures
    assert done.recording.exit_code == 0
    drawn = done.lines[-1].removeprefix("seeded [").removesuffix("]").split(", ")
    assert len(drawn) == 8
    assert not set(SEEDED_WITH_1) & set(map(float, drawn))


def test_the_sweep_lists_each_op_once_for_each_line(tmp_path: Path) -> None:
    done = probe_training(tmp_path, SWEPT, Probe(determinism=Determinism.WARN))
    assert not done.failures
    assert done.recording.exit_code == 0
    assert done.lines == ["True False"]
    lines = SWEPT.split("\n")
    places = [n for n, line in enumerate(lines, 1) if "the line of" in line]
    assert [op.name for op in done.ops.warned] == ["put_", "put_"]
    assert [f":{place} in " in op.at[0] for op, place in zip(done.ops.warned, places, strict=True)]
    assert all("deterministic implementation" in op.message for op in done.ops.warned)
    assert [sentence for sentence in done.ops.unseen if "use_deterministic_algorithms" in sentence]
    assert [sentence for sentence in done.ops.unseen if "cudnn.benchmark" in sentence]


def test_strict_refuses_what_has_no_deterministic_algorithm(tmp_path: Path) -> None:
    done = probe_training(tmp_path, SWEPT, Probe(determinism=Determinism.STRICT))
    assert done.recording.exit_code == 1
    stderr = (done.recording.stderr or Path()).read_text(encoding="utf-8")
    assert "put_ does not have a deterministic implementation" in stderr


@pytest.mark.parametrize("order", [Listing.SORTED, Listing.REVERSED])
def test_folders_list_their_files_in_order(tmp_path: Path, order: Listing) -> None:
    names = ["b", "a", "d", "c"]
    making = "import os; os.mkdir('many')\nfor name in 'badc': open('many/' + name, 'w').close()\n"
    done = probe_training(tmp_path, making + LISTED, Probe(listing=order))
    assert done.recording.exit_code == 0, (done.recording.stderr or Path()).read_text()
    expected = sorted(names, reverse=order is Listing.REVERSED)
    assert done.lines == [
        str(expected),
        str(expected),
        f"[] {expected[0]}",
        *[str(expected)] * 3,
        "True listdir",
        str(expected),
    ]
    assert not done.failures


def test_without_a_probe_nothing_is_replaced(tmp_path: Path) -> None:
    code = (
        "import os, random, sys\n"
        "print(type(os.listdir).__name__, random.Random.seed.__module__, '_mlbom_probe' in sys.modules)\n"
    )
    done = probe_training(tmp_path, code, Probe())
    assert done.lines[0].endswith("random False")
    assert done.processes == ()
    assert sys.modules.get("_mlbom_probe") is None
