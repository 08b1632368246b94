"""Bundles to statements: the signature is checked before the payload is parsed, never after."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlbom.attest.bundle import MAX_BYTES, Bundle, check_bundle_size, parse_bundle
from mlbom.attest.moment import told_time
from mlbom.attest.reproduction_reading import is_reproduction, parse_reproduction
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import STATEMENT_TYPE
from mlbom.digest.tree import EntryKind
from mlbom.errors import LimitError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.verify.files.directory import BUNDLES, ReleaseDirectory
from mlbom.verify.kinds import REBUILD, Kind, kinds_of
from mlbom.verify.policy.values import TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.rules import RULE_BY_ID
from mlbom.verify.signers.signatures import Signature, check_signature
from mlbom.verify.signers.trust import Trust, told_roles, told_signer
from mlbom.verify.verdict import Ledger

MAX_BUNDLES = 1024
# Each bundle has its own limit; many of that size would keep a reader busy for minutes.
MAX_TOTAL = 256 * 1024 * 1024
# What is wrong with a signature, not with what it says. A policy that names its steps counts the
# good signatures of each, so that a further one over the same bytes is only told. A stranger's is
# worth as much as none at all, whatever it is about: a step that needs it is missing.
_OF_A_SIGNATURE = frozenset(
    "untrusted-signer bad-signature bad-certificate bad-timestamp revoked-key expired-key "
    "not-yet-valid".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement whose signature holds and whose signer has the role.

    Args:
        path: the bundle, relative to the output directory.
        sha256: of the bundle file.
        payload: SHA-256 of the signed bytes: equal for two signatures of one statement.
        signer: whose key or identity verified it.
        time: when it was signed as somebody trusted vouches for, seconds since 1970, or None.
        kind: what it states.
        statement: what was signed.
    """

    path: str
    sha256: str
    payload: str
    signer: TrustedSigner
    time: int | None
    kind: Kind
    statement: Statement

    @property
    def signature(self) -> tuple[str, str]:
        """Return who signed what: key material, and the SHA-256 of the signed bytes."""
        return self.signer.material, self.payload

    @property
    def document(self) -> dict[str, Any]:
        """Return the statement as a JSON object."""
        told = self.statement
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": s.name, "digest": dict(s.digests)} for s in told.subjects],
            "predicateType": told.predicate_type,
            "predicate": dict(told.predicate),
        }


@dataclass(frozen=True, slots=True)
class _Refused:
    """A bundle that is not believed.

    Args:
        rule: that it breaks.
        message: what is wrong with it.
        payload: SHA-256 of the bytes that a signature which does not count is over, or empty.
    """

    rule: str
    message: str
    payload: str = ""


