"""sign: walk -> hash, or take over what nothing changed -> OMS statement -> guard -> sign -> write.

Source: ossf/model-signing-spec v1.0. The signature is written last and at once: whatever goes
wrong before leaves the one that was there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom import guard
from mlbom.attest.bundle import MAX_BYTES
from mlbom.attest.dsse import Envelope
from mlbom.attest.oms import oms_statement, parse_oms
from mlbom.attest.statement import Statement, parse_statement
from mlbom.digest.cache import StatCache, default_cache_path
from mlbom.errors import (
    OldSignatureError,
    OutputError,
    PathNotFoundError,
    SecretLeakError,
    UnreadableError,
    UsageError,
)
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular
from mlbom.sign.modelfiles import AgreeingCache, find_model_files, hash_model
from mlbom.sign.signer import (
    BundleSigner,
    Sealed,
    Signer,
    Timestamper,
    check_stampable,
    own_envelope,
    reseal,
    seal,
    sign_statement,
)
from mlbom.sign.timestamp import CarriedTimestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """What to sign.

    Args:
        path: a model's directory, or its only file; absolute, links resolved up to its last part.
        signature: where the signature goes, absolute; one that is there is replaced.
        reuse: an earlier signature by the same key, whose digests are taken over for files that
            have not changed since they were hashed; None hashes every file.
    """

    path: Path
    signature: Path
    reuse: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignResult:
    """What was signed.

    Args:
        name: of the model, as the statement calls it.
        files: how many files are signed.
        nbytes: of all of them.
        reused: for how many of them the digest was taken over.
        signer: fingerprint of the key, or whom the certificate names.
        query: a timestamp query that waits to be carried to an authority, or None.
    """

    name: str
    files: int
    nbytes: int
    reused: int
    signer: str
    query: Path | None = None


def sign_model(
    request: SignRequest, signer: Signer, stamp: Timestamper | CarriedTimestamp | None = None
) -> SignResult:
    """Sign every file of a model and write the signature.

    Raises:
        PathNotFoundError, UsageError: there is nothing to sign, or the signature would replace
            something else.
        OldSignatureError: the earlier signature is not by this signer.
        UnreadableError, FileNameError: a link, a device, a file that cannot be read or named.
        SecretLeakError: the statement would publish a secret.
        SigningError: the signer or the timestamp failed.
        OutputError: the signature could not be written. Nothing was, in any of these cases.
    """
    check_stampable(signer, stamp)
    _check_target(request, stamp)
    old = _old_digests(request.reuse, signer) if request.reuse else {}
    _beside(request.signature).unlink(missing_ok=True)
    tree = find_model_files(request.path, request.signature)
    cache = AgreeingCache(StatCache(default_cache_path()), tree.root, tree.by_location(old))
    files = hash_model(tree, cache)
    name = request.path.name or "model"
    statement = oms_statement(name, files, tree.ignored)
    _refuse_secrets(statement.payload())
    sealed, query = _sealed(request, signer, statement, stamp)
    if query:
        _write(query[0], query[1])
    _write(request.signature, sealed.bundle)
    return SignResult(
        name=name,
        files=len(files),
        nbytes=sum(entry.nbytes for entry in tree.entries),
        reused=cache.taken,
        signer=signer.identity() if isinstance(signer, BundleSigner) else signer.public_key.hint,
        query=query[0] if query else None,
    )


def _check_target(request: SignRequest, stamp: object) -> None:
    """Refuse to replace anything but a signature, before hours of hashing."""
    if not os.path.lexists(request.path):
        message = f"not found: {request.path}"
        raise PathNotFoundError(message, looked=[str(request.path)])
    if isinstance(stamp, CarriedTimestamp) and stamp.response.is_relative_to(request.path):
        message = f"the timestamp {stamp.response.name} would become a part of what is signed"
        raise UsageError(message, hint="--timestamp FILE takes a place outside the model")
    if not os.path.lexists(request.signature):
        return
    try:
        data = read_regular(request.signature, MAX_BYTES, request.signature.name)
        is_bundle = b'"dsseEnvelope"' in data and isinstance(parse_json(data, "it"), dict)
    except (OSError, UnreadableError):
        is_bundle = False
    if not is_bundle:
        message = f"{request.signature} is there already and is no signature"
        raise UsageError(message, hint="-o FILE names another place for the signature")


def _old_digests(path: Path, signer: Signer) -> Mapping[str, str]:
    """Return the digests of an earlier signature, once it is known to be this signer's own."""
    if isinstance(signer, BundleSigner):
        message = "--reuse needs a key: a keyless signature cannot be told to be one's own"
        raise UsageError(message, hint="leave out --reuse")
    try:
        data = read_regular(path, MAX_BYTES, str(path))
    except FileNotFoundError as error:
        message = f"earlier signature not found: {path}"
        raise PathNotFoundError(message, looked=[str(path)]) from error
    try:
        envelope = own_envelope(data, signer)
        if envelope is not None:
            document = parse_json(envelope.payload, "the earlier statement", safe_integers=True)
            return parse_oms(parse_statement(document)).files
    except UnreadableError as error:
        message = f"{path} cannot be built on: {error.message}"
        raise OldSignatureError(message) from error
    message = f"{path} is not signed by {signer.public_key.hint}"
    raise OldSignatureError(message)


def _refuse_secrets(payload: bytes) -> None:
    for hit in guard.find_secrets(payload):
        message = f"the signature would publish a file name shaped like a {hit.rule}"
        raise SecretLeakError(message)


def _sealed(
    request: SignRequest,
    signer: Signer,
    statement: Statement,
    stamp: Timestamper | CarriedTimestamp | None,
) -> tuple[Sealed, tuple[Path, bytes] | None]:
    """Return the signed statement, and a query to be carried when its timestamp is still to come.

    A carried timestamp belongs to one signature, so the one that is there is kept when it says the
    same: with random bytes in it, as RSA has, it could not be made a second time.
    """
    if not isinstance(stamp, CarriedTimestamp):
        return seal(signer, statement, stamp), None
    envelope = _standing(request.signature, signer, statement.payload())
    if envelope is None:
        envelope = sign_statement(signer, statement)
    if stamp.is_here:
        return reseal(signer, envelope, stamp), None
    return reseal(signer, envelope, None), (stamp.query, stamp.query_for(envelope.signature))


def _standing(path: Path, signer: Signer, payload: bytes) -> Envelope | None:
    """Return the envelope of the signature that is there, when it is ours and says just this."""
    try:
        envelope = own_envelope(read_regular(path, MAX_BYTES, path.name), signer)
    except (OSError, UnreadableError):
        return None
    return envelope if envelope and envelope.payload == payload else None


def _beside(path: Path) -> Path:
    """Return where a file is put together: one name, so that a killed run leaves one at most."""
    return path.with_name(f".{path.name}.mlbom-new")


def _write(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one."""
    beside = _beside(path)
    try:
        try:
            with beside.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise OutputError(message, hint="-o FILE names another place") from error
