"""The walk along recorded steps when everything is as it should be."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.attest.resource import Resource
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE, TEST_RESULT_PREDICATE
from mlbom.digest.manifest import manifest_bytes
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy, Quality, StepRule
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import BASE, COMMIT, PREPARED, RAW, WEIGHTS, Chain, new_people, required
from tests.fixtures.records import FINISHED, STARTED, file_resource, record_statement, run_claim
from tests.fixtures.tiny_release import sha256

ALL = ("data", "train", "eval", "weights", "bom", "release")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    return Chain(tmp_path / "project", people)


def edges(verdict: Verdict) -> dict[str, str]:
    return {edge.name: f"{edge.status}: {edge.why}" for edge in verdict.edges}


def good(verdict: Verdict) -> dict[str, str]:
    assert [(p.rule, p.message) for p in verdict.problems if p.status] == []
    assert verdict.status is ExitStatus.DONE
    return edges(verdict)


def test_every_link_of_a_whole_chain_holds(chain: Chain) -> None:
    verdict = chain.build().verify(chain.policy(steps=required(*ALL)))
    told = good(verdict)
    assert told["data record data -> train record train"].startswith("held: wrote prepared.txt")
    assert told["train record train -> model files"] == "held: it wrote model.safetensors"
    assert told["eval record eval -> model files"] == "held: it read model.safetensors"
    assert told["train record train -> eval record eval"].startswith("held")
    assert told["training"] == "held: attested for 1 weight file"
    for step in ALL:
        assert told[f"policy -> {step}"] == "held: 1 signature by 1 key"
    assert verdict.trained
    assert len(verdict.inputs) == 6


def test_what_came_from_outside_is_trusted_by_nobody(chain: Chain) -> None:
    told = good(chain.build().verify())
    assert told["1 file -> train record train"] == "not-checked: trusted by nobody: train.py"
    assert told["1 file -> data record data"] == "not-checked: trusted by nobody: raw.txt"
    assert told["1 package -> train record train"].endswith("nobody: pkg:pypi/torch@2.9.0")
    commit = told[f"{COMMIT.uri} -> train record train"]
    assert commit == f"not-checked: named by the record ({'ab' * 20}), trusted by nobody"


def test_a_policy_trusts_inputs_by_purl_and_by_digest(chain: Chain) -> None:
    inputs = (BASE.uri, "pkg:pypi/*", f"sha256:{sha256(RAW)}")
    told = good(chain.build().verify(chain.policy(trusted_inputs=inputs)))
    assert told[f"{BASE.uri} -> train record train"] == "held: your policy trusts it"
    assert told["raw.txt -> data record data"] == "held: your policy trusts it"
    assert "1 package -> train record train" not in told
    assert "1 file -> data record data" not in told
    other = ("pkg:huggingface/org/base@" + "0" * 40, "sha256:" + "0" * 64)
    told = good(chain.verify(chain.policy(trusted_inputs=other)))
    assert told[f"{BASE.uri} -> train record train"].startswith("not-checked")


def test_without_records_the_training_is_not_attested(chain: Chain) -> None:
    chain.left_out = ("data", "train", "eval")
    verdict = chain.build().verify()
    assert good(verdict)["training"] == "not-checked: not attested"
    assert not verdict.trained
    for step in ("data", "train", "eval"):
        refused = chain.verify(chain.policy(steps=required(step)))
        assert refused.status is ExitStatus.UNTRUSTED
        assert [p.rule for p in refused.problems] == ["missing-statement"]
        assert edges(refused)[f"policy -> {step}"].startswith("failed: your policy requires")


def test_a_step_that_is_not_required_may_be_missing(chain: Chain) -> None:
    chain.left_out = ("eval",)
    steps = required("eval", required=False)
    told = good(chain.build().verify(chain.policy(steps=steps)))
    assert told["policy -> eval"] == "not-checked: not there, and not required"


def test_many_outputs_and_inputs_are_joined_through_their_manifests(chain: Chain) -> None:
    weights = chain.release.model["model.safetensors"]
    outputs = manifest_bytes([(WEIGHTS, sha256(weights)), ("log", sha256(b"log"))])
    inputs = manifest_bytes([("prepared.txt", sha256(PREPARED)), ("x", sha256(b"x"))])
    byproduct = _manifest("outputs.manifest", outputs)
    chain.wrote["train"] = {"outputs.manifest": outputs}
    chain.read["train"] = (_manifest("inputs.manifest", inputs),)
    chain.claims["train"]["byproducts"] = (byproduct,)
    told = good(chain.build().verify(chain.policy(steps=required("data", "train"))))
    assert told["train record train -> model files"] == "held: it wrote model.safetensors"
    assert told["data record data -> train record train"].startswith("held")


def _manifest(name: str, data: bytes) -> Resource:
    return Resource(name=name, digests={"sha256": sha256(data)}, content=data)


def test_a_private_name_joins_by_digest(chain: Chain) -> None:
    chain.wrote["data"] = {f"sha256/{sha256(PREPARED)}": PREPARED}
    chain.read["train"] = (file_resource("", PREPARED),)
    told = good(chain.build().verify())
    assert told["data record data -> train record train"].startswith("held")


def test_equal_bytes_of_another_name_made_later_are_a_coincidence(chain: Chain) -> None:
    chain.read["data"] = (file_resource("settings.json", b"{}"),)
    chain.wrote["train"]["metrics.json"] = b"{}"
    chain.wrote["train"]["empty"] = b""
    chain.read["data"] += (file_resource("empty", b""),)
    told = good(chain.build().verify())
    assert "train record train -> data record data" not in told


def test_weights_made_from_trained_ones_by_another_step_are_covered(chain: Chain) -> None:
    """Train, then quantise: the step between needs the role of `data`, and no role of its own."""
    weights = chain.release.model["model.safetensors"]
    chain.wrote["train"] = {"full.safetensors": b"full"}
    late = FINISHED + 105
    claim = run_claim("other", "quantise", started=late, finished=late)
    made = record_statement({WEIGHTS: weights}, {"full.safetensors": b"full"}, claim)
    chain.sealed("quantise", made, "librarian", 1)
    verdict = chain.build().verify(chain.policy(steps=required("train", "quantise")))
    told = good(verdict)
    assert told["train record train -> step record quantise"].startswith("held")
    derived = "held: attested for 1 weight file, derived by step record quantise"
    assert told["training"] == derived
    rule = StepRule(name="train", build_types=("https://other.example/build",))
    refused = chain.verify(chain.policy(steps={"train": rule}))
    assert [p.rule for p in refused.problems if p.status] == ["missing-statement", "policy-rule"]


def test_two_keys_reach_a_threshold_of_two(chain: Chain, people: dict[str, Signer]) -> None:
    """By the same statement signed twice, or by two records of the same step."""
    chain.build()
    chain.signers = {"train": "rebuilder"}
    chain.claims["train"]["invocation"] = "another"
    chain.sealed("train again", chain.statement("train"), "rebuilder", 2)
    chain.release.outputs.update(chain.extra)
    chain.release.bundle("release").unlink()
    chain.release.build()
    both = chain.policy()
    signers = (*both.signers, replace(chain.signer_of("rebuilder"), roles=frozenset({"train"})))
    verdict = chain.verify(Policy(signers=signers, steps=required("train", threshold=2)))
    assert good(verdict)["policy -> train"] == "held: 2 signatures by 2 keys"


def test_provenance_of_another_builder_is_shown_and_never_counted(chain: Chain) -> None:
    weights = chain.release.model["model.safetensors"]
    predicate = {
        "buildDefinition": {"buildType": "https://ci.example/v1", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://ci.example"}},
    }
    subject = Subject("model.safetensors", sha256(weights))
    foreign = Statement((subject,), "https://slsa.dev/provenance/v1", predicate)
    chain.left_out = ("train", "data", "eval")
    chain.sealed("foreign", foreign, "trainer", 2)
    told = good(chain.build().verify())
    name = "foreign provenance https://ci.example/v1 -> model files"
    assert told[name] == "held: it wrote model.safetensors"
    assert told["training"] == "not-checked: not attested"
    refused = chain.verify(chain.policy(steps=required("train")))
    assert [p.rule for p in refused.problems] == ["missing-statement"]
    rule = StepRule(name="train", build_types=("https://ci.example/v1",))
    accepted = good(chain.verify(chain.policy(steps={"train": rule})))
    assert accepted["training"].startswith("held")


def test_a_reproduction_is_no_record_of_the_training(chain: Chain) -> None:
    chain.signers = {"train": "rebuilder"}
    chain.left_out = ("data", "eval")
    told = good(chain.build().verify())
    assert told["reproduction train -> model files"] == "held: it wrote model.safetensors"
    assert told["training"] == "not-checked: not attested"
    good(chain.verify(chain.policy(steps=required("reproduce"))))
    refused = chain.verify(chain.policy(steps=required("train")))
    assert refused.status is ExitStatus.UNTRUSTED


def test_a_review_after_closing_names_the_closing_statement(chain: Chain) -> None:
    chain.build()
    closing = chain.release.bundle("release")
    subjects = (Subject(f"mlbom-out/attestations/{closing.name}", sha256(closing.read_bytes())),)
    said = {"verifier": {"id": "urn:x"}, "timeCreated": "2026-01-01T00:00:00Z", "properties": ["X"]}
    review = Statement(subjects, SVR_PREDICATE, said)
    name = chain.sealed("review", review, "reviewer", 7)
    (chain.release.out / name).write_bytes(chain.extra[name])
    told = good(chain.verify(chain.policy(steps=required("review"))))
    assert told[f"review {name} -> release"].startswith("held: about this release")


def test_a_test_result_of_another_tool_is_shown(chain: Chain) -> None:
    weights = chain.release.model["model.safetensors"]
    said = {"result": "WARNED", "configuration": [{"name": "x"}]}
    result = Statement((Subject("m", sha256(weights)),), TEST_RESULT_PREDICATE, said)
    chain.sealed("result", result, "tester", 5)
    verdict = chain.build().verify()
    good(verdict)
    assert [p.rule for p in verdict.problems] == ["not-passed"]


def test_attribute_material_and_product_rules_of_a_policy_hold(chain: Chain) -> None:
    rule = StepRule(
        name="train",
        materials=("match prepared.txt from data", "allow *.py", "disallow *"),
        products=("match models/* in model", "create *"),
    )
    policy = chain.policy(steps={"train": rule}, trusted_inputs=(BASE.uri,))
    good(chain.build().verify(policy))
    refused = chain.verify(replace(policy, trusted_inputs=()))
    assert [p.rule for p in refused.problems] == ["policy-rule"]
    assert BASE.uri in refused.problems[0].message


def test_quality_ends_with_1_and_only_when_all_else_holds(chain: Chain) -> None:
    chain.build()
    enough = Quality(most_gaps=0, metrics={"accuracy": 0.9})
    good(chain.verify(chain.policy(quality=enough)))
    for wanted in (
        Quality(metrics={"accuracy": 0.91}),
        Quality(metrics={"bleu": 0.1}),
        Quality(reproduction="metric"),
    ):
        verdict = chain.verify(chain.policy(quality=wanted))
        assert verdict.status is ExitStatus.FINDINGS
        assert [p.rule for p in verdict.problems] == ["quality"]
    (chain.release.root / "config.json").write_bytes(b"{}")
    assert chain.verify(chain.policy(quality=wanted)).status is ExitStatus.UNTRUSTED


def test_times_of_other_builders_may_be_unknown(chain: Chain) -> None:
    assert STARTED < FINISHED
    chain.edits["data"] = lambda d: d["predicate"]["buildDefinition"].update(
        buildType="https://ci.example/prepare"
    )
    told = good(chain.build().verify())
    name = "foreign provenance https://ci.example/prepare -> train record train"
    assert told[name].startswith("held")
