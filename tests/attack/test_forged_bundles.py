"""Bundles that somebody without the key made or bent: refused before their payload is read."""

import base64
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.dsse import Envelope
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.sign.keyfile import KeyFileSigner
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import TinyRelease, new_signer, signed_payload

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def release(tmp_path: Path, signer: Signer) -> TinyRelease:
    return TinyRelease(tmp_path / "project", signer).build()


def rules(verdict: Verdict) -> set[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return {problem.rule for problem in verdict.problems}


def envelope(document: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = document["dsseEnvelope"]
    return inner


def payload_edited(document: dict[str, Any]) -> None:
    payload = base64.b64decode(envelope(document)["payload"])
    changed = payload.replace(b"sha256", b"sha257")
    assert changed != payload
    envelope(document)["payload"] = base64.b64encode(changed).decode()


def signature_of(other: bytes) -> Edit:
    foreign = json.loads(other)["dsseEnvelope"]["signatures"]
    return lambda d: envelope(d).update(signatures=foreign)


def second_signature(document: dict[str, Any]) -> None:
    envelope(document)["signatures"] *= 2


def stray_bits(document: dict[str, Any]) -> None:
    """Spell the same bytes in another way: the unused bits of the last digit set."""
    signed = envelope(document)["signatures"][0]
    holder, key = (
        (signed, "sig") if signed["sig"].endswith("=") else (envelope(document), "payload")
    )
    if not holder[key].endswith("="):
        pytest.skip("neither signature nor payload has unused bits")
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = holder[key].rstrip("=")
    other = text[:-1] + digits[digits.index(text[-1]) + 1]
    other = other.ljust(len(holder[key]), "=")
    assert base64.b64decode(other) == base64.b64decode(holder[key])
    holder[key] = other


def white_space_in_base64(document: dict[str, Any]) -> None:
    envelope(document)["payload"] = envelope(document)["payload"] + "\n"


DOCUMENT_EDITS: dict[str, tuple[Edit, str]] = {
    "the payload is edited": (payload_edited, "bad-signature"),
    "the payload type is changed": (
        lambda d: envelope(d).update(payloadType="application/json"),
        "malformed-bundle",
    ),
    "the media type is another": (
        lambda d: d.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3"),
        "malformed-bundle",
    ),
    "the hint names another key": (
        lambda d: d["verificationMaterial"].update(publicKey={"hint": "0" * 64}),
        "untrusted-signer",
    ),
    "the hint is no text": (
        lambda d: d["verificationMaterial"].update(publicKey={"hint": 7}),
        "malformed-bundle",
    ),
    "the key itself is enclosed": (
        lambda d: d["verificationMaterial"]["publicKey"].update(rawBytes="AAAA"),
        "malformed-bundle",
    ),
    "a certificate stands for the key": (
        lambda d: d.update(
            verificationMaterial={
                "x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]},
                "tlogEntries": [],
            }
        ),
        "untrusted-signer",
    ),
    "key and certificate at once": (
        lambda d: d["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
        "malformed-bundle",
    ),
    "there is no signature": (lambda d: envelope(d).update(signatures=[]), "malformed-bundle"),
    "the signature is empty": (
        lambda d: envelope(d).update(signatures=[{"sig": "", "keyid": ""}]),
        "malformed-bundle",
    ),
    "there are two signatures": (second_signature, "malformed-bundle"),
    "the signatures are no list": (lambda d: envelope(d).update(signatures={}), "malformed-bundle"),
    "the signature is spelled in another way": (stray_bits, "malformed-bundle"),
    "base64 holds white space": (white_space_in_base64, "malformed-bundle"),
    "an unknown field is added": (lambda d: d.update(extra=1), "malformed-bundle"),
    "the envelope is gone": (lambda d: d.pop("dsseEnvelope"), "malformed-bundle"),
}


@pytest.mark.parametrize("label", ["weights", "bom", "release"])
@pytest.mark.parametrize("edit", DOCUMENT_EDITS)
def test_a_bent_bundle_is_refused(release: TinyRelease, edit: str, label: str) -> None:
    change, rule = DOCUMENT_EDITS[edit]
    path = release.bundle(label)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    verdict = release.verify()
    assert rule in rules(verdict)
    assert any(p.path == f"attestations/{path.name}" for p in verdict.problems)


RAW_EDITS: dict[str, Callable[[bytes], bytes]] = {
    "it is cut short": lambda data: data[:-20],
    "it is empty": lambda _data: b"",
    "it is not UTF-8": lambda data: data.replace(b"hint", b"h\xffnt"),
    "it begins with a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "it goes on behind its end": lambda data: data + b"{}",
    "a key stands twice": lambda data: data.replace(
        b'"mediaType":', b'"mediaType":"x","mediaType":'
    ),
    "it holds NaN": lambda data: data.replace(b'"tlogEntries":[]', b'"tlogEntries":[NaN]'),
    "it holds an overflow": lambda data: data.replace(
        b'"tlogEntries":[]', b'"tlogEntries":[1e400]'
    ),
    "it holds a 5000-digit integer": lambda data: data.replace(
        b'"tlogEntries":[]', b'"tlogEntries":[' + b"9" * 5000 + b"]"
    ),
    "it nests 2000 levels deep": lambda data: data.replace(
        b'"tlogEntries":[]', b'"tlogEntries":' + b"[" * 2000 + b"]" * 2000
    ),
    "it is a list": lambda data: b"[" + data + b"]",
}


@pytest.mark.parametrize("edit", RAW_EDITS)
def test_bytes_that_are_no_bundle_are_refused(release: TinyRelease, edit: str) -> None:
    path = release.bundle("release")
    before = path.read_bytes()
    path.write_bytes(RAW_EDITS[edit](before))
    assert path.read_bytes() != before
    assert {"no-closing-statement"} < rules(release.verify())


def test_a_signature_of_another_statement_is_refused(release: TinyRelease) -> None:
    path = release.bundle("release")
    document = json.loads(path.read_bytes())
    signature_of(release.bundle("bom").read_bytes())(document)
    path.write_text(json.dumps(document))
    assert "bad-signature" in rules(release.verify())


def test_a_signature_over_the_retired_encoding_is_refused(
    release: TinyRelease, signer: Signer
) -> None:
    """DSSE version 0 signed other bytes, and some verifiers still accept that."""
    document = json.loads(release.bundle("release").read_bytes())
    payload = base64.b64decode(envelope(document)["payload"])

    kind = PAYLOAD_TYPE.encode()
    lengths = [n.to_bytes(8, "little") for n in (2, len(kind), len(payload))]
    retired = lengths[0] + lengths[1] + kind + lengths[2] + payload
    assert isinstance(signer, KeyFileSigner)
    forged = Envelope(payload, PAYLOAD_TYPE, signer._signature(retired))
    release.bundle("release").write_bytes(bundle_bytes(forged, signer.public_key.hint))
    assert "bad-signature" in rules(release.verify())


def test_a_release_signed_anew_by_a_stranger_has_an_untrusted_signer(
    tmp_path: Path, release: TinyRelease, signer: Signer
) -> None:
    stranger = new_signer(tmp_path, "stranger")
    forged = TinyRelease(tmp_path / "forged", stranger).build()
    forged.signer = signer
    verdict = forged.verify()
    assert rules(verdict) == {"untrusted-signer", "no-closing-statement"}
    told = [p.message for p in verdict.problems if p.rule == "untrusted-signer"]
    assert all(f"untrusted signer {stranger.public_key.hint}" in message for message in told)
    assert not any("does not verify" in message for message in told)


def test_a_stranger_who_claims_the_trusted_key_has_a_bad_signature(
    tmp_path: Path, signer: Signer
) -> None:
    stranger = new_signer(tmp_path, "stranger")
    forged = TinyRelease(tmp_path / "forged", stranger).build()
    for path in (forged.out / "attestations").iterdir():
        data = path.read_bytes()
        theirs, ours = stranger.public_key.hint.encode(), signer.public_key.hint.encode()
        path.write_bytes(data.replace(theirs, ours))
    forged.signer = signer
    assert rules(forged.verify()) == {"bad-signature", "no-closing-statement"}


def test_an_unsigned_payload_is_never_parsed(
    release: TinyRelease, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(document: object) -> object:
        message = f"parsed {document!r}"
        raise AssertionError(message)

    for label in ("weights", "bom", "release"):
        path = release.bundle(label)
        document = json.loads(path.read_bytes())
        envelope(document)["payload"] = base64.b64encode(b"{}").decode()
        path.write_text(json.dumps(document))
    monkeypatch.setattr("mlbom.verify.bundles.parse_statement", parse)
    assert rules(release.verify()) == {"bad-signature", "no-closing-statement"}


def test_a_million_signatures_are_too_large(release: TinyRelease) -> None:
    path = release.bundle("release")
    document = json.loads(path.read_bytes())
    envelope(document)["signatures"] = ["HERE"]
    text = json.dumps(document).replace('"HERE"', ",".join(['{"sig":"AA=="}'] * 1_000_000))
    path.write_text(text)
    expect_too_large(release)


def test_a_bundle_of_two_gigabytes_is_too_large(release: TinyRelease) -> None:
    with release.bundle("release").open("r+b") as stream:
        stream.truncate(2 * 1024**3)
    expect_too_large(release)


def expect_too_large(release: TinyRelease) -> None:
    """Verify within 2 s and 200 MB (security.md section 7, row 25)."""
    tracemalloc.start()
    start = time.perf_counter()
    verdict = release.verify()
    taken_s = time.perf_counter() - start
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {"too-large", "no-closing-statement"} <= rules(verdict)
    assert taken_s < 2
    assert peak_bytes < 200 * 10**6


def test_thousands_of_bundles_are_too_many(release: TinyRelease) -> None:
    for number in range(1025):
        os.link(release.bundle("bom"), release.out / f"attestations/x{number}.sigstore.json")
    assert "too-large" in rules(release.verify())


def test_a_signed_payload_of_another_type_is_refused(release: TinyRelease, signer: Signer) -> None:
    """The type is part of what is signed, so a good signature does not help."""
    payload = base64.b64decode(
        json.loads(release.bundle("release").read_bytes())["dsseEnvelope"]["payload"]
    )
    bundle = signed_payload(signer, payload, "application/json")
    release.bundle("release").write_bytes(bundle)
    assert "malformed-bundle" in rules(release.verify())
    forged = bundle.replace(b'"application/json"', b'"application/vnd.in-toto+json"')
    release.bundle("release").write_bytes(forged)
    assert "bad-signature" in rules(release.verify())
