"""Who signs: a signer found by its key URI, and a statement sealed into a bundle."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

from mlbom.attest.bundle import bundle_bytes, bundle_name, check_bundle_size, parse_bundle
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.publickey import PublicKey
from mlbom.attest.statement import Statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import SigningError, UsageError
from mlbom.formats.strict_json import parse_json

# Scheme of the key URI -> "package.module:Class"; nothing is imported until used.
SIGNERS = {
    "file": "mlbom.sign.keyfile:KeyFileSigner",
    "file2": "mlbom.sign.securesystems:PlainFileSigner",
    "hsm": "mlbom.sign.securesystems:TokenSigner",
    "gcpkms": "mlbom.sign.securesystems:GoogleSigner",
    "awskms": "mlbom.sign.securesystems:AmazonSigner",
    "azurekms": "mlbom.sign.securesystems:AzureSigner",
    "hv": "mlbom.sign.securesystems:VaultSigner",
    "tkey": "mlbom.sign.securesystems:TKeySigner",
    "sigstore": "mlbom.sign.keyless:KeylessSigner",
}
KEYLESS = "sigstore:"

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


@runtime_checkable
class BundleSigner(Protocol):
    """A signer whose bundle is made elsewhere as a whole: a certificate, an entry in a log."""

    def bundle(self, payload: bytes) -> bytes:
        """Return a bundle over exactly these bytes of a statement.

        Raises:
            SigningError: a service did not answer or refused.
        """
        ...

    def identity(self) -> str:
        """Return whom the certificate of the last signature names."""
        ...


class Timestamper(Protocol):
    """Gets trusted times for signatures."""

    def stamp(self, signature: bytes) -> bytes:
        """Return a DER TimeStampResp (RFC 3161) whose token covers a raw signature.

        Raises:
            SigningError: there is none, or it does not fit.
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
        uri: `SCHEME:LOCATION` with a scheme of `SIGNERS`, or a bare path of a key file.
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


def seal(signer: Signer, statement: Statement, stamp: Timestamper | None = None) -> Sealed:
    """Sign a statement and wrap it in a bundle.

    Args:
        signer: who signs.
        statement: what is signed.
        stamp: gets a trusted time for the signature, or None.

    Raises:
        SigningError: the signer or the timestamper failed, or the signature does not verify with
            the signer's own public key (a device that swapped keys, a fault): nothing unverifiable
            is ever published.
        UsageError: a timestamp for a signer whose bundles carry a time of their own.
    """
    check_stampable(signer, stamp)
    if isinstance(signer, BundleSigner):
        payload = statement.payload()
        return Sealed(payload, _bundle_of(signer, payload))
    return reseal(signer, sign_statement(signer, statement), stamp)


def sign_statement(signer: Signer, statement: Statement) -> Envelope:
    """Return a statement with a signature that verifies.

    Raises:
        SigningError: the signer failed, or its signature does not verify.
    """
    payload = statement.payload()
    envelope = signer.sign(payload, PAYLOAD_TYPE)
    if not signer.public_key.verify(envelope.signature, pae(PAYLOAD_TYPE, payload)):
        message = f"the {signer.scheme} signer made a signature that does not verify"
        raise SigningError(message)
    return envelope


def reseal(signer: Signer, envelope: Envelope, stamp: Timestamper | None) -> Sealed:
    """Wrap a signature that was verified before, with a timestamp when one is asked for."""
    tokens = (stamp.stamp(envelope.signature),) if stamp else ()
    return Sealed(envelope.payload, bundle_bytes(envelope, signer.public_key.hint, tokens))


def check_stampable(signer: Signer, stamp: object) -> None:
    """Refuse a timestamp for a signer whose bundles carry a time of their own.

    Raises:
        UsageError: both are asked for.
    """
    if stamp is not None and isinstance(signer, BundleSigner):
        message = "a keyless signature takes its time from the log, not from --timestamp"
        raise UsageError(message, hint="the Sigstore instance's own timestamp authority is used")


def signer_name(signer: Signer) -> str:
    """Return how messages call a signer: `key FINGERPRINT`, or an identity."""
    if isinstance(signer, BundleSigner):
        return signer.identity()
    return f"key {signer.public_key.hint}"


def own_envelope(data: bytes, signer: Signer) -> Envelope | None:
    """Return the envelope of a bundle when this signer's key made it, else None.

    Raises:
        LimitError, MalformedError: it is no bundle.
    """
    check_bundle_size(data)
    bundle = parse_bundle(parse_json(data, "the earlier signature", safe_integers=True))
    envelope, key = bundle.envelope, signer.public_key
    is_own = bundle.hint == key.hint and key.verify(envelope.signature, envelope.covered)
    return envelope if is_own else None


def _bundle_of(signer: BundleSigner, payload: bytes) -> bytes:
    data = signer.bundle(payload)
    bundle = parse_bundle(parse_json(data, "the signer's bundle"))
    if bundle.envelope.payload != payload:
        message = "the signer changed the bytes of the statement"
        raise SigningError(message)
    return data
