"""The three statements of a release: subjects, predicates, order, refusals."""

import json
import random
from dataclasses import replace

import pytest

from mlbom.attest.oms import parse_oms
from mlbom.attest.statement import Statement
from mlbom.attest.subjects import split_subjects
from mlbom.errors import FileNameError, MalformedError
from mlbom.render.statements import (
    HashedFile,
    SignedModel,
    bom_statement,
    closing_statement,
    weights_statement,
)

A, B, C = "a" * 64, "b" * 64, "c" * 64
MODEL = SignedModel(
    name="org/tiny",
    is_directory=True,
    files=(
        HashedFile(path="config.json", sha256=A),
        HashedFile(path="model.safetensors", sha256=B, sha512=A + B),
    ),
    weights=("model.safetensors",),
    manifest=HashedFile(path="model.manifest", sha256=C),
    ignored=(".git", "sub/__pycache__"),
)
OUTPUTS = [HashedFile(path=f"{name}.json", sha256=A) for name in "dcba"]


def names(statement: Statement) -> list[str]:
    return [subject.name for subject in statement.subjects]


def test_the_weights_statement_lists_every_file() -> None:
    signed = parse_oms(weights_statement(MODEL))
    assert signed.name == "org/tiny"
    assert dict(signed.files) == {"config.json": A, "model.safetensors": B}
    assert signed.ignored == (".git", "sub/__pycache__")


def test_a_model_directory_is_named_by_its_manifest_and_its_weights() -> None:
    statement = bom_statement(MODEL, b'{"bomFormat": "CycloneDX", "version": 1}')
    assert statement.predicate_type == "https://cyclonedx.org/bom"
    assert statement.predicate == {"bomFormat": "CycloneDX", "version": 1}
    assert names(statement) == ["model", "model/model.safetensors"]
    assert statement.subjects[0].sha256 == C
    assert statement.subjects[1].sha512 == A + B


def test_a_model_of_files_is_named_file_by_file() -> None:
    statement = bom_statement(replace(MODEL, is_directory=False), b"{}")
    assert names(statement) == ["model/config.json", "model/model.safetensors"]


def test_the_closing_statement_names_model_and_outputs() -> None:
    statement = closing_statement(MODEL, "pkg:generic/tiny@0%2Bcccccccccccc", OUTPUTS)
    assert statement.predicate_type == "https://in-toto.io/attestation/release/v0.1"
    assert statement.predicate == {"purl": "pkg:generic/tiny@0%2Bcccccccccccc"}
    found = split_subjects(statement)
    assert found.directory
    assert list(found.outputs) == ["a.json", "b.json", "c.json", "d.json"]


def test_equal_values_give_equal_bytes_in_any_order() -> None:
    shuffled = list(OUTPUTS)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - no secret
    turned = replace(MODEL, files=MODEL.files[::-1], ignored=MODEL.ignored[::-1])
    purl = "pkg:generic/tiny@1"
    one = closing_statement(MODEL, purl, OUTPUTS).payload()
    assert closing_statement(turned, purl, shuffled).payload() == one
    assert weights_statement(turned).payload() == weights_statement(MODEL).payload()
    assert bom_statement(turned, b"{}").payload() == bom_statement(MODEL, b"{}").payload()


@pytest.mark.parametrize("purl", ["", "pkg:generic/tiny", "generic/tiny@1"])
def test_a_release_has_a_version(purl: str) -> None:
    with pytest.raises(MalformedError, match="names a version"):
        closing_statement(MODEL, purl, OUTPUTS)


def test_an_output_twice_is_refused() -> None:
    with pytest.raises(MalformedError, match="twice"):
        closing_statement(MODEL, "pkg:generic/tiny@1", [*OUTPUTS, OUTPUTS[0]])


@pytest.mark.parametrize("bom", [b"[]", b"", b'{"a": 1, "a": 2}', b'{"n": 9007199254740993}'])
def test_a_bom_that_is_no_strict_json_object_is_refused(bom: bytes) -> None:
    with pytest.raises(MalformedError):
        bom_statement(MODEL, bom)


def test_a_file_whose_name_cannot_be_signed_is_named() -> None:
    odd = replace(MODEL, files=(HashedFile(path="a\nb", sha256=A),), weights=("a\nb",))
    for make in (weights_statement, lambda model: bom_statement(model, b"{}")):
        with pytest.raises(FileNameError, match="control character"):
            make(odd)


def test_the_bom_is_carried_as_it_is() -> None:
    bom = {"n": 42, "x": 1.5, "text": "é\u2028", "list": [None, True]}
    payload = bom_statement(MODEL, json.dumps(bom).encode()).payload()
    assert json.loads(payload)["predicate"] == bom
    assert b'"n":42,' in payload
