"""Certificates of ordinary authorities: a chain to a root that the caller trusts, valid in time."""

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.oms import oms_statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.pipeline.verify import Asked, verify
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.authority import authority_key
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import MODEL_FILES, sha256, write_files

START, END = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2034, 1, 1, tzinfo=dt.UTC)
THEN = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
Made = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def usage(*, signs: bool = True, certifies: bool = False) -> x509.KeyUsage:
    flags = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    none = dict.fromkeys([*flags, "crl_sign", "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(digital_signature=signs, key_cert_sign=certifies, **none)


def make(
    name: str,
    issuer: Made | None = None,
    *extensions: x509.ExtensionType,
    end: dt.datetime = END,
    start: dt.datetime = START,
) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = (issuer[0].subject, issuer[1]) if issuer else (own, key)
    made = x509.CertificateBuilder().subject_name(own).issuer_name(by).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(start).not_valid_after(end)
    for extension in extensions:
        made = made.add_extension(extension, critical=True)
    return made.sign(by_key, hashes.SHA256()), key


def authority(name: str, issuer: Made | None = None, **more: Any) -> Made:
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return make(name, issuer, constraints, usage(signs=False, certifies=True), **more)


def der(*made: Made) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate, _ in made]


def pem(*made: Made) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate, _ in made)


CODE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
ROOT = authority("root")
BETWEEN = authority("between", ROOT)
LEAF = make("leaf", BETWEEN, usage(), CODE)


def test_a_chain_to_the_root_gives_the_leafs_key() -> None:
    key, subject = authority_key(der(LEAF, BETWEEN), pem(ROOT), THEN)
    assert subject == "CN=leaf"
    signature = LEAF[1].sign(b"x", ec.ECDSA(hashes.SHA256()))
    assert key.verify(signature, b"x")
    assert authority_key(der(LEAF, BETWEEN, ROOT), pem(ROOT), THEN)[0] == key
    bare = make("bare", BETWEEN)
    assert authority_key(der(bare, BETWEEN), pem(ROOT), THEN)[1] == "CN=bare"


def _no_authority() -> list[bytes]:
    plain = make("plain", ROOT, x509.BasicConstraints(ca=False, path_length=None), usage())
    return der(make("leaf", plain, usage(), CODE), plain)


def _no_certifying() -> list[bytes]:
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    wrong = make("wrong", ROOT, constraints, usage(certifies=False))
    return der(make("leaf", wrong, usage(), CODE), wrong)


def _too_deep() -> list[bytes]:
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    first = make("first", ROOT, constraints, usage(certifies=True))
    second = authority("second", first)
    return der(make("leaf", second, usage(), CODE), second, first)


BAD: dict[str, Callable[[], list[bytes]]] = {
    "of another root": lambda: der(make("leaf", authority("other"), usage(), CODE)),
    "self-signed": lambda: der(make("leaf", None, usage(), CODE)),
    "without its intermediate": lambda: der(LEAF),
    "by what is no authority": _no_authority,
    "by an authority that may not certify": _no_certifying,
    "deeper than an authority allows": _too_deep,
    "not for signatures": lambda: der(make("leaf", BETWEEN, usage(signs=False), CODE), BETWEEN),
    "for a web server": lambda: der(
        make("leaf", BETWEEN, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), BETWEEN
    ),
    "expired": lambda: der(
        make("leaf", BETWEEN, usage(), CODE, end=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)), BETWEEN
    ),
    "not yet valid": lambda: der(
        make("leaf", BETWEEN, usage(), CODE, start=dt.datetime(2027, 1, 1, tzinfo=dt.UTC)), BETWEEN
    ),
    "no certificate": lambda: [b"x"],
    "too many": lambda: der(LEAF) + der(BETWEEN) * 20,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        authority_key(BAD[name](), pem(ROOT), THEN)
    assert caught.value.rule == "bad-certificate"


def test_roots_that_are_no_certificates_are_refused() -> None:
    with pytest.raises(Refusal):
        authority_key(der(LEAF, BETWEEN), b"-----BEGIN CERTIFICATE-----\nx", THEN)


def signed_model(folder: Path, leaf: Made, chain: tuple[Made, ...]) -> Path:
    """Write a model and its signature as model_signing's certificate method does."""
    write_files(folder, MODEL_FILES)
    ignored = (".git", "model.sig")
    digests = {p: sha256(d) for p, d in MODEL_FILES.items()}
    payload = oms_statement("tiny", digests, ignored).payload()
    signature = leaf[1].sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    document = json.loads(bundle_bytes(Envelope(payload, PAYLOAD_TYPE, signature), "x"))
    import base64

    told = [{"rawBytes": base64.b64encode(d).decode()} for d in der(leaf, *chain)]
    material = {"x509CertificateChain": {"certificates": told}, "tlogEntries": []}
    document["verificationMaterial"] = material
    place = folder / "model.sig"
    place.write_text(json.dumps(document))
    return place


def judged(place: Path, roots: bytes, now: int) -> Verdict:
    return verify(place, Trust(Policy(signers=(), trust_root=roots), now), Asked())


def test_a_model_signed_with_a_certificate_is_verified(tmp_path: Path) -> None:
    place = signed_model(tmp_path / "model", LEAF, (BETWEEN,))
    verdict = judged(place, pem(ROOT), THEN)
    assert verdict.status is ExitStatus.DONE
    assert "certificate of CN=leaf" in verdict.edges[0].why
    assert judged(place, pem(authority("other")), THEN).status is ExitStatus.UNTRUSTED
    assert [p.rule for p in judged(place, b"{}", THEN).problems] == ["untrusted-signer"]


def test_a_certificate_that_expired_before_now_is_refused(tmp_path: Path) -> None:
    """The reference tool checks at the leaf's own first day, and accepts it."""
    end = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    old = make("leaf", BETWEEN, usage(), CODE, end=end)
    place = signed_model(tmp_path / "model", old, (BETWEEN,))
    assert [p.rule for p in judged(place, pem(ROOT), THEN).problems] == ["bad-certificate"]
    within = int(dt.datetime(2024, 6, 1, tzinfo=dt.UTC).timestamp())
    assert judged(place, pem(ROOT), within).status is ExitStatus.DONE


def test_a_certificate_that_did_not_sign_this_is_refused(tmp_path: Path) -> None:
    other = make("leaf", BETWEEN, usage(), CODE)
    place = signed_model(tmp_path / "model", LEAF, (BETWEEN,))
    stranger = signed_model(tmp_path / "other", other, (BETWEEN,))
    mixed = json.loads(place.read_text())
    mixed["verificationMaterial"] = json.loads(stranger.read_text())["verificationMaterial"]
    place.write_text(json.dumps(mixed))
    assert [p.rule for p in judged(place, pem(ROOT), THEN).problems] == ["bad-signature"]
    assert time.time() > 0
