"""What the record of a step says of its step trace."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.attest.run_claim import StepKind, parse_run
from mlbom.pipeline.run import RunRequest, RunResult, run
from mlbom.pipeline.trace_facts import measure_trace
from mlbom.record.launcher import record_step
from mlbom.record.probe import Listing, Probe, TraceLevel
from mlbom.record.steps.merkle import trace_root
from mlbom.record.steps.reading import read_steps
from tests.unit.record.step import PYTHON, Project

TRAINING = """
import os, sys, torch
torch.manual_seed(0)
m = torch.nn.Linear(3, 1); o = torch.optim.SGD(m.parameters(), 0.1)
for _ in range(3):
    o.zero_grad(); m(torch.randn(5, 3)).square().mean().backward(); o.step()
torch.save(m.state_dict(), "m.pt")
if sys.argv[1:]: os.kill(os.getpid(), 9)
"""


def record(root: Path, *arguments: str, code: str = TRAINING) -> RunResult:
    root.mkdir(exist_ok=True)
    (root / "train.py").write_text(code)
    request = RunRequest(
        name="train",
        kind=StepKind.TRAIN,
        argv=(PYTHON, "train.py", *arguments),
        cwd=root,
        project_root=root.resolve(),
        observe="hook",
        trace=TraceLevel.STEP,
    )
    return run(request, None)


def test_a_record_holds_the_root_over_every_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = record(tmp_path / "project")
    folder = result.recording.plan.folder / "trace"
    trace = read_steps(folder)
    (file,) = folder.glob("*.steps")
    (told,) = [one for one in result.claim.byproducts if one.name == "step trace"]
    assert told.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told.annotations["mlbom_steps"] == 3
    assert told.annotations["mlbom_traceProcesses"] == 1
    assert result.claim.trace_root == trace_root(trace) != ""
    assert parse_run(result.statement).trace_root == result.claim.trace_root
    assert {subject.name for subject in result.statement.subjects} == {"m.pt"}


def test_a_training_that_was_killed_has_a_trace_and_no_root(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = record(tmp_path / "project", "killed")
    (told,) = [one for one in result.claim.byproducts if one.name == "step trace"]
    assert told.annotations == {"mlbom_steps": 3, "mlbom_traceProcesses": 1}
    assert result.claim.trace_root == ""
    assert any("not whole" in text for text in result.claim.unseen)


def test_a_step_that_trains_nothing_says_that_it_has_no_trace(tmp_path: Path) -> None:
    result = record(tmp_path / "project", code="print(1)\n")
    assert not [one for one in result.claim.byproducts if one.name == "step trace"]
    assert any("no step trace" in text for text in result.claim.unseen)
    off = replace(result.recording, plan=replace(result.recording.plan, trace=TraceLevel.OFF))
    assert measure_trace(off).gaps == ()


def test_the_command_gets_the_variables_and_the_record_does_not(project: Project) -> None:
    plan = replace(
        project.plan("env"),
        trace=TraceLevel.TENSORS,
        probe=Probe(listing=Listing.SORTED),
        wrapper=("env", "WRAPPED=yes"),
    )
    around = {**os.environ, "MLBOM_RECORD_TRACE": "step", "MLBOM_RECORD_PROBE": "{}"}
    recording = record_step(plan, around)
    assert recording.stdout is not None
    seen = dict(line.partition("=")[::2] for line in recording.stdout.read_text().splitlines())
    assert seen["WRAPPED"] == "yes"
    assert seen["MLBOM_RECORD_TRACE"] == "tensors"
    assert json.loads(seen["MLBOM_RECORD_PROBE"])["listing"] == "sorted"
    assert not {name for name in recording.environment if name.startswith("MLBOM_RECORD_")}
    plain = record_step(project.plan("env"), around)
    assert plain.stdout is not None
    assert "MLBOM_RECORD_TRACE" not in plain.stdout.read_text()
    assert "MLBOM_RECORD_PROBE" not in plain.stdout.read_text()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path.resolve() / "project")
