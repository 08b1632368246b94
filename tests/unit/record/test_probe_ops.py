"""The ops of a training, one by one: what is told of each, and that the training stays as it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mlbom.record.probe import Probe
from mlbom.record.steps.ops import OpRecord
from mlbom.record.steps.values import StepRecord
from tests.unit.record.probed import Probed, probe_training

pytest.importorskip("torch")

TRAINING = """
import torch
from torch import nn

torch.manual_seed(0)
class Words(torch.utils.data.Dataset):
    def __len__(self): return 32
    def __getitem__(self, index): return torch.full((3, 5), float(index)), index % 3
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 3)
    def forward(self, x):
        hidden = torch.relu(self.norm(self.conv(x)))  # the line of the norm
        return self.head(self.drop(self.encoder(hidden.transpose(1, 2)))).mean(1)
net = Net()
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
loader = torch.utils.data.DataLoader(Words(), batch_size=8, shuffle=True, num_workers=2)
for x, y in loader:
    loss = nn.functional.cross_entropy(net(x), y)  # the line of the loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
BY_HAND = """
import torch
torch.manual_seed(0)
weight = torch.randn(4, requires_grad=True)
for step in range(6):
    loss = (weight * torch.full((4,), 2.0)).square().sum()
    loss.backward()
    with torch.no_grad():
        weight -= 0.1 * weight.grad
        weight.grad = None
"""
# The same two steps inside the window and after it.
COMPILED = """
import torch
net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
start = {name: value.clone() for name, value in net.state_dict().items()}
compiled = torch.compile(net, backend="eager")
for _ in range(2):
    net.load_state_dict(start)
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        loss = compiled(torch.randn(8, 4)).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        print(loss.item().hex())
"""


def line_of(code: str, words: str) -> int:
    """Return the number of the line of a script that has these words."""
    return next(n for n, line in enumerate(code.split("\n"), 1) if words in line)


