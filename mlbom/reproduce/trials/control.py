"""The control: a run with a wrong seed, which the comparison must tell apart.

A comparison that calls everything equal would be green for ever. So one run gets another seed in
every generator, in place of those that the program sets, and must come out different.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.record.probe import Probe
from mlbom.reproduce.details import divergence_document
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.trials.agreement import Agreement, agreement
from mlbom.reproduce.values import Divergence, Rerun

LABEL = "control"
_WRONG_SEED = 918_273


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What came of the control.

    Args:
        is_detected: whether it was told apart; None when that says nothing, for a reason.
        reason: one sentence.
        divergence: where it was told apart first.
    """

    is_detected: bool | None
    reason: str
    divergence: Divergence | None = None

    def document(self) -> Mapping[str, Any]:
        """Return the part `control` of the details document."""
        return {
            "detected": self.is_detected,
            "reason": self.reason,
            "divergence": divergence_document(self.divergence),
        }


def run_control(runner: Callable[[Attempt], Rerun], base: Rerun) -> Mapping[str, Any]:
    """Make the control run and return what came of it, for the details document.

    Args:
        runner: runs a training.
        base: a run without a change.
    """
    probe = Probe(seed=wrong_seed(base), overrides_seeds=True)
    return judge_control(base, runner(Attempt(label=LABEL, probe=probe))).document()


def wrong_seed(base: Rerun) -> int:
    """Return a seed that no generator of a run was given."""
    told = " ".join([*base.recording.seeds.values(), *(e.value for e in base.trace.events)])
    seed = _WRONG_SEED
    while str(seed) in told:
        seed += 1
    return seed


def judge_control(base: Rerun, control: Rerun) -> Control:
    """Tell whether a control run was told apart from a run without a change."""
    if not control.outcome.is_complete:
        detail = f": {control.detail}" if control.detail else ""
        return Control(is_detected=None, reason=f"the control run {control.outcome}{detail}")
    found = agreement(base, control)
    if found.divergence is not None:
        told = f"with another seed the traces part at step {found.divergence.step}"
        return Control(is_detected=True, reason=told, divergence=found.divergence)
    if found.are_weights_equal is False:
        return Control(is_detected=True, reason="with another seed the weights are others")
    if why := _why_open(found, base, control):
        return Control(is_detected=None, reason=why)
    return Control(
        is_detected=False, reason="generators were drawn from, and another seed changed nothing"
    )


def _why_open(found: Agreement, base: Rerun, control: Rerun) -> str:
    """Return why a control that was not told apart says nothing, or an empty text."""
    if not found.has_traces and found.are_weights_equal is None:
        return "there is nothing to compare"
    if not (base.trace.is_whole and control.trace.is_whole):
        return "the weights are equal, and a trace is not whole: what was lost could differ"
    if not _draws(base) and not _draws(control):
        return "no generator was drawn from, so no seed can make a difference"
    return ""


def _draws(rerun: Rerun) -> bool:
    """Return whether a generator moved in any step, or was made or seeded."""
    trace = rerun.trace
    moved = any(step.rng for process in trace.processes for step in process.steps)
    return moved or any(event.kind in {"seed", "entropy"} for event in trace.events)
