"""Steps of many processes, through tools that people use: torchrun with ranks, a notebook."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from mlbom.attest.run_claim import StepKind
from mlbom.pipeline.run import RunRequest, RunResult, run
from mlbom.record.probe import TraceLevel
from mlbom.record.steps.reading import read_steps
from tests.fixtures.gitrepo import make_repository

pytestmark = pytest.mark.oracle
RANKS = b"""
import os
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(100 + rank)
rows = torch.load(f"shard-{rank}.pt")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(rows).sum().backward()
optimizer.step()
if rank == 0:
    torch.save(model.module.state_dict(), "model.pt")
dist.destroy_process_group()
"""


def record(root: Path, *argv: str, trace: TraceLevel = TraceLevel.OFF) -> RunResult:
    request = RunRequest(
        name="train", kind=StepKind.TRAIN, argv=argv, cwd=root, project_root=root, trace=trace
    )
    return run(request, None)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_rank_of_torchrun_is_seen(tmp_path: Path) -> None:
    import torch

    root = make_repository(tmp_path / "project", {"train.py": RANKS}).resolve()
    for rank in range(3):
        torch.save(torch.full((1, 2), float(rank)), root / f"shard-{rank}.pt")
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    result = record(root, torchrun, "--standalone", "--nproc-per-node", "2", "train.py")
    assert result.claim.succeeded
    read = {material.sha256 for material in result.claim.materials}
    assert {sha256(root / "shard-0.pt"), sha256(root / "shard-1.pt")} <= read
    assert sha256(root / "shard-2.pt") not in read
    assert {process.rank for process in result.recording.processes} >= {0, 1}
    assert "100" in result.claim.parameters["seeds"]["torch"]
    assert [subject.name for subject in result.statement.subjects] == ["model.pt"]


ACCUMULATING = b"""
import sys
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

def train(rank, address):
    if address: dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    else: dist.init_process_group("gloo")
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, 4))
    loader = DataLoader(data, batch_size=2, sampler=DistributedSampler(data))
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters())
    for index, (rows,) in enumerate(loader):
        if index % 2 == 0:
            with model.no_sync(): model(rows).sum().backward()
        else:
            model(rows).sum().backward()
            optimizer.step(); optimizer.zero_grad()
    dist.destroy_process_group()

if __name__ == "__main__":
    if len(sys.argv) > 1: mp.spawn(train, (sys.argv[1],), nprocs=2)
    else: train(0, "")
"""


def test_every_rank_has_a_trace_of_its_own_and_two_jobs_have_one_root(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "project", {"train.py": ACCUMULATING}).resolve()
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    commands = [[torchrun, "--standalone", "--nproc-per-node", "2", "train.py"]] * 2
    commands.append([sys.executable, "train.py", f"file://{tmp_path}/rendezvous"])
    results = [record(root, *command, trace=TraceLevel.STEP) for command in commands]
    assert all(result.claim.succeeded for result in results)
    trace = read_steps(results[0].recording.plan.folder / "trace")
    first, second = trace.processes
    assert [first.rank, second.rank] == [0, 1]
    assert len(first.steps) == len(second.steps) == 4
    assert all(len(step.losses) == len(step.batches) == 2 for step in first.steps)
    for one, other in zip(first.steps, second.steps, strict=True):
        assert (one.params, one.grads) == (other.params, other.grads)
        assert one.batches != other.batches
        assert one.losses != other.losses
    assert first.entries[0].names[0][0] == "module.0.weight"
    # Also where the program itself, and no variable, says which rank a process has.
    assert len({result.claim.trace_root for result in results}) == 1
    assert len(results[0].claim.trace_root) == 64


def test_a_notebook_is_seen_to_its_kernel(tmp_path: Path) -> None:
    folder = os.environ.get("MLBOM_ORACLE_VENV", "")
    jupyter = Path(folder).absolute() / "bin" / "jupyter-nbconvert"
    if not jupyter.is_file() and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("nbconvert is not installed")
    source = "import random\nrandom.seed(3)\nopen('out.txt', 'w').write(open('rows.csv').read())"
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
    }
    notebook = {
        "cells": [{**cell, "id": "a", "source": source}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    files = {"work.ipynb": json.dumps(notebook).encode(), "rows.csv": b"1,2\n", "other.csv": b"3\n"}
    root = make_repository(tmp_path / "project", files).resolve()
    result = record(root, str(jupyter), "--to", "notebook", "--execute", "--inplace", "work.ipynb")
    assert result.claim.succeeded, result.recording.stderr
    names = {material.name for material in result.claim.materials}
    assert "rows.csv" in names
    assert "other.csv" not in names
    assert result.claim.parameters["seeds"]["random"] == "3"
    written = {subject.name for subject in result.statement.subjects}
    assert {"out.txt", "work.ipynb"} <= written