def facts(steps: Sequence[StepRecord]) -> list[tuple[object, ...]]:
    """Return what must not change when somebody looks on."""
    return [
        (s.batches, s.losses, s.grads, s.params, s.state, s.buffers, s.rng, s.tensors)
        for s in steps
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ops")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Probed:
    return probe_training(folder, TRAINING, Probe())


@pytest.fixture(scope="module")
def watched(folder: Path) -> Probed:
    probe = Probe(ops_from=0, ops_to=1, double_step=2, double_times=4)
    return probe_training(folder, TRAINING, probe)


@pytest.fixture(scope="module")
def again(folder: Path) -> Probed:
    return probe_training(folder, TRAINING, Probe(ops_from=0, ops_to=1))


def named(watched: Probed, name: str, phase: str = "") -> list[OpRecord]:
    return [op for op in watched.ops.ops if op.name == name and phase in ("", op.phase)]


def test_the_steps_stay_as_they_are(plain: Probed, watched: Probed) -> None:
    assert watched.recording.exit_code == 0
    assert not watched.failures
    (expected,), (found,) = plain.steps.processes, watched.steps.processes
    assert len(found.steps) == 4
    assert facts(found.steps) == facts(expected.steps)
    assert found.final == expected.final
    assert plain.processes == ()


def test_a_module_a_phase_and_a_line_are_told(watched: Probed) -> None:
    forward, backward = (
        named(watched, "aten.native_batch_norm.default")[0],
        named(watched, "aten.native_batch_norm_backward.default")[0],
    )
    assert (forward.module, forward.phase) == ("norm", "forward")
    assert (backward.module, backward.phase) == ("norm", "backward")
    number = line_of(TRAINING, "the line of the norm")
    assert forward.at[0].endswith(f"train.py:{number} in forward")
    assert forward.at == backward.at
    softmax = named(watched, "aten._softmax.default") or named(
        watched, "aten._safe_softmax.default"
    )
    assert softmax[0].module == "encoder.self_attn"
    loss = named(watched, "aten.nll_loss_forward.default")[0]
    assert (loss.module, loss.phase) == ("", "forward")
    assert f":{line_of(TRAINING, 'the line of the loss')} in <module>" in loss.at[0]
    made = named(watched, "aten.uniform_.default")[0]
    assert (made.phase, made.step) == ("outside", 0)


def test_a_fused_optimizer_is_one_op_of_many_tensors(watched: Probed) -> None:
    first, second = named(watched, "aten._fused_adamw_.default")
    assert (first.phase, first.step, second.step) == ("optimizer", 0, 1)
    count = 18  # parameters of the network
    # Parameters, gradients, two moments, the number of the step; and the plain numbers, as one.
    assert len(first.inputs) == 5 * count + 1
    assert len(first.outputs) >= 4 * count
    assert first.inputs[:count] != first.outputs[:count]
    assert second.inputs[:count] == first.outputs[:count]


def test_what_comes_from_outside_is_a_source(watched: Probed) -> None:
    batches = [op for op in watched.ops.ops if op.name == "worker.tensor"]
    assert len(batches) == 4
    assert {op.step for op in batches} == {0, 1}
    assert all(op.is_source and len(op.outputs) == 1 and not op.inputs for op in batches)
    assert all(op.is_source for op in named(watched, "aten.lift_fresh.default"))
    known = [op for op in watched.ops.ops if op.name == "outside.tensor" and op.step == 0]
    assert not known


def test_ops_that_draw_tell_their_generator(watched: Probed) -> None:
    drawn = named(watched, "aten.bernoulli_.float")
    assert all(op.is_seeded and op.rng for op in drawn)
    assert len({op.rng for op in drawn}) == len(drawn)
    assert not any(op.rng for op in watched.ops.ops if not op.is_seeded)


def test_unwritten_memory_and_views_have_no_digest(watched: Probed) -> None:
    assert not any(op.outputs for op in named(watched, "aten.empty_like.default"))
    views = named(watched, "aten.view.default")
    assert views
    assert not any(op.outputs for op in views)


def test_two_trainings_agree_op_by_op(watched: Probed, again: Probed) -> None:
    one, other = watched.ops, again.ops
    assert len(one.ops) > 500
    names = [(op.name, op.step, op.module, op.phase, op.rng) for op in one.ops]
    assert names == [(op.name, op.step, op.module, op.phase, op.rng) for op in other.ops]
    assert [op.outputs for op in one.ops] == [op.outputs for op in other.ops]
    assert one.entries == other.entries
    assert set(one.entries) == {0, 1}
    assert one.entries[1]
    assert [op.number for op in one.ops] == list(range(len(one.ops)))


def test_no_op_of_a_deterministic_step_is_blamed(watched: Probed) -> None:
    assert watched.ops.doubled == ()
    assert watched.ops.doubled_count >= 90
    assert watched.ops.skipped["aten.view.default"] == "is a view"
    assert watched.ops.unseen == ()


def test_without_an_optimizer_each_backward_pass_is_a_step(folder: Path) -> None:
    done = probe_training(folder, BY_HAND, Probe(ops_from=1, ops_to=2, stop_after=4))
    assert not done.failures
    assert done.recording.exit_code == 75
    (process,) = done.steps.processes
    assert process.final is not None
    assert len(process.final.losses) == 4
    found = [op for op in done.ops.ops if op.name == "aten.full.default"]
    assert [op.step for op in found] == [1, 2]
    # Made before the window: its content is told when it is first used.
    (weight,) = [op for op in done.ops.ops if op.name == "outside.tensor" and op.is_source][:1]
    assert weight.step == 1
    assert weight.outputs[0]


def test_what_is_compiled_is_said_and_left_alone(folder: Path) -> None:
    done = probe_training(folder, COMPILED, Probe(ops_from=0, ops_to=1))
    assert not done.failures
    assert done.recording.exit_code == 0
    assert done.lines[:2] == done.lines[2:]
    assert any("compiled region" in sentence for sentence in done.ops.unseen)
    assert any(op.phase == "optimizer" for op in done.ops.ops)
