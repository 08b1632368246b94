"""Attacks on a release with its whole chain of records: each is refused, and the edge is named."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import BUILD_TYPES, StepKind
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import (
    CYCLONEDX_PREDICATE,
    PAYLOAD_TYPE,
    PROVENANCE_PREDICATE,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
    VSA_PREDICATE,
)
from mlbom.digest.manifest import manifest_bytes
from mlbom.evidence.canonical import canonical_json
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import AttributeRule, Policy, StepRule
from mlbom.verify.verdict import EdgeStatus, Verdict
from tests.fixtures.chain import (
    BASE,
    NUMBERS,
    PREPARED,
    WEIGHTS,
    Chain,
    new_people,
    required,
    sha256_of,
)
from tests.fixtures.records import (
    FINISHED,
    STARTED,
    file_resource,
    record_statement,
    run_claim,
)
from tests.fixtures.tiny_release import PURL, signed_payload, write_files

ALL = ("data", "train", "eval")
OTHER = b"other weights" * 20


@dataclass
class Attack:
    """What an attack did, and what must be said of it.

    Args:
        rule: that it breaks.
        edge: start of the name of the edge that fails; empty when no edge can be named.
        policy: what the victim demands.
        asked: what else the victim asks.
    """

    rule: str
    edge: str = ""
    policy: Policy | None = None
    asked: dict[str, Any] = field(default_factory=dict)


ATTACKS: dict[str, Callable[[Chain], Attack]] = {}


def attack(function: Callable[[Chain], Attack]) -> Callable[[Chain], Attack]:
    ATTACKS[function.__name__] = function
    return function


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


def other_chain(chain: Chain) -> Chain:
    """Return another release by the same people, of other weights."""
    other = Chain(chain.path.parent / "other", chain.people)
    other.release.model["model.safetensors"] = OTHER
    other.wrote["train"] = {WEIGHTS: OTHER}
    other.wrote["eval"] = {WEIGHTS: OTHER}
    return other.build()


@attack
def a_record_is_exchanged_for_that_of_another_release(chain: Chain) -> Attack:
    chain.build()
    chain.bundle("train").write_bytes(other_chain(chain).bundle("train").read_bytes())
    return Attack("digest-mismatch", "closing statement -> output directory")


@attack
def the_training_record_is_of_other_weights(chain: Chain) -> Attack:
    """By whoever holds the release key, and not the trainer's."""
    chain.build()
    chain.replace("train", other_chain(chain).bundle("train").read_bytes())
    return Attack("unrelated-record", "train record train -> model files")


@attack
def the_training_record_shares_a_small_file_with_other_weights(chain: Chain) -> Attack:
    config = chain.release.model["config.json"]
    chain.wrote["train"] = {WEIGHTS: OTHER, "models/tiny/config.json": config}
    chain.left_out = ("eval",)
    chain.build()
    return Attack("unrelated-record", "train record train -> model files")


@attack
def the_evaluation_is_of_other_weights(chain: Chain) -> Attack:
    chain.wrote["eval"] = {WEIGHTS: OTHER}
    chain.build()
    return Attack("unrelated-record", "eval record eval -> model files")


@attack
def the_data_record_made_something_else(chain: Chain) -> Attack:
    chain.wrote["data"] = {"prepared.txt": b"clean text\n"}
    chain.build()
    return Attack("unrelated-record", "data record data -> model files")


@attack
def the_training_read_other_data_than_the_data_step_made(chain: Chain) -> Attack:
    chain.read["train"] = (file_resource("prepared.txt", b"poisoned\n"),)
    chain.build()
    rule = StepRule(name="train", materials=("match prepared.txt from data", "disallow *"))
    return Attack("policy-rule", "policy -> train", chain.policy(steps={"train": rule}))


@attack
def weights_are_exchanged_by_a_thief_of_the_release_key(chain: Chain) -> Attack:
    chain.release.model["model.safetensors"] = OTHER
    chain.build()
    return Attack("unrelated-record", "train record train -> model files")


@attack
def a_second_weight_file_that_nobody_trained(chain: Chain) -> Attack:
    """It is no subject of the closing statement, so that it looks like any other file."""
    chain.release.model["pytorch_model.bin"] = OTHER
    chain.build()
    return Attack("missing-statement", "policy -> train", chain.policy(steps=required("train")))


