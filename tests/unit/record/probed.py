"""Small trainings run with a probe, through the launcher."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.record.launcher import record_step
from mlbom.record.probe import Probe, TraceLevel
from mlbom.record.recording import Recording, StepPlan
from mlbom.record.steps.op_reading import read_ops
from mlbom.record.steps.ops import OpTrace
from mlbom.record.steps.reading import read_steps
from mlbom.record.steps.values import StepTrace


@dataclass(frozen=True)
class Probed:
    """A training that has ended.

    Args:
        recording: what the launcher saw.
        steps: what the training told of its steps.
        processes: what it told of its ops.
        lines: what it printed.
        failures: of the recorder itself.
    """

    recording: Recording
    steps: StepTrace
    processes: tuple[OpTrace, ...]
    lines: list[str]
    failures: list[str]

    @property
    def ops(self) -> OpTrace:
        """Return the ops of the one process that has some."""
        (found,) = self.processes
        return found


def probe_training(
    folder: Path,
    code: str,
    probe: Probe,
    *,
    arguments: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Probed:
    """Run a script in a new folder below `folder`, its steps traced, with a probe in it."""
    root = folder / f"training-{len(list(folder.glob('training-*')))}"
    runs = root / ".mlbom" / "runs" / "1"
    runs.mkdir(parents=True)
    (root / "train.py").write_text(code, encoding="utf-8")
    plan = StepPlan(
        argv=(sys.executable, *(arguments or ("train.py",))),
        cwd=root,
        project_root=root,
        folder=runs,
        observe="hook",
        trace=TraceLevel.TENSORS,
        probe=probe,
        timeout_s=120,
        is_apart=True,
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})}
    recording = record_step(plan, environment)
    trace = runs / "trace"
    told = [line for path in trace.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert recording.stdout is not None
    return Probed(
        recording=recording,
        steps=read_steps(trace),
        processes=read_ops(trace),
        lines=recording.stdout.read_text(encoding="utf-8").splitlines(),
        failures=[line for line in told if '"e":"failure"' in line],
    )
