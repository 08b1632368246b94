"""Attacks with statements of training again: by who may not, about what is not, or contradictory."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.reproduction_claim import FIELD, ReproductionClaim, reproduction_statements
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE
from mlbom.evidence.canonical import canonical_json
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy, Quality, StepRule
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import WEIGHTS, Chain, new_people, sha256_of
from tests.fixtures.reproductions import (
    details_of,
    payload_of,
    rebuild_statement,
    reproduce,
    reproduction_claim,
)

EXACT = Quality(reproduction="exact-weights")
TWO = replace(EXACT, reproduction_threshold=2)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    return Chain(tmp_path / "project", people)


def bad(verdict: Verdict) -> list[str]:
    """Return the rules that a verdict says to be broken, each once."""
    return list(dict.fromkeys(p.rule for p in verdict.problems if p.status))


def weights_of(chain: Chain) -> dict[str, bytes]:
    return {WEIGHTS: chain.release.model["model.safetensors"]}


def statements(claim: ReproductionClaim) -> tuple[Statement, Statement]:
    summary, result = reproduction_statements(claim)
    assert summary is not None
    return summary, result


def stated(*properties: str, weights: bytes) -> Statement:
    """Return a verification result as any tool could make it."""
    said = {"verifier": {"id": "urn:x"}, "properties": list(properties)}
    return Statement((Subject("m", sha256_of(weights)),), SVR_PREDICATE, said)


def changed(statement: Statement, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(statement.payload())
    change(document["predicate"])
    return canonical_json(document)


def test_a_summary_of_a_part_of_the_weights_does_not_count(chain: Chain) -> None:
    """Two shards, one of them never trained again."""
    chain.release.model["model-2.safetensors"] = b"second shard"
    summary, result = statements(reproduction_claim(weights_of(chain)))
    chain.sealed("summary", summary, "rebuilder")
    chain.sealed("result", result, "rebuilder")
    chain.build()
    verdict = chain.verify(chain.policy(quality=EXACT))
    assert bad(verdict) == ["quality"]
    assert verdict.reproduced == ""
    refused = chain.verify(chain.policy(steps={"reproduce": StepRule(name="reproduce")}))
    assert bad(refused) == ["missing-statement"]


@pytest.mark.parametrize("who", ["trainer", "tester", "reviewer", "librarian"])
def test_a_key_without_the_role_reproduces_nothing(chain: Chain, who: str) -> None:
    summary, result = statements(reproduction_claim(weights_of(chain)))
    chain.sealed("summary", summary, who)
    chain.sealed("result", result, who)
    assert bad(chain.build().verify()) == ["wrong-role"]


def test_a_stranger_reproduces_nothing(chain: Chain) -> None:
    reproduce(chain, "stranger")
    verdict = chain.build().verify(chain.policy(quality=EXACT))
    assert set(bad(verdict)) == {"untrusted-signer", "quality"}
    surplus = chain.policy(steps={"reproduce": StepRule(name="reproduce")})
    assert bad(chain.verify(surplus)) == ["missing-statement"]


@pytest.mark.parametrize(
    "properties",
    [
        ("urn:mlbom:reproduced:perfect",),
        ("urn:mlbom:reproduced:",),
        ("urn:mlbom:reproduced:EXACT-WEIGHTS",),
        ("urn:mlbom:reproduced:diverged",),
        ("urn:mlbom:reproduced:exact-weights", "urn:mlbom:reproduced:metric"),
        ("urn:mlbom:reproduced:exact-weights", "urn:mlbom:reproduced:perfect"),
    ],
)
def test_words_that_are_no_level_are_refused(chain: Chain, properties: tuple[str, ...]) -> None:
    weights = chain.release.model["model.safetensors"]
    chain.sealed("words", stated(*properties, weights=weights), "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["properties"].__setitem__(0, "urn:mlbom:reproduced:exact-trace"),
        lambda p: p[FIELD].update(level="exact-trace"),
        lambda p: p[FIELD].update(level="inconclusive"),
        lambda p: p[FIELD].update(stoppedAfter=1),
        lambda p: p[FIELD].update(builder="unknown"),
    ],
)
def test_a_summary_that_contradicts_itself_is_refused(
    chain: Chain, change: Callable[[dict[str, Any]], object]
) -> None:
    summary, _ = statements(reproduction_claim(weights_of(chain)))
    chain.sealed("summary", changed(summary, change), "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


def test_an_inconclusive_result_cannot_say_passed(chain: Chain) -> None:
    _, result = reproduction_statements(reproduction_claim(weights_of(chain), level="inconclusive"))
    lie = changed(result, lambda p: p.update(result="PASSED"))
    chain.sealed("result", lie, "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


@pytest.mark.parametrize("level", ["diverged", "inconclusive", "tolerance", "exact-trace"])
def test_a_summary_and_a_result_of_one_reproduction_that_differ_count_for_nothing(
    chain: Chain, level: str
) -> None:
    """Both are whole, and name the same details; only one of them can be true."""
    good = reproduction_claim(weights_of(chain))
    summary, _ = statements(good)
    other = replace(good, level=level, details=None)
    chain.sealed("summary", summary, "rebuilder")
    chain.sealed("result", reproduction_statements(other)[1], "rebuilder")
    verdict = chain.build().verify(chain.policy(quality=EXACT))
    assert set(bad(verdict)) == {"reproduction-contradicts", "quality"}
    assert verdict.status is ExitStatus.UNTRUSTED
    assert verdict.reproduced == ""


def test_another_keys_opinion_of_the_same_details_is_his_own(chain: Chain) -> None:
    good = reproduction_claim(weights_of(chain))
    chain.sealed("summary", statements(good)[0], "rebuilder")
    other = replace(good, level="diverged", details=None)
    chain.sealed("result", reproduction_statements(other)[1], "outsider")
    verdict = chain.build().verify(chain.policy(quality=EXACT))
    assert bad(verdict) == []
    assert "FAILED by outsider" in verdict.reproduced


def test_a_reproduction_of_another_release_is_refused(chain: Chain) -> None:
    claim = reproduction_claim({WEIGHTS: b"other weights"})
    for label, statement in zip(("summary", "result"), statements(claim), strict=True):
        chain.sealed(label, statement, "rebuilder")
    verdict = chain.build().verify(chain.policy(quality=EXACT))
    assert set(bad(verdict)) == {"edge-broken", "quality"}


def test_a_reproduction_of_another_release_that_is_put_beside_this_one(chain: Chain) -> None:
    """It names another closing statement, so it is no part of this release at all."""
    chain.build()
    claim = reproduction_claim({WEIGHTS: b"other"}, closing="ab" * 32)
    name = chain.sealed("summary", statements(claim)[0], "rebuilder")
    (chain.release.out / name).write_bytes(chain.extra[name])
    assert bad(chain.verify()) == ["file-extra"]


def test_one_key_under_two_names_counts_once(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    reproduce(chain, "rebuilder", mode="pin-env")
    summary, _ = statements(reproduction_claim(weights_of(chain), mode="deterministic"))
    chain.sealed("third", summary, "rebuilder")
    chain.build()
    twin = replace(chain.signer_of("rebuilder"), name="somebody else")
    signers = (*chain.policy().signers, twin)
    assert bad(chain.verify(Policy(signers=signers, quality=TWO))) == ["quality"]
    rule = StepRule(name="reproduce", threshold=2)
    refused = chain.verify(Policy(signers=signers, steps={"reproduce": rule}))
    assert bad(refused) == ["threshold-not-met"]
    assert refused.reproduced.count("rebuilder") == 1


def test_a_revoked_key_reproduces_nothing(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    chain.build()
    others = tuple(s for s in chain.policy().signers if s.name != "rebuilder")
    revoked = chain.signer_of("rebuilder", revoked=1)
    verdict = chain.verify(Policy(signers=(*others, revoked), quality=EXACT))
    assert "revoked-key" in bad(verdict)
    assert verdict.reproduced == ""


@pytest.mark.parametrize(
    "details",
    [
        details_of("exact-trace", "exact-weights"),
        details_of("exact-weights", "metric"),
        details_of("exact-weights", "exact-weights", "cd" * 32),
        details_of("exact-weights", "exact-weights", schema="urn:mlbom:verdict:1"),
        b'{"verdict": {"level": "exact-weights", "level": "metric"}}',
        b"not JSON",
        b"[" * 100_000,
    ],
)
def test_details_of_another_reproduction_are_refused(chain: Chain, details: bytes) -> None:
    _, result = statements(reproduction_claim(weights_of(chain), details=details))
    chain.sealed("result", result, "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


def test_details_swapped_under_their_digest_are_refused(chain: Chain) -> None:
    _, result = statements(reproduction_claim(weights_of(chain)))
    other = base64.b64encode(details_of("exact-weights", "exact-weights", command=["x"])).decode()
    swapped = changed(result, lambda p: p["configuration"][0].update(content=other))
    chain.sealed("result", swapped, "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


def test_a_statement_of_another_key_takes_no_record_into_the_chain(chain: Chain) -> None:
    """A record of other bytes belongs to the reproduction of its own signer alone."""
    made = rebuild_statement({WEIGHTS: b"evil"})
    claim = reproduction_claim(weights_of(chain), rebuilds=(payload_of(made),))
    chain.sealed("record", made, "outsider")
    chain.sealed("result", statements(claim)[1], "rebuilder")
    assert bad(chain.build().verify()) == ["unrelated-record"]


def test_naming_the_training_as_a_rebuild_takes_its_training_away(chain: Chain) -> None:
    """Whoever has both roles can only make his own record weaker, nobody else's."""
    training = payload_of(chain.statement("train"))
    claim = reproduction_claim(weights_of(chain), rebuilds=(training,))
    chain.sealed("result", statements(claim)[1], "rebuilder")
    verdict = chain.build().verify(chain.policy(steps={"train": StepRule(name="train")}))
    assert bad(verdict) == []
    assert verdict.trained


