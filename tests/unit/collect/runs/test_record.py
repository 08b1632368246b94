"""A record is read strictly: a file that is none is named, and never half understood."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.resource import Resource
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE
from mlbom.collect.runs import known_products
from mlbom.collect.runs.record import Record, read_record
from mlbom.digest.manifest import manifest_bytes
from mlbom.errors import MalformedError, UnreadableError
from tests.fixtures.records import (
    file_resource,
    make_record,
    record_key,
    record_statement,
    run_claim,
    sha256_of,
    write_payload,
    write_record,
)


def read(path: Path) -> Record:
    record = read_record(path, path.name, expected=True)
    assert record
    return record


def test_a_signed_record_tells_who_signed_it(tmp_path: Path) -> None:
    key = record_key(tmp_path)
    path = make_record(tmp_path / "r", "train", {"w.bin": b"x"}, {"a.csv": b"a"}, key=key)
    record = read(path)
    assert record.signer == key.public_key.hint
    assert record.claim.name == "train"
    assert record.id == f"run:{hashlib.sha256(record.payload).hexdigest()[:16]}"
    assert dict(record.subjects()) == {"w.bin": sha256_of(b"x")}
    assert dict(record.inputs()) == {"a.csv": sha256_of(b"a")}


def test_a_bare_statement_is_signed_by_nobody(tmp_path: Path) -> None:
    path = make_record(tmp_path / "r", "data", {"o.bin": b"x"})
    assert path.name == "record.intoto.json"
    assert read(path).signer == ""


def test_the_members_of_a_manifest_of_many_outputs_are_products(tmp_path: Path) -> None:
    manifest = manifest_bytes([("a.bin", sha256_of(b"a")), (f"sha256/{'0' * 64}", "0" * 64)])
    path = make_record(
        tmp_path / "r",
        "train",
        {"outputs.manifest": manifest},
        byproducts=(
            Resource(
                name="outputs.manifest", digests={"sha256": sha256_of(manifest)}, content=manifest
            ),
        ),
    )
    assert set(read(path).subjects()) == {("a.bin", sha256_of(b"a")), ("", "0" * 64)}
    assert set(read(path).named_products()) == {("a.bin", sha256_of(b"a"))}


def test_a_manifest_that_is_no_subject_adds_nothing(tmp_path: Path) -> None:
    manifest = manifest_bytes([("a.bin", sha256_of(b"a"))])
    resource = Resource(
        name="outputs.manifest", digests={"sha256": sha256_of(manifest)}, content=manifest
    )
    path = make_record(tmp_path / "r", "train", {"w.bin": b"x"}, byproducts=(resource,))
    assert dict(read(path).subjects()) == {"w.bin": sha256_of(b"x")}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"byproducts": (Resource(name="e", digests={"sha256": "0" * 64}, content=b"x"),)},
            "digest",
        ),
        ({"materials": (Resource(name="m", digests={"sha256": "0x" * 32}),)}, "sha256"),
        ({"materials": (Resource(name="m", digests={"gitCommit": "main"}),)}, "gitCommit"),
        ({"parameters": {"seeds": ["a"]}}, "seeds"),
        ({"parameters": {"seeds": {"a": {}}}}, "seeds"),
        ({"usage": {"energyJoules": {"gpu:0": "much"}}}, "energyJoules"),
        ({"usage": {"energyJoules": {"gpu:0": -1}}}, "energyJoules"),
        ({"started": 100, "finished": 99}, "before it began"),
        (
            {
                "materials": (
                    Resource(
                        name="inputs.manifest",
                        digests={"sha256": sha256_of(b"no manifest\n")},
                        content=b"no manifest\n",
                    ),
                )
            },
            "sha256sum line",
        ),
    ],
)
def test_what_is_in_another_form_than_it_says_is_malformed(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = make_record(tmp_path / "r", "train", {"w.bin": b"x"}, **changes)
    with pytest.raises(MalformedError, match=told) as caught:
        read(path)
    assert "record.intoto.json" in caught.value.message


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"mediaType": 1}', b'{"_type": "x"}', b'{"a": 1, "a": 2}', b"\xff\xfe"],
)
def test_bytes_that_are_no_record_are_malformed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "record.sigstore.json"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"record\.sigstore\.json"):
        read(path)


def test_a_payload_with_a_huge_integer_is_refused(tmp_path: Path) -> None:
    key = record_key(tmp_path)
    statement = record_statement({"w.bin": b"x"}, {}, run_claim())
    document = json.loads(statement.payload())
    document["predicate"]["runDetails"]["metadata"]["mlbom_usage"] = {"wallSeconds": 2**60}
    path = write_payload(tmp_path / "r", json.dumps(document).encode(), key)
    with pytest.raises(MalformedError, match=r"2\^53"):
        read(path)


def test_another_kind_of_statement_is_passed_over_unless_a_record_was_expected(
    tmp_path: Path,
) -> None:
    statement = Statement((Subject("w.bin", "0" * 64),), SVR_PREDICATE, {"verifier": {"id": "x"}})
    path = write_record(tmp_path / "r", statement, record_key(tmp_path))
    assert read_record(path, "p", expected=False) is None
    with pytest.raises(MalformedError, match="recorded step"):
        read_record(path, "p", expected=True)


def test_a_link_to_a_record_is_not_followed(tmp_path: Path) -> None:
    path = make_record(tmp_path / "r", "train", {"w.bin": b"x"})
    link = tmp_path / "record.intoto.json"
    link.symlink_to(path)
    with pytest.raises(UnreadableError):
        read(link)


def test_known_products_are_those_of_steps_that_succeeded(tmp_path: Path) -> None:
    runs = tmp_path / ".mlbom" / "runs"
    make_record(runs / "a", "data", {"o.bin": b"1"})
    make_record(runs / "b", "data", {"o.bin": b"2"}, invocation="x")
    make_record(runs / "c", "data", {"o.bin": b"3"}, exit_code=1)
    make_record(runs / "d", "eval", {"w.bin": b"4"}, [file_resource("x", b"5")])
    (runs / "e").mkdir()
    (runs / "e" / "record.sigstore.json").write_bytes(b"{")
    assert known_products(runs) == {"o.bin": {sha256_of(b"1"), sha256_of(b"2")}}
    assert known_products(tmp_path / "nowhere") == {}
