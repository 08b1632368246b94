"""verify --attest: a verdict -> verification summary -> sign -> `.mlbom/attestations`."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mlbom import __version__
from mlbom.attest.bundle import FOLDER
from mlbom.attest.types import OWN_TYPES
from mlbom.attest.vsa import Summary, summary_statement
from mlbom.errors import OutputError, UsageError
from mlbom.evidence.canonical import canonical_json
from mlbom.outdir import write_whole
from mlbom.sign.signer import Signer, seal
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import TrustedSigner
from mlbom.verify.verdict import Verdict

# Number and label in the bundle's file name.
VERDICT = (9, "verdict")


@dataclass(frozen=True, slots=True)
class Basis:
    """What a release was held against, as a verdict names it.

    Args:
        uri: of the policy.
        sha256: digest of it in hexadecimal digits.
    """

    uri: str
    sha256: str


def basis(policy_file: Path | None, signers: Iterable[TrustedSigner]) -> Basis:
    """Return the policy of a verification: a file, or what keys and identities on their own make.

    Args:
        policy_file: the policy, or None.
        signers: who is trusted beside what the file says.
    """
    told = [[signer.material, sorted(signer.roles)] for signer in signers]
    data = policy_file.read_bytes() if policy_file else b""
    if policy_file and not told:
        return Basis(quote(policy_file.name), hashlib.sha256(data).hexdigest())
    policy = hashlib.sha256(data).hexdigest() if policy_file else None
    whole = canonical_json({"policy": policy, "signers": sorted(told)})
    return Basis(f"{OWN_TYPES}policy:built-in", hashlib.sha256(whole).hexdigest())


def attest_verdict(
    verdict: Verdict, held_against: Basis, now: int, signer: Signer, project_root: Path
) -> Path:
    """Sign a verdict, good or bad, and write it among the project's attestations.

    Args:
        verdict: what was found.
        held_against: by which policy.
        now: when, in seconds since 1970 UTC.
        signer: the verifier.
        project_root: folder whose `.mlbom` keeps it.

    Raises:
        UsageError: the release names no model that a verdict could be about.
        SigningError: the signer failed.
        OutputError: it could not be written.
    """
    if not verdict.manifest or not verdict.purl:
        message = "there is nothing to attest: no trusted statement names a model"
        raise UsageError(message, hint="verify without --attest tells what is wrong")
    summary = Summary(
        purl=verdict.purl,
        manifest=verdict.manifest,
        passed=verdict.status is ExitStatus.DONE,
        verified_at=now,
        policy_uri=held_against.uri,
        policy_sha256=held_against.sha256,
        inputs=dict(verdict.inputs),
        recorded=verdict.trained,
        tool_version=__version__,
    )
    sealed = seal(signer, summary_statement(summary))
    place = project_root / ".mlbom" / FOLDER / sealed.name(*VERDICT)
    try:
        write_whole(place, sealed.bundle)
    except OSError as error:
        message = f"cannot write {place}: {error.strerror or error}"
        raise OutputError(message) from error
    return place
