"""Reproductions in a release: who counts, to which level, and what is told of the others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.reproduction_claim import reproduction_statements
from mlbom.attest.reproduction_record import as_rebuild
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import ROLES, Policy, Quality, StepRule, TrustedSigner
from mlbom.verify.report import lines, verdict_document
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import WEIGHTS, Chain, new_people, required, sha256_of
from tests.fixtures.records import record_statement, run_claim
from tests.fixtures.reproductions import (
    payload_of,
    rebuild_statement,
    reproduce,
    reproduction_claim,
)

TWO = Quality(reproduction="exact-weights", reproduction_threshold=2)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    return Chain(tmp_path / "project", people)


def edges(verdict: Verdict) -> dict[str, str]:
    return {edge.name: f"{edge.status}: {edge.why}" for edge in verdict.edges}


def rules(verdict: Verdict, *, bad: bool = True) -> list[str]:
    return [p.rule for p in verdict.problems if bool(p.status) is bad]


def told(chain: Chain, name: str) -> str:
    return f"{name}, key {chain.people[name].public_key.hint}"


def reached(chain: Chain, quality: Quality, **demands: Any) -> bool:
    """Return whether a policy's demand is met; a release below it ends with 1, never worse."""
    verdict = chain.verify(chain.policy(quality=quality, **demands))
    assert rules(verdict) in ([], ["quality"])
    assert verdict.status in (ExitStatus.DONE, ExitStatus.FINDINGS)
    return verdict.status is ExitStatus.DONE


def test_without_statements_the_reproduction_is_not_attested(chain: Chain) -> None:
    verdict = chain.build().verify()
    assert edges(verdict)["reproduction"] == "not-checked: not attested"
    assert "-       reproduction: not attested" in list(lines(verdict))
    assert verdict.reproduced == ""


def test_the_line_says_who_reproduced_it_and_how_far(chain: Chain) -> None:
    reproduce(chain, "outsider")
    reproduce(chain, "rebuilder", level="exact-trace", runs=3)
    verdict = chain.build().verify()
    assert verdict.status is ExitStatus.DONE
    line = (
        f"reproduced: exact-trace by {told(chain, 'rebuilder')} (3 runs), "
        f"exact-weights by {told(chain, 'outsider')} (2 runs)"
    )
    assert line in list(lines(verdict))
    assert verdict_document(verdict)["reproduced"] == line.removeprefix("reproduced: ")
    assert edges(verdict)["reproduction"] == "held: stated by 2 keys"
    assert edges(verdict)["training"] == "held: attested for 1 weight file"


