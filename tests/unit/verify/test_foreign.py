"""A single bundle, whoever made it, against the files on this disk."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.dsse import Envelope, envelope_document
from mlbom.attest.oms import oms_statement, root_digest
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.digest.ignore import ignore_list
from mlbom.errors import PathNotFoundError
from mlbom.evidence.canonical import canonical_json
from mlbom.pipeline.verify import Asked, verify
from mlbom.sign.signer import Signer, seal
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy
from mlbom.verify.signers.trust import Trust, trusted_signers
from mlbom.verify.verdict import Verdict
from tests.fixtures.tiny_release import (
    MODEL_FILES,
    TinyRelease,
    new_signer,
    sha256,
    sha512,
    write_files,
)

REFERENCE_IGNORES = (".git", ".gitattributes", ".github", ".gitignore", "model.sig")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", MODEL_FILES)
    return tmp_path / "model"


def files(model: dict[str, bytes] = MODEL_FILES) -> dict[str, str]:
    return {path: sha256(data) for path, data in model.items()}


def judged(
    place: Path, signer: Signer, root: Path | None = None, role: str | None = None
) -> Verdict:
    policy = Policy(signers=trusted_signers([(role, signer.public_key)]))
    return verify(place, Trust(policy), Asked(root=root))


def bad(verdict: Verdict) -> list[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return sorted(p.rule for p in verdict.problems)


def sealed(signer: Signer, document: dict[str, Any], hint: str = "") -> bytes:
    envelope = signer.sign(canonical_json(document), PAYLOAD_TYPE)
    return bundle_bytes(envelope, hint or signer.public_key.hint)


def written(folder: Path, data: bytes, name: str = "model.sig") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def test_a_model_signature_is_verified_in_place(model: Path, signer: Signer) -> None:
    statement = oms_statement("tiny", files(), REFERENCE_IGNORES)
    place = written(model, seal(signer, statement).bundle)
    verdict = judged(place, signer)
    assert verdict.status is ExitStatus.DONE
    assert [(e.name, e.status.value) for e in verdict.edges] == [
        ("signature", "held"),
        ("statement -> files", "held"),
    ]
    assert verdict.signer == signer.public_key.hint


def test_a_reference_signature_in_its_own_order_is_accepted(model: Path, signer: Signer) -> None:
    """model_signing sorts by path parts, and computes its root over that order."""
    document = json.loads(oms_statement("tiny", files(), REFERENCE_IGNORES).payload())
    resources = document["predicate"]["resources"]
    resources.reverse()
    document["subject"][0]["digest"]["sha256"] = root_digest(r["digest"] for r in resources)
    place = written(model, sealed(signer, document))
    assert judged(place, signer).status is ExitStatus.DONE


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("config.json", "digest-mismatch"),
        ("extra.py", "file-extra"),
        ("README.md", "file-extra"),
        ("mlbom/run.py", "file-extra"),
        ("__pycache__/a.pyc", "file-extra"),
    ],
)
def test_any_change_of_the_tree_is_refused(
    model: Path, signer: Signer, name: str, rule: str
) -> None:
    """What only our own list leaves out is not left out of a foreign signature."""
    statement = oms_statement("tiny", files(), REFERENCE_IGNORES)
    place = written(model, seal(signer, statement).bundle)
    write_files(model, {name: b"changed"})
    assert bad(judged(place, signer)) == [rule]


def test_a_missing_renamed_or_linked_file_is_refused(model: Path, signer: Signer) -> None:
    statement = oms_statement("tiny", files(), REFERENCE_IGNORES)
    place = written(model, seal(signer, statement).bundle)
    (model / "config.json").rename(model / "conf.json")
    assert bad(judged(place, signer)) == ["file-renamed"]
    (model / "config.json").symlink_to(model / "conf.json")
    assert bad(judged(place, signer)) == ["file-extra", "not-a-regular-file"]
    (model / "config.json").unlink()
    (model / "conf.json").unlink()
    assert bad(judged(place, signer)) == ["file-missing"]


def test_a_statement_cannot_widen_the_ignore_list(model: Path, signer: Signer) -> None:
    statement = oms_statement("tiny", files(), (*REFERENCE_IGNORES, "evil.py"))
    place = written(model, seal(signer, statement).bundle)
    write_files(model, {"evil.py": b"x", ".git/config": b"x"})
    verdict = judged(place, signer)
    assert bad(verdict) == ["file-extra"]
    assert verdict.skipped == (".git",)


def test_our_own_signature_leaves_out_what_our_list_does(model: Path, signer: Signer) -> None:
    ignored = ignore_list(model_directory=True, extra=("model.sig",)).prefixes
    place = written(model, seal(signer, oms_statement("tiny", files(), ignored)).bundle)
    write_files(model, {"README.md": b"x", "__pycache__/a.pyc": b"x"})
    assert judged(place, signer).status is ExitStatus.DONE


def test_the_weights_bundle_of_a_release_stands_alone(tmp_path: Path, signer: Signer) -> None:
    release = TinyRelease(tmp_path / "project", signer).build()
    verdict = judged(release.bundle("weights"), signer, release.root)
    assert verdict.status is ExitStatus.DONE
    assert judged(release.bundle("weights"), signer, release.root, "train").status is (
        ExitStatus.UNTRUSTED
    )


@pytest.mark.parametrize("how", ["named", "found"])
def test_a_model_of_one_file(tmp_path: Path, signer: Signer, how: str) -> None:
    """The reference tool calls it `.`; the subject's name tells where it is, and binds nothing."""
    write_files(tmp_path, {"tiny.bin": b"weights", "other.bin": b"x"})
    statement = oms_statement("tiny.bin", {".": sha256(b"weights")}, REFERENCE_IGNORES)
    place = written(tmp_path, seal(signer, statement).bundle, "tiny.sig")
    root = tmp_path / "tiny.bin" if how == "named" else None
    assert judged(place, signer, root).status is ExitStatus.DONE
    write_files(tmp_path, {"tiny.bin": b"changed"})
    assert bad(judged(place, signer, root)) == ["digest-mismatch"]


