"""The record of a training that ran again tells whose reproduction it is."""

import json

import pytest

from mlbom.attest.reproduction_record import as_rebuild, is_rebuild
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import parse_run
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import PROVENANCE_PREDICATE
from tests.fixtures.records import record_statement, run_claim

DETAILS = "cd" * 32


@pytest.mark.parametrize("kind", ["train", "eval", "other", "data"])
def test_a_record_of_any_kind_can_say_so(kind: str) -> None:
    log = Resource(name="logs/stdout.log", digests={"sha256": "ab" * 32})
    plain = run_claim(kind, byproducts=(log,))
    marked = record_statement({"m": b"m"}, {}, as_rebuild(plain, DETAILS))
    read = parse_statement(json.loads(marked.payload()))
    assert is_rebuild(read)
    assert not is_rebuild(record_statement({"m": b"m"}, {}, plain))
    first, details = parse_run(read).byproducts
    assert first == log
    assert (details.name, details.sha256) == ("reproduction.json", DETAILS)
    assert details.annotations == {"mlbom_reproduction": "urn:mlbom:reproduction/1"}


def test_a_file_of_that_name_says_nothing() -> None:
    """An evaluation writes what it likes, and its products are byproducts of its record."""
    wrote = Resource(name="reproduction.json", digests={"sha256": DETAILS})
    assert not is_rebuild(record_statement({"m": b"m"}, {}, run_claim("eval", byproducts=(wrote,))))


def test_provenance_of_another_builder_says_nothing() -> None:
    listed = [{"name": "x", "annotations": {"mlbom_reproduction": "y"}}]
    told = {"buildDefinition": {"buildType": "https://ci"}, "runDetails": {"byproducts": listed}}
    assert not is_rebuild(Statement((Subject("m", DETAILS),), PROVENANCE_PREDICATE, told))
