"""What a reproduction states: two predicates of one claim, each in one form."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlbom.attest.ladder import LEVELS, reaches, reproduced_level
from mlbom.attest.reproduction_claim import (
    FIELD,
    MOST_DETAILS,
    ReproductionClaim,
    reproduction_statements,
)
from mlbom.attest.reproduction_reading import (
    check_details,
    is_reproduction,
    parse_reproduction,
)
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import FAILED, PASSED, SVR_PREDICATE, TEST_RESULT_PREDICATE, WARNED
from mlbom.errors import MalformedError
from tests.fixtures.reproductions import COMMIT, ORIGINAL, details_of, reproduction_claim

WEIGHTS = {"b/model.safetensors": b"b", "a/model.safetensors": b"a"}
DIGEST = "cd" * 32


def claim(**changes: Any) -> ReproductionClaim:
    return reproduction_claim(WEIGHTS, **changes)


def read_back(statement: Statement) -> Statement:
    return parse_statement(json.loads(statement.payload()))


def test_both_statements_hold_the_whole_claim() -> None:
    told = claim(
        level="exact-trace",
        rebuilds=("1b" * 32, "0b" * 32),
        thresholds={"relL2": 1e-05, "model": "fp32"},
        reasons=("every step is equal",),
        limits=("the data loader's workers were not seen",),
        closing=DIGEST,
        control=None,
    )
    summary, result = reproduction_statements(told)
    assert summary is not None
    assert [s.name for s in result.subjects] == sorted(WEIGHTS)
    found = parse_reproduction(read_back(result))
    assert found == replace(told, rebuilds=("0b" * 32, "1b" * 32))
    assert parse_reproduction(read_back(summary)) == replace(found, details=None)
    assert all(is_reproduction(statement) for statement in (summary, result))


def test_the_summary_states_the_level_reached_and_no_other() -> None:
    summary, _ = reproduction_statements(claim(level="exact-trace", required="metric"))
    assert summary is not None
    assert summary.predicate_type == SVR_PREDICATE
    predicate = summary.predicate
    assert predicate["properties"] == [
        "urn:mlbom:reproduced:exact-trace",
        "urn:mlbom:reproduction:mode:as-is",
        "urn:mlbom:reproduction:runs:2",
        "urn:mlbom:reproduction:builder:other-machine",
        f"urn:mlbom:reproduction:original:{ORIGINAL}",
        "urn:mlbom:reproduction:network:isolated",
        "urn:mlbom:reproduction:control:detected",
    ]
    assert predicate["verifier"]["id"] == "urn:mlbom:reproduce"
    assert predicate["verifier"]["policies"] == [{"uri": "urn:mlbom:reproduction-ladder/v1"}]
    assert predicate["timeCreated"].endswith("Z")
    assert reproduced_level(summary) == "exact-trace"


def test_the_result_names_record_commit_details_and_runs() -> None:
    told = claim(rebuilds=(DIGEST,))
    _, result = reproduction_statements(told)
    assert result.predicate_type == TEST_RESULT_PREDICATE
    listed = {item["name"]: item for item in result.predicate["configuration"]}
    assert listed["record"]["digest"] == {"sha256": ORIGINAL}
    assert listed["source"]["digest"] == {"gitCommit": COMMIT}
    assert listed["rebuild"]["digest"] == {"sha256": DIGEST}
    assert listed["reproduction.json"]["digest"] == {"sha256": told.details_sha256}
    assert listed["reproduction.json"]["mediaType"] == "application/json"


@pytest.mark.parametrize(
    ("changes", "result", "level"),
    [
        ({"level": "exact-trace"}, PASSED, "exact-trace"),
        ({"level": "exact-weights"}, PASSED, "exact-weights"),
        ({"level": "tolerance"}, FAILED, "tolerance"),
        ({"level": "metric", "required": "metric"}, PASSED, "metric"),
        ({"level": "diverged"}, FAILED, ""),
        ({"level": "inconclusive"}, WARNED, ""),
        ({"level": "exact-trace", "stopped_after": 10}, WARNED, ""),
        ({"level": "diverged", "stopped_after": 10}, FAILED, ""),
        ({"level": "exact-trace", "control": False}, WARNED, ""),
    ],
)
def test_what_cannot_be_told_is_never_passed(
    changes: dict[str, Any], result: str, level: str
) -> None:
    told = claim(**changes)
    summary, tested = reproduction_statements(told)
    assert tested.predicate["result"] == told.result == result
    assert told.reproduced == level
    assert (summary is None) == (not level)
    assert told.is_met == (result == PASSED)
    assert parse_reproduction(read_back(tested)) == told


def test_without_an_original_the_statement_says_so() -> None:
    told = claim(original="")
    summary, result = reproduction_statements(told)
    assert summary is not None
    assert "urn:mlbom:reproduction:original:none" in summary.predicate["properties"]
    assert result.predicate[FIELD]["original"] == "none"
    assert "record" not in {item["name"] for item in result.predicate["configuration"]}
    assert parse_reproduction(read_back(result)) == told


def test_large_details_are_stated_by_digest_alone() -> None:
    told = claim(details=b" " * (MOST_DETAILS + 1))
    _, result = reproduction_statements(told)
    assert parse_reproduction(read_back(result)) == replace(told, details=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {}},
        {"weights": {"m": "AB" * 32}},
        {"level": "exact"},
        {"level": ""},
        {"required": "diverged"},
        {"mode": "fast"},
        {"builder": "my-machine"},
        {"runs": -1},
        {"runs": 0},
        {"runs": 1, "original": ""},
        {"original": "none"},
        {"commit": "main"},
        {"rebuilds": ("x",)},
        {"rebuilds": (DIGEST, DIGEST)},
        {"closing": "x"},
        {"details_sha256": "x"},
        {"details_sha256": DIGEST},
        {"details": None, "details_sha256": "x"},
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        reproduction_statements(replace(claim(), **changes))


Change = Callable[[dict[str, Any]], object]
ADDED = "urn:mlbom:reproduced:exact-trace"


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["properties"].append(ADDED),
        lambda p: p["properties"].__setitem__(0, ADDED),
        lambda p: p["properties"].append("urn:mlbom:reproduction:control:detected"),
        lambda p: p["properties"].remove("urn:mlbom:reproduction:runs:2"),
        lambda p: p[FIELD].update(level="exact-trace"),
        lambda p: p[FIELD].update(runs=True),
        lambda p: p[FIELD].update(runs="2"),
        lambda p: p[FIELD].update(reasons=[1]),
        lambda p: p[FIELD].update(rebuilds=["ff" * 32, "00" * 32]),
        lambda p: p[FIELD].update(finishedOn="yesterday"),
        lambda p: p[FIELD].update(finishedOn="2026-01-01T00:00:00+01:00"),
        lambda p: p[FIELD].update(surprise=1),
        lambda p: p[FIELD].pop("limits"),
        lambda p: p[FIELD].update(stoppedAfter=5),
        lambda p: p.update({FIELD: []}),
        lambda p: p.update(timeCreated="2026-01-01T00:00:00Z"),
        lambda p: p["verifier"].update(id="urn:other"),
    ],
)
def test_a_summary_in_another_form_is_refused(change: Change) -> None:
    summary, _ = reproduction_statements(claim())
    assert summary is not None
    document = json.loads(summary.payload())
    change(document["predicate"])
    with pytest.raises(MalformedError):
        parse_reproduction(parse_statement(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(result="PASSED"),
        lambda p: p["configuration"].clear(),
        lambda p: p["configuration"].reverse(),
        lambda p: p.update(configuration={}),
        lambda p: p["configuration"][0].update(content="e30="),
        lambda p: p["configuration"][0]["digest"].update(sha256="00" * 32),
        lambda p: p.update(mlbom_run={}),
        lambda p: p[FIELD].update(details="00" * 32),
        lambda p: p[FIELD].update(original="none"),
    ],
)
def test_a_result_in_another_form_is_refused(change: Change) -> None:
    _, result = reproduction_statements(claim(level="diverged"))
    document = json.loads(result.payload())
    change(document["predicate"])
    with pytest.raises(MalformedError):
        parse_reproduction(parse_statement(document))


def test_another_statement_is_no_reproduction() -> None:
    other = Statement((Subject("m", DIGEST),), TEST_RESULT_PREDICATE, {"result": "PASSED"})
    assert not is_reproduction(other)
    with pytest.raises(MalformedError):
        parse_reproduction(other)


@pytest.mark.parametrize(
    ("properties", "level"),
    [(["GOOD", 1], ""), (["urn:mlbom:reproduced:metric", "x"], "metric"), ("x", "")],
)
def test_anybody_may_state_a_level(properties: Any, level: str) -> None:
    stated = Statement((Subject("m", DIGEST),), SVR_PREDICATE, {"properties": properties})
    assert reproduced_level(stated) == level


@pytest.mark.parametrize(
    "levels", [("perfect",), ("",), ("metric", "metric"), LEVELS, ("diverged",)]
)
def test_a_level_that_does_not_exist_is_refused(levels: tuple[str, ...]) -> None:
    properties = [f"urn:mlbom:reproduced:{level}" for level in levels]
    stated = Statement((Subject("m", DIGEST),), SVR_PREDICATE, {"properties": properties})
    with pytest.raises(MalformedError):
        reproduced_level(stated)


def test_a_stricter_level_implies_the_weaker_ones() -> None:
    for place, level in enumerate(LEVELS):
        assert [reaches(level, wanted) for wanted in LEVELS] == [
            place <= other for other in range(len(LEVELS))
        ]
    assert not reaches("", "metric")
    assert not reaches("diverged", "metric")


@pytest.mark.parametrize(
    ("document", "fits"),
    [
        (details_of("exact-weights", "exact-weights"), True),
        (details_of("exact-trace", "exact-weights"), False),
        (details_of("exact-weights", "metric"), False),
        (details_of("exact-weights", "exact-weights", ""), False),
        (details_of("exact-weights", "exact-weights", DIGEST), False),
        (details_of("exact-weights", "exact-weights", schema="urn:other"), False),
        (b"[]", False),
        (b'{"verdict": []}', False),
    ],
)
def test_details_are_those_of_the_claim(document: bytes, *, fits: bool) -> None:
    if fits:
        check_details(claim(), json.loads(document))
        return
    with pytest.raises(MalformedError):
        check_details(claim(), json.loads(document))