@attack
def the_training_record_is_signed_by_a_key_for_data(chain: Chain) -> Attack:
    chain.signers["train"] = "librarian"
    chain.build()
    return Attack("wrong-role", "signature of attestations/02-train")


@attack
def the_training_record_is_signed_by_the_release_key(chain: Chain) -> Attack:
    chain.signers["train"] = "publisher"
    chain.build()
    return Attack("wrong-role", "signature of attestations/02-train")


@attack
def the_evaluation_is_signed_by_the_trainer(chain: Chain) -> Attack:
    chain.signers["eval"] = "trainer"
    chain.build()
    return Attack("wrong-role", "signature of attestations/05-eval")


@attack
def a_record_by_a_stranger(chain: Chain) -> Attack:
    chain.signers["train"] = "stranger"
    chain.build()
    return Attack("untrusted-signer", "signature of attestations/02-train")


@attack
def a_record_by_a_stranger_where_the_step_is_required(chain: Chain) -> Attack:
    chain.signers["train"] = "stranger"
    chain.build()
    return Attack("missing-statement", "policy -> train", chain.policy(steps=required("train")))


@attack
def a_record_is_stripped(chain: Chain) -> Attack:
    chain.build()
    chain.bundle("train").unlink()
    return Attack("file-missing", "closing statement -> output directory")


@attack
def a_required_record_is_stripped_and_the_release_closed_again(chain: Chain) -> Attack:
    chain.left_out = ("train", "data")
    chain.build()
    return Attack("missing-statement", "policy -> train", chain.policy(steps=required("train")))


@attack
def a_failed_run_is_presented(chain: Chain) -> Attack:
    chain.claims["train"]["exit_code"] = 1
    chain.build()
    return Attack("failed-run", "train record train -> model files")


@attack
def a_run_that_was_killed_is_presented(chain: Chain) -> Attack:
    chain.claims["train"].update(exit_code=None, signal=9)
    chain.build()
    return Attack("failed-run", "train record train -> model files")


@attack
def the_data_step_had_failed(chain: Chain) -> Attack:
    chain.claims["data"]["exit_code"] = 2
    chain.build()
    return Attack("failed-run", "data record data -> train record train")


@attack
def a_failed_evaluation_says_passed(chain: Chain) -> Attack:
    chain.claims["eval"]["exit_code"] = 1
    chain.edits["eval"] = lambda d: d["predicate"].update(result="PASSED")
    chain.build()
    return Attack("malformed-statement", "signature of attestations/05-eval")


@attack
def a_failed_evaluation_where_one_is_required(chain: Chain) -> Attack:
    chain.claims["eval"]["exit_code"] = 1
    chain.build()
    return Attack("missing-statement", "policy -> eval", chain.policy(steps=required("eval")))


@attack
def materials_that_come_from_each_other(chain: Chain) -> Attack:
    now = {"started": FINISHED, "finished": FINISHED}
    chain.claims["data"].update(now)
    chain.claims["train"].update(now)
    chain.read["data"] = (file_resource(WEIGHTS, chain.release.model["model.safetensors"]),)
    chain.build()
    return Attack("cycle", "data record data -> train record train -> data record data")


@attack
def the_training_began_before_its_data_was_there(chain: Chain) -> Attack:
    chain.claims["train"].update(started=FINISHED - 1, finished=FINISHED + 20)
    chain.build()
    return Attack("time-reversed", "data record data -> train record train")


@attack
def the_evaluation_ended_before_the_training(chain: Chain) -> Attack:
    chain.claims["eval"].update(started=STARTED, finished=STARTED + 1)
    chain.build()
    return Attack("time-reversed", "train record train -> eval record eval")


@attack
def a_step_that_ended_before_it_began(chain: Chain) -> Attack:
    chain.claims["train"].update(started=FINISHED + 90, finished=FINISHED + 80)
    chain.build()
    return Attack("malformed-statement", "signature of attestations/02-train")


