"""What others state about a release: reviews, test results, reproductions, verdicts."""

from collections.abc import Collection

from mlbom.attest.reproduction_reading import parse_reproduction
from mlbom.attest.run_claim import EMPTY
from mlbom.attest.types import PASSED, WARNED
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.case import Case
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.chain.lineage import ModelFiles
from mlbom.verify.chain.reproductions import why_failed
from mlbom.verify.kinds import (
    BOM,
    CLOSING,
    REPRODUCED,
    REPRODUCTION_RESULT,
    REVIEW,
    TEST_RESULT,
    VERDICT,
)
from mlbom.verify.signers.trust import told_signer
from mlbom.verify.verdict import counted

_KINDS = (REVIEW, TEST_RESULT, REPRODUCED, REPRODUCTION_RESULT, VERDICT)
# What counts when it is about every weight file; a training may have written further ones.
_OF_WEIGHTS = (REPRODUCED, REPRODUCTION_RESULT)


def check_opinions(
    case: Case, manifest: Manifest, model: ModelFiles
) -> tuple[SignedStatement, ...]:
    """Check that each of these statements is about this release and nothing else.

    A review of one small file is shown, and is no review of the release. Neither is a reproduction
    one that leaves out weights; one of all weights may be about other files of the training as
    well. A file of no bytes is the same in every release.

    Returns:
        the statements of the release that count, in their order: all but such partial opinions.
    """
    known = {
        *manifest.files.values(),
        manifest.digests["sha256"],
        *(subject.sha256 for subject in case.subjects.outputs.values()),
        *(closing.sha256 for closing in case.closings),
    } - {EMPTY}
    whole = _whole(case, manifest)
    partial: list[SignedStatement] = []
    for signed in case.signed:
        if signed.kind not in _KINDS:
            continue
        since = len(case.ledger.problems)
        told_of = {subject.sha256 for subject in signed.statement.subjects}
        of_all = signed.kind in _OF_WEIGHTS and _covers(told_of, model)
        if not of_all:
            _check_known(case, signed, known)
        _tell_outcome(case, signed)
        checked = f"SHA-256 of {counted(len(signed.statement.subjects), 'subject')}"
        why = f"about this release, by {told_signer(signed.signer)}{_outcome(signed)}"
        if signed.kind in (REVIEW, *_OF_WEIGHTS) and not (of_all or told_of & whole):
            partial.append(signed)
            why = f"about a part of this release, not counted, by {told_signer(signed.signer)}"
        case.ledger.judge(f"{signed.kind.name} {signed.path} -> release", checked, since, why)
    return tuple(signed for signed in case.signed if signed not in partial)


def _covers(digests: Collection[str], model: ModelFiles) -> bool:
    """Return whether every weight file is among these; a model without weights has none."""
    return bool(model.weights) and all(sha256 in digests for sha256 in model.weights)


def _check_known(case: Case, signed: SignedStatement, known: Collection[str]) -> None:
    subjects = signed.statement.subjects
    only_empty = all(subject.sha256 == EMPTY for subject in subjects)
    for subject in subjects:
        if subject.sha256 == EMPTY and not only_empty:
            continue
        if subject.sha256 not in known:
            message = f"{signed.path} is about {subject.name}, which this release does not hold"
            case.ledger.problem("edge-broken", message, signed.path)


def _result(signed: SignedStatement) -> str:
    predicate = signed.statement.predicate
    return str(predicate.get("verificationResult", predicate.get("result", PASSED)))[:40]


def _outcome(signed: SignedStatement) -> str:
    told = _result(signed)
    return "" if told == PASSED else f", who says {told}"


def _tell_outcome(case: Case, signed: SignedStatement) -> None:
    """Remark an opinion that did not pass; what is inconclusive speaks neither for nor against."""
    told = _result(signed)
    if told == PASSED:
        return
    message = f"{signed.path}: {told_signer(signed.signer)} says {told}"
    if signed.kind is not REPRODUCTION_RESULT:
        case.ledger.problem("not-passed", message, signed.path)
        return
    why = why_failed(parse_reproduction(signed.statement))
    rule = "reproduction-inconclusive" if told == WARNED else "not-passed"
    case.ledger.problem(rule, f"{message}: trained again, {why}", signed.path)


def _whole(case: Case, manifest: Manifest) -> frozenset[str]:
    """Return the digests that each stand for the release: manifest, closing statement, BOM."""
    bom = case.subjects.outputs.get("bom.cdx.json")
    statements = (signed.sha256 for signed in case.signed if signed.kind in (CLOSING, BOM))
    boms = (bom.sha256,) if bom else ()
    return frozenset((manifest.digests["sha256"], *statements, *boms))