def read_bundles(
    directory: ReleaseDirectory, trust: Trust, ledger: Ledger
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
    if sum(entry.nbytes for entry in bundles) > MAX_TOTAL:
        message = f"the bundles of the release are larger than {MAX_TOTAL} bytes together"
        ledger.problem("too-large", message)
        return ()
    opened = {entry.path: _opened(entry.path, directory, trust) for entry in bundles}
    signed = tuple(found for found in opened.values() if isinstance(found, SignedStatement))
    good = {statement.payload for statement in signed}
    for path, found in opened.items():
        surplus = (
            isinstance(found, _Refused)
            and bool(trust.policy.steps)
            and (found.rule == "untrusted-signer" or found.payload in good)
        )
        _note(ledger, path, found, surplus=surplus)
    return _told_apart(signed)


def named_rebuilds(
    signed: Iterable[SignedStatement],
) -> Mapping[tuple[str, str], SignedStatement]:
    """Return what statements of reproductions name as their runs: who states it, by signature.

    Only its own signer makes a record part of his reproduction.
    """
    return {
        (one.signer.material, payload): one
        for one in signed
        if is_reproduction(one.statement)
        for payload in parse_reproduction(one.statement).rebuilds
    }


def _told_apart(signed: tuple[SignedStatement, ...]) -> tuple[SignedStatement, ...]:
    """Return the statements with each record of training again as that, and not as a training.

    A key of both roles could have stated either; its own statement of the reproduction tells.
    """
    named = named_rebuilds(signed)
    return tuple(
        replace(one, kind=REBUILD, signer=named[one.signature].signer)
        if one.kind.is_record and one.signature in named
        else one
        for one in signed
    )


def _note(ledger: Ledger, path: str, found: "SignedStatement | _Refused", *, surplus: bool) -> None:
    """Write down how one bundle was judged."""
    name, checked = f"signature of {path}", "DSSE signature, role and window of the signer"
    since = len(ledger.problems)
    why = ""
    if isinstance(found, SignedStatement):
        why = f"{told_signer(found.signer)}, trusted for {told_roles(found.signer.roles)}"
        if found.time is not None:
            why += f", signed by {told_time(found.time)}"
    elif surplus:
        message = f"{path}: {found.message}: not counted"
        ledger.problem("surplus-signature", message, path)
        ledger.not_checked(name, checked, f"{RULE_BY_ID[found.rule].title}: not counted")
        return
    else:
        ledger.problem(found.rule, f"{path}: {found.message}", path)
    ledger.judge(name, checked, since, why)


def parse_bundle_bytes(data: bytes) -> Bundle:
    """Return a bundle from its bytes.

    Raises:
        Refusal: `too-large` or `malformed-bundle`.
    """
    try:
        check_bundle_size(data)
        return parse_bundle(parse_json(data, "the bundle", safe_integers=True))
    except LimitError as error:
        raise Refusal(error.message, "too-large") from error
    except UnreadableError as error:
        raise Refusal(error.message, "malformed-bundle") from error


def parse_payload(bundle: Bundle) -> Statement:
    """Return the payload of a verified bundle as a statement.

    Raises:
        Refusal: `malformed-statement`.
    """
    try:
        document = parse_json(bundle.envelope.payload, "the statement", safe_integers=True)
        return parse_statement(document)
    except UnreadableError as error:
        raise Refusal(error.message, "malformed-statement") from error


def signer_and_kind(
    signature: Signature, kinds: tuple[Kind, ...], now: int
) -> tuple[TrustedSigner, Kind]:
    """Return who signed, and which of the possible kinds his role makes a statement.

    Raises:
        Refusal: as `Signature.signer_for`, about the likeliest kind when none fits.
    """
    refusals: list[Refusal] = []
    for kind in kinds:
        try:
            return signature.signer_for(kind.roles, kind.name, now), kind
        except Refusal as refused:
            refusals.append(refused)
    windows = (refused for refused in refusals if refused.rule != "wrong-role")
    raise next(windows, refusals[0])


def _opened(path: str, directory: ReleaseDirectory, trust: Trust) -> SignedStatement | _Refused:
    try:
        data = directory.read(path, MAX_BYTES)
        bundle = parse_bundle_bytes(data)
    except LimitError as error:
        return _Refused("too-large", error.message)
    except UnreadableError as error:
        return _Refused("unreadable", error.message)
    except Refusal as refused:
        return _Refused(refused.rule, refused.message)
    payload = hashlib.sha256(bundle.envelope.payload).hexdigest()
    try:
        return _believed(path, directory.digests_read(path)["sha256"], (bundle, data), trust)
    except Refusal as refused:
        counted = payload if refused.rule in _OF_A_SIGNATURE else ""
        return _Refused(refused.rule, refused.message, counted)


def _believed(
    path: str, sha256: str, opened: tuple[Bundle, bytes], trust: Trust
) -> SignedStatement:
    bundle, data = opened
    signature = check_signature(bundle, data, trust)
    statement = parse_payload(bundle)
    kinds = kinds_of(statement, trust.policy.steps)
    signer, kind = signer_and_kind(signature, kinds, trust.now)
    return SignedStatement(
        path=path,
        sha256=sha256,
        payload=hashlib.sha256(bundle.envelope.payload).hexdigest(),
        signer=signer,
        time=signature.time,
        kind=kind,
        statement=statement,
    )
