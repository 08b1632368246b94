"""Well signed and still not to be trusted: confused, malformed or contradictory statements."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.types import CYCLONEDX_PREDICATE, OMS_PREDICATE, RELEASE_PREDICATE
from mlbom.errors import ExitStatus
from mlbom.sign.signer import Signer
from mlbom.verify.trust import TrustedKeys
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import TinyRelease, new_signer, sha256, sha512, signed_payload

Edit = Callable[[dict[str, Any]], object]
VSA = "https://slsa.dev/verification_summary/v1"
ZERO = "0" * 64


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


def rules(verdict: Verdict) -> set[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return {problem.rule for problem in verdict.problems}


def first(document: dict[str, Any]) -> dict[str, Any]:
    subject: dict[str, Any] = document["subject"][0]
    return subject


def rename(name: str) -> Edit:
    return lambda d: first(d).update(name=name)


def subject(name: str, **told: str) -> Edit:
    """Change digests of the subject of a name."""
    return lambda d: next(s for s in d["subject"] if s["name"] == name)["digest"].update(told)


def digests(**told: str) -> Edit:
    return lambda d: first(d).update(digest=told)


def drop_subject(name: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        kept = [s for s in document["subject"] if not s["name"].startswith(name)]
        assert len(kept) < len(document["subject"])
        document["subject"] = kept

    return edit


ANY_STATEMENT: dict[str, tuple[Edit, str]] = {
    "no subject": (lambda d: d.update(subject=[]), "malformed-statement"),
    "the subject is no list": (lambda d: d.update(subject={}), "malformed-statement"),
    "a subject twice": (lambda d: d["subject"].append(first(d)), "malformed-statement"),
    "a subject without digest": (digests(), "malformed-statement"),
    "a subject with sha1 alone": (digests(sha1="0" * 40), "malformed-statement"),
    "a subject with gitCommit": (digests(sha256=ZERO, gitCommit="0" * 40), "malformed-statement"),
    "a digest in capitals": (digests(sha256="A" * 64), "malformed-statement"),
    "a digest that is too short": (digests(sha256="ab"), "malformed-statement"),
    "a name that leads upwards": (rename("mlbom-out/../../etc/passwd"), "malformed-statement"),
    "an absolute name": (rename("/etc/passwd"), "malformed-statement"),
    "a drive letter": (rename("C:/model"), "malformed-statement"),
    "a backslash": (rename("model\\..\\x"), "malformed-statement"),
    "a NUL in a name": (rename("model/a\x00b"), "malformed-statement"),
    "a line break in a name": (rename("model/a\r\nb"), "malformed-statement"),
    "a lone surrogate in a name": (rename("model/\ud800"), "malformed-statement"),
    "an empty name": (rename(""), "malformed-statement"),
    "annotations in a subject": (lambda d: first(d).update(annotations={}), "malformed-statement"),
    "an unknown field": (lambda d: d.update(extra=1), "malformed-statement"),
    "statement version 0.1": (
        lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"),
        "malformed-statement",
    ),
    "the predicate is a list": (lambda d: d.update(predicate=[]), "malformed-statement"),
    "a verification summary": (lambda d: d.update(predicateType=VSA), "unexpected-predicate"),
    "an unheard-of predicate": (lambda d: d.update(predicateType="x:y"), "unexpected-predicate"),
    "no predicate type": (lambda d: d.update(predicateType=""), "malformed-statement"),
}


@pytest.mark.parametrize("label", ["weights", "bom", "release"])
@pytest.mark.parametrize("edit", ANY_STATEMENT)
def test_a_malformed_statement_is_refused(
    edit: str, label: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = ANY_STATEMENT[edit]
    hook = {"weights": "edit_weights", "bom": "edit_bom", "release": "edit_closing"}[label]
    release = TinyRelease(tmp_path, signer)
    setattr(release, hook, change)
    assert rule in rules(release.build().verify())


PAYLOADS: dict[str, Callable[[bytes], bytes]] = {
    "NaN": lambda p: p.replace(b'"size":42', b'"size":NaN'),
    "Infinity": lambda p: p.replace(b'"size":42', b'"size":-Infinity'),
    "an overflow": lambda p: p.replace(b'"size":42', b'"size":1e400'),
    "5000 digits": lambda p: p.replace(b'"size":42', b'"size":' + b"9" * 5000),
    "an integer beyond 2^53": lambda p: p.replace(b'"size":42', b'"size":9007199254740993'),
    "a key twice": lambda p: p.replace(b'"size":42', b'"size":42,"size":42'),
    "another key twice": lambda p: p.replace(b'"subject":', b'"subject":[],"subject":'),
    "depth": lambda p: p.replace(b'"size":42', b'"size":' + b"[" * 99 + b"]" * 99),
    "a byte order mark": lambda p: b"\xef\xbb\xbf" + p,
    "another encoding": lambda p: p.decode().encode("utf-16"),
    "no JSON": lambda _p: b"tiny",
}


@pytest.mark.parametrize("edit", PAYLOADS)
def test_a_signed_payload_of_two_meanings_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    release = TinyRelease(tmp_path, signer).build()
    path = release.bundle("bom")
    payload = base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"])
    changed = PAYLOADS[edit](payload)
    assert changed != payload
    path.write_bytes(signed_payload(signer, changed))
    release.close_again()
    assert rules(release.verify()) >= {"malformed-statement", "missing-statement"}


KINDS = {"weights": OMS_PREDICATE, "bom": CYCLONEDX_PREDICATE, "release": RELEASE_PREDICATE}


@pytest.mark.parametrize("claimed", KINDS)
@pytest.mark.parametrize("label", KINDS)
def test_no_statement_stands_in_for_another(
    label: str, claimed: str, tmp_path: Path, signer: Signer
) -> None:
    hook = {"weights": "edit_weights", "bom": "edit_bom", "release": "edit_closing"}[label]
    release = TinyRelease(tmp_path, signer)
    setattr(release, hook, lambda d: d.update(predicateType=KINDS[claimed]))
    verdict = release.build().verify()
    expected = ExitStatus.DONE if label == claimed else ExitStatus.UNTRUSTED
    assert verdict.status is expected


CLOSING: dict[str, tuple[Edit, str]] = {
    "it lists a file that is not there": (
        lambda d: d["subject"].append({"name": "mlbom-out/x", "digest": {"sha256": ZERO}}),
        "file-missing",
    ),
    "it does not list the evidence": (drop_subject("mlbom-out/evidence.json"), "file-missing"),
    "it does not list the manifest": (drop_subject("mlbom-out/model.manifest"), "file-missing"),
    "it does not list the BOM": (drop_subject("mlbom-out/bom.cdx.json"), "file-missing"),
    "it does not list the weights statement": (
        drop_subject("mlbom-out/attestations/03"),
        "missing-statement",
    ),
    "it names no model": (drop_subject("model"), "malformed-statement"),
    "it names another manifest": (
        subject("model", sha256=ZERO),
        "edge-broken",
    ),
    "it names weights of another digest": (
        subject("model/model.safetensors", sha256=ZERO),
        "edge-broken",
    ),
    "it names a model file that nobody knows": (
        lambda d: d["subject"].append({"name": "model/x", "digest": {"sha256": ZERO}}),
        "edge-broken",
    ),
    "it is about files, the BOM about a directory": (
        lambda d: d.update(subject=[s for s in d["subject"] if s["name"] != "model"]),
        "edge-broken",
    ),
    "a subject of neither kind": (
        lambda d: d["subject"].append({"name": "other", "digest": {"sha256": ZERO}}),
        "malformed-statement",
    ),
    "it names no purl": (lambda d: d.update(predicate={}), "malformed-statement"),
    "its purl is a number": (lambda d: d.update(predicate={"purl": 1}), "malformed-statement"),
    "the sha512 of an output is wrong": (
        subject("mlbom-out/report.html", sha512=ZERO + ZERO),
        "digest-mismatch",
    ),
    "the sha512 of the weights is wrong": (
        subject("model/model.safetensors", sha512=ZERO + ZERO),
        "digest-mismatch",
    ),
    "the sha512 of the manifest is wrong": (
        subject("model", sha512=ZERO + ZERO),
        "edge-broken",
    ),
}


@pytest.mark.parametrize("edit", CLOSING)
def test_a_closing_statement_that_does_not_fit_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = CLOSING[edit]
    release = TinyRelease(tmp_path, signer, edit_closing=change).build()
    assert rule in rules(release.verify())


def serialization(**told: object) -> Edit:
    return lambda d: d["predicate"]["serialization"].update(told)


def resource(**told: object) -> Edit:
    return lambda d: d["predicate"]["resources"][0].update(told)


def rooted(edit: Edit) -> Edit:
    """Edit an OMS statement and compute its root digest again, as its signer could."""

    def change(document: dict[str, Any]) -> None:
        edit(document)
        raw = (bytes.fromhex(r["digest"]) for r in document["predicate"]["resources"])
        first(document)["digest"] = {"sha256": sha256(b"".join(raw))}

    return change


OMS: dict[str, tuple[Edit, str]] = {
    "the root does not fit": (digests(sha256=ZERO), "malformed-statement"),
    "names are exchanged under one root": (
        lambda d: [
            r.update(name=n)
            for r, n in zip(
                d["predicate"]["resources"],
                ["model.safetensors", "config.json", "tokenizer/vocab.txt"],
                strict=True,
            )
        ],
        "edge-broken",
    ),
    "a file is left out": (rooted(lambda d: d["predicate"]["resources"].pop()), "edge-broken"),
    "a file is added": (
        rooted(
            lambda d: d["predicate"]["resources"].append(
                {"name": "x.py", "algorithm": "sha256", "digest": ZERO}
            )
        ),
        "edge-broken",
    ),
    "a digest is another": (rooted(resource(digest=ZERO)), "edge-broken"),
    "a file twice": (
        rooted(lambda d: d["predicate"]["resources"].append(d["predicate"]["resources"][0])),
        "malformed-statement",
    ),
    "another algorithm": (resource(algorithm="blake2b"), "malformed-statement"),
    "a name that leads upwards": (resource(name="../x"), "malformed-statement"),
    "links are followed": (serialization(allow_symlinks=True), "malformed-statement"),
    "links are followed, as a number": (serialization(allow_symlinks=0), "malformed-statement"),
    "shards": (serialization(method="shards", shard_size=1), "malformed-statement"),
    "a further field": (lambda d: d["predicate"].update(extra=1), "malformed-statement"),
    "no files": (rooted(lambda d: d["predicate"].update(resources=[])), "malformed-statement"),
}


@pytest.mark.parametrize("edit", OMS)
def test_a_weights_statement_that_does_not_fit_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = OMS[edit]
    release = TinyRelease(tmp_path, signer, edit_weights=change).build()
    assert rule in rules(release.verify())


BOM: dict[str, tuple[Edit, str]] = {
    "another BOM": (lambda d: d["predicate"].update(specVersion="1.6"), "bom-differs"),
    "a number of another kind": (
        lambda d: d["predicate"].update(components=[{"size": 42.0}]),
        "bom-differs",
    ),
    "another model": (digests(sha256=ZERO), "edge-broken"),
    "an output as its subject": (
        lambda d: d["subject"].append({"name": "mlbom-out/x", "digest": {"sha256": ZERO}}),
        "edge-broken",
    ),
    "a subject of neither kind": (rename("tiny"), "malformed-statement"),
}


@pytest.mark.parametrize("edit", BOM)
def test_a_bom_statement_that_does_not_fit_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = BOM[edit]
    release = TinyRelease(tmp_path, signer, edit_bom=change).build()
    assert rule in rules(release.verify())


EVIDENCE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "the model root leads upwards": (
        lambda e: e.replace(b'"models/tiny"', b'"../../etc"'),
        "unsafe-name",
    ),
    "the model root is absolute": (
        lambda e: e.replace(b'"models/tiny"', b'"/etc"'),
        "unsafe-name",
    ),
    "another schema": (lambda e: e.replace(b"evidence:1", b"evidence:9"), "malformed-file"),
    "no model root": (lambda e: e.replace(b'"model_root"', b'"version"'), "malformed-file"),
    "a key twice": (lambda e: e.replace(b'{"gaps"', b'{"gaps":[],"gaps"'), "malformed-file"),
    "no evidence": (lambda _e: b"{}", "malformed-file"),
}


@pytest.mark.parametrize("edit", EVIDENCE)
def test_evidence_that_cannot_be_relied_on_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = EVIDENCE[edit]
    release = TinyRelease(tmp_path, signer, evidence=change).build()
    assert rule in rules(release.verify())


def test_evidence_about_another_manifest_is_refused(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer)
    other = TinyRelease(tmp_path / "other", signer, model={"config.json": b"{}"})
    other.weights = ()
    evidence = (other.build().out / "evidence.json").read_bytes()
    release.evidence = lambda _e: evidence
    assert rules(release.build().verify()) == {"edge-broken"}


@pytest.mark.parametrize("wide", [False, True])
def test_both_digests_are_held_when_both_are_signed(
    *, wide: bool, tmp_path: Path, signer: Signer
) -> None:
    release = TinyRelease(tmp_path, signer, wide=wide).build()
    assert release.verify().status is ExitStatus.DONE
    subjects = json.loads(
        base64.b64decode(
            json.loads(release.bundle("release").read_bytes())["dsseEnvelope"]["payload"]
        )
    )["subject"]
    assert all(("sha512" in s["digest"]) is wide for s in subjects)
    card = next(s for s in subjects if s["name"] == "mlbom-out/MODEL_CARD.md")
    if wide:
        assert card["digest"]["sha512"] == sha512(release.outputs["MODEL_CARD.md"])


def roles_of(release: TinyRelease, *roles: str) -> TrustedKeys:
    return TrustedKeys.of([(role, release.signer.public_key) for role in roles])


def test_a_key_of_another_role_does_not_close_a_release(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    verdict = release.verify(trust=roles_of(release, "bom", "review"))
    assert rules(verdict) == {"wrong-role", "no-closing-statement"}
    assert any("trusted for bom, review, not for release" in p.message for p in verdict.problems)


def test_a_key_of_the_release_does_not_sign_its_bom(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path, signer).build()
    verdict = release.verify(trust=roles_of(release, "release"))
    assert rules(verdict) == {"wrong-role", "missing-statement"}
    assert release.verify(trust=roles_of(release, "release", "bom")).status is ExitStatus.DONE
