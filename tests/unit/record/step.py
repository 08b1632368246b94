"""A small project whose steps are recorded for real."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlbom.record.launcher import record_step
from mlbom.record.recording import Recording, StepPlan

PYTHON = sys.executable


class Project:
    """A project folder, and a short way to record a command in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._count = 0
        root.mkdir()

    def write(self, name: str, text: str = "x\n") -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def plan(
        self,
        *argv: str,
        observe: str = "hook",
        inputs: Sequence[Path] = (),
        outputs: Sequence[Path] = (),
    ) -> StepPlan:
        """Return a plan with a new folder for its run."""
        self._count += 1
        folder = self.root / ".mlbom" / "runs" / str(self._count)
        folder.mkdir(parents=True)
        return StepPlan(
            argv=argv,
            cwd=self.root,
            project_root=self.root,
            folder=folder,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            observe=observe,
        )

    def record(
        self, *argv: str, environment: Mapping[str, str] | None = None, observe: str = "hook"
    ) -> Recording:
        """Record a command."""
        return record_step(self.plan(*argv, observe=observe), environment)

    def run(self, code: str, *arguments: str, observe: str = "hook") -> Recording:
        """Record a Python script of this text."""
        self.write("step.py", code)
        return self.record(PYTHON, "step.py", *arguments, observe=observe)

    def names(self, paths: Sequence[str]) -> set[str]:
        """Return paths relative to the project."""
        return {Path(path).relative_to(self.root).as_posix() for path in paths}
