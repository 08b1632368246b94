"""A training that differs for a reason chosen by the test, and answers to what is held still."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mlbom.record.probe import Listing
from mlbom.record.steps.ops import DoubledOp, OpRecord, OpTrace
from mlbom.record.steps.values import SourceEvent, StepTrace
from mlbom.reproduce.localise.ladder import localise
from mlbom.reproduce.localise.values import Localisation
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.values import LintFinding, Outcome, Rerun
from tests.fixtures.hand_traces import ROOT, process, rerun

PID = 7
STEPS = 8
Changes = dict[int, dict[str, object]]


def is_seeded(attempt: Attempt) -> bool:
    return attempt.probe.seed is not None


def is_hashed(attempt: Attempt) -> bool:
    return attempt.place.hash_seed == "0"


def is_listed(attempt: Attempt) -> bool:
    return attempt.probe.listing is Listing.SORTED


def never(_: Attempt) -> bool:
    return False


def at(line: int) -> str:
    return f"{ROOT}/train.py:{line}"


@dataclass
class Training:
    """Makes runs; each one that is not held still has numbers of its own.

    Args:
        changes: what differs: from the number of the run.
        held_by: which attempts make it the same in each run.
        events: what the program does, from the number of the run.
        ops: the ops of a window, from what makes a run its own (`held` when held still).
        doubled: what doubling finds.
    """

    changes: Callable[[str], Changes]
    held_by: Callable[[Attempt], bool] = never
    events: Callable[[str], tuple[SourceEvent, ...]] = lambda _: ()
    ops: Callable[[str], tuple[OpRecord, ...]] = lambda _: ()
    doubled: tuple[DoubledOp, ...] = ()
    made: list[Attempt] = field(default_factory=list)

    def run(self, attempt: Attempt) -> Rerun:
        """Run once."""
        self.made.append(attempt)
        own = "held" if self.held_by(attempt) else str(len(self.made))
        probe = attempt.probe
        count = min(STEPS, probe.stop_after or STEPS)
        one = process(count, pid=PID, changes=self.changes(own))
        if probe.stop_after:
            one = replace(one, final=None)
        ops = OpTrace(pid=PID, ops=self.ops(own) if probe.ops_from >= 0 else ())
        if probe.double_step >= 0:
            ops = replace(ops, doubled=self.doubled, doubled_count=20)
        return rerun(
            attempt.label,
            StepTrace(processes=(one,), events=self.events(own)),
            outcome=Outcome.STOPPED if probe.stop_after else Outcome.FINISHED,
            ops=(ops,),
        )

    def localise(self, *lint: LintFinding) -> Localisation:
        """Train twice and have the cause named."""
        pair = (self.run(Attempt(label="run-1")), self.run(Attempt(label="run-2")))
        self.made.clear()
        return localise(self.run, *pair, lint)