@attack
def the_manifest_of_outputs_is_not_the_one_stated(chain: Chain) -> Attack:
    weights = chain.release.model["model.safetensors"]
    lie = manifest_bytes([(WEIGHTS, sha256_of(weights))])
    told = Resource(name="outputs.manifest", digests={"sha256": sha256_of(b"x")}, content=lie)
    chain.wrote["train"] = {"outputs.manifest": b"x"}
    chain.claims["train"]["byproducts"] = (told,)
    chain.build()
    return Attack("malformed-statement", "train record attestations/02-train")


@attack
def the_manifest_of_outputs_is_no_subject(chain: Chain) -> Attack:
    weights = chain.release.model["model.safetensors"]
    lie = manifest_bytes([(WEIGHTS, sha256_of(weights))])
    told = Resource(name="outputs.manifest", digests={"sha256": sha256_of(lie)}, content=lie)
    chain.wrote["train"] = {"outputs.manifest": b"another"}
    chain.claims["train"]["byproducts"] = (told,)
    chain.left_out = ("eval",)
    chain.build()
    return Attack("unrelated-record", "train record train -> model files")


@attack
def the_manifest_of_inputs_is_no_manifest(chain: Chain) -> Attack:
    data = b"no manifest"
    told = Resource(name="inputs.manifest", digests={"sha256": sha256_of(data)}, content=data)
    chain.read["train"] = (told,)
    chain.build()
    return Attack("malformed-statement", "train record attestations/02-train")


def threshold(chain: Chain, *extra: Any) -> Policy:
    policy = chain.policy(steps=required("train", threshold=2))
    return replace(policy, signers=(*policy.signers, *extra))


@attack
def one_key_under_two_names_for_a_threshold_of_two(chain: Chain) -> Attack:
    chain.build()
    chain.claims["train"]["invocation"] = "again"
    chain.sealed("train again", chain.statement("train"), "trainer", 2)
    write_files(chain.release.out, chain.extra)
    chain.release.close_again()
    twin = replace(chain.signer_of("trainer"), name="another trainer")
    return Attack("threshold-not-met", "policy -> train", threshold(chain, twin))


@attack
def one_good_and_one_bad_signature_for_a_threshold_of_two(chain: Chain) -> Attack:
    add_bad_signature(chain)
    second = replace(chain.signer_of("rebuilder"), roles=frozenset({"train"}))
    return Attack("threshold-not-met", "policy -> train", threshold(chain, second))


def add_bad_signature(chain: Chain) -> None:
    """Add the training record with a signature that claims the rebuilder's key."""
    chain.build()
    payload = canonical_json(json.loads(chain.statement("train").payload()))
    envelope = chain.people["stranger"].sign(payload, PAYLOAD_TYPE)
    claimed = bundle_bytes(envelope, chain.people["rebuilder"].public_key.hint)
    write_files(chain.release.out, {"attestations/02-train-bad.sigstore.json": claimed})
    chain.release.close_again()


@attack
def a_key_that_only_signs_logs_for_a_threshold_of_two(chain: Chain) -> Attack:
    """Two keys, each for another file: neither file has two signers."""
    chain.build()
    claim = run_claim("train", **{**chain.claims["train"], "invocation": "b"})
    other = record_statement({"models/tiny/config.json": b"x", WEIGHTS: OTHER}, (), claim)
    chain.sealed("train again", other, "rebuilder", 2)
    write_files(chain.release.out, chain.extra)
    chain.release.close_again()
    second = replace(chain.signer_of("rebuilder"), roles=frozenset({"train"}))
    return Attack("threshold-not-met", "policy -> train", threshold(chain, second))


@attack
def an_attribute_that_the_policy_forbids(chain: Chain) -> Attack:
    chain.build()
    rule = AttributeRule(
        pointer="/predicate/runDetails/metadata/mlbom_observation/observers/0",
        operator="equals",
        value="fanotify",
    )
    steps = {"train": StepRule(name="train", attributes=(rule,))}
    return Attack("policy-rule", "policy -> train", chain.policy(steps=steps))


@attack
def a_base_model_that_the_policy_does_not_trust(chain: Chain) -> Attack:
    chain.build()
    rule = StepRule(name="train", materials=("match * from data", "allow *.py", "disallow *"))
    policy = chain.policy(steps={"train": rule}, trusted_inputs=(BASE.uri[:-1] + "0",))
    return Attack("policy-rule", "policy -> train", policy)