def foreign(name: str = "app.bin", **digest: str) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://cosign.sigstore.dev/attestation/v1",
        "subject": [{"name": name, "digest": digest or {"sha256": sha256(b"app")}}],
        "predicate": {"Data": "x"},
    }


def test_a_cosign_style_attestation_is_held_against_its_subjects(
    tmp_path: Path, signer: Signer
) -> None:
    """Its hint is spelled otherwise, its statement is older, its subject has more digests."""
    write_files(tmp_path, {"app.bin": b"app", "other": b"x"})
    digests = {"sha256": sha256(b"app"), "sha512": sha512(b"app"), "gitCommit": "ab" * 20}
    place = written(tmp_path, sealed(signer, foreign(**digests), "c29tZSBoaW50"), "x.sigstore.json")
    assert judged(place, signer).status is ExitStatus.DONE
    write_files(tmp_path, {"app.bin": b"other"})
    assert bad(judged(place, signer)) == ["digest-mismatch"]
    (tmp_path / "app.bin").unlink()
    assert bad(judged(place, signer)) == ["file-missing"]


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (foreign("../app.bin"), "unsafe-name"),
        (foreign("/app.bin"), "unsafe-name"),
        (foreign("app.bin", sha1="00" * 20), "malformed-statement"),
        (foreign("app.bin", sha256="ZZ"), "malformed-statement"),
        (foreign(sha256=sha256(b"app"), sha512="0" * 128), "digest-mismatch"),
        ({**foreign(), "subject": []}, "malformed-statement"),
        ({**foreign(), "subject": foreign()["subject"] * 2}, "malformed-statement"),
        ({**foreign(), "_type": "x"}, "malformed-statement"),
        ({"a": 1}, "malformed-statement"),
    ],
)
def test_a_foreign_statement_that_does_not_hold(
    tmp_path: Path, signer: Signer, document: dict[str, Any], rule: str
) -> None:
    write_files(tmp_path, {"root/app.bin": b"app", "app.bin": b"app"})
    place = written(tmp_path, sealed(signer, document), "x.sigstore.json")
    assert bad(judged(place, signer, tmp_path / "root")) == [rule]


def test_a_stranger_and_a_forgery_are_told_apart(
    model: Path, signer: Signer, tmp_path: Path
) -> None:
    statement = oms_statement("tiny", files(), REFERENCE_IGNORES)
    stranger = new_signer(tmp_path, "stranger")
    place = written(model, seal(stranger, statement).bundle)
    assert bad(judged(place, signer)) == ["untrusted-signer"]
    forged = json.loads(seal(stranger, statement).bundle)
    forged["verificationMaterial"]["publicKey"]["hint"] = signer.public_key.hint
    place = written(model, json.dumps(forged).encode())
    assert bad(judged(place, signer)) == ["bad-signature"]


def test_the_retired_encoding_is_refused(model: Path, signer: Signer) -> None:
    """model_signing 0.2 signed a text in which the payload stood as Python writes bytes."""
    payload = oms_statement("tiny", files(), REFERENCE_IGNORES).payload()
    told = f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()
    envelope = Envelope(payload, PAYLOAD_TYPE, _raw_signature(signer, told))
    assert envelope_document(envelope)["payloadType"] == PAYLOAD_TYPE
    place = written(model, bundle_bytes(envelope, signer.public_key.hint))
    assert bad(judged(place, signer)) == ["bad-signature"]


def _raw_signature(signer: Any, message: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signature: bytes = signer._key.sign(message, ec.ECDSA(hashes.SHA256()))
    return signature


def test_what_is_no_bundle_is_refused(model: Path, signer: Signer) -> None:
    for data in (b"", b"{}", b"[]", b"\xff", b"x" * 70_000_000):
        place = written(model.parent, data, "x.sigstore.json")
        assert bad(judged(place, signer, model)) in (["malformed-bundle"], ["too-large"])


def test_a_bundle_or_root_that_is_not_there_is_a_usage_error(model: Path, signer: Signer) -> None:
    place = written(model, b"{}")
    for asked in ((model / "none.sig", None), (place, model / "none")):
        with pytest.raises(PathNotFoundError):
            judged(asked[0], signer, asked[1])


def test_a_verified_foreign_model_is_handed_over(model: Path, signer: Signer) -> None:
    statement = oms_statement("tiny", files(), REFERENCE_IGNORES)
    place = written(model, seal(signer, statement).bundle)
    policy = Policy(signers=trusted_signers([(None, signer.public_key)]))
    target = model.parent / "copy"
    verdict = verify(place, Trust(policy), Asked(copy_to=target))
    assert verdict.status is ExitStatus.DONE
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert found == set(MODEL_FILES)
    shutil.rmtree(target)


def test_an_empty_statement_type_of_ours_needs_its_role(tmp_path: Path, signer: Signer) -> None:
    told = Statement((Subject("a", sha256(b"x")),), "https://in-toto.io/attestation/svr/v0.2", {})
    write_files(tmp_path, {"a": b"x"})
    place = written(tmp_path, seal(signer, told).bundle, "x.sigstore.json")
    assert bad(judged(place, signer)) == ["unexpected-predicate"]
