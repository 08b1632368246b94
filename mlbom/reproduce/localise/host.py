"""Names the cause of numbers that come from the host: order, generators of Python, downloads."""

from collections.abc import Sequence
from dataclasses import replace

from mlbom.reproduce.localise.pins import HASH_SEED, LISTING, SEED
from mlbom.reproduce.localise.suspects import (
    ENTROPY_FIX,
    HASH_FIX,
    LISTING_FIX,
    WORKER_FIX,
)
from mlbom.reproduce.localise.values import Case, Pin, Suspect, line_of, only
from mlbom.reproduce.localise.window import Window
from mlbom.reproduce.traces.places import Line
from mlbom.reproduce.values import CauseKind, Culprit, LintFinding

# Held still all at once: when the difference stays, none of them is the cause.
ALL = Pin(
    name="host",
    told="with hash seed, listings and every unseeded generator fixed",
    change=lambda attempt: HASH_SEED.change(LISTING.change(SEED.change(attempt))),
)
# What a run cannot hold still.
_OTHER_RULES = ("thread-order", "clock-value")
_SOURCE_FIX = "make that data the same in each run: fixed order, fixed seed, no clock"


def host_suspects(case: Case, window: Window | None) -> tuple[Suspect, ...]:
    """Return the causes of host data that a run can show, the likelier first."""
    line = window.line if window else Line()
    set_lines = case.findings("set-order")
    ordered = Culprit(
        kind=CauseKind.DATA_ORDER,
        what="an order that changes with the hash seed feeds the data",
        fix=HASH_FIX,
        evidence=_entered(window),
    )
    drawn = Culprit(
        kind=CauseKind.SEED,
        what="a generator of Python or numpy that nobody seeds feeds the data",
        fix=ENTROPY_FIX,
        evidence=_entered(window),
    )
    listed = Culprit(
        kind=CauseKind.DATA_ORDER,
        what="the order in which a folder lists its files feeds the data",
        fix=LISTING_FIX,
        evidence=_entered(window),
    )
    return (
        Suspect(culprit=case.culprit(ordered, _only_line(set_lines) or line), pin=HASH_SEED),
        Suspect(
            culprit=case.culprit(drawn, _only_line(case.findings("unseeded")) or line), pin=SEED
        ),
        Suspect(
            culprit=case.culprit(listed, _only_line(case.findings("listing")) or line), pin=LISTING
        ),
    )


def host_culprit(
    case: Case, window: Window | None, suspects: Sequence[Suspect], learned: Sequence[str]
) -> Culprit | None:
    """Return what is left when no run could show a cause: never sure.

    Args:
        case: what is searched.
        window: where the numbers entered, if an op was found.
        suspects: what the traces speak for and no run can show (downloads).
        learned: what has been excluded.
    """
    excluded = (*_entered(window), *learned)
    download = next((s for s in suspects if s.culprit.kind is CauseKind.DOWNLOAD), None)
    if download is not None:
        culprit = download.culprit
        return replace(culprit, evidence=(*culprit.evidence, *excluded))
    if finding := next(iter(case.findings(*_OTHER_RULES)), None):
        return case.culprit(_by_finding(finding, excluded), _only_line((finding,)))
    if window is None or window.difference is None:
        return None
    is_loader = "set_" in window.difference.op.name and bool(case.findings("worker"))
    worker = case.findings("worker") if is_loader else ()
    culprit = Culprit(
        kind=CauseKind.LOADER_WORKER if is_loader else CauseKind.HOST_DATA,
        what="a worker of the data loader gives other data in each run"
        if is_loader
        else "data of the program differs from run to run before it becomes a tensor",
        op=window.difference.op.name,
        fix=WORKER_FIX if is_loader else _SOURCE_FIX,
        evidence=excluded,
    )
    return case.culprit(culprit, _only_line(worker) or window.line)


def _by_finding(finding: LintFinding, excluded: Sequence[str]) -> Culprit:
    return Culprit(
        kind=finding.kind,
        what=finding.message,
        fix=finding.fix,
        evidence=(f"{finding.path}:{finding.line}: {finding.message}", *excluded),
    )


def _entered(window: Window | None) -> tuple[str, ...]:
    """Return the sentence that says where the numbers entered."""
    if window is None or window.difference is None:
        return ()
    at = f" at {window.line}" if window.line.is_known else ""
    difference = window.difference
    agree = f"the {difference.compared} ops before it agree in both runs"
    return (f"other data enters with {difference.op.name}{at}; {agree}",)


def _only_line(findings: Sequence[LintFinding]) -> Line | None:
    return line_of(only(findings))
