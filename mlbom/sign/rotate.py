"""Replace a key pair by a new one under the same name; the old pair stays beside it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.publickey import KeyType, PublicKey, parse_public_key
from mlbom.errors import SigningError
from mlbom.sign.keyfile import ENCRYPTED, KeyFileSigner, read_key_file
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.signer import KeyAccess


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation left.

    Args:
        new: public half of the key that has the name now.
        old: public half of the key that had it.
        kept: where the old pair lies now, `NAME.FINGERPRINT8.pem` and `.pub`.
    """

    new: PublicKey
    old: PublicKey
    kept: KeyPaths


def is_encrypted(paths: KeyPaths, forbidden: tuple[Path, ...] = ()) -> bool:
    """Return whether a passphrase protects the private half.

    Raises:
        PathNotFoundError, UnsafeKeyFileError, SigningError: as `read_key_file`.
    """
    return ENCRYPTED in read_key_file(paths.private, forbidden)


def rotate_key(
    paths: KeyPaths, access: KeyAccess, key_type: KeyType | None = None, passphrase: str = ""
) -> Rotation:
    """Put a new key pair in the place of an old one.

    The new pair is complete on disk before anything is moved, and the old one has its second name
    before the new one takes the first: killed at any instant, both private halves are there.

    Args:
        paths: the pair to replace.
        access: how the old private half may be read, when its public half does not lie there.
        key_type: of the new key; None for the old one's.
        passphrase: encrypts the new private half when not empty.

    Raises:
        PathNotFoundError, UnsafeKeyFileError: the old key is not there, or not kept as one must be.
        KeyExistsError: something has the name that the old pair would get.
        SigningError: a key cannot be read or written; the old pair has its name as before.
    """
    old = _public_half(paths, access)
    kept = KeyPaths.of(paths.private.with_suffix(f".{old.hint[:8]}.pem"))
    fresh = KeyPaths.of(paths.private.with_suffix(f".{os.urandom(8).hex()}.mlbom-new"))
    kept.refuse_existing()
    kind = key_type or old.key_type
    new = make_key(fresh, kind, passphrase=passphrase, forbidden=access.forbidden)
    try:
        with _removing(fresh.private, fresh.public):
            _swap(paths, kept, fresh, old)
    except OSError as error:
        message = f"cannot replace the key {paths.private}: {error.strerror or error}"
        raise SigningError(message, hint="the old key has its name as before") from error
    return Rotation(new, old, kept)


def _public_half(paths: KeyPaths, access: KeyAccess) -> PublicKey:
    """Return the public half: of the file beside an encrypted key, else of the key itself."""
    if is_encrypted(paths, access.forbidden) and paths.public.is_file():
        return parse_public_key(paths.public.read_bytes(), str(paths.public))
    return KeyFileSigner.open(str(paths.private), access).public_key


def _swap(paths: KeyPaths, kept: KeyPaths, fresh: KeyPaths, old: PublicKey) -> None:
    """Give the old pair its second name, then the new pair the first one; undo what fails."""
    with _removing_on_failure(kept.private, kept.public):
        _second_name(paths.private, kept.private)
        with kept.public.open("xb") as stream:
            stream.write(old.pem)
        # The private half goes first: it decides what is signed, and its public half follows from
        # it; killed between the two, the .pub beside it is the old one.
        fresh.private.replace(paths.private)
        try:
            fresh.public.replace(paths.public)
        except OSError:
            kept.private.replace(paths.private)
            raise


def _second_name(path: Path, second: Path) -> None:
    """Give a file a second name, or where links cannot be made a copy for its owner alone."""
    try:
        os.link(path, second)
    except FileExistsError:
        raise
    except OSError:
        descriptor = os.open(second, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def _removing(*paths: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def _removing_on_failure(*paths: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
