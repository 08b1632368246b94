"""One bundle alone, whoever's tool wrote it: verified on its own terms against files on this disk.

A signature of model_signing or of `mlbom sign` lists every file of a model, in whatever order; any
other in-toto statement names subjects that are looked up below the root. Hints are spelled
differently by every tool, so each trusted key is tried; the retired encoding of version 0.2 is not.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlbom.attest.bundle import MAX_BYTES, Bundle
from mlbom.attest.moment import told_time
from mlbom.attest.oms import WHOLE_FILE, parse_oms
from mlbom.attest.run_claim import is_run, parse_run
from mlbom.attest.statement import Statement, parse_statement, unsafe_name
from mlbom.attest.types import OMS_PREDICATE, PASSED, STATEMENT_TYPE
from mlbom.digest.ignore import ALWAYS, CACHE_FOLDER, RELEASE_FILES, IgnoreList
from mlbom.digest.tree import Entry, EntryKind, walk_files
from mlbom.errors import LimitError, MalformedError, PathNotFoundError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.guard import printable
from mlbom.openfile import read_regular
from mlbom.verify.bundles import parse_bundle_bytes, signer_and_kind
from mlbom.verify.files.compare import Digests
from mlbom.verify.files.measure import Copying, hold_against, locate, measure_copying
from mlbom.verify.kinds import KNOWN_PREDICATES, Kind, kinds_of
from mlbom.verify.policy.values import Policy, Quality
from mlbom.verify.refusal import Refusal
from mlbom.verify.release import Request
from mlbom.verify.signers.alone import lone_signature
from mlbom.verify.signers.trust import Trust, told_signer
from mlbom.verify.verdict import Ledger, Verdict, counted

EDGE_SIGNATURE = "signature"
EDGE_FILES = "statement -> files"
# What nobody here can read is as weighty as a whole release.
_ANYTHING = Kind("foreign", ("release",), "")
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
_STATEMENTS = (STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a bundle says about files.

    Args:
        name: what the statement calls its subject, when that is one file or model.
        files: digests by path.
        ignored: prefixes that its signer left out, by his own account.
        what: what it is the name of.
        is_tree: whether every file of a tree is listed, so that another one is refused.
    """

    name: str
    files: Mapping[str, Digests]
    ignored: tuple[str, ...] = ()
    what: str = "release"
    is_tree: bool = False


def verify_bundle(path: Path, trust: Trust, request: Request) -> Verdict:
    """Verify a single bundle against the files below a root.

    Args:
        path: the bundle.
        trust: whom the caller trusts; a PEM trust root holds authorities for certificates.
        request: its root is the folder that names are relative to, or the one file that is signed;
            the folder of the bundle when None.

    Raises:
        PathNotFoundError: the bundle or the root is not there.
        UnreadableError: the bundle cannot be read.
    """
    root = path.absolute().parent if request.root is None else request.root.absolute()
    if not root.exists():
        message = f"root not found: {root}"
        raise PathNotFoundError(message, looked=[str(root)])
    ledger = Ledger()
    verdict = Verdict(edges=(), problems=())
    checked = "DSSE signature over the payload, version 1"
    try:
        data = _read(path)
        _refuse_demands(trust.policy)
        bundle = _parsed(data)
        signature = lone_signature(bundle, data, trust)
        claim, kinds = _claim(bundle, trust)
        signer, _ = signer_and_kind(signature, kinds, trust.now)
    except Refusal as refused:
        ledger.problem(refused.rule, f"{path.name}: {refused.message}", path.name)
        ledger.judge(EDGE_SIGNATURE, checked, 0, "")
    else:
        at = f", signed by {told_time(signature.time)}" if signature.time is not None else ""
        ledger.held(EDGE_SIGNATURE, checked, told_signer(signer) + at)
        files = _check_files(ledger, claim, path.absolute(), root, request)
        verdict = replace(
            verdict,
            what=claim.what,
            purl=printable(claim.name),
            closing=hashlib.sha256(data).hexdigest(),
            signer=signer.key.hint if signer.key else printable(told_signer(signer)),
            signed_at=signature.time,
            model_root=printable(str(root)),
            files=files,
        )
    return replace(
        verdict,
        edges=tuple(ledger.edges),
        problems=tuple(ledger.problems),
        skipped=tuple(ledger.skipped),
    )


def _refuse_demands(policy: Policy) -> None:
    """Refuse a policy that demands of a release what one bundle cannot show."""
    demands = {
        "steps": policy.steps,
        "model": policy.model,
        "max-age": policy.max_age_s is not None,
        "min-version": policy.min_version,
        "needs-version": policy.needs_version,
        "withdrawn": policy.withdrawn,
        "quality": policy.quality != Quality(),
    }
    if named := [name for name, demanded in demands.items() if demanded]:
        told = ", ".join(named)
        message = f"one bundle cannot meet what your policy demands ({told}): "
        raise Refusal(message + "verify the release directory", "policy-rule")


def _read(path: Path) -> bytes:
    try:
        return read_regular(path.resolve(), MAX_BYTES, path.name)
    except FileNotFoundError as error:
        message = f"bundle not found: {path}"
        raise PathNotFoundError(message, looked=[str(path.absolute())]) from error
    except LimitError as error:
        raise Refusal(error.message, "too-large") from error
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise UnreadableError(message) from error


def _parsed(data: bytes) -> Bundle:
    try:
        return parse_bundle_bytes(data)
    except Refusal as refused:
        if refused.rule == "malformed-bundle" and b'"bomFormat"' in data:
            message = "this is a BOM: verify the folder that holds it"
            raise Refusal(message, refused.rule) from refused
        raise