@attack
def a_product_that_is_not_in_the_model(chain: Chain) -> Attack:
    chain.wrote["train"]["models/tiny/extra.bin"] = b"left behind"
    chain.build()
    rule = StepRule(name="train", products=("match models/* in model", "allow *"))
    return Attack("policy-rule", "policy -> train", chain.policy(steps={"train": rule}))


@attack
def a_verdict_where_the_training_record_belongs(chain: Chain) -> Attack:
    return confused(chain, VSA_PREDICATE)


@attack
def a_review_where_the_training_record_belongs(chain: Chain) -> Attack:
    return confused(chain, SVR_PREDICATE)


@attack
def a_test_result_where_the_training_record_belongs(chain: Chain) -> Attack:
    return confused(chain, TEST_RESULT_PREDICATE)


@attack
def a_bom_where_the_training_record_belongs(chain: Chain) -> Attack:
    chain.edits["train"] = lambda d: d.update(predicateType=CYCLONEDX_PREDICATE)
    chain.build()
    return Attack("wrong-role", "signature of attestations/02-train")


def confused(chain: Chain, predicate_type: str) -> Attack:
    chain.edits["train"] = lambda d: d.update(predicateType=predicate_type)
    chain.build()
    return Attack("unexpected-predicate", "signature of attestations/02-train")


@attack
def a_good_verdict_presented_as_provenance(chain: Chain) -> Attack:
    """Well formed for its own type, and claiming to be of another."""
    weights = chain.release.model["model.safetensors"]
    told = {"verifier": {"id": "urn:x"}, "verificationResult": "PASSED", "resourceUri": PURL}
    chain.left_out = ALL
    statement = Statement((Subject(WEIGHTS, sha256_of(weights)),), PROVENANCE_PREDICATE, told)
    chain.sealed("train", statement, "trainer", 2)
    chain.build()
    return Attack("unexpected-predicate", "signature of attestations/02-train")


@attack
def a_bom_presented_as_provenance(chain: Chain) -> Attack:
    weights = chain.release.model["model.safetensors"]
    chain.left_out = ALL
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.7"}
    statement = Statement((Subject(WEIGHTS, sha256_of(weights)),), PROVENANCE_PREDICATE, bom)
    chain.sealed("train", statement, "trainer", 2)
    chain.build()
    return Attack("unexpected-predicate", "signature of attestations/02-train")


@attack
def a_data_record_that_claims_to_be_a_training(chain: Chain) -> Attack:
    train = BUILD_TYPES[StepKind.TRAIN]
    chain.edits["data"] = lambda d: d["predicate"]["buildDefinition"].update(buildType=train)
    chain.build()
    return Attack("wrong-role", "signature of attestations/01-data")


@attack
def a_training_by_the_tester_that_names_two_build_types(chain: Chain) -> Attack:
    """Of provenance only its own build type counts: a field of evaluations does not change it."""
    other = {"buildDefinition": {"buildType": "https://ci.example/v1"}}
    chain.edits["train"] = lambda d: d["predicate"].update(mlbom_run=other)
    chain.signers["train"] = "tester"
    chain.build()
    return Attack("wrong-role", "signature of attestations/02-train")


@attack
def the_payload_type_of_a_record_is_another(chain: Chain) -> Attack:
    chain.build()
    payload = chain.statement("train").payload()
    envelope = chain.people["trainer"].sign(payload, "application/json")
    chain.replace("train", bundle_bytes(envelope, chain.people["trainer"].public_key.hint))
    return Attack("malformed-bundle", "signature of attestations/02-train")


def payload_attack(chain: Chain, old: bytes, new: bytes) -> Attack:
    chain.build()
    payload = chain.statement("train").payload()
    assert old in payload
    changed = payload.replace(old, new, 1)
    chain.replace("train", signed_payload(chain.people["trainer"], changed))
    return Attack("malformed-statement", "signature of attestations/02-train")


@attack
def a_key_twice_in_a_record(chain: Chain) -> Attack:
    return payload_attack(chain, b'"exitCode":0', b'"exitCode":1,"exitCode":0')


@attack
def not_a_number_in_a_record(chain: Chain) -> Attack:
    return payload_attack(chain, b'"exitCode":0', b'"exitCode":NaN')


