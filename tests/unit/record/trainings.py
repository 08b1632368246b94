"""Small trainings, run in a Python of their own with the recorder in it and without."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.record.launcher import SHIM
from mlbom.record.steps.reading import read_steps
from mlbom.record.steps.values import StepTrace


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Args:
        code: exit code.
        stdout, stderr: what it printed.
        folder: of its trace files.
        trace: what they tell.
    """

    code: int
    stdout: str
    stderr: str
    folder: Path
    trace: StepTrace

    @property
    def failures(self) -> list[str]:
        """Return the lines in which the recorder tells of a failure of its own."""
        files = self.folder.glob("*.jsonl")
        lines = [line for path in files for line in path.read_text().splitlines()]
        return [line for line in lines if '"e":"failure"' in line]


def train(
    folder: Path,
    code: str,
    *arguments: str,
    level: str = "step",
    variables: Mapping[str, str] | None = None,
) -> Trained:
    """Run a script in a folder, traced unless the level is empty."""
    script, into = folder / "train.py", folder / f"trace{len(list(folder.glob('trace*')))}"
    into.mkdir()
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    if level:
        environment |= {"MLBOM_RECORD_DIR": str(into), "MLBOM_RECORD_TRACE": level}
        environment |= {"PYTHONPATH": str(SHIM), "MLBOM_RECORD_ROOT": str(folder)}
    environment |= variables or {}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Trained(done.returncode, done.stdout, done.stderr, into, read_steps(into))
