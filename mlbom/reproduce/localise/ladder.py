"""Names what made two trainings differ, with further runs where the traces do not say it."""

from collections.abc import Sequence

from mlbom.reproduce.localise.flow import by_flow
from mlbom.reproduce.localise.lab import MOST_RUNS, Lab
from mlbom.reproduce.localise.search import Search
from mlbom.reproduce.localise.values import Case, Localisation, Runner
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.traces.divergence import first_divergence
from mlbom.reproduce.values import CauseKind, Culprit, LintFinding, Rerun


def localise(
    runner: Runner,
    a: Rerun,
    b: Rerun,
    lint: Sequence[LintFinding] = (),
    bases: tuple[Attempt, Attempt] | None = None,
) -> Localisation:
    """Return what made two trainings differ first, or what is known of it.

    At most `MOST_RUNS` further runs are made, nearly all of them stopped one step after the first
    difference. A culprit is sure when it was shown: an op that gave other bits for equal inputs, or
    a change that made the difference go away.

    Args:
        runner: makes one run.
        a: one training.
        b: the other.
        lint: what the code shows; names lines, and is never a proof.
        bases: how each was made, where they were not made alike (a variation).
    """
    divergence = first_divergence(a.trace, b.trace, a.root)
    if divergence is None:
        return Localisation(culprit=_without_difference(a, b), divergence=None)
    plain = Attempt(label="")
    case = Case(a=a, b=b, divergence=divergence, lint=tuple(lint), bases=bases or (plain, plain))
    if culprit := by_flow(case):
        return Localisation(culprit=culprit, divergence=divergence)
    lab = Lab(runner, case, MOST_RUNS)
    culprit = Search(case, lab).cause()
    return Localisation(culprit=culprit, divergence=divergence, runs=tuple(lab.runs))


def _without_difference(a: Rerun, b: Rerun) -> Culprit:
    """Return the culprit of trainings whose traces agree although their results do not."""
    if a.trace.is_empty and b.trace.is_empty:
        what = "nothing of the training was seen, so that no step can be named"
    else:
        what = "every recorded step agrees: what differs came about after the last step, or unseen"
    unseen = dict.fromkeys((*a.trace.all_unseen, *b.trace.all_unseen))
    return Culprit(kind=CauseKind.UNKNOWN, what=what, step=-1, evidence=tuple(unseen))
