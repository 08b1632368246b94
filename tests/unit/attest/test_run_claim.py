"""Records of steps: what is claimed survives its statement, and no other form is taken for one."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlbom.attest.moment import parse_timestamp, timestamp
from mlbom.attest.resource import Resource, parse_resource
from mlbom.attest.run_claim import (
    RunClaim,
    StepKind,
    is_run,
    parse_run,
    run_statement,
)
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import PROVENANCE_PREDICATE, TEST_RESULT_PREDICATE
from mlbom.errors import MalformedError

OUT = Subject("weights/model.bin", "a" * 64)
CLAIM = RunClaim(
    name="train",
    kind=StepKind.TRAIN,
    command=("python", "train.py", "--lr", "0.1"),
    folder=".",
    invocation="20260101T000000Z-train-0000abcd",
    started=1_800_000_000,
    finished=1_800_000_060,
    exit_code=0,
    signal=None,
    tool_version="1.0",
    materials=(
        Resource(name="source", digests={"gitCommit": "b" * 40}, annotations={"mlbom_dirty": True}),
        Resource(digests={"sha256": "c" * 64}),
        Resource(name="torch", uri="pkg:pypi/torch@2.13.0"),
    ),
    byproducts=(Resource(name="environment.json", digests={"sha256": "d" * 64}, content=b"{}"),),
    parameters={"seeds": {"torch": "7"}, "accelerators": {"H200": 2}},
    usage={"wallSeconds": 60.5, "energyJoules": {"gpu:0": 12.25}},
    observers=("audit hook",),
    unseen=("one Python wrote no trace",),
    metrics=({"name": "loss", "value": 0.25, "step": 10},),
)


def _parsed(claim: RunClaim) -> Statement:
    """Return the statement as a reader of its bytes gets it."""
    return parse_statement(json.loads(run_statement(claim, [OUT]).payload()))


@pytest.mark.parametrize("kind", list(StepKind))
def test_a_claim_survives_its_statement(kind: StepKind) -> None:
    claim = replace(CLAIM, kind=kind)
    assert parse_run(_parsed(claim)) == claim


def test_a_killed_step_is_no_success() -> None:
    claim = replace(CLAIM, exit_code=None, signal=9)
    told = parse_run(_parsed(claim))
    assert (told.succeeded, told.signal, told.exit_code) == (False, 9, None)


def test_an_evaluation_is_a_test_result() -> None:
    """in-toto test-result v0.1: result PASSED or FAILED, configuration a list of resources."""
    statement = run_statement(replace(CLAIM, kind=StepKind.EVAL, exit_code=1), [OUT])
    assert statement.predicate_type == TEST_RESULT_PREDICATE
    assert statement.predicate["result"] == "FAILED"
    assert statement.predicate["configuration"][0]["digest"] == {"gitCommit": "b" * 40}
    assert "resolvedDependencies" not in statement.predicate["mlbom_run"]["buildDefinition"]


def test_the_environment_travels_in_the_record() -> None:
    assert parse_run(_parsed(CLAIM)).environment == b"{}"
    assert replace(CLAIM, byproducts=()).environment is None


def _set(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(predicate: dict[str, Any]) -> None:
        place: Any = predicate
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("buildDefinition", value=None),
        _set("buildDefinition", "buildType", value="https://example.org/other"),
        _set("buildDefinition", "buildType", value="urn:mlbom:buildtypes/eval/v1"),
        _set("buildDefinition", "externalParameters", "command", value="rm"),
        _set("buildDefinition", "externalParameters", "command", value=["python", 3]),
        _set("buildDefinition", "resolvedDependencies", value={}),
        _set("buildDefinition", "resolvedDependencies", 0, "digest", value={"sha256": 5}),
        _set("buildDefinition", "resolvedDependencies", 0, value={}),
        _set("buildDefinition", "resolvedDependencies", 0, "surprise", value=1),
        _set("runDetails", "metadata", "startedOn", value="yesterday"),
        _set("runDetails", "metadata", "startedOn", value="2026-01-01T00:00:00"),
        _set("runDetails", "metadata", "mlbom_outcome", value={"exitCode": True}),
        _set("runDetails", "metadata", "mlbom_outcome", value={"exitCode": "0"}),
        _set("runDetails", "metadata", "mlbom_metrics", value=[1]),
        _set("runDetails", "byproducts", 0, "content", value="not base64!"),
        _set("runDetails", "builder", value={}),
    ],
)
def test_another_form_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(run_statement(CLAIM, [OUT]).payload())
    change(document["predicate"])
    statement = parse_statement(document)
    with pytest.raises(MalformedError):
        parse_run(statement)
    assert not is_run(statement)


def test_other_predicates_are_no_records() -> None:
    assert not is_run(Statement((OUT,), "https://cyclonedx.org/bom", {}))
    assert not is_run(Statement((OUT,), PROVENANCE_PREDICATE, {"buildDefinition": {}}))


def test_times_are_seconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert parse_timestamp("2026-01-01T01:00:00.75+01:00") == parse_timestamp(
        "2026-01-01T00:00:00Z"
    )


def test_a_resource_survives_its_document() -> None:
    whole = Resource(
        name="a",
        uri="pkg:x/y",
        digests={"sha256": "a" * 64},
        media_type="text/plain",
        content=b"x",
        annotations={"n": 1},
    )
    assert parse_resource(json.loads(json.dumps(whole.document()))) == whole
    assert whole.sha256 == "a" * 64
    assert Resource(uri="pkg:x/y").sha256 == ""