@attack
def a_huge_number_in_a_record(chain: Chain) -> Attack:
    return payload_attack(chain, b'"exitCode":0', b'"exitCode":' + b"9" * 5000)


@attack
def an_overflowing_number_in_a_record(chain: Chain) -> Attack:
    return payload_attack(chain, b'"exitCode":0', b'"exitCode":1e999')


@attack
def a_subject_that_leads_out_of_the_project(chain: Chain) -> Attack:
    return payload_attack(chain, b'"name":"logs/loss.csv"', b'"name":"../../etc/passwd"')


@attack
def a_subject_of_an_absolute_path(chain: Chain) -> Attack:
    return payload_attack(chain, b'"name":"logs/loss.csv"', b'"name":"/etc/passwd"')


@attack
def a_record_without_its_end(chain: Chain) -> Attack:
    finished = f'"finishedOn":"{_time(chain)}",'.encode()
    return payload_attack(chain, finished, b"")


def _time(chain: Chain) -> str:
    told = json.loads(chain.statement("train").payload())
    time: str = told["predicate"]["runDetails"]["metadata"]["finishedOn"]
    return time


@attack
def a_time_without_a_zone(chain: Chain) -> Attack:
    return payload_attack(chain, _time(chain).encode(), _time(chain)[:-1].encode())


@attack
def an_unsigned_record_as_a_link(chain: Chain) -> Attack:
    chain.build()
    write_files(chain.release.out, {"attestations/train.0123abcd.link": b"{}"})
    return Attack("file-extra", "closing statement -> output directory")


@attack
def an_unsigned_record_as_a_bundle(chain: Chain) -> Attack:
    chain.build()
    payload = chain.statement("train").payload()
    write_files(chain.release.out, {"attestations/02-train-00000000.sigstore.json": payload})
    chain.release.close_again()
    return Attack("malformed-bundle", "signature of attestations/02-train-00000000")


@attack
def a_link_is_changed(chain: Chain) -> Attack:
    link = "attestations/train.0123abcd.link"
    chain.extra[link] = b"{}"
    chain.build()
    (chain.release.out / link).write_bytes(b"{} ")
    return Attack("digest-mismatch", "closing statement -> output directory")


@attack
def a_further_record_is_slipped_in(chain: Chain) -> Attack:
    chain.build()
    late = run_claim("eval", **{**chain.claims["eval"], "invocation": "x"})
    statement = record_statement(chain.wrote["eval"], (), late)
    name = chain.sealed("eval again", statement, "tester", 5)
    write_files(chain.release.out, {name: chain.extra[name]})
    return Attack("file-extra", "closing statement -> output directory")


@attack
def a_policy_inside_the_release_is_not_used(chain: Chain) -> Attack:
    chain.signers["train"] = "stranger"
    chain.extra["mlbom-policy.yaml"] = b"version: 1\nroles: {}\n"
    chain.extra["stranger.pub"] = chain.people["stranger"].public_key.pem
    chain.build()
    return Attack("untrusted-signer", "signature of attestations/02-train")


@attack
def a_review_of_another_release(chain: Chain) -> Attack:
    """It names this closing statement, and is about files that are not here."""
    chain.build()
    closing = chain.release.bundle("release")
    told = {"verifier": {"id": "urn:x"}, "properties": ["GOOD"]}
    subjects = (
        Subject("closing", sha256_of(closing.read_bytes())),
        Subject("bom.cdx.json", sha256_of(b"another BOM")),
    )
    name = chain.sealed("review", Statement(subjects, SVR_PREDICATE, told), "reviewer", 7)
    write_files(chain.release.out, {name: chain.extra[name]})
    return Attack("edge-broken", "review attestations/07-review")


@attack
def a_review_that_names_no_closing_statement(chain: Chain) -> Attack:
    chain.build()
    told = {"verifier": {"id": "urn:x"}, "properties": ["GOOD"]}
    subject = Subject("model.manifest", sha256_of(b"x"))
    name = chain.sealed("review", Statement((subject,), SVR_PREDICATE, told), "reviewer", 7)
    write_files(chain.release.out, {name: chain.extra[name]})
    return Attack("file-extra", "closing statement -> output directory")


