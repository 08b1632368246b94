"""The SLSA verification summary: who verified which release by which policy, and what came out.

Source: slsa.dev/spec/v1.1/verification_summary. The only statement of mlbom that holds the time of
day: a verdict is about a moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.attest.moment import timestamp
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.subjects import MANIFEST
from mlbom.attest.types import FAILED, OWN_TYPES, PASSED, VSA_PREDICATE
from mlbom.errors import MalformedError

VERIFIER_ID = f"{OWN_TYPES}verify"
SLSA_VERSION = "1.1"
# The producer's own record is provenance; nothing here tells what kind of platform made it.
_RECORDED, _UNRECORDED = "SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A verdict as a statement tells it.

    Args:
        purl: the release, as its closing statement names it.
        manifest: SHA-256 of model.manifest in hexadecimal digits.
        passed: whether the verdict was good.
        verified_at: seconds since 1970 UTC.
        policy_uri: what the release was held against.
        policy_sha256: digest of the policy in hexadecimal digits.
        inputs: SHA-256 of each bundle that was used, by its path in the release.
        recorded: whether the training of every weight file is attested.
        tool_version: of mlbom.
    """

    purl: str
    manifest: str
    passed: bool
    verified_at: int
    policy_uri: str
    policy_sha256: str
    inputs: Mapping[str, str]
    recorded: bool
    tool_version: str


def summary_statement(summary: Summary) -> Statement:
    """Return statement 9: the unsigned verdict about a release.

    Raises:
        MalformedError: no purl, or a digest of another form.
    """
    if not summary.purl:
        message = "a verdict names the release that it is about"
        raise MalformedError(message)
    level = _RECORDED if summary.recorded else _UNRECORDED
    predicate: dict[str, Any] = {
        "verifier": {"id": VERIFIER_ID, "version": {"mlbom": summary.tool_version}},
        "timeVerified": timestamp(summary.verified_at),
        "resourceUri": summary.purl,
        "policy": {"uri": summary.policy_uri, "digest": {"sha256": summary.policy_sha256}},
        "inputAttestations": [
            {"uri": path, "digest": {"sha256": summary.inputs[path]}}
            for path in sorted(summary.inputs)
        ],
        "verificationResult": PASSED if summary.passed else FAILED,
        "verifiedLevels": [level] if summary.passed else [FAILED],
        "slsaVersion": SLSA_VERSION,
    }
    return Statement((Subject(MANIFEST, summary.manifest),), VSA_PREDICATE, predicate)
