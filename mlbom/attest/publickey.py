"""A public key as a value: what it is called in bundles, what it is made of, what it verifies.

Two identities. `hint` is what OMS bundles carry (SHA-256 of the PEM SubjectPublicKeyInfo with its
final newline); `material` is the SHA-256 of the DER form, by which equal keys are told to be one
key however their files are spelled.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mlbom.errors import PublicKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MAX_BYTES = 64 * 1024
RSA_BITS = range(2048, 16384 + 1)


# TAP 21: what a key that signs by way of securesystemslib covers in place of the message itself.
_TAP21 = b"tuf\x01"


class KeyType(StrEnum):
    """The kinds of key that sign: curve and hash, RSA with PSS and SHA-256, or FIPS 204."""

    P256 = "ecdsa-p256"
    P384 = "ecdsa-p384"
    ED25519 = "ed25519"
    RSA = "rsa-pss-sha256"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


ML_DSA = frozenset({KeyType.ML_DSA_44, KeyType.ML_DSA_65, KeyType.ML_DSA_87})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Args:
        key_type: which algorithm its signatures use.
        pem: SubjectPublicKeyInfo as PEM, with a final newline.
        hint: SHA-256 of `pem`, in hexadecimal digits; also the fingerprint shown to people.
        material: SHA-256 of the DER SubjectPublicKeyInfo, in hexadecimal digits.
    """

    key_type: KeyType
    pem: bytes
    hint: str
    material: str

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Return whether a raw signature over a message was made with the private half.

        P-256 is used with SHA-256 and P-384 with SHA-384, signatures in DER; Ed25519 as in
        RFC 8032; RSA with PSS, MGF1 and SHA-256 (RFC 8017), any salt length; ML-DSA as in FIPS 204
        with an empty context, over the message or over its TAP 21 form.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if self.key_type in ML_DSA:
            return self._verify_ml_dsa(signature, message)
        key = load_pem_public_key(self.pem)
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(curve_hash(self.key_type)))
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            elif isinstance(key, rsa.RSAPublicKey):
                padding, algorithm = pss()
                key.verify(signature, message, padding, algorithm)
            else:
                return False
        except InvalidSignature:
            return False
        return True

    def _verify_ml_dsa(self, signature: bytes, message: bytes) -> bool:
        """Return whether an ML-DSA signature covers a message, in either of the two known ways.

        The two cannot be confused: what is signed here begins with `DSSEv1`, TAP 21 with `tuf`.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key: Any = load_pem_public_key(self.pem)
        for covered in (message, _TAP21 + hashlib.sha512(message).digest()):
            try:
                key.verify(signature, covered)
            except InvalidSignature:
                continue
            return True
        return False


def parse_public_key(data: bytes, what: str) -> PublicKey:
    """Read one PEM public key.

    Args:
        data: the content of a key file.
        what: how messages name it.

    Raises:
        PublicKeyError: not exactly one PEM SubjectPublicKeyInfo, a type that mlbom does not verify
            with, or RSA outside 2048 to 16384 bits.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY-----" in data:
        message = f"{what} is a private key, and verifying takes the public one"
        raise PublicKeyError(message)
    if len(data) > MAX_BYTES or data.count(b"-----BEGIN ") != 1:
        message = f"{what} does not hold exactly one PEM public key"
        raise PublicKeyError(message)
    if b"-----BEGIN PUBLIC KEY-----" not in data:
        message = f"{what} is not a PEM SubjectPublicKeyInfo"
        raise PublicKeyError(message)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        message = f"{what} is not a public key that can be read"
        raise PublicKeyError(message) from error
    return public_key_value(key, what)


def public_key_value(key: "PublicKeyTypes", what: str) -> PublicKey:
    """Return the value of a loaded public key.

    Raises:
        PublicKeyError: a type or size that mlbom does not verify with.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key_type = _key_type(key, what)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(
        key_type, pem, hashlib.sha256(pem).hexdigest(), hashlib.sha256(der).hexdigest()
    )


# By name: a cryptography before version 48 does not have these classes.
_ML_DSA_CLASSES = {
    "MLDSA44PublicKey": KeyType.ML_DSA_44,
    "MLDSA65PublicKey": KeyType.ML_DSA_65,
    "MLDSA87PublicKey": KeyType.ML_DSA_87,
}


def _key_type(key: "PublicKeyTypes", what: str) -> KeyType:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePublicKey):
        curves = {"secp256r1": KeyType.P256, "secp384r1": KeyType.P384}
        if key.curve.name in curves:
            return curves[key.curve.name]
        message = f"{what} is on the curve {key.curve.name}, not on P-256 or P-384"
        raise PublicKeyError(message)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyType.ED25519
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size in RSA_BITS:
            return KeyType.RSA
        message = f"{what} is RSA of {key.key_size} bits, not of 2048 to 16384"
        raise PublicKeyError(message)
    if key_type := _ML_DSA_CLASSES.get(type(key).__name__):
        return key_type
    message = f"{what} is a {type(key).__name__}, which mlbom does not verify with"
    raise PublicKeyError(message)


def curve_hash(key_type: KeyType) -> "hashes.HashAlgorithm":
    """Return the hash that a curve is used with: as long as the curve's order (OMS v1.0)."""
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA384() if key_type is KeyType.P384 else hashes.SHA256()


def pss() -> "tuple[padding.PSS, hashes.HashAlgorithm]":
    """Return padding and hash of `rsassa-pss-sha256`, for verifying with any length of salt."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    sha256 = hashes.SHA256()
    return padding.PSS(padding.MGF1(sha256), padding.PSS.AUTO), sha256
