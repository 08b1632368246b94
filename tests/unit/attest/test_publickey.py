"""Public keys: which are taken, how they are called, and what they verify."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlbom.attest.publickey import KeyType, parse_public_key
from mlbom.errors import PublicKeyError

P256 = ec.generate_private_key(ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_called_by_its_pem_and_by_its_material() -> None:
    pem = pem_of(P256.public_key())
    key = parse_public_key(pem, "k.pub")
    der = P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.key_type is KeyType.P256
    assert pem.endswith(b"\n")
    assert key.hint == hashlib.sha256(pem).hexdigest()
    assert key.material == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    "spell",
    [
        lambda pem: pem.strip(),
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"a comment\n" + pem,
        lambda pem: pem + b"\n\n",
    ],
)
def test_one_key_is_one_key_however_its_file_is_spelled(spell: object) -> None:
    assert callable(spell)
    pem = pem_of(P256.public_key())
    assert parse_public_key(spell(pem), "k") == parse_public_key(pem, "k")


def test_a_signature_of_another_key_or_message_does_not_verify() -> None:
    key = parse_public_key(pem_of(P256.public_key()), "k")
    other = ec.generate_private_key(ec.SECP256R1())
    from cryptography.hazmat.primitives.hashes import SHA256

    assert key.verify(P256.sign(b"m", ec.ECDSA(SHA256())), b"m")
    assert not key.verify(P256.sign(b"m", ec.ECDSA(SHA256())), b"n")
    assert not key.verify(other.sign(b"m", ec.ECDSA(SHA256())), b"m")
    assert not key.verify(b"", b"m")
    assert not key.verify(b"\x30\x00", b"m")


def test_pkcs1v15_is_not_taken_for_pss() -> None:
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    private = rsa.generate_private_key(65537, 2048)
    key = parse_public_key(pem_of(private.public_key()), "k")
    assert key.key_type is KeyType.RSA
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
    assert key.verify(private.sign(b"m", pss, SHA256()), b"m")
    assert not key.verify(private.sign(b"m", padding.PKCS1v15(), SHA256()), b"m")


def test_other_types_and_sizes_are_refused() -> None:
    others = (
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - too small on purpose
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(2048),
    )
    for private in others:
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(PublicKeyError, match=r"weak\.pub"):
            parse_public_key(pem, "weak.pub")


def test_what_is_no_single_public_key_is_refused() -> None:
    pem = pem_of(P256.public_key())
    der = P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    damaged = pem.replace(b"M", b"N", 1)
    certificate = pem.replace(b"PUBLIC KEY", b"CERTIFICATE")
    for data in (b"", b"\x00" * 40, der, pem + pem, pem + bytes(70_000), damaged, certificate):
        with pytest.raises(PublicKeyError):
            parse_public_key(data, "k")


def test_a_private_key_is_recognised() -> None:
    with pytest.raises(PublicKeyError, match="is a private key"):
        parse_public_key(b"-----BEGIN EC PRIVATE KEY-----\n", "k")


def test_ml_dsa_is_verified_as_fips_204_and_as_tap_21_have_it() -> None:
    """The other way: `tuf`, the version and the SHA-512 in place of the message."""
    mldsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    private = mldsa.MLDSA44PrivateKey.generate()
    key = parse_public_key(pem_of(private.public_key()), "k")
    assert key.key_type is KeyType.ML_DSA_44
    assert key.verify(private.sign(b"m"), b"m")
    assert key.verify(private.sign(b"tuf\x01" + hashlib.sha512(b"m").digest()), b"m")
    assert not key.verify(private.sign(b"n"), b"m")
    assert not key.verify(private.sign(b"tuf\x02" + hashlib.sha512(b"m").digest()), b"m")
    assert not key.verify(private.sign(hashlib.sha512(b"m").digest()), b"m")
    assert not key.verify(private.sign(b"m", b"context"), b"m")
    assert not key.verify(b"", b"m")
