"""DSSE envelope and Sigstore bundle: the encoding that is signed, and strict reading."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as ReferenceEnvelope

from mlbom.attest.bundle import (
    MAX_BYTES,
    Bundle,
    bundle_bytes,
    bundle_name,
    check_bundle_size,
    parse_bundle,
)
from mlbom.attest.dsse import Envelope, decode_base64, envelope_document, pae, parse_envelope
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import LimitError, MalformedError

ENVELOPE = Envelope(b'{"a":1}', PAYLOAD_TYPE, b"signature")


def test_the_encoding_is_that_of_the_specification() -> None:
    """The test vector of secure-systems-lab/dsse protocol.md."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.text(max_size=30), st.binary(max_size=60))
def test_the_encoding_is_that_of_the_reference(kind: str, payload: bytes) -> None:
    assert pae(kind, payload) == ReferenceEnvelope(payload, kind, {}).pae()


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_an_envelope_survives_its_document(payload: bytes, signature: bytes) -> None:
    envelope = Envelope(payload, PAYLOAD_TYPE, signature)
    assert parse_envelope(json.loads(json.dumps(envelope_document(envelope)))) == envelope


@pytest.mark.parametrize("keyid", ["", None, "abc"])
def test_a_key_id_is_a_mere_hint(keyid: str | None) -> None:
    document = envelope_document(ENVELOPE)
    document["signatures"][0]["keyid"] = keyid
    assert parse_envelope(document).signature == b"signature"
    del document["signatures"][0]["keyid"]
    assert parse_envelope(document) == ENVELOPE


@pytest.mark.parametrize(
    "text",
    ["", "a", "aa", "a===", "YQ", "YR==", "YQ==\n", " YQ==", "YQ= =", "_-8=", "YQ==YQ==", 1, None],
)
def test_base64_has_one_spelling(text: object) -> None:
    with pytest.raises(MalformedError):
        decode_base64(text, "text")
    assert decode_base64("YQ==", "text") == b"a"


def test_the_bundle_is_the_minimal_one() -> None:
    """foundations.md, "Minimal OMS bundle"."""
    assert json.loads(bundle_bytes(ENVELOPE, "ab")) == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "ab"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(ENVELOPE.payload).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(b"signature").decode(), "keyid": ""}],
        },
    }


def test_a_bundle_survives_its_bytes() -> None:
    assert parse_bundle(json.loads(bundle_bytes(ENVELOPE, "ab"))) == Bundle(ENVELOPE, "ab")


def test_certificates_are_read_and_no_hint_is_made_up() -> None:
    document: dict[str, Any] = json.loads(bundle_bytes(ENVELOPE, "ab"))
    document["verificationMaterial"] = {
        "certificate": {"rawBytes": "YQ=="},
        "tlogEntries": [{}],
        "timestampVerificationData": {},
    }
    assert parse_bundle(document) == Bundle(ENVELOPE, "", (b"a",), (), ({},))
    document["verificationMaterial"]["tlogEntries"] = []
    with pytest.raises(MalformedError, match="transparency log"):
        parse_bundle(document)


@pytest.mark.parametrize(
    "material",
    [
        None,
        {},
        {"publicKey": {}},
        {"publicKey": {"hint": ""}},
        {"publicKey": {"hint": "x" * 513}},
        {"publicKey": {"hint": "ab"}, "certificate": {"rawBytes": "YQ=="}},
        {"publicKey": {"hint": "ab"}, "other": 1},
        {"publicKey": {"hint": "ab"}, "tlogEntries": {}},
        {"publicKey": {"hint": "ab"}, "timestampVerificationData": []},
        {"x509CertificateChain": {"certificates": []}},
        {"x509CertificateChain": {"certificates": [{}]}},
    ],
)
def test_malformed_verification_material_is_refused(material: object) -> None:
    document = json.loads(bundle_bytes(ENVELOPE, "ab"))
    document["verificationMaterial"] = material
    with pytest.raises(MalformedError):
        parse_bundle(document)


def test_a_bundle_is_named_by_its_payload() -> None:
    assert bundle_name(3, "weights", b"") == "03-weights-e3b0c442.sigstore.json"


def test_the_size_is_bounded_before_parsing() -> None:
    check_bundle_size(bundle_bytes(Envelope(bytes(3_000_000), PAYLOAD_TYPE, b"s"), "ab"))
    with pytest.raises(LimitError, match="bytes"):
        check_bundle_size(bytes(MAX_BYTES + 1))
    with pytest.raises(LimitError, match="values"):
        check_bundle_size(b"[" + b"{}," * 4096)
