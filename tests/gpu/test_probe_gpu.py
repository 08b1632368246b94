"""On a GPU: an atomic addition that is planted in a training is named with its line."""

from pathlib import Path

import pytest

from mlbom.record.probe import Determinism, Probe
from tests.unit.record.probed import probe_training

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

PLANTED = """
import torch
torch.manual_seed(0)
class Pool(torch.nn.Module):
    def forward(self, x, places):
        into = torch.zeros(64, x.shape[1], device=x.device)
        return OPERATION  # the line of the addition
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.pool, self.drop = torch.nn.Linear(16, 32), Pool(), torch.nn.Dropout(0.1)
    def forward(self, x, places): return self.pool(self.drop(self.linear(x)), places)
net = Net().cuda()
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
for _ in range(3):
    x = torch.randn(100_000, 16, device="cuda")
    places = torch.randint(0, 64, (100_000,), device="cuda")
    loss = net(x, places).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    print(loss.item().hex())
"""
SCATTER = "into.scatter_add(0, places[:, None].expand_as(x), x)"
INDEX_ADD = "into.index_add(0, places, x)"
PUT = "into.index_put((places,), x, accumulate=True)"
LINE = next(n for n, line in enumerate(PLANTED.split("\n"), 1) if "the addition" in line)


def planted(operation: str) -> str:
    return PLANTED.replace("OPERATION", operation)


@pytest.mark.parametrize(
    ("operation", "name"),
    [(SCATTER, "aten.scatter_add.default"), (INDEX_ADD, "aten.index_add.default")],
)
def test_an_atomic_addition_is_found(tmp_path: Path, operation: str, name: str) -> None:
    done = probe_training(tmp_path, planted(operation), Probe(double_step=1))
    assert done.recording.exit_code == 0
    assert not done.failures
    (found,) = [op for op in done.ops.doubled if op.phase == "forward"]
    assert found.name == name
    assert found.module == "pool"
    assert found.at[0].endswith(f"train.py:{LINE} in forward")
    assert done.ops.doubled_count > 20


def test_a_deterministic_step_blames_no_op(tmp_path: Path) -> None:
    # Accumulation by index sorts its places first on a GPU.
    done = probe_training(tmp_path, planted(PUT), Probe(double_step=1))
    assert done.recording.exit_code == 0
    assert not done.failures
    assert done.ops.doubled == ()


def test_two_trainings_part_at_the_addition(tmp_path: Path) -> None:
    probe = Probe(ops_from=0, ops_to=2)
    one, other = (probe_training(tmp_path, planted(SCATTER), probe) for _ in range(2))
    assert not one.failures
    pairs = list(zip(one.ops.ops, other.ops.ops, strict=True))
    first = next(a for a, b in pairs if a.outputs != b.outputs)
    assert first.name == "aten.scatter_add.default"
    backward = [op for op in one.ops.ops if op.phase == "backward" and op.module == "linear"]
    assert backward
    assert all(op.at[0].rsplit(":", 1)[-1].endswith("in forward") for op in backward if op.at)
    seeded = [op for op in one.ops.ops if op.is_seeded]
    assert all(op.rng for op in seeded)


def test_the_window_changes_no_number(tmp_path: Path) -> None:
    deterministic = planted(PUT)
    plain = probe_training(tmp_path, deterministic, Probe())
    watched = probe_training(tmp_path, deterministic, Probe(ops_from=0, ops_to=1, double_step=2))
    assert plain.lines == watched.lines
    assert [s.params for p in plain.steps.processes for s in p.steps] == [
        s.params for p in watched.steps.processes for s in p.steps
    ]


def test_the_sweep_names_the_addition(tmp_path: Path) -> None:
    done = probe_training(tmp_path, planted(SCATTER), Probe(determinism=Determinism.WARN))
    assert done.recording.exit_code == 0
    assert any("scatter_add" in op.name or "scatter_add" in op.message for op in done.ops.warned)
