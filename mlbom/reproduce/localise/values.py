"""What a search for the cause works on, and what it yields."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mlbom.record.steps.values import ProcessSteps, SourceEvent
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.traces.places import Line, program_line
from mlbom.reproduce.values import Culprit, Divergence, LintFinding, Rerun

Runner = Callable[[Attempt], Rerun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Localisation:
    """What was found.

    Args:
        culprit: the cause, with what it stands on.
        divergence: the first difference; None when the traces are equal.
        runs: those that the search made.
    """

    culprit: Culprit
    divergence: Divergence | None
    runs: tuple[Rerun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Two trainings that differ.

    Args:
        a: one.
        b: the other.
        divergence: their first difference.
        lint: what the code shows.
        bases: how each was made; the runs of the search are made like them.
    """

    a: Rerun
    b: Rerun
    divergence: Divergence
    lint: tuple[LintFinding, ...] = ()
    bases: tuple[Attempt, Attempt]

    def has(self, *names: str) -> bool:
        """Return whether one of the signals at the first difference begins like that."""
        return any(signal.startswith(names) for signal in self.divergence.signals)

    def streams(self) -> tuple[str, ...]:
        """Return the default generators that stood elsewhere: `torch`, `random`, `numpy`."""
        signals = self.divergence.signals
        return tuple(s.partition(":")[2] for s in signals if s.startswith("rng:"))

    def process(self, rerun: Rerun) -> ProcessSteps | None:
        """Return the process of a run in which the first difference lies."""
        return process_of(rerun, self.divergence)

    def events(self, rerun: Rerun, *kinds: str) -> Iterator[SourceEvent]:
        """Yield what decided numbers before the first difference: of the process and of workers.

        Other ranks have their own say; a worker counts no steps.
        """
        process = self.process(rerun)
        ranks = {p.pid for p in rerun.trace.processes if process is not None and p is not process}
        for event in rerun.trace.events:
            is_before = event.worker or event.step <= self.divergence.step
            if event.kind in kinds and event.pid not in ranks and is_before:
                yield event

    def settings(self) -> Iterator[tuple[str, str, str]]:
        """Yield numeric settings in force at the first difference: name, value in each run."""
        ours, theirs = (
            _in_force(self.process(run), self.divergence.step) for run in (self.a, self.b)
        )
        for name in dict.fromkeys((*ours, *theirs)):
            one, other = ours.get(name, "not set"), theirs.get(name, "not set")
            if one != other:
                yield name, one, other

    def line(self, at: str, rerun: Rerun | None = None) -> Line:
        """Return a line of the program, relative to the project of the run that told it."""
        return program_line(at, (rerun or self.a).root)

    def findings(self, *words: str) -> tuple[LintFinding, ...]:
        """Return the findings whose rule holds one of the words."""
        return tuple(f for f in self.lint if any(word in f.rule for word in words))

    def culprit(self, culprit: Culprit, line: Line | None = None) -> Culprit:
        """Return a culprit with the step and rank of this case, and a line where one is known."""
        placed = replace(culprit, step=self.divergence.step, rank=self.divergence.rank)
        if line is None or not line.is_known:
            return placed
        return replace(placed, path=line.path, line=line.number)


def _in_force(process: ProcessSteps | None, step: int) -> dict[str, str]:
    """Return the settings of a process at a step: each record holds only those that changed."""
    found: dict[str, str] = {}
    for record in process.steps[: step + 1] if process else ():
        found.update(record.flags)
    return found


def only(findings: Sequence[LintFinding]) -> LintFinding | None:
    """Return the one finding; of several none can be picked."""
    return findings[0] if len(findings) == 1 else None


def line_of(finding: LintFinding | None) -> Line | None:
    """Return the line of a finding."""
    return Line(path=finding.path, number=finding.line) if finding else None


def process_of(rerun: Rerun, divergence: Divergence) -> ProcessSteps | None:
    """Return the process of a run that a difference lies in, by place, else by rank."""
    processes = rerun.trace.processes
    here = processes[divergence.process] if divergence.process < len(processes) else None
    if divergence.rank is None or (here is not None and here.rank == divergence.rank):
        return here
    return next((p for p in processes if p.rank == divergence.rank), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One thing held still, to see whether the difference goes away.

    Args:
        name: short, for labels: `hash-seed`.
        told: what was done, for a sentence: `with PYTHONHASHSEED=0`.
        change: makes the attempt that does it.
    """

    name: str
    told: str
    change: Callable[[Attempt], Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A cause that the traces speak for, and how it can be put to the test.

    Args:
        culprit: as it would be named.
        pin: what takes the difference away if it is the cause; None when nothing can.
        has_witness: whether the traces hold other values for it, and not only its possibility.
        candidates: the culprits that it stands for, where the pin cannot tell them apart.
    """

    culprit: Culprit
    pin: Pin | None = None
    has_witness: bool = False
    candidates: tuple[Culprit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What came of holding something still.

    Args:
        pin: what was held still.
        is_shown: whether the difference went away, in every run made.
        is_partial: whether only the first differing field agreed then.
        count: runs made.
    """

    pin: Pin
    is_shown: bool = False
    is_partial: bool = False
    count: int = 0
