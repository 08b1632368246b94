"""Well signed, well formed, and still not fitting together: contradictory statements."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from tests.attack.test_forged_statements import ZERO, Edit, digests, first, rename, rules
from tests.fixtures.tiny_release import TinyRelease, new_signer, sha256, sha512


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


def subject(name: str, **told: str) -> Edit:
    """Change digests of the subject of a name."""
    return lambda d: next(s for s in d["subject"] if s["name"] == name)["digest"].update(told)


def drop_subject(name: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        kept = [s for s in document["subject"] if not s["name"].startswith(name)]
        assert len(kept) < len(document["subject"])
        document["subject"] = kept

    return edit


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


MANIFEST: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a name leads upwards": (
        lambda m: m.replace(b"  config.json", b"  ../../hosts"),
        "unsafe-name",
    ),
    "a name is absolute": (lambda m: m.replace(b"  config.json", b"  /etc/hosts"), "unsafe-name"),
    "a name is not UTF-8": (lambda m: m.replace(b"  config", b"  conf\xff"), "unsafe-name"),
    "it is no manifest": (lambda _m: b"tiny\n", "malformed-file"),
    "it lacks its last newline": (lambda m: m[:-1], "malformed-file"),
    "a file stands twice": (lambda m: m.splitlines(keepends=True)[0] + m, "malformed-file"),
    "it is empty": (lambda _m: b"", "edge-broken"),
}


@pytest.mark.parametrize("edit", MANIFEST)
def test_a_manifest_that_cannot_be_relied_on_is_refused(
    edit: str, tmp_path: Path, signer: Signer
) -> None:
    change, rule = MANIFEST[edit]
    release = TinyRelease(tmp_path, signer, manifest=change).build()
    assert rule in rules(release.verify())


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
