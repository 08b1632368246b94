"""What others state about a release: reviews, test results, reproductions, verdicts."""

from mlbom.attest.run_claim import EMPTY
from mlbom.attest.types import PASSED
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.case import Case
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.chain.lineage import ModelFiles
from mlbom.verify.kinds import BOM, CLOSING, REPRODUCED, REVIEW, TEST_RESULT, VERDICT
from mlbom.verify.signers.trust import told_signer
from mlbom.verify.verdict import counted

_KINDS = (REVIEW, TEST_RESULT, REPRODUCED, VERDICT)


def check_opinions(
    case: Case, manifest: Manifest, model: ModelFiles
) -> tuple[SignedStatement, ...]:
    """Check that each of these statements is about this release and nothing else.

    A review of one small file is shown, and is no review of the release. Neither is a reproduction
    one that leaves out weights. A file of no bytes is the same in every release.

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
        for subject in signed.statement.subjects:
            if subject.sha256 == EMPTY and told_of != {EMPTY}:
                continue
            if subject.sha256 not in known:
                message = f"{signed.path} is about {subject.name}, which this release does not hold"
                case.ledger.problem("edge-broken", message, signed.path)
        predicate = signed.statement.predicate
        told = predicate.get("verificationResult", predicate.get("result", PASSED))
        if told != PASSED:
            message = f"{signed.path}: {told_signer(signed.signer)} says {str(told)[:40]}"
            case.ledger.problem("not-passed", message, signed.path)
        checked = f"SHA-256 of {counted(len(signed.statement.subjects), 'subject')}"
        why = f"about this release, by {told_signer(signed.signer)}"
        covered = told_of & whole or (signed.kind is REPRODUCED and told_of >= model.weights.keys())
        if signed.kind in (REVIEW, REPRODUCED) and not covered:
            partial.append(signed)
            why = f"about a part of this release, not counted, by {told_signer(signed.signer)}"
        case.ledger.judge(f"{signed.kind.name} {signed.path} -> release", checked, since, why)
    return tuple(signed for signed in case.signed if signed not in partial)


def _whole(case: Case, manifest: Manifest) -> frozenset[str]:
    """Return the digests that each stand for the release: manifest, closing statement, BOM."""
    bom = case.subjects.outputs.get("bom.cdx.json")
    statements = (signed.sha256 for signed in case.signed if signed.kind in (CLOSING, BOM))
    boms = (bom.sha256,) if bom else ()
    return frozenset((manifest.digests["sha256"], *statements, *boms))
