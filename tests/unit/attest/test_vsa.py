"""The verification summary: what SLSA demands of it, and nothing unknown stated."""

from dataclasses import replace

import pytest

from mlbom.attest.statement import parse_statement
from mlbom.attest.vsa import Summary, summary_statement
from mlbom.errors import MalformedError
from mlbom.formats.strict_json import parse_json

SUMMARY = Summary(
    purl="pkg:generic/tiny@1.0",
    manifest="1" * 64,
    passed=True,
    verified_at=1_700_000_000,
    policy_uri="policy.yaml",
    policy_sha256="2" * 64,
    inputs={"b": "3" * 64, "a": "4" * 64},
    recorded=True,
    tool_version="0.0.0",
)


def test_a_summary_has_the_form_of_the_specification() -> None:
    statement = parse_statement(parse_json(summary_statement(SUMMARY).payload(), "it"))
    assert statement.predicate_type == "https://slsa.dev/verification_summary/v1"
    assert statement.predicate == {
        "verifier": {"id": "urn:mlbom:verify", "version": {"mlbom": "0.0.0"}},
        "timeVerified": "2023-11-14T22:13:20Z",
        "resourceUri": "pkg:generic/tiny@1.0",
        "policy": {"uri": "policy.yaml", "digest": {"sha256": "2" * 64}},
        "inputAttestations": [
            {"uri": "a", "digest": {"sha256": "4" * 64}},
            {"uri": "b", "digest": {"sha256": "3" * 64}},
        ],
        "verificationResult": "PASSED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_1"],
        "slsaVersion": "1.1",
    }


def test_levels_say_no_more_than_was_seen() -> None:
    for passed, recorded, level in (
        (True, False, "SLSA_BUILD_LEVEL_0"),
        (False, True, "FAILED"),
        (False, False, "FAILED"),
    ):
        statement = summary_statement(replace(SUMMARY, passed=passed, recorded=recorded))
        assert statement.predicate["verifiedLevels"] == [level]


def test_a_summary_of_nothing_is_refused() -> None:
    for broken in (replace(SUMMARY, purl=""), replace(SUMMARY, manifest="x")):
        with pytest.raises(MalformedError):
            summary_statement(broken)
