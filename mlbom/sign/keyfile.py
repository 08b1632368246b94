"""The signer of a key file: PKCS#8 PEM, readable by its owner alone, outside the repository."""

import os
import stat
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.publickey import ML_DSA, KeyType, PublicKey, curve_hash, public_key_value
from mlbom.errors import (
    PathNotFoundError,
    PublicKeyError,
    SigningError,
    UnsafeKeyFileError,
)
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.openfile import open_regular
from mlbom.sign.signer import KeyAccess

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

MAX_BYTES = 64 * 1024
ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


class KeyFileSigner:
    """Signs with a private key that was read from a file.

    ECDSA is deterministic (RFC 6979), so the same key and statement give the same bundle; Ed25519
    always is, RSA-PSS and ML-DSA never (they take random bytes in).
    """

    scheme: ClassVar[str] = "file"

    def __init__(self, key: "PrivateKeyTypes", what: str) -> None:
        try:
            self._public = public_key_value(key.public_key(), what)
        except PublicKeyError as error:
            raise SigningError(error.message) from error
        self._key = key

    @classmethod
    def open(cls, location: str, access: KeyAccess) -> Self:
        """Read a private key from a file.

        Raises:
            PathNotFoundError: there is no such file.
            UnsafeKeyFileError: others can read it, or it lies in a forbidden directory.
            SigningError: it is no PKCS#8 private key that mlbom signs with, or its passphrase is
                missing or wrong.
        """
        passphrase = take_passphrase()
        data = read_key_file(Path(location), access.forbidden)
        if ENCRYPTED in data:
            if passphrase is None and access.ask_passphrase:
                passphrase = access.ask_passphrase(location)
            if not passphrase:
                message = f"the key {location} is encrypted, and no passphrase was given"
                hint = f"put it into {PASSPHRASE_VARIABLE}, or run in a terminal to be asked"
                raise SigningError(message, hint=hint)
            return cls(_decrypted(data, passphrase, location), location)
        return cls(_plain(data, location), location)

    @property
    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._public

    def sign(self, payload: bytes, payload_type: str) -> Envelope:
        """Return the payload with one DSSE signature."""
        signature = self._signature(pae(payload_type, payload))
        return Envelope(payload, payload_type, signature)

    def _signature(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, _deterministic_ecdsa(self._public.key_type))
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
        if self._public.key_type in ML_DSA:
            # FIPS 204 with an empty context, over the message itself.
            return bytes(cast("Any", key).sign(message))
        if isinstance(key, rsa.RSAPrivateKey):
            sha256 = hashes.SHA256()
            pss = padding.PSS(padding.MGF1(sha256), padding.PSS.DIGEST_LENGTH)
            return key.sign(message, pss, sha256)
        refusal = f"a {type(key).__name__} does not sign"
        raise SigningError(refusal)


def take_passphrase(environment: MutableMapping[str, str] = os.environ) -> str | None:
    """Return the passphrase from the environment, and remove it from there.

    What stays in the environment reaches every child process. Call it before the first one starts.
    """
    return environment.pop(PASSPHRASE_VARIABLE, None)


def read_key_file(path: Path, forbidden: Iterable[Path] = ()) -> bytes:
    """Return the content of a private key file that is kept as one must be.

    Raises:
        PathNotFoundError: there is no such file.
        UnsafeKeyFileError: group or others have any permission on it, or it lies in a forbidden
            directory, links resolved.
        SigningError: it is empty, too large, no regular file, or not readable.
    """
    try:
        resolved = path.resolve(strict=True)
    except FileNotFoundError as error:
        message = f"key file not found: {path}"
        raise PathNotFoundError(message, looked=[str(path)]) from error
    except OSError as error:
        message = f"cannot read the key file {path}: {error.strerror}"
        raise SigningError(message) from error
    refuse_inside(resolved, forbidden)
    try:
        with os.fdopen(open_regular(resolved), "rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot read the key file {path}: {error.strerror or error}"
        raise SigningError(message) from error
    if b"-----BEGIN PUBLIC KEY-----" in data:
        message = f"{path} is a public key, and only a private key can sign"
        raise SigningError(message, hint="name the private half, usually the .pem beside it")
    if os.name == "posix" and mode & 0o077:
        message = f"the private key {path} has mode {mode:04o}, so others can get at it"
        raise UnsafeKeyFileError(message, hint=f"chmod 600 {path}")
    if not 0 < len(data) <= MAX_BYTES:
        message = f"the key file {path} is empty" if not data else f"{path} is too large for a key"
        raise SigningError(message)
    return data


def refuse_inside(path: Path, forbidden: Iterable[Path]) -> None:
    """Refuse a place for a private key.

    Raises:
        UnsafeKeyFileError: the path lies in one of the directories, links resolved.
    """
    resolved = path.resolve()
    for directory in forbidden:
        if resolved.is_relative_to(directory.resolve()):
            message = f"the private key {path} lies inside the project, {directory}"
            raise UnsafeKeyFileError(message, hint="keep keys outside the repository")


def _plain(data: bytes, what: str) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if b"-----BEGIN PRIVATE KEY-----" not in data:
        message = f"{what} is not a PKCS#8 PEM private key"
        hint = "openssl pkcs8 -topk8 -in KEY -out KEY.pem converts other forms"
        raise SigningError(message, hint=hint)
    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        message = f"{what} is not a private key that can be read"
        raise SigningError(message) from None


def _decrypted(data: bytes, passphrase: str, what: str) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, password=passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        message = f"the passphrase does not open {what}, or the file is damaged"
        raise SigningError(message) from None


def _deterministic_ecdsa(key_type: KeyType) -> "ec.ECDSA":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.ECDSA(curve_hash(key_type), deterministic_signing=True)
    except UnsupportedAlgorithm:
        # An OpenSSL before 3.2: signatures are as good, only not the same twice.
        return ec.ECDSA(curve_hash(key_type))
