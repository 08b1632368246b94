"""Bundles to statements: the signature is checked before the payload is parsed, never after."""

from dataclasses import dataclass

from mlbom.attest.bundle import MAX_BYTES, Bundle, check_bundle_size, parse_bundle
from mlbom.attest.dsse import pae
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import CYCLONEDX_PREDICATE, OMS_PREDICATE, RELEASE_PREDICATE
from mlbom.digest.tree import EntryKind
from mlbom.errors import LimitError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.verify.directory import BUNDLES, ReleaseDirectory
from mlbom.verify.trust import TrustedKey, TrustedKeys
from mlbom.verify.verdict import Ledger

MAX_BUNDLES = 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of statement: what it is called, and the role that its signer needs."""

    name: str
    role: str


CLOSING = Kind("closing", "release")
WEIGHTS = Kind("weights", "release")
BOM = Kind("BOM", "bom")
# Every kind that has a place in a release. What is not here is refused, not skipped.
KINDS = {RELEASE_PREDICATE: CLOSING, OMS_PREDICATE: WEIGHTS, CYCLONEDX_PREDICATE: BOM}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement whose signature holds and whose signer has the role.

    Args:
        path: the bundle, relative to the output directory.
        sha256: of the bundle file.
        signer: whose key verified it.
        kind: what it states.
        statement: what was signed.
    """

    path: str
    sha256: str
    signer: TrustedKey
    kind: Kind
    statement: Statement


class _RefusedBundle(Exception):  # noqa: N818 - an outcome, not an error of ours
    """Why a bundle is not a good statement: the rule that it breaks, and what about it."""

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


def read_bundles(
    directory: ReleaseDirectory, trust: TrustedKeys, ledger: Ledger
) -> tuple[SignedStatement, ...]:
    """Return the good statements of a release; every other bundle becomes a problem."""
    for entry in directory.entries:
        if entry.kind is EntryKind.UNREADABLE and entry.path in ("", BUNDLES.rstrip("/")):
            message = f"cannot read the folder {entry.path or directory.root}"
            ledger.problem("unreadable", message, entry.path)
    bundles = directory.bundles()
    if len(bundles) > MAX_BUNDLES:
        message = f"the release has {len(bundles)} bundles, more than {MAX_BUNDLES}"
        ledger.problem("too-large", message)
        return ()
    signed: list[SignedStatement] = []
    for entry in bundles:
        since = len(ledger.problems)
        why = ""
        try:
            found = _open(entry.path, directory, trust)
        except _RefusedBundle as refused:
            ledger.problem(refused.rule, f"{entry.path}: {refused.message}", entry.path)
        else:
            signed.append(found)
            why = f"key {found.signer.key.hint}, trusted for {found.signer.told_roles}"
        ledger.judge(f"signature of {entry.path}", "DSSE signature, role of the signer", since, why)
    return tuple(signed)


def _open(path: str, directory: ReleaseDirectory, trust: TrustedKeys) -> SignedStatement:
    bundle = _parse(path, directory)
    signer = _verified_signer(bundle, trust)
    statement = _statement(bundle)
    kind = KINDS.get(statement.predicate_type)
    if kind is None:
        message = f"it states {statement.predicate_type}, which has no place in a release"
        raise _RefusedBundle(message, "unexpected-predicate")
    if kind.role not in signer.roles:
        message = (
            f"a {kind.name} statement by {signer.key.hint}, which is trusted for "
            f"{signer.told_roles}, not for {kind.role}"
        )
        raise _RefusedBundle(message, "wrong-role")
    sha256 = directory.digests_read(path)["sha256"]
    return SignedStatement(path=path, sha256=sha256, signer=signer, kind=kind, statement=statement)


def _parse(path: str, directory: ReleaseDirectory) -> Bundle:
    try:
        data = directory.read(path, MAX_BYTES)
        check_bundle_size(data)
    except LimitError as error:
        raise _RefusedBundle(error.message, "too-large") from error
    except UnreadableError as error:
        raise _RefusedBundle(error.message, "unreadable") from error
    try:
        return parse_bundle(parse_json(data, "the bundle", safe_integers=True))
    except UnreadableError as error:
        raise _RefusedBundle(error.message, "malformed-bundle") from error


def _verified_signer(bundle: Bundle, trust: TrustedKeys) -> TrustedKey:
    """Return the trusted key whose signature the bundle carries."""
    if bundle.certificates:
        message = "untrusted signer: signed with a certificate, and you trust plain keys"
        raise _RefusedBundle(message, "untrusted-signer")
    signer = trust.by_hint(bundle.hint)
    if signer is None:
        message = f"untrusted signer {bundle.hint}"
        raise _RefusedBundle(message, "untrusted-signer")
    envelope = bundle.envelope
    covered = pae(envelope.payload_type, envelope.payload)
    if not signer.key.verify(envelope.signature, covered):
        message = f"the signature does not verify with the trusted key {bundle.hint}"
        raise _RefusedBundle(message, "bad-signature")
    return signer


def _statement(bundle: Bundle) -> Statement:
    """Return the payload of a verified bundle as a statement."""
    try:
        document = parse_json(bundle.envelope.payload, "the statement", safe_integers=True)
        return parse_statement(document)
    except UnreadableError as error:
        raise _RefusedBundle(error.message, "malformed-statement") from error