def test_two_distinct_keys_reach_a_threshold_of_two(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    assert not reached(chain.build(), TWO)
    both = Chain(chain.path.parent / "both", chain.people)
    reproduce(both, "rebuilder")
    reproduce(both, "outsider", level="exact-trace")
    assert reached(both.build(), TWO)
    assert not reached(both, replace(TWO, reproduction="exact-trace"))
    assert reached(both, Quality(reproduction="exact-trace"))


def test_a_weaker_level_does_not_count(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    reproduce(chain, "outsider", wrote=b"nearly", level="tolerance", required="tolerance")
    chain.build()
    assert not reached(chain, TWO)
    assert reached(chain, replace(TWO, reproduction="tolerance"))
    verdict = chain.verify(chain.policy(quality=TWO))
    expected = "reproduced to the level: exact-weights, tolerance; your policy wants exact-weights"
    assert verdict.problems[-1].message == f"{expected} by 2 keys, 1 found"


def test_a_rebuild_with_other_bytes_breaks_nothing_and_is_no_training(chain: Chain) -> None:
    reproduce(chain, wrote=b"nearly", level="tolerance", required="tolerance")
    verdict = chain.build().verify(chain.policy(steps=required("data", "train", "reproduce")))
    assert rules(verdict) == []
    found = edges(verdict)
    assert found["reproduction train -> model files"].startswith("held: it wrote none of the model")
    assert found["data record data -> reproduction train"].startswith("held")
    assert found["training"] == "held: attested for 1 weight file"
    assert found["policy -> reproduce"] == "held: 2 signatures by 1 key"
    assert verdict.reproduced.startswith("tolerance by rebuilder")


def test_only_a_rebuild_leads_to_no_training_and_no_data(chain: Chain) -> None:
    chain.left_out = ("train", "eval")
    reproduce(chain)
    verdict = chain.build().verify()
    assert edges(verdict)["training"] == "not-checked: not attested"
    assert rules(verdict) == ["unrelated-record"]
    refused = chain.verify(chain.policy(steps=required("data")))
    assert "missing-statement" in rules(refused)


def test_an_evaluation_before_the_rebuild_is_not_too_early(chain: Chain) -> None:
    """It read weights that were made again later: they are not those of the rebuild."""
    chain.left_out = ("data", "train")
    reproduce(chain)
    assert rules(chain.build().verify()) == []


def test_one_key_of_every_role_trains_closes_and_reproduces(chain: Chain) -> None:
    """The simplest use: whoever publishes has trained again, and its other bytes are no surprise."""
    chain.signers = dict.fromkeys(("data", "train", "eval"), "publisher")
    reproduce(chain, "publisher", wrote=b"nearly", level="tolerance", required="tolerance")
    chain.build()
    key = chain.people["publisher"].public_key
    everything = TrustedSigner(name="me", key=key, roles=frozenset(ROLES))
    policy = Policy(signers=(everything,), steps=required("train", "reproduce"))
    verdict = chain.verify(policy)
    assert rules(verdict) == []
    assert verdict.reproduced == f"tolerance by me, key {key.hint} (2 runs, first-party)"
    assert edges(verdict)["policy -> train"] == "held: 1 signature by 1 key"


def test_independent_wants_other_keys_than_those_of_training_and_release(chain: Chain) -> None:
    chain.signers = {"train": "rebuilder"}
    reproduce(chain, "rebuilder")
    chain.build()
    trains = replace(chain.signer_of("rebuilder"), roles=frozenset(("train", "rebuild")))
    others = tuple(s for s in chain.policy().signers if s.name not in ("rebuilder", "trainer"))
    first = Quality(reproduction="exact-weights")
    second = replace(first, reproduction_independent=True)
    for quality, enough in ((first, True), (second, False)):
        verdict = chain.verify(Policy(signers=(trains, *others), quality=quality))
        assert rules(verdict) == ([] if enough else ["quality"])
        assert "first-party" in verdict.reproduced
    rule = StepRule(name="reproduce", independent=True)
    refused = chain.verify(Policy(signers=(trains, *others), steps={"reproduce": rule}))
    assert rules(refused) == ["missing-statement"]


def test_a_step_counts_keys_whose_level_is_enough(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    reproduce(chain, "outsider", level="metric", required="metric", wrote=b"far")
    chain.build()

    def refused(**rule: Any) -> list[str]:
        steps = {"reproduce": StepRule(name="reproduce", **rule)}
        return rules(chain.verify(chain.policy(steps=steps)))

    assert refused() == refused(threshold=2) == refused(level="exact-weights") == []
    assert refused(threshold=2, level="exact-weights") == ["threshold-not-met"]
    assert refused(threshold=3) == ["threshold-not-met"]
    assert refused(level="exact-trace") == ["missing-statement"]
    assert refused(level="exact-trace", required=False) == []


def test_demands_on_records_want_a_record_of_the_same_reproduction(chain: Chain) -> None:
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    summary, _ = reproduction_statements(reproduction_claim(weights))
    assert summary is not None
    chain.sealed("alone", summary, "outsider")
    reproduce(chain, "rebuilder", wrote=b"nearly", level="tolerance", required="tolerance")
    chain.build()
    materials = ("match prepared.txt from data", "disallow *")
    plain, strict = StepRule(name="reproduce"), StepRule(name="reproduce", materials=materials)
    for rule, found in ((plain, "3 signatures by 2 keys"), (strict, "2 signatures by 1 key")):
        verdict = chain.verify(chain.policy(steps={"reproduce": rule}))
        assert rules(verdict) == []
        assert edges(verdict)["policy -> reproduce"] == f"held: {found}"
    poor = StepRule(name="reproduce", materials=("allow *.py", "disallow *"))
    assert "policy-rule" in rules(chain.verify(chain.policy(steps={"reproduce": poor})))
    typed = StepRule(name="reproduce", build_types=("https://ci.example/v1",))
    verdict = chain.verify(chain.policy(steps={"reproduce": typed}))
    assert set(rules(verdict)) == {"policy-rule", "missing-statement"}


def test_a_record_of_the_same_bytes_is_enough(chain: Chain) -> None:
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    chain.sealed("rebuild", rebuild_statement(weights), "rebuilder")
    verdict = chain.build().verify(chain.policy(quality=Quality(reproduction="exact-weights")))
    assert rules(verdict) == []
    assert verdict.reproduced == f"exact-weights by {told(chain, 'rebuilder')}"
    assert not reached(chain, Quality(reproduction="exact-trace"))


@pytest.mark.parametrize("who", ["rebuilder", "publisher"])
def test_a_record_whose_conclusion_was_left_away_counts_for_nothing(chain: Chain, who: str) -> None:
    """It names the details of its reproduction: whoever shows it alone hides what they say.

    Neither is it a training where its key could have signed one.
    """
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    chain.left_out = ("data", "train", "eval")
    name = chain.sealed("rebuild", rebuild_statement(weights, details="ab" * 32), who)
    chain.build()
    key = chain.people["publisher"].public_key
    everything = TrustedSigner(name="me", key=key, roles=frozenset(ROLES))
    others = tuple(s for s in chain.policy().signers if s.name != "publisher")
    exact = Quality(reproduction="exact-weights")
    verdict = chain.verify(Policy(signers=(everything, *others), quality=exact))
    assert rules(verdict) == ["quality"]
    assert verdict.reproduced == ""
    assert edges(verdict)["training"] == "not-checked: not attested"
    why = edges(verdict)[f"reproduction of {name}"]
    assert why == "not-checked: what its signer concluded is not in the release: not counted"
    steps = required("reproduce")
    refused = chain.verify(Policy(signers=(everything, *others), steps=steps))
    assert rules(refused) == ["missing-statement"]


@pytest.mark.parametrize("kind", ["other", "data"])
def test_a_step_of_any_kind_may_be_run_again_by_a_rebuilder(chain: Chain, kind: str) -> None:
    """A conversion makes weights too; its rebuilder needs no role for data."""
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    claim = reproduction_claim(weights)
    run = as_rebuild(run_claim(kind, "convert"), claim.details_sha256)
    made = record_statement(weights, {}, run)
    claim = replace(claim, rebuilds=(payload_of(made),))
    for label, statement in zip("abc", (made, *reproduction_statements(claim)), strict=True):
        assert statement
        chain.sealed(label, statement, "rebuilder")
    verdict = chain.build().verify(chain.policy(steps=required("reproduce")))
    assert rules(verdict) == []
    assert verdict.reproduced == f"exact-weights by {told(chain, 'rebuilder')} (2 runs)"


def test_without_an_original_the_builder_is_unknown(chain: Chain) -> None:
    """Runs compared with each other: nothing says where these weights were made before."""
    claim = reproduce(chain, original="", builder="unknown")
    assert "urn:mlbom:reproduction:builder:unknown" in claim.properties
    verdict = chain.build().verify(chain.policy(quality=Quality(reproduction="exact-weights")))
    assert rules(verdict) == []
    assert verdict.reproduced == f"exact-weights by {told(chain, 'rebuilder')} (2 runs)"


def test_another_tool_may_state_a_level(chain: Chain) -> None:
    subject = Subject("m", sha256_of(chain.release.model["model.safetensors"]))
    said = {"verifier": {"id": "urn:x"}, "properties": ["urn:mlbom:reproduced:exact-trace", "X"]}
    chain.sealed("other", Statement((subject,), SVR_PREDICATE, said), "outsider")
    verdict = chain.build().verify(chain.policy(quality=Quality(reproduction="exact-trace")))
    assert rules(verdict) == []
    assert verdict.reproduced == f"exact-trace by {told(chain, 'outsider')}"


def test_a_failure_is_shown_loudly_beside_what_holds(chain: Chain) -> None:
    reproduce(chain, "rebuilder")
    reproduce(chain, "outsider", wrote=b"far", level="diverged")
    verdict = chain.build().verify()
    assert verdict.status is ExitStatus.DONE
    assert rules(verdict, bad=False) == ["not-passed"]
    said = verdict.problems[0].message
    assert said.endswith("says FAILED: trained again, diverged, exact-weights was required")
    assert verdict.reproduced.endswith(
        f"; FAILED by {told(chain, 'outsider')} (diverged, exact-weights was required)"
    )


def test_a_failure_alone_reproduces_nothing(chain: Chain) -> None:
    reproduce(chain, wrote=b"far", level="diverged")
    verdict = chain.build().verify()
    assert verdict.reproduced == ""
    why = edges(verdict)["reproduction"]
    assert why.startswith("not-checked: not attested; FAILED by rebuilder, key ")
    assert not reached(chain, Quality(reproduction="metric"))


def test_below_what_was_required_says_both(chain: Chain) -> None:
    reproduce(chain, wrote=b"nearly", level="tolerance")
    verdict = chain.build().verify()
    assert rules(verdict, bad=False) == ["not-passed"]
    assert verdict.reproduced.startswith("tolerance by rebuilder")
    assert verdict.reproduced.endswith("(only tolerance, exact-weights was required)")


@pytest.mark.parametrize(
    "changes", [{"level": "inconclusive"}, {"stopped_after": 5}, {"control": False}]
)
@pytest.mark.parametrize("wrote", [None, b"far"])
def test_what_nobody_can_tell_is_a_remark_and_counts_for_nothing(
    chain: Chain, changes: dict[str, Any], wrote: bytes | None
) -> None:
    """Not even when one of the runs wrote the same bytes."""
    reproduce(chain, wrote=wrote, **changes)
    assert sorted(chain.names) == ["rebuild-rebuilder", "reproduction-result-rebuilder"]
    verdict = chain.build().verify()
    assert verdict.status is ExitStatus.DONE
    assert rules(verdict, bad=False) == ["reproduction-inconclusive"]
    said = [why for edge, why in edges(verdict).items() if edge.startswith("reproduction result ")]
    assert len(said) == 1
    assert said[0].endswith("who says WARNED")
    assert edges(verdict)["reproduction"] == "not-checked: not attested"
    assert verdict.reproduced == ""
    assert not reached(chain, Quality(reproduction="metric"))
    refused = chain.verify(chain.policy(steps=required("reproduce")))
    assert rules(refused) == ["missing-statement"]


@pytest.mark.parametrize("level", ["tolerance", "metric", "diverged"])
@pytest.mark.parametrize("says_so", [True, False])
def test_the_same_bytes_of_one_run_are_no_more_than_all_runs_say(
    chain: Chain, level: str, *, says_so: bool
) -> None:
    """The first run wrote the released bytes, a second one did not: the claim tells of both."""
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    claim = reproduction_claim(weights, level=level)
    made = rebuild_statement(weights, details=claim.details_sha256 if says_so else "")
    claim = replace(claim, rebuilds=(payload_of(made),))
    for label, statement in zip("abc", (made, *reproduction_statements(claim)), strict=True):
        if statement:
            chain.sealed(label, statement, "rebuilder")
    chain.build()
    assert "exact-weights by" not in chain.verify().reproduced
    assert not reached(chain, Quality(reproduction="exact-weights"))
    assert reached(chain, Quality(reproduction="metric")) == (level != "diverged")
    rule = StepRule(name="reproduce", level="exact-weights")
    refused = chain.verify(chain.policy(steps={"reproduce": rule}))
    assert rules(refused) == ["missing-statement"]


def test_a_claim_about_a_part_of_the_weights_speaks_for_its_rebuild_too(chain: Chain) -> None:
    """It is no opinion of the release, and says all the same what its signer found of the run."""
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    chain.release.model["model-2.safetensors"] = b"second shard"
    made = rebuild_statement({**weights, "weights/model-2.safetensors": b"second shard"})
    part = reproduction_claim(weights, level="diverged", rebuilds=(payload_of(made),))
    chain.sealed("rebuild", made, "rebuilder")
    assert reached(chain.build(), Quality(reproduction="exact-weights"))
    told_of = Chain(chain.path.parent / "told", chain.people)
    told_of.release.model["model-2.safetensors"] = b"second shard"
    told_of.sealed("rebuild", made, "rebuilder")
    told_of.sealed("result", reproduction_statements(part)[1], "rebuilder")
    assert not reached(told_of.build(), Quality(reproduction="metric"))


def test_a_claim_of_another_key_takes_nothing_from_a_record(chain: Chain) -> None:
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    made = rebuild_statement(weights)
    chain.sealed("rebuild", made, "rebuilder")
    failed = reproduction_claim(weights, level="diverged", rebuilds=(payload_of(made),))
    chain.sealed("result", reproduction_statements(failed)[1], "outsider")
    verdict = chain.build().verify()
    assert verdict.reproduced.startswith(f"exact-weights by {told(chain, 'rebuilder')}; FAILED by")


def test_a_training_may_have_written_more_than_the_release_holds(chain: Chain) -> None:
    """Checkpoints on the way are weights of the record, and no file of the release."""
    weights = {WEIGHTS: chain.release.model["model.safetensors"], "step-1.pt": b"early"}
    summary, result = reproduction_statements(reproduction_claim(weights))
    assert summary is not None
    chain.sealed("summary", summary, "rebuilder")
    chain.sealed("result", result, "rebuilder")
    assert reached(chain.build(), Quality(reproduction="exact-weights"))


def test_metrics_of_a_rebuild_are_not_those_of_the_model(chain: Chain) -> None:
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    better = ({"name": "accuracy", "value": 0.99},)
    chain.sealed("rebuild", rebuild_statement(weights, metrics=better), "rebuilder")
    chain.build()
    verdict = chain.verify(chain.policy(quality=Quality(metrics={"accuracy": 0.95})))
    assert rules(verdict) == ["quality"]


def test_a_reproduction_after_closing_names_the_closing_bundle(chain: Chain) -> None:
    chain.build()
    weights = {WEIGHTS: chain.release.model["model.safetensors"]}
    closing = sha256_of(chain.release.bundle("release").read_bytes())
    made = rebuild_statement({WEIGHTS: b"nearly"})
    told_of = reproduction_claim(
        weights,
        level="tolerance",
        required="tolerance",
        rebuilds=(payload_of(made),),
        closing=closing,
    )
    summary, result = reproduction_statements(told_of)
    assert summary is not None
    for label, statement in (("a", summary), ("b", result), ("c", made)):
        name = chain.sealed(label, statement, "outsider")
        (chain.release.out / name).write_bytes(chain.extra[name])
    verdict = chain.verify()
    assert rules(verdict) == []
    assert verdict.reproduced.startswith("tolerance by outsider")
