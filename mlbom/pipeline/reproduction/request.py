"""What is asked of a reproduction, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlbom.errors import MlbomError
from mlbom.reproduce.values import Judgement, Level

# Exact agreement of two runs says something; of one nothing.
LEAST_RUNS = 2


class Mode(StrEnum):
    """What is done to make a training repeat itself.

    AS_IS sets nothing, PIN_ENV sets numeric variables before the interpreter starts, DETERMINISTIC
    asks torch for deterministic algorithms as well.
    """

    AS_IS = "as-is"
    PIN_ENV = "pin-env"
    DETERMINISTIC = "deterministic"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproduceRequest:
    """What is asked for.

    Args:
        project_root: the folder of `.mlbom/`, absolute, links resolved.
        cwd: where a command is to run, absolute, inside the project.
        release: the output directory of `generate`, which may hold a release of the same weights.
        run: a recorded run by id, step name or file; empty for a command, or the newest training.
        command: of a training without record, or one that resumes a recorded one.
        required: the level below which the exit status is 1.
        mode: what is done to make it repeat itself.
        runs: how often it is run.
        inject_seed: seed of every generator that nobody seeds, or None.
        steps: stop after so many optimizer steps; 0 for the whole training.
        checkpoint: a file that the command resumes from, absolute, or None.
        device: `cpu`, `cuda`, `cuda:1`; empty for what the training chooses.
        has_control: whether a run that must be told apart is made.
        varies: whether the variations are tried.
        inputs: untracked files that the training reads, absolute.
        hidden: files that it must not read: signing keys.
        python: interpreter or prefix to use, or None for the one on the PATH.
        timeout_s: seconds for each run; None for a limit that follows from the record.
        allows_mismatch: whether another environment than the recorded one may decide.
    """

    project_root: Path
    cwd: Path
    release: Path
    run: str = ""
    command: tuple[str, ...] = ()
    required: Level = Level.EXACT_WEIGHTS
    mode: Mode = Mode.AS_IS
    runs: int = LEAST_RUNS
    inject_seed: int | None = None
    steps: int = 0
    checkpoint: Path | None = None
    device: str = ""
    has_control: bool = False
    varies: bool = False
    inputs: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    python: Path | None = None
    timeout_s: float | None = None
    allows_mismatch: bool = False

    @property
    def is_partial(self) -> bool:
        """Return whether only the first steps or a segment are run."""
        return bool(self.steps) or self.checkpoint is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproduceResult:
    """What came of it.

    Args:
        judgement: the verdict.
        details: the details document (docs/reproduction.md).
        folder: where it and the logs, traces and outputs of every run are kept.
        bundles: statements that were signed.
        signer: who signed: `key FINGERPRINT` or an identity; empty when nobody did.
        untold: why there is nothing to sign although a signer was there, or empty.
        failure: why signing failed; what was found is kept all the same.
    """

    judgement: Judgement
    details: Mapping[str, Any]
    folder: Path
    bundles: tuple[Path, ...] = ()
    signer: str = ""
    untold: str = ""
    failure: MlbomError | None = None
