"""Steps of many processes, through tools that people use: torchrun with ranks, a notebook."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from mlbom.attest.run_claim import StepKind
from mlbom.pipeline.run import RunRequest, RunResult, run
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


def record(root: Path, *argv: str) -> RunResult:
    request = RunRequest(name="train", kind=StepKind.TRAIN, argv=argv, cwd=root, project_root=root)
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
