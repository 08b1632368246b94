"""A verdict as JSON and as lines; the table of rules behind it."""

import json
import re
from pathlib import Path

import pytest

from mlbom.status import ExitStatus
from mlbom.verify.report import SCHEMA, lines, verdict_document
from mlbom.verify.rules import RULE_BY_ID, RULES
from mlbom.verify.verdict import Edge, EdgeStatus, Ledger, Problem, Verdict
from tests.fixtures.tiny_release import TinyRelease, new_signer


def test_a_good_verdict_as_json_and_as_lines(tmp_path: Path) -> None:
    verdict = TinyRelease(tmp_path / "p", new_signer(tmp_path)).build().verify()
    document = json.loads(json.dumps(verdict_document(verdict)))
    assert document["schema"] == SCHEMA == "urn:mlbom:verdict:1"
    assert (document["verdict"], document["exitStatus"]) == ("trusted", 0)
    assert document["release"]["purl"] == "pkg:generic/tiny@1.0.0"
    assert {edge["status"] for edge in document["edges"]} == {"held", "not-checked"}
    told = list(lines(verdict))
    assert told[-1] == "verdict: trusted"
    assert any("training: not attested" in line for line in told)
    held = [line for line in told if line.startswith("held ")]
    edges = [edge for edge in verdict.edges if edge.status is EdgeStatus.HELD]
    assert len(edges) == 10
    assert all(any(edge.name in line for line in held) for edge in edges)


def test_a_bad_verdict_names_its_problems(tmp_path: Path) -> None:
    release = TinyRelease(tmp_path / "p", new_signer(tmp_path)).build()
    (release.root / "config.json").write_bytes(b"{}")
    verdict = release.verify()
    document = verdict_document(verdict)
    assert (document["verdict"], document["exitStatus"]) == ("untrusted", 3)
    (problem,) = document["problems"]
    assert (problem["rule"], problem["path"]) == ("digest-mismatch", "config.json")
    told = "\n".join(lines(verdict))
    assert "problem digest-mismatch: config.json was changed" in told
    assert "FAILED  model.manifest -> model files\n        config.json was changed" in told


def test_remarks_do_not_change_the_verdict() -> None:
    remark = Problem("not-bound", "README.md is not bound")
    verdict = Verdict(edges=(), problems=(remark,), skipped=(".git",))
    assert verdict.status is ExitStatus.DONE
    assert "remark not-bound: README.md is not bound" in list(lines(verdict))
    assert any(line.endswith(": .git") for line in lines(verdict))


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ((), ExitStatus.DONE),
        (("not-bound",), ExitStatus.DONE),
        (("unreadable", "not-bound"), ExitStatus.INCOMPLETE),
        (("unreadable", "file-extra"), ExitStatus.UNTRUSTED),
    ],
)
def test_the_worst_problem_decides(rules: tuple[str, ...], status: ExitStatus) -> None:
    problems = tuple(Problem(rule, "x") for rule in rules)
    assert Verdict(edges=(), problems=problems).status is status


def test_a_failed_edge_alone_is_untrusted() -> None:
    edge = Edge("a -> b", EdgeStatus.FAILED, "x", "y")
    assert Verdict(edges=(edge,), problems=()).status is ExitStatus.UNTRUSTED


def test_an_edge_is_judged_by_what_was_found_since() -> None:
    ledger = Ledger()
    ledger.problem("file-extra", "before")
    assert ledger.judge("a", "x", 1, "fine")
    ledger.problem("not-bound", "remark")
    assert ledger.judge("b", "x", 1, "fine")
    ledger.problem("unreadable", "no")
    assert not ledger.judge("c", "x", 1, "fine")
    ledger.problem("file-extra", "one")
    ledger.problem("file-extra", "two")
    assert not ledger.judge("d", "x", 1, "fine")
    assert [(e.status.value, e.why) for e in ledger.edges] == [
        ("held", "fine"),
        ("held", "fine"),
        ("not-checked", "no"),
        ("failed", "one, and 1 more"),
    ]


def test_rules_are_named_once_and_explained() -> None:
    assert len(RULE_BY_ID) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
        assert len(rule.title) > 10
        assert len(rule.text) > 80
        assert rule.text.endswith(".")


def test_every_rule_that_the_code_names_exists_and_every_rule_is_used() -> None:
    folder = Path(__file__).parents[3] / "mlbom"
    files = [*(folder / "verify").rglob("*.py"), folder / "pipeline" / "verify.py"]
    code = "".join(p.read_text() for p in files if p.parent.name != "rules")
    used = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', code))
    assert {rule.id for rule in RULES} <= used


def test_an_unknown_rule_is_a_defect() -> None:
    with pytest.raises(ValueError, match="made-up"):
        Problem("made-up", "x")
