"""Writes down the ops of the differing step in two runs, and finds the first that explains it."""

from dataclasses import dataclass, replace

from mlbom.record.steps.ops import OpRecord
from mlbom.reproduce.localise.lab import Lab, is_same_place, ops_of, probe_step, stop_after
from mlbom.reproduce.localise.op_difference import OpCause, OpDifference, first_op_difference
from mlbom.reproduce.localise.values import Case
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.traces.divergence import first_divergence
from mlbom.reproduce.traces.places import NOWHERE, Line
from mlbom.reproduce.values import Rerun

# Where a difference comes and goes, or came earlier this time, the window is moved and tried again.
_MOST_TRIES = 3
# An op computed from equal numbers is to blame wherever the window began; what came in from
# elsewhere only counts where both windows began alike.
_SELF_CONTAINED = frozenset({OpCause.KERNEL, OpCause.DRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the ops of one step say in two runs.

    Args:
        step: the step whose ops were written down.
        difference: the first op that explains the difference, or None.
        line: of the program, innermost, where that op was called for.
        runs: the two.
        note: why nothing came of it, one sentence; empty when something did.
    """

    step: int
    difference: OpDifference | None = None
    line: Line = NOWHERE
    runs: tuple[Rerun, ...] = ()
    note: str = ""


def look_into(case: Case, lab: Lab) -> Window | None:
    """Return what the ops of the first differing step say; None when runs ran out.

    The two runs are a new pair: where they part earlier than the pair searched, or where the state
    at the beginning of their windows differs, the window is moved back.
    """
    step, seen = probe_step(case.divergence), None
    for _ in range(_MOST_TRIES):
        if not lab.has_left(2):
            break
        seen = _look(case, lab, step)
        if seen.difference is not None or seen.note:
            return seen
        step = seen.step
    return replace(seen, note="the op by op runs do not differ at that step") if seen else None


def _look(case: Case, lab: Lab, step: int) -> Window:
    """Return what two runs say, or where to look next (neither difference nor note)."""

    def watched(attempt: Attempt) -> Attempt:
        return replace(attempt, probe=replace(attempt.probe, ops_from=step, ops_to=step))

    target = case.divergence
    steps = step + 1 if stop_after(target) else 0
    runs = tuple(lab.run("ops", side, watched, steps) for side in (0, 1))
    window = Window(step=step, runs=runs)
    one, other = (ops_of(run, target) for run in runs)
    if one is None or other is None or not (one.ops or other.ops):
        return replace(window, note="no op of that step was seen")
    found = first_divergence(runs[0].trace, runs[1].trace)
    is_here = found is not None and is_same_place(found, replace(target, step=found.step))
    if found is not None and is_here and probe_step(found) < step:
        return replace(window, step=probe_step(found))
    difference = first_op_difference(one, other)
    if difference is None:
        return replace(window, step=probe_step(found) if found else step)
    began_alike = step == 0 or one.entries.get(step) == other.entries.get(step)
    if difference.cause not in _SELF_CONTAINED and not began_alike:
        return replace(window, step=step - 1)
    return replace(window, difference=difference, line=place_of(case, difference.op, runs[0]))


def place_of(case: Case, op: OpRecord, run: Rerun) -> Line:
    """Return the innermost line of the project that asked for an op."""
    lines = (case.line(at, run) for at in op.at)
    return next((line for line in lines if line.is_known), Line())
