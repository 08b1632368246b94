"""Computes each op of one step several times on equal inputs, in one run: names a kernel."""

from dataclasses import replace
from functools import partial

from mlbom.record.steps.ops import DoubledOp
from mlbom.reproduce.localise.lab import Lab, ops_of, probe_step
from mlbom.reproduce.localise.values import Case
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.traces.places import Line
from mlbom.reproduce.values import CauseKind, Culprit

KERNEL_FIX = "torch.use_deterministic_algorithms(True), or a deterministic op in its place"
# Three repetitions missed a kernel that five and thirty named; a race needs many chances.
_TIMES = (12, 60)


def double_ops(case: Case, lab: Lab) -> tuple[Culprit | None, str]:
    """Return the op that gives other bits for equal inputs, and what was learned if none did."""
    learned = "no run was left to compute the ops of the step several times"
    for times in _TIMES:
        if not lab.has_left(1):
            break
        rerun = lab.run("doubling", 0, partial(_doubled, case=case, times=times))
        ops = ops_of(rerun, case.divergence)
        if ops is None or not ops.doubled_count:
            return None, "the ops of the step could not be computed several times"
        if ops.doubled:
            first = ops.doubled[0]
            lines = (case.line(at, rerun) for at in first.at)
            line = next((found for found in lines if found.is_known), Line())
            return case.culprit(kernel(first), line), ""
        learned = f"each of {ops.doubled_count} ops gave equal bits {times} times"
    return None, learned


def _doubled(attempt: Attempt, case: Case, times: int) -> Attempt:
    probe = replace(attempt.probe, double_step=probe_step(case.divergence), double_times=times)
    return replace(attempt, probe=probe)


def kernel(doubled: DoubledOp) -> Culprit:
    """Return the culprit of an op that was seen to differ on equal inputs in one process."""
    where = f" in module {doubled.module}" if doubled.module else ""
    shown = f"{doubled.distinct} different results in {doubled.times} computations on equal inputs"
    return Culprit(
        kind=CauseKind.KERNEL,
        what=f"{doubled.name}{where} gives different bits for equal inputs",
        op=doubled.name,
        module=doubled.module,
        fix=KERNEL_FIX,
        evidence=(f"{doubled.name}: {shown}",),
        is_sure=True,
    )
