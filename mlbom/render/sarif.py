"""Findings as SARIF 2.1.0, the format that code hosts and editors show beside the files.

Source: OASIS SARIF Version 2.1.0 sections 3.14, 3.27, 3.49. Equal input gives equal bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from mlbom.evidence.canonical import canonical_json

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Level(StrEnum):
    """How bad a result is (SARIF section 3.27.10)."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class SarifRule(NamedTuple):
    """A rule: its id, one line, one paragraph."""

    id: str
    title: str
    text: str


class SarifResult(NamedTuple):
    """A result: the rule's id, how bad, what, and the file (relative POSIX path, or empty)."""

    rule: str
    level: str
    message: str
    path: str


def sarif_bytes(
    tool_version: str,
    rules: Sequence[SarifRule],
    results: Iterable[SarifResult],
    properties: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one SARIF log with one run.

    Args:
        tool_version: version of mlbom.
        rules: every rule that a result names; others are allowed.
        results: in the order to be shown.
        properties: further facts about the run (section 3.8), JSON values.

    Raises:
        ValueError: a result names an unknown rule or level.
    """
    index = {rule.id: number for number, rule in enumerate(rules)}
    driver = {
        "name": "mlbom",
        "version": tool_version,
        "rules": [_rule(rule) for rule in rules],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(result, index) for result in results],
    }
    if properties:
        run["properties"] = dict(properties)
    return canonical_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + b"\n"


def _rule(rule: SarifRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.text},
        "help": {"text": rule.text},
    }


def _result(result: SarifResult, index: dict[str, int]) -> dict[str, Any]:
    if result.rule not in index:
        message = f"the result names the unknown rule {result.rule!r}"
        raise ValueError(message)
    told: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": index[result.rule],
        "level": Level(result.level).value,
        "message": {"text": result.message},
    }
    if result.path:
        location = {"artifactLocation": {"uri": quote(result.path)}}
        told["locations"] = [{"physicalLocation": location}]
    return told
