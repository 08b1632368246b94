"""What others state about a release: reviews, test results, reproductions, verdicts."""

from mlbom.verify.case import Case
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.kinds import REPRODUCED, REVIEW, TEST_RESULT, VERDICT
from mlbom.verify.signers.trust import told_signer
from mlbom.verify.verdict import counted

_KINDS = (REVIEW, TEST_RESULT, REPRODUCED, VERDICT)
_PASSED = "PASSED"


def check_opinions(case: Case, manifest: Manifest) -> None:
    """Check that each of these statements is about this release and nothing else."""
    known = {
        *manifest.files.values(),
        manifest.digests["sha256"],
        *(subject.sha256 for subject in case.subjects.outputs.values()),
        *(closing.sha256 for closing in case.closings),
    }
    for signed in case.signed:
        if signed.kind not in _KINDS:
            continue
        since = len(case.ledger.problems)
        for subject in signed.statement.subjects:
            if subject.sha256 not in known:
                message = f"{signed.path} is about {subject.name}, which this release does not hold"
                case.ledger.problem("edge-broken", message, signed.path)
        predicate = signed.statement.predicate
        told = predicate.get("verificationResult", predicate.get("result", _PASSED))
        if told != _PASSED:
            message = f"{signed.path}: {told_signer(signed.signer)} says {str(told)[:40]}"
            case.ledger.problem("not-passed", message, signed.path)
        checked = f"SHA-256 of {counted(len(signed.statement.subjects), 'subject')}"
        why = f"about this release, by {told_signer(signed.signer)}"
        case.ledger.judge(f"{signed.kind.name} {signed.path} -> release", checked, since, why)
