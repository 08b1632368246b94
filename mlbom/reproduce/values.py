"""The words of a reproduction: how far a result agrees, where it first does not, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlbom.record.recording import Recording
from mlbom.record.steps.ops import OpTrace
from mlbom.record.steps.values import StepTrace


class Level(StrEnum):
    """How far a reproduction agrees; the strongest that holds is told."""

    EXACT_TRACE = "exact-trace"
    EXACT_WEIGHTS = "exact-weights"
    TOLERANCE = "tolerance"
    METRIC = "metric"
    DIVERGED = "diverged"
    INCONCLUSIVE = "inconclusive"


# What may be required, the strongest first.
LADDER = (Level.EXACT_TRACE, Level.EXACT_WEIGHTS, Level.TOLERANCE, Level.METRIC)


class Outcome(StrEnum):
    """How a training ended."""

    FINISHED = "finished"
    STOPPED = "stopped after the steps asked for"
    FAILED = "failed"
    KILLED = "killed"
    TIMEOUT = "timeout"
    NO_SPACE = "no space left"

    @property
    def is_complete(self) -> bool:
        """Return whether it came as far as was asked, so that a comparison can stand on it."""
        return self in (Outcome.FINISHED, Outcome.STOPPED)


class CauseKind(StrEnum):
    """What made two trainings differ."""

    SEED = "seed"
    RNG_STREAM = "RNG stream"
    DATA_ORDER = "data order"
    LOADER_WORKER = "loader worker"
    HOST_DATA = "host data"
    KERNEL = "kernel"
    CONTROL_FLOW = "control flow"
    ENVIRONMENT = "environment"
    DOWNLOAD = "download"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """A line of training code that makes, or can make, two trainings differ.

    Args:
        rule: `unseeded-torch`, `set-order`, `listing-order`, ...
        kind: what it would show as.
        path: of the file, POSIX, relative to the project.
        line: from 1.
        message: what is wrong there, one sentence.
        fix: what to write instead.
    """

    rule: str
    kind: CauseKind
    path: str
    line: int
    message: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """One training as it ran again.

    Args:
        label: `run-1`, `control`, `vary: threads`, ...
        outcome: how it ended.
        detail: why, when it did not finish; one sentence.
        trace: step by step.
        ops: op by op, one for each process, when asked for.
        root: the folder that the training saw as its project.
        outputs: path relative to the project -> the file, kept until the reproduction ends.
        recording: what the launcher saw.
        network: how the network was kept off, or why not, one sentence.
        isolated: whether it was off.
    """

    label: str
    outcome: Outcome
    detail: str = ""
    trace: StepTrace
    ops: tuple[OpTrace, ...] = ()
    root: Path
    outputs: Mapping[str, Path] = field(default_factory=dict)
    recording: Recording
    network: str = ""
    isolated: bool = False

    @property
    def told_detail(self) -> str:
        """Return why it did not finish, as it may be published.

        What it printed last may name places and people: that stays here, in its log.
        """
        return self.detail.partition(": ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first thing in two traces that is not equal.

    Args:
        step: number of the step, from 0; the number of steps when only the end differs.
        of: how many steps the shorter trace has.
        rank: of the process, or None.
        process: its place among the processes that trained.
        signals: the fields that differ at that step, in the order `optimizer` (another one makes
            the step), `entry` (what it found before its first step), `batches`, `rng:STREAM`,
            `losses`, `grads`, `params`, `state`, `buffers`, `flags`, or `missing` when one trace
            has no such step; `root` alone when only the roots of two traces are known.
        field: the first of them in the order of a training.
        index: which batch or loss of the step, from 0, or -1.
        tensor: name of the first differing gradient or parameter, or empty.
        at: line of the program that asked for the step, relative to the project.
    """

    step: int
    of: int
    rank: int | None = None
    process: int = 0
    signals: tuple[str, ...]
    field: str
    index: int = -1
    tensor: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """What made two trainings differ first, with what it stands on.

    Args:
        kind: of the cause.
        what: one sentence: `the order of a set feeds the data`.
        path: file of the program, POSIX, relative to the project; empty when unknown.
        line: from 1, or 0.
        step: the first differing step, from 0; -1 when it is not known.
        rank: of the process, or None.
        op: `aten.index_put.default`, or empty.
        module: where it ran, or empty.
        fix: what to do, one sentence.
        evidence: what this stands on, each one sentence, the strongest first.
        is_sure: whether it was shown (an op that differs on equal inputs, a change that makes the
            difference go away) and not only concluded.
    """

    kind: CauseKind
    what: str
    path: str = ""
    line: int = 0
    step: int = 0
    rank: int | None = None
    op: str = ""
    module: str = ""
    fix: str = ""
    evidence: tuple[str, ...] = ()
    is_sure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Something of the environment that is not as it was recorded."""

    name: str
    recorded: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict.

    Args:
        level: the strongest that holds.
        required: what was asked for.
        reasons: why this level and no higher, each one sentence.
        thresholds: what tolerance and metric were held against: name -> value.
    """

    level: Level
    required: Level
    reasons: tuple[str, ...] = ()
    thresholds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Return whether what was asked for, or more, holds."""
        return self.level in LADDER[: LADDER.index(self.required) + 1]
