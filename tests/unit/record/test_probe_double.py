"""Each op of one step computed again: a kernel that is not deterministic is named."""

from pathlib import Path

import pytest

from mlbom.record.probe import Probe
from tests.unit.record.probed import probe_training

pytest.importorskip("torch")

# On a CPU with several threads torch adds to the same place in the order in which they come.
ATOMIC = """
import torch
torch.manual_seed(0)
torch.set_num_threads(2)
class Pool(torch.nn.Module):
    def forward(self, x, places):
        into = torch.zeros(8, x.shape[1])
        return into.index_put((places,), x, accumulate=True)  # the line of the addition
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.pool = torch.nn.Linear(4, 32), Pool()
    def forward(self, x, places): return self.pool(self.linear(x), places)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for _ in range(2):
    loss = net(torch.randn(50_000, 4), torch.randint(0, 8, (50_000,))).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
"""
# What an op must not do twice: move a generator, a running mean, a parameter, what it writes into.
CHANGING = """
import torch
from torch import nn
def train():
    torch.manual_seed(0)
    own = torch.Generator().manual_seed(3)
    layers = [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.RReLU(), nn.Linear(4, 1)]
    net = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, foreach=True)
    for _ in range(3):
        x = torch.rand(8, 4, generator=own)
        x[:, 1].mul_(2).add_(x[:, 0])
        torch.cumsum(x, 0, out=torch.empty(8, 4))
        loss = net(x).square().mean()
        optimizer.zero_grad(set_to_none=False); loss.backward(); optimizer.step()
        values = [*net.state_dict().values(), own.get_state(), torch.get_rng_state(), x]
        print([float(value.double().sum()).hex() for value in values])
train()  # with the step that is doubled
train()
"""


def test_an_atomic_addition_is_found_with_its_line_and_module(tmp_path: Path) -> None:
    # On a busy machine two threads may take turns and agree by chance: three tries.
    for _ in range(3):
        done = probe_training(
            tmp_path,
            ATOMIC,
            Probe(double_step=1, stop_after=2),
            variables={"OMP_NUM_THREADS": "2"},
        )
        assert not done.failures
        if done.ops.doubled:
            break
    (found,) = done.ops.doubled
    line = ATOMIC.split("\n").index(next(x for x in ATOMIC.split("\n") if "the addition" in x)) + 1
    assert found.name == "aten.index_put.default"
    assert (found.module, found.phase) == ("pool", "forward")
    assert found.at[0].endswith(f"train.py:{line} in forward")
    assert found.times >= 17
    assert 2 <= found.distinct <= found.times


def test_repetitions_leave_no_mark(tmp_path: Path) -> None:
    doubled = probe_training(tmp_path, CHANGING, Probe(double_step=1, double_times=3))
    assert not doubled.failures
    assert len(doubled.lines) == 6
    assert doubled.lines[:3] == doubled.lines[3:]
    assert doubled.ops.doubled == ()
    assert doubled.ops.doubled_count > 30
    assert doubled.ops.skipped["aten.empty.memory_format"].startswith("gives memory")