def test_a_repeated_evaluation_is_no_reproduction(chain: Chain) -> None:
    chain.signers = {"eval": "rebuilder"}
    verdict = chain.build().verify(chain.policy(steps={"reproduce": StepRule(name="reproduce")}))
    assert bad(verdict) == ["missing-statement"]
    assert verdict.reproduced == ""


def test_a_model_without_weights_is_not_reproduced_by_anything(chain: Chain) -> None:
    chain.release.model = {"config.json": b"{}", "empty.safetensors": b""}
    chain.left_out = ("data", "train", "eval")
    chain.sealed("summary", stated("urn:mlbom:reproduced:metric", weights=b"{}"), "rebuilder")
    verdict = chain.build().verify(chain.policy(quality=Quality(reproduction="metric")))
    assert "quality" in bad(verdict)
    assert verdict.reproduced == ""


def test_a_result_and_a_record_in_one_statement_are_neither(chain: Chain) -> None:
    _, result = statements(reproduction_claim(weights_of(chain)))
    run = json.loads(chain.statement("eval").payload())["predicate"]["mlbom_run"]
    both = changed(result, lambda p: p.update(mlbom_run=run))
    chain.sealed("both", both, "rebuilder")
    assert bad(chain.build().verify()) == ["malformed-statement"]


def test_control_characters_of_a_statement_reach_no_terminal(chain: Chain) -> None:
    hostile = ("\x1b[2J\x1b]0;owned\x07",)
    reproduce(chain, "rebuilder", level="diverged", reasons=hostile, limits=hostile, wrote=b"x")
    verdict = chain.build().verify()
    told = [verdict.reproduced, *(p.message for p in verdict.problems)]
    told += [text for edge in verdict.edges for text in (edge.name, edge.why, edge.checked)]
    assert not any("\x1b" in text for text in told)
