"""What a release carries along: records unchanged, links that are links, earlier statements."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.run_claim import run_statement
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import (
    CYCLONEDX_PREDICATE,
    PAYLOAD_TYPE,
    PROVENANCE_PREDICATE,
    RELEASE_PREDICATE,
    SVR_PREDICATE,
    VSA_PREDICATE,
)
from mlbom.errors import SecretLeakError
from mlbom.evidence.canonical import canonical_json
from mlbom.pipeline.generate import GenerateRequest, GenerateResult, generate, preview
from mlbom.sign.signer import Signer, seal
from tests.fixtures.projects import plan_for, training_project
from tests.fixtures.records import (
    make_record,
    record_key,
    recorded_project,
    run_claim,
    sha256_of,
)


def generated(project: Path, key: Signer | None, **changes: Any) -> GenerateResult:
    return generate(GenerateRequest(plan=plan_for(project, **changes)), key)


def attested(result: GenerateResult) -> list[str]:
    names = (n.removeprefix("attestations/") for n in result.files if n.startswith("attestations/"))
    return sorted(names)


def closing_of(result: GenerateResult) -> Statement:
    name = next(n for n in result.files if n.startswith("attestations/08-"))
    envelope = json.loads(result.files[name])["dsseEnvelope"]
    return parse_statement(json.loads(base64.b64decode(envelope["payload"])))


def weights_of(project: Path) -> bytes:
    return (project / "weights" / "final.safetensors").read_bytes()


def put_link(folder: Path, key: Signer, step: str = "train", name: str = "") -> tuple[str, bytes]:
    """Write a classic link in DSSE form beside a record."""
    payload = canonical_json({"_type": "link", "name": step, "materials": {}, "products": {}})
    envelope = key.sign(payload, PAYLOAD_TYPE)
    data = canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": "ab" * 32, "sig": base64.b64encode(envelope.signature).decode()}
            ],
        }
    )
    name = name or f"{step}.abababab.link"
    (folder / name).write_bytes(data)
    return name, data


def keep(project: Path, key: Signer, statement: Statement, label: str = "07-review") -> str:
    sealed = seal(key, statement)
    number, _, name = label.partition("-")
    folder = project / ".mlbom" / "attestations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / sealed.name(int(number), name)
    path.write_bytes(sealed.bundle)
    return path.name


def test_joined_records_are_copied_unchanged_and_closed(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    project = recorded_project(tmp_path / "p", key)
    make_record(project / ".mlbom/runs/x", "train", {"w.pt": b"others"}, name="lonely", key=key)
    result = generated(project, key)
    names = attested(result)
    assert [n.rsplit("-", 1)[0] for n in names] == [
        "01-prep",
        "02-train",
        "03-weights",
        "04-bom",
        "05-eval",
        "08-release",
    ]
    original = (project / ".mlbom/runs/2-train/record.sigstore.json").read_bytes()
    copied = next(n for n in names if n.startswith("02-train"))
    assert result.files[f"attestations/{copied}"] == original
    closed = {s.name: s.sha256 for s in closing_of(result).subjects}
    assert closed[f"mlbom-out/attestations/{copied}"] == sha256_of(original)
    assert (project / "mlbom-out" / "attestations" / copied).read_bytes() == original


def test_an_unsigned_record_is_told_and_not_copied(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    result = generated(recorded_project(tmp_path / "p"), key)
    assert [n[:2] for n in attested(result)] == ["03", "04", "08"]


def test_a_name_that_no_file_can_have_is_made_one(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    project = training_project(tmp_path / "p")
    for number, name in enumerate(("../../etc/x y", "n" * 300)):
        make_record(
            project / f".mlbom/runs/{number}",
            "train",
            {"w.pt": weights_of(project)},
            name=name,
            key=key,
        )
    names = [n for n in attested(generated(project, key)) if n.startswith("02")]
    assert len(names) == 2
    assert all("/" not in name and len(name) < 120 for name in names)


def test_two_signatures_over_one_payload_are_both_copied(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    for name in ("one", "two"):
        key = record_key(tmp_path / "keys", name)
        make_record(
            project / f".mlbom/runs/{name}", "train", {"w.pt": weights_of(project)}, key=key
        )
    result = generated(project, record_key(tmp_path / "keys"))
    names = [n for n in attested(result) if n.startswith("02")]
    assert len(names) == 2
    assert len({result.files[f"attestations/{n}"] for n in names}) == 2


def test_links_of_joined_steps_are_copied(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    project = recorded_project(tmp_path / "p", key)
    name, data = put_link(project / ".mlbom/runs/2-train", key)
    put_link(project / ".mlbom/runs/2-train", key, step="another")
    result = generated(project, key)
    assert result.files[f"attestations/{name}"] == data
    assert "another.abababab.link" not in attested(result)
    assert f"mlbom-out/attestations/{name}" in {s.name for s in closing_of(result).subjects}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train.abababab.link", b"{"),
        ("train.abababab.link", b'{"signed": {"_type": "link"}, "signatures": []}'),
        ("train.abababab.link", b" " * (1024 * 1024 + 1)),
        ("train.link", b"{}"),
        ("train.abababab.evil.link", b"{}"),
    ],
)
def test_what_is_no_link_is_named_and_left_out(tmp_path: Path, name: str, data: bytes) -> None:
    key = record_key(tmp_path / "keys")
    project = recorded_project(tmp_path / "p", key)
    (project / ".mlbom/runs/2-train" / name).write_bytes(data)
    result = generated(project, key)
    assert not any(n.endswith(".link") for n in attested(result))
    assert not result.is_complete
    assert any(name in gap.subject for gap in result.graph.gaps)


@pytest.mark.parametrize(
    "where",
    [
        {"command": ("python", "t.py", "ghp_" + "a" * 36)},
        {"metrics": ({"name": "ghp_" + "a" * 36, "value": 1.0},)},
    ],
)
def test_a_secret_in_a_record_stops_the_release(tmp_path: Path, where: dict[str, Any]) -> None:
    key = record_key(tmp_path / "keys")
    project = training_project(tmp_path / "p")
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": weights_of(project)}, key=key, **where)
    with pytest.raises(SecretLeakError, match=r"\.mlbom/runs/a/record\.sigstore\.json") as caught:
        generated(project, key)
    assert "ghp_" not in caught.value.message
    assert not (project / "mlbom-out").exists()


def test_a_secret_in_an_unrelated_record_publishes_nothing_and_stops_nothing(
    tmp_path: Path,
) -> None:
    key = record_key(tmp_path / "keys")
    project = training_project(tmp_path / "p")
    secret = "ghp_" + "a" * 36
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": b"other"}, key=key, command=(secret,))
    result = generated(project, key)
    assert not any(secret.encode() in data for data in result.files.values())


def review(project: Path, **digests: str) -> Statement:
    subjects = tuple(Subject(name.replace("_", "."), value) for name, value in digests.items())
    return Statement(subjects, SVR_PREDICATE, {"verifier": {"id": "someone"}})


def test_earlier_statements_about_this_release_are_taken_along(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    project = training_project(tmp_path / "p")
    files = preview(GenerateRequest(plan=plan_for(project))).files
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    of_weights = (Subject("model/weights/final.safetensors", sha256_of(weights_of(project))),)
    wanted = {
        keep(project, key, review(project, bom=digests["bom.cdx.json"])),
        keep(
            project,
            key,
            Statement(
                (*of_weights, Subject("log", "1" * 64)), PROVENANCE_PREDICATE, {"runDetails": {}}
            ),
            "06-reproduction",
        ),
    }
    # A verdict is for those who trust its verifier: everybody else would refuse the release.
    verdict = (Subject("model", digests["model.manifest"]),)
    keep(project, key, Statement(verdict, VSA_PREDICATE, {"verifier": {}}), "09-verdict")
    # An older BOM was reviewed; an older release was closed; a failed run is no provenance.
    keep(project, key, review(project, bom="2" * 64))
    keep(project, key, review(project, bom=digests["bom.cdx.json"], card="3" * 64))
    for number, predicate in (("08-release", RELEASE_PREDICATE), ("04-bom", CYCLONEDX_PREDICATE)):
        keep(project, key, Statement(of_weights, predicate, {"purl": "pkg:generic/x@1"}), number)
    keep(project, key, run_statement(run_claim(exit_code=1), of_weights), "02-train")
    (project / ".mlbom/attestations/07-broken-00000000.sigstore.json").write_bytes(b"{")
    result = generated(project, key)
    taken = {n for n in attested(result) if n[:2] not in ("03", "04", "08")}
    assert taken == wanted
    closed = {s.name for s in closing_of(result).subjects}
    assert {f"mlbom-out/attestations/{name}" for name in wanted} <= closed
    assert sum(n.startswith("08-") for n in attested(result)) == 1


def test_a_kept_bundle_under_a_foreign_name_is_not_taken(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    project = training_project(tmp_path / "p")
    subjects = (Subject("w", sha256_of(weights_of(project))),)
    name = keep(project, key, Statement(subjects, SVR_PREDICATE, {"verifier": {}}))
    folder = project / ".mlbom" / "attestations"
    (folder / name).rename(folder / "07-review-00000000.sigstore.json")
    assert [n[:2] for n in attested(generated(project, key))] == ["03", "04", "08"]


def test_equal_records_give_equal_bytes_wherever_they_come_from(tmp_path: Path) -> None:
    key = record_key(tmp_path / "keys")
    results = []
    for where in ("a", "b/c"):
        project = recorded_project(tmp_path / where / "p", key)
        results.append(generated(project, key).files)
    assert results[0] == results[1]
