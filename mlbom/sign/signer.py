"""Who signs: a signer found by its key URI, and a statement sealed into a bundle."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol, Self

from mlbom.attest.bundle import bundle_bytes, bundle_name
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.publickey import PublicKey
from mlbom.attest.statement import Statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import SigningError, UsageError

# Scheme of the key URI -> "package.module:Class"; nothing is imported until used.
SIGNERS = {"file": "mlbom.sign.keyfile:KeyFileSigner"}

# Two letters at least: `C:\key.pem` is a path.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccess:
    """How a signer may get at a private key.

    Args:
        forbidden: directories that no private key may lie in: the repository, the project root.
        ask_passphrase: returns the passphrase of the key that it is told the path of, or None;
            asked only when the environment held none. None: nobody can be asked.
    """

    forbidden: tuple[Path, ...] = ()
    ask_passphrase: Callable[[str], str | None] | None = None


class Signer(Protocol):
    """Holds one private key, wherever that lies, and signs with it."""

    scheme: ClassVar[str]

    @classmethod
    def open(cls, location: str, access: KeyAccess) -> Self:
        """Return the signer of a key URI's part after the scheme."""
        ...

    @property
    def public_key(self) -> PublicKey:
        """Return the public half."""
        ...

    def sign(self, payload: bytes, payload_type: str) -> Envelope:
        """Return the payload with one DSSE signature.

        Raises:
            SigningError: the key could not sign.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed statement.

    Args:
        payload: the statement's bytes.
        bundle: the bytes of the bundle file.
    """

    payload: bytes
    bundle: bytes

    def name(self, number: int, label: str) -> str:
        """Return the name of the bundle file, `NN-label-ID8.sigstore.json`."""
        return bundle_name(number, label, self.payload)


def open_signer(uri: str, access: KeyAccess | None = None) -> Signer:
    """Return the signer that a key URI names.

    Args:
        uri: `file:PATH`, or a bare path.
        access: where keys may not lie, and who knows a passphrase.

    Raises:
        UsageError: an unknown scheme.
        PathNotFoundError: there is no such key file.
        UnsafeKeyFileError: others can read it, or it lies in a forbidden directory.
        SigningError: it cannot be read, or is no key that mlbom signs with.
    """
    match = _SCHEME.fullmatch(uri)
    scheme, location = (match[1], match[2]) if match else ("file", uri)
    if scheme not in SIGNERS:
        if not Path(uri).exists():
            message = f"unknown key scheme {scheme!r}"
            known = [f"{name}:" for name in sorted(SIGNERS)]
            raise UsageError(message, looked=known, hint="--key PATH names a PEM private key")
        scheme, location = "file", uri
    module, _, name = SIGNERS[scheme].partition(":")
    signer_type: type[Signer] = getattr(import_module(module), name)
    return signer_type.open(location, access or KeyAccess())


def seal(signer: Signer, statement: Statement) -> Sealed:
    """Sign a statement and wrap it in a bundle.

    Raises:
        SigningError: the signer failed, or its signature does not verify with its own public key
            (a device that swapped keys, a fault): nothing unverifiable is ever published.
    """
    payload = statement.payload()
    envelope = signer.sign(payload, PAYLOAD_TYPE)
    if not signer.public_key.verify(envelope.signature, pae(PAYLOAD_TYPE, payload)):
        message = f"the {signer.scheme} signer made a signature that does not verify"
        raise SigningError(message)
    return Sealed(payload, bundle_bytes(envelope, signer.public_key.hint))
