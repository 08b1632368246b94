"""Trains a script twice in sandboxes, as `mlbom reproduce` does, and has the cause named."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mlbom.reproduce.lint.lint import lint_project
from mlbom.reproduce.localise.ladder import localise
from mlbom.reproduce.localise.values import Localisation
from mlbom.reproduce.rerun import Attempt, Rerunner
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.traces.divergence import first_divergence
from mlbom.reproduce.values import Divergence, Rerun
from tests.culprits.cases import STUBS, Case

SCRIPT = "train.py"
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two trainings of one script, and what makes more of them."""

    rerunner: Rerunner
    attempts: tuple[Attempt, Attempt]
    runs: tuple[Rerun, Rerun]
    project: Path

    @property
    def divergence(self) -> Divergence | None:
        return first_divergence(self.runs[0].trace, self.runs[1].trace)

    @property
    def has_equal_weights(self) -> bool:
        """Return whether both wrote the same weights, byte for byte."""
        written = [{n: p.read_bytes() for n, p in run.outputs.items()} for run in self.runs]
        return "model.pt" in written[0] and written[0]["model.pt"] == written[1]["model.pt"]

    def localise(self) -> Localisation:
        lint = lint_project(self.project, [SCRIPT])
        return localise(self.rerunner.run, *self.runs, lint, self.attempts)


def train_twice(case: Case, script: Path, room: Path) -> Pair:
    """Train a script twice.

    Args:
        case: how its runs are made.
        script: file of the training.
        room: an empty folder of ours.
    """
    project = room / "project"
    shutil.copytree(STUBS / "huggingface_hub", project / "huggingface_hub")
    shutil.copy(script, project / SCRIPT)
    plan = SandboxPlan(
        command=(sys.executable, SCRIPT),
        project=project,
        source=project,
        timeout_s=_TIMEOUT_S,
    )
    rerunner, attempts = Rerunner(plan, room / "keep"), case.attempts()
    one, other = (rerunner.run(attempt) for attempt in attempts)
    return Pair(rerunner, attempts, (one, other), project)