def _claim(bundle: Bundle, trust: Trust) -> tuple[_Claim, tuple[Kind, ...]]:
    """Return what a verified payload says about files, and whose business it is to say that."""
    try:
        document = parse_json(bundle.envelope.payload, "the statement", safe_integers=True)
        told = document.get("predicateType") if isinstance(document, dict) else None
        if told not in KNOWN_PREDICATES:
            return _subjects(document), (_ANYTHING,)
        statement = parse_statement(document)
        kinds = kinds_of(statement, trust.policy.steps)
        _refuse_failure(statement)
        claim = _tree(statement) if told == OMS_PREDICATE else _subjects(document)
        if is_run(statement):
            claim = replace(claim, name=parse_run(statement).name, what="record")
    except UnreadableError as error:
        raise Refusal(error.message, "malformed-statement") from error
    return claim, kinds


def _refuse_failure(statement: Statement) -> None:
    """Refuse the record of a step that failed, and a summary that says anything but PASSED."""
    if is_run(statement) and (failure := parse_run(statement).failure):
        message = f"it records a step that failed: {failure}"
        raise Refusal(message, "failed-run")
    told = statement.predicate
    result = told.get("verificationResult", told.get("result", PASSED))
    if statement.predicate_type != OMS_PREDICATE and result != PASSED:
        message = f"its signer says {str(result)[:40]}, not {PASSED}"
        raise Refusal(message, "policy-rule")


def _tree(statement: Statement) -> _Claim:
    signed = parse_oms(statement)
    files = {path: {"sha256": sha256} for path, sha256 in signed.files.items()}
    return _Claim(name=signed.name, files=files, ignored=signed.ignored, is_tree=True)


def _subjects(document: Any) -> _Claim:  # noqa: ANN401 - any JSON value
    """Return the subjects of any in-toto statement, those of other tools' making included.

    Raises:
        MalformedError: no statement, no subject, or a subject that is not told by SHA-2.
    """
    listed = document.get("subject") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not listed or document.get("_type") not in _STATEMENTS:
        message = "the payload is no in-toto statement with a subject"
        raise MalformedError(message)
    files: dict[str, Digests] = {}
    for subject in listed:
        name = subject.get("name") if isinstance(subject, dict) else None
        digests = subject.get("digest") if isinstance(subject, dict) else None
        if not isinstance(name, str) or not isinstance(digests, dict) or name in files:
            message = "a subject of the statement has no name or digest, or appears twice"
            raise MalformedError(message)
        known = {a: str(digests[a]) for a in sorted(_HEX) if a in digests}
        if "sha256" not in known or not all(_HEX[a].fullmatch(d) for a, d in known.items()):
            message = f"the subject {name[:200]!r} carries no sha256 in hexadecimal digits"
            raise MalformedError(message)
        files[name] = known
    return _Claim(name=next(iter(files)), files=files)


def _check_files(
    ledger: Ledger, claim: _Claim, bundle: Path, root: Path, request: Request
) -> Mapping[str, Digests]:
    """Compare what a bundle lists with what lies here, and return what was expected."""
    expected = dict(claim.files)
    whole = claim.is_tree and set(expected) == {WHOLE_FILE}
    if whole or (root.is_file() and len(expected) == 1):
        # One file: its name binds nothing, so that the caller may say where it is.
        name = root.name if root.is_file() else claim.name
        expected, whole = {name: next(iter(expected.values()))}, True
    folder = root.parent if root.is_file() else root
    checked = f"digests of {counted(len(expected), 'listed file')} in {folder}"
    for path in expected:
        if reason := unsafe_name(path):
            ledger.problem("unsafe-name", f"the listed file name {path[:200]!r} {reason}")
    since = 0
    if not ledger.problems:
        found = _listed(folder, expected)
        why = "every listed file is the signed one"
        if claim.is_tree and not whole:
            if request.handover:
                request.handover.refuse_inside(folder, "the model")
            found = _found(ledger, claim, bundle, folder)
            why += ", and no other lies there"
        wide = any("sha512" in digests for digests in expected.values())
        copying = Copying(("sha256", "sha512") if wide else ("sha256",), request.handover)
        measured = measure_copying(folder, found, expected, copying)
        hold_against(ledger, expected, measured, "the statement")
    else:
        why = ""
    ledger.judge(EDGE_FILES, checked, since, why)
    return expected


def _listed(folder: Path, expected: Mapping[str, Digests]) -> list[Entry]:
    return [entry for path in expected if (entry := locate(folder, path))]


def _found(ledger: Ledger, claim: _Claim, bundle: Path, folder: Path) -> list[Entry]:
    """Return the files of a tree without what both the signer and our own list leave out."""
    theirs = IgnoreList(claim.ignored)
    by_mlbom = set(ALWAYS) <= set(claim.ignored)
    own = IgnoreList((*ALWAYS, *RELEASE_FILES))
    inside = bundle.relative_to(folder).as_posix() if bundle.is_relative_to(folder) else ""

    def ignored(path: str) -> bool:
        cache = path.rsplit("/", 1)[-1] == CACHE_FOLDER
        return own.covers(path) and (theirs.covers(path) if not cache else by_mlbom)

    found: list[Entry] = []
    for entry in walk_files(folder, ignored):
        if entry.path == inside:
            continue
        if entry.kind is EntryKind.SKIPPED:
            ledger.skipped.append(printable(entry.path))
        else:
            found.append(entry)
    return found
