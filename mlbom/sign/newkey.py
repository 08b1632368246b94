"""Make a key pair: the private half for its owner's eyes, the public half beside it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbom.attest.publickey import KeyType, PublicKey, public_key_value
from mlbom.errors import KeyExistsError, SigningError, UsageError
from mlbom.sign.keyfile import refuse_inside

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# What `mlbom keys new --type` accepts.
KEY_NAMES = {
    "p256": KeyType.P256,
    "p384": KeyType.P384,
    "ed25519": KeyType.ED25519,
    "rsa": KeyType.RSA,
    "ml-dsa-44": KeyType.ML_DSA_44,
    "ml-dsa-65": KeyType.ML_DSA_65,
    "ml-dsa-87": KeyType.ML_DSA_87,
}
_CLASSIC_ONLY = ("sigstore-js", "model_signing", "in-toto", "openssl before 3.5")
# Outside verifiers that cannot check signatures of a key type; P-256 is the one that all can.
LOST_VERIFIERS: Mapping[KeyType, tuple[str, ...]] = {
    KeyType.P256: (),
    KeyType.P384: ("sigstore-js",),
    KeyType.ED25519: ("model_signing",),
    KeyType.RSA: ("model_signing",),
    KeyType.ML_DSA_44: _CLASSIC_ONLY,
    KeyType.ML_DSA_65: _CLASSIC_ONLY,
    KeyType.ML_DSA_87: _CLASSIC_ONLY,
}
_RSA_BITS = 3072


@dataclass(frozen=True, slots=True)
class KeyPaths:
    """Where the two halves of a key pair lie."""

    private: Path
    public: Path

    @classmethod
    def of(cls, private: Path) -> "KeyPaths":
        """Return the paths of a pair: `NAME.pem`, and `NAME.pub` beside it.

        Raises:
            UsageError: the path ends in no name.
        """
        if private.name in {"", ".."}:
            message = f"{private} is no name of a key file"
            raise UsageError(message)
        return cls(private, private.with_suffix(".pub"))

    def refuse_existing(self) -> None:
        """Refuse a pair of which anything is there already: a key is never overwritten.

        Raises:
            KeyExistsError: naming the file.
        """
        for path in (self.private, self.public):
            if os.path.lexists(path):
                raise _exists(path)


def default_key_paths(environment: Mapping[str, str] = os.environ) -> KeyPaths:
    """Return where this user's default key pair lies (XDG base directory specification).

    Raises:
        SigningError: there is no config directory, because the user has no home.
    """
    base = Path(environment.get("XDG_CONFIG_HOME") or "")
    if not base.is_absolute():
        try:
            base = Path.home() / ".config"
        except RuntimeError:
            base = Path()
        if environment.get("HOME") == "" or not base.is_absolute():
            message = "this user has no home directory that could hold a key"
            hint = "set XDG_CONFIG_HOME, or name a key file with --key"
            raise SigningError(message, hint=hint)
    return KeyPaths.of(base / "mlbom" / "keys" / "default.pem")


def make_key(
    paths: KeyPaths,
    key_type: KeyType = KeyType.P256,
    *,
    passphrase: str = "",
    forbidden: tuple[Path, ...] = (),
) -> PublicKey:
    """Make a key pair and write both halves; nothing is ever overwritten.

    Args:
        paths: where to; the folder is made when it is missing.
        key_type: ECDSA P-256 unless there is a reason.
        passphrase: encrypts the private half when not empty.
        forbidden: directories that no private key may lie in.

    Returns:
        the public half.

    Raises:
        KeyExistsError: one of the files is there already.
        UnsafeKeyFileError: the private half would lie in a forbidden directory.
        SigningError: the files could not be written.
    """
    refuse_inside(paths.private, forbidden)
    paths.refuse_existing()
    key = _generate(key_type)
    public = public_key_value(key.public_key(), str(paths.public))
    try:
        paths.private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_new(paths.private, _pkcs8(key, passphrase), 0o600)
        try:
            _write_new(paths.public, public.pem, 0o644)
        except OSError:
            paths.private.unlink()
            raise
    except FileExistsError as error:
        raise _exists(Path(error.filename)) from error
    except OSError as error:
        message = f"cannot write the key {paths.private}: {error.strerror}"
        raise SigningError(message) from error
    return public


def _exists(path: Path) -> KeyExistsError:
    message = f"the key file {path} is there already"
    return KeyExistsError(message)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        path.unlink()
        raise


def _generate(key_type: KeyType) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key_type:
        case KeyType.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyType.RSA:
            return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        case KeyType.ML_DSA_44 | KeyType.ML_DSA_65 | KeyType.ML_DSA_87:
            return _generate_ml_dsa(key_type)


def _generate_ml_dsa(key_type: KeyType) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa

        kinds: dict[KeyType, Any] = {
            KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey,
            KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey,
            KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey,
        }
        key: PrivateKeyTypes = kinds[key_type].generate()
    except (ImportError, UnsupportedAlgorithm) as error:
        message = f"the installed cryptography library makes no {key_type} keys"
        raise SigningError(message, hint="pip install 'cryptography>=48'") from error
    return key


def _pkcs8(key: "PrivateKeyTypes", passphrase: str) -> bytes:
    from cryptography.hazmat.primitives import serialization

    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
