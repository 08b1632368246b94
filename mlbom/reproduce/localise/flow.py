"""Names what needs no further run: another number of steps, another end."""

from mlbom.reproduce.localise.values import Case, line_of, only, process_of
from mlbom.reproduce.traces.divergence import MISSING
from mlbom.reproduce.traces.places import program_line
from mlbom.reproduce.values import CauseKind, Culprit, Rerun

FLOW_FIX = "let the number and order of steps follow from the configuration alone"


def by_flow(case: Case) -> Culprit | None:
    """Return the culprit of trainings whose steps agree but are not as many, or not the same."""
    divergence = case.divergence
    if divergence.field not in (MISSING, "optimizer"):
        return None
    broken = [run for run in (case.a, case.b) if not run.outcome.is_complete]
    if broken:
        return case.culprit(_unfinished(broken[0]))
    lost = [run.label for run in (case.a, case.b) if not run.trace.is_whole]
    if lost and divergence.field == MISSING:
        what = f"the trace of {lost[0]} is not whole: what seems to be missing may have been lost"
        return case.culprit(Culprit(kind=CauseKind.UNKNOWN, what=what))
    one, other = (process_of(run, divergence) for run in (case.a, case.b))
    if one and other and divergence.field == MISSING and len(one.steps) == len(other.steps):
        unseen = "the end of one training was not seen; every step of both is equal"
        return case.culprit(Culprit(kind=CauseKind.UNKNOWN, what=unseen))
    if one is None or other is None:
        counts = [len(run.trace.processes) for run in (case.a, case.b)]
        what = f"{counts[0]} processes trained in one run and {counts[1]} in the other"
    elif divergence.field == "optimizer":
        what = "another optimizer makes the step in each run"
    else:
        counts = [len(process.steps) for process in (one, other)]
        what = f"the training makes {counts[0]} steps in one run and {counts[1]} in the other"
    agree = f"what both did before agrees, {divergence.step} steps" if divergence.step else ""
    finding = only(case.findings("clock-loop"))
    told = f"{finding.path}:{finding.line}: {finding.message}" if finding else ""
    culprit = Culprit(
        kind=CauseKind.CONTROL_FLOW,
        what=what,
        fix=finding.fix if finding else FLOW_FIX,
        evidence=tuple(filter(None, (agree, told))),
        # That it differs is seen; that this loop does it is only likely.
        is_sure=one is not None and other is not None and finding is None,
    )
    return case.culprit(culprit, line_of(finding) or program_line(divergence.at, None))


def _unfinished(run: Rerun) -> Culprit:
    detail = f": {run.detail}" if run.detail else ""
    return Culprit(
        kind=CauseKind.UNKNOWN,
        what=f"{run.label} did not come to its end ({run.outcome.value}{detail})",
        fix="",
        evidence=("until then every recorded step is equal",),
    )
