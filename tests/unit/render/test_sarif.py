"""Findings as SARIF: shape, order, and names that are no URIs."""

import json

import pytest

from mlbom.render.sarif import Level, SarifResult, SarifRule, sarif_bytes

RULES = [SarifRule("file-extra", "a file", "A paragraph."), SarifRule("not-bound", "b", "B.")]


def test_a_result_points_to_its_rule_and_file() -> None:
    results = [SarifResult("not-bound", Level.NOTE, "x is not bound", "img/é 1%.svg")]
    log = json.loads(sarif_bytes("1.2.3", RULES, results))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("mlbom", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["file-extra", "not-bound"]
    (result,) = run["results"]
    assert result["ruleId"] == "not-bound"
    assert driver["rules"][result["ruleIndex"]]["id"] == "not-bound"
    assert result["level"] == "note"
    (location,) = result["locations"]
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "img/%C3%A9%201%25.svg"


def test_plain_tuples_do_and_a_path_may_be_missing() -> None:
    log = json.loads(sarif_bytes("1", RULES, [SarifResult(*("file-extra", "error", "m", ""))]))
    (result,) = log["runs"][0]["results"]
    assert "locations" not in result


def test_no_results_is_a_log_too() -> None:
    data = sarif_bytes("1", RULES, [])
    assert json.loads(data)["runs"][0]["results"] == []
    assert data == sarif_bytes("1", RULES, [])
    assert data.endswith(b"\n")


@pytest.mark.parametrize(("rule", "level"), [("made-up", "note"), ("not-bound", "fatal")])
def test_unknown_rules_and_levels_are_refused(rule: str, level: str) -> None:
    with pytest.raises(ValueError, match=rule if level == "note" else level):
        sarif_bytes("1", RULES, [SarifResult(rule, level, "m", "")])
