"""Attacks by somebody whose key may sign less than he states: each is refused, by its rule."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import bundle_bytes, parse_bundle
from mlbom.attest.resource import Resource
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import (
    PAYLOAD_TYPE,
    PROVENANCE_PREDICATE,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
)
from mlbom.formats.strict_json import parse_json
from mlbom.pipeline.verify import Asked, verify
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import ROLES, Policy, Quality, StepRule, TrustedSigner
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import BASE, PREPARED, WEIGHTS, Chain, new_people, required, sha256_of
from tests.fixtures.records import FINISHED, file_resource, record_statement, run_claim

EVIL, LOSS = b"evil weights" * 20, b"1,2\n"
LATE = {"started": FINISHED + 105, "finished": FINISHED + 108}
REPRODUCED = "urn:mlbom:reproduced:exact-weights"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    return Chain(tmp_path / "project", people)


def bad(verdict: Verdict) -> list[str]:
    """Return the rules that a verdict says to be broken, each once."""
    return list(dict.fromkeys(p.rule for p in verdict.problems if p.status))


def provenance(
    wrote: Mapping[str, bytes], build_type: str, read: Mapping[str, bytes] | None = None
) -> Statement:
    """Return what another builder could state."""
    listed = [file_resource(name, data).document() for name, data in (read or {}).items()]
    definition = {"buildType": build_type, "resolvedDependencies": listed}
    subjects = tuple(Subject(name, sha256_of(data)) for name, data in wrote.items())
    predicate = {"buildDefinition": definition, "runDetails": {}}
    return Statement(subjects, PROVENANCE_PREDICATE, predicate)


def summary(*subjects: Subject, properties: tuple[str, ...] = ("GOOD",)) -> Statement:
    """Return a simple verification result about some files."""
    told = {"verifier": {"id": "urn:x"}, "properties": list(properties)}
    return Statement(subjects, SVR_PREDICATE, told)


def about(name: str, data: bytes) -> Subject:
    return Subject(name, sha256_of(data))


def evil_weights(chain: Chain) -> None:
    """Let the release hold other weights than those that were trained."""
    old = chain.release.model["model.safetensors"]
    chain.release.model["model.safetensors"] = EVIL
    chain.wrote["train"] = {WEIGHTS: old, "logs/loss.csv": LOSS}
    chain.left_out = ("eval",)


@pytest.mark.parametrize("read", ["loss.csv", "weights"])
def test_an_evaluation_key_cannot_derive_weights_from_a_training(chain: Chain, read: str) -> None:
    evil_weights(chain)
    source = LOSS if read == "loss.csv" else b"full"
    if read == "weights":
        chain.wrote["train"]["full.safetensors"] = source
    chain.sealed("fake", provenance({"m": EVIL}, "https://x.example/y", {read: source}), "tester")
    verdict = chain.build().verify(chain.policy(steps=required("data", "train")))
    assert "missing-statement" in bad(verdict)
    assert not verdict.trained


def test_a_step_that_read_only_the_logs_of_a_training_derives_no_weights(chain: Chain) -> None:
    evil_weights(chain)
    made = record_statement({WEIGHTS: EVIL}, {"loss.csv": LOSS}, run_claim("other", "x", **LATE))
    chain.sealed("fake", made, "librarian")
    verdict = chain.build().verify(chain.policy(steps=required("train")))
    assert "missing-statement" in bad(verdict)
    assert not verdict.trained


@pytest.mark.parametrize("how", ["a training", "another builder"])
def test_a_name_makes_nothing_the_data_step(chain: Chain, how: str) -> None:
    poisoned = b"poisoned\n"
    chain.left_out = ("data",)
    chain.read["train"] = (file_resource("prepared.txt", poisoned),)
    wrote = {"prepared.txt": poisoned}
    if how == "a training":
        chain.sealed("fake", record_statement(wrote, {}, run_claim("train", "data")), "trainer")
    else:
        chain.sealed("fake", provenance(wrote, "data"), "tester")
    rule = StepRule(name="train", materials=("match prepared.txt from data", "disallow *"))
    verdict = chain.build().verify(chain.policy(steps={"train": rule}))
    assert bad(verdict) == ["policy-rule"]


def test_a_build_type_is_no_name_of_a_step(chain: Chain) -> None:
    chain.left_out = ("data",)
    chain.sealed("fake", provenance({"prepared.txt": PREPARED}, "prepare"), "tester")
    verdict = chain.build().verify(chain.policy(steps=required("prepare")))
    assert bad(verdict) == ["missing-statement"]


def test_a_build_type_that_a_named_step_accepts_makes_it_that_step(chain: Chain) -> None:
    chain.left_out = ("data",)
    chain.sealed("ci", provenance({"prepared.txt": PREPARED}, "https://ci.example/v1"), "librarian")
    steps = required("prepare", build_types=("https://ci.example/v1",))
    assert chain.build().verify(chain.policy(steps=steps)).status is ExitStatus.DONE


def test_a_named_step_may_demand_the_role_of_its_record(chain: Chain) -> None:
    chain.left_out = ("data",)
    made = record_statement({"prepared.txt": PREPARED}, {}, run_claim("train", "prepare"))
    chain.sealed("fake", made, "trainer")
    chain.build()
    assert bad(chain.verify(chain.policy(steps=required("prepare")))) == []
    verdict = chain.verify(chain.policy(steps=required("prepare", role="data")))
    assert bad(verdict) == ["missing-statement"]


def test_a_reproduction_is_no_named_step(chain: Chain) -> None:
    weights = chain.release.model["model.safetensors"]
    made = record_statement({WEIGHTS: weights}, {}, run_claim("train", "convert", **LATE))
    chain.sealed("fake", made, "rebuilder")
    verdict = chain.build().verify(chain.policy(steps=required("convert")))
    assert bad(verdict) == ["missing-statement"]


@pytest.mark.parametrize(
    "resource",
    [
        Resource(name="stolen.bin"),
        Resource(name="stolen.bin", digests={"sha512": "ab" * 64}),
        Resource(name="stolen.py", digests={"sha512": "ab" * 64}),
        Resource(name="stolen.bin", digests={"gitCommit": "ab" * 20}),
        Resource(name="stolen.bin", uri="git+https://x.example/y", digests={"sha256": "ab" * 32}),
        Resource(uri="git+https://x.example/y", digests={"sha256": "ab" * 32}),
        Resource(name="stolen.bin", uri="pkg:pypi/torch@2.9.0", digests={"sha256": "ab" * 32}),
        Resource(name="stolen.bin", uri="pkg:pypi/torch@2.9.0"),
    ],
)
def test_no_input_slips_past_the_rules_for_materials(chain: Chain, resource: Resource) -> None:
    rules = ("match prepared.txt from data", "allow *.py", "disallow *")
    steps = {"train": StepRule(name="train", materials=rules)}
    policy = chain.policy(steps=steps, trusted_inputs=(BASE.uri,))
    wheel = Resource(name="My_Pack", uri="pkg:pypi/my-pack@1", digests={"sha256": "cd" * 32})
    source = Resource(name="source", digests={"gitCommit": "ab" * 20})
    chain.read["train"] = (*chain.read["train"], wheel, source)
    assert chain.build().verify(policy).status is ExitStatus.DONE
    other = Chain(chain.path.parent / "other", chain.people)
    other.read["train"] = (*other.read["train"], resource)
    assert bad(other.build().verify(policy)) == ["policy-rule"]


def test_an_optional_step_of_another_build_type_is_refused(chain: Chain) -> None:
    rule = StepRule(name="train", required=False, build_types=("https://only.example/this",))
    verdict = chain.build().verify(chain.policy(steps={"train": rule}))
    assert bad(verdict) == ["policy-rule"]


@pytest.mark.parametrize("data", [b"", b"a\nb\n"])
def test_a_review_of_one_file_is_no_review_of_the_release(chain: Chain, data: bytes) -> None:
    chain.release.model["tokenizer/__init__.py"] = b""
    chain.sealed("review", summary(about("whatever", data)), "reviewer", 7)
    verdict = chain.build().verify(chain.policy(steps=required("review")))
    assert "missing-statement" in bad(verdict)


@pytest.mark.parametrize(("data", "counts"), [(b"a\nb\n", False), (None, True)])
def test_a_reproduction_counts_when_it_is_of_all_weights(
    chain: Chain, data: bytes | None, counts: bool
) -> None:
    weights = chain.release.model["model.safetensors"]
    subject = about("m", weights if data is None else data)
    chain.sealed("rep", summary(subject, properties=(REPRODUCED,)), "rebuilder")
    policy = chain.policy(quality=Quality(reproduction="exact-weights"))
    assert bad(chain.build().verify(policy)) == ([] if counts else ["quality"])


def test_a_reproduction_by_a_key_of_all_roles_is_no_review(chain: Chain) -> None:
    manifest = chain.release.signed_model().manifest
    subject = Subject("model.manifest", manifest.sha256)
    chain.sealed("rep", summary(subject, properties=(REPRODUCED,)), "publisher")
    chain.build()
    key = chain.people["publisher"].public_key
    everything = TrustedSigner(name="all", key=key, roles=frozenset(ROLES))
    others = tuple(s for s in chain.policy().signers if s.name != "publisher")
    policy = Policy(signers=(everything, *others), steps=required("review"))
    assert bad(chain.verify(policy)) == ["missing-statement"]


def test_the_metrics_of_a_failed_evaluation_count_for_nothing(chain: Chain) -> None:
    chain.claims["eval"].update(exit_code=1, metrics=({"name": "accuracy", "value": 0.99},))
    verdict = chain.build().verify(chain.policy(quality=Quality(metrics={"accuracy": 0.9})))
    assert "no signed record tells accuracy, your policy wants 0.9" in [
        p.message for p in verdict.problems if p.rule == "quality"
    ]


@pytest.mark.parametrize("evaluation", [True, False])
def test_a_build_type_in_the_wrong_place_is_refused(chain: Chain, evaluation: bool) -> None:
    """The claim of a test result, and provenance that holds it beside nothing of its own."""
    run = {"mlbom_run": {"buildDefinition": {"buildType": "x"}}}
    predicate: dict[str, Any] = {"buildDefinition": {}, "runDetails": {}, **run}
    if evaluation:
        predicate = {"result": "PASSED", "configuration": [], **run}
    told = TEST_RESULT_PREDICATE if evaluation else PROVENANCE_PREDICATE
    weights = chain.release.model["model.safetensors"]
    chain.sealed("odd", Statement((about(WEIGHTS, weights),), told, predicate), "tester")
    assert bad(chain.build().verify()) == ["unexpected-predicate"]


def test_an_older_release_is_known_without_the_signature_of_the_first(
    tmp_path: Path, people: dict[str, Signer]
) -> None:
    """Two keys closed both; the older one is played again under the second key alone."""
    old, new = (closed_by_two(tmp_path / v, people, v) for v in ("1.0.0", "2.0.0"))
    assert judged(new, tmp_path).status is ExitStatus.DONE
    assert "rollback" in bad(judged(old, tmp_path))
    old.release.bundle("release").unlink()
    assert "rollback" in bad(judged(old, tmp_path))


def closed_by_two(path: Path, people: dict[str, Signer], version: str) -> Chain:
    """Return a release that the publisher and the stranger closed."""
    chain = Chain(path, people)
    chain.release.model["tokenizer/vocab.txt"] = version.encode()
    purl = f"pkg:generic/tiny@{version}"
    chain.release.edit_closing = lambda d: d["predicate"].update(purl=purl)
    closing = chain.build().release.bundle("release")
    payload = parse_bundle(parse_json(closing.read_bytes(), "closing")).envelope.payload
    assert json.loads(payload)["predicate"]["purl"] == purl
    second = people["stranger"]
    signed = bundle_bytes(second.sign(payload, PAYLOAD_TYPE), second.public_key.hint)
    closing.with_name("09-release-second.sigstore.json").write_bytes(signed)
    return chain


def judged(chain: Chain, folder: Path) -> Verdict:
    """Verify with one memory for all releases."""
    key = chain.people["stranger"].public_key
    second = TrustedSigner(name="second", key=key, roles=frozenset({"release"}))
    policy = Policy(signers=(*chain.policy().signers, second))
    asked = Asked(root=chain.path, state=folder / "state.json", signer_named=True)
    return verify(chain.release.out, Trust(policy), asked)