@attack
def another_model_than_the_policy_is_about(chain: Chain) -> Attack:
    chain.build()
    return Attack("wrong-model", "policy -> this release", chain.policy(model="pkg:generic/big"))


@attack
def an_older_version_than_the_policy_accepts(chain: Chain) -> Attack:
    chain.build()
    return Attack("version-too-low", "policy -> this release", chain.policy(min_version="1.0.1"))


@attack
def a_version_without_an_order_where_one_is_needed(chain: Chain) -> Attack:
    purl = "pkg:generic/tiny@0%2B0123456789ab"
    chain.release.edit_closing = lambda d: d["predicate"].update(purl=purl)
    chain.build()
    return Attack("version-missing", "policy -> this release", chain.policy(needs_version=True))


@attack
def a_withdrawn_version(chain: Chain) -> Attack:
    chain.build()
    policy = chain.policy(withdrawn={PURL: "poisoned data"})
    return Attack("withdrawn", "policy -> this release", policy)


@attack
def a_withdrawn_manifest(chain: Chain) -> Attack:
    chain.build()
    manifest = sha256_of((chain.release.out / "model.manifest").read_bytes())
    policy = chain.policy(withdrawn={manifest: "poisoned data"})
    return Attack("withdrawn", "policy -> this release", policy)


@attack
def a_freeze_where_nothing_tells_the_age(chain: Chain) -> Attack:
    chain.build()
    return Attack("no-trusted-time", "policy -> this release", chain.policy(max_age_s=86400))


@attack
def a_revoked_key(chain: Chain) -> Attack:
    chain.build()
    return windowed(chain, "revoked-key", revoked=1)


@attack
def a_revoked_key_under_another_name(chain: Chain) -> Attack:
    """Revoked under one name, and trusted for the same under another."""
    chain.build()
    done = windowed(chain, "revoked-key", revoked=1)
    assert done.policy
    twin = replace(chain.signer_of("trainer"), name="somebody else")
    done.policy = replace(done.policy, signers=(twin, *done.policy.signers))
    return done


@attack
def a_key_whose_time_is_over(chain: Chain) -> Attack:
    chain.build()
    return windowed(chain, "expired-key", until=1)


@attack
def a_key_whose_time_has_not_come(chain: Chain) -> Attack:
    chain.build()
    return windowed(chain, "not-yet-valid", since=2**40)


def windowed(chain: Chain, rule: str, **window: int) -> Attack:
    others = tuple(s for s in chain.policy().signers if s.name != "trainer")
    policy = Policy(signers=(*others, chain.signer_of("trainer", **window)))
    return Attack(rule, "signature of attestations/02-train", policy)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_the_chain_is_refused(
    name: str, tmp_path: Path, people: dict[str, Signer]
) -> None:
    chain = Chain(tmp_path / "project", people)
    done = ATTACKS[name](chain)
    verdict = chain.verify(done.policy, **done.asked)
    assert verdict.status is ExitStatus.UNTRUSTED
    bad = [p.rule for p in verdict.problems if p.status is ExitStatus.UNTRUSTED]
    assert done.rule in bad, verdict.problems
    assert failed(verdict, done.edge), [e for e in verdict.edges if e.status is EdgeStatus.FAILED]


def failed(verdict: Verdict, edge: str) -> bool:
    return any(e.name.startswith(edge) and e.status is EdgeStatus.FAILED for e in verdict.edges)


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 50


def test_before_any_attack_the_chain_is_good(tmp_path: Path, people: dict[str, Signer]) -> None:
    chain = Chain(tmp_path / "project", people).build()
    assert chain.verify(chain.policy(steps=required(*ALL))).status is ExitStatus.DONE
    assert NUMBERS["train"] == 2
    assert PREPARED


def test_a_bad_signature_beyond_the_threshold_is_told(
    tmp_path: Path, people: dict[str, Signer]
) -> None:
    """Row 12: threshold 1, one good and one bad signature: accepted, with a remark."""
    chain = Chain(tmp_path / "project", people)
    add_bad_signature(chain)
    verdict = chain.verify(chain.policy(steps=required("train")))
    assert verdict.status is ExitStatus.DONE
    assert [p.rule for p in verdict.problems] == ["surplus-signature"]
    assert chain.verify().status is ExitStatus.UNTRUSTED
