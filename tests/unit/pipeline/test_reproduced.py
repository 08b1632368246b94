"""A release that was reproduced: from kept statements through BOM and card to the verdict."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.reproduction_claim import ReproductionClaim
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import SVR_PREDICATE
from mlbom.errors import MalformedError, SecretLeakError
from mlbom.evidence.nodes import Reproduction
from mlbom.pipeline.generate import GenerateRequest, GenerateResult, generate, preview
from mlbom.pipeline.reproduction.closed import closing_of
from mlbom.pipeline.verify import Asked, verify
from mlbom.render.lint import lint_bom
from mlbom.render.validate import validate_bom
from mlbom.sign.signer import Signer, seal
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Policy, Quality, StepRule, TrustedSigner
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import required
from tests.fixtures.projects import plan_for
from tests.fixtures.records import record_key, recorded_project, sha256_of
from tests.fixtures.reproductions import (
    AGAIN,
    details_of,
    keep_reproduction,
    payload_of,
    rebuild_statement,
    reproduction_claim,
)

FILE = "weights/final.safetensors"
NOW = AGAIN + 1_000


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: record_key(folder, name) for name in ("publisher", "recorder", "ann", "bob")}


@pytest.fixture
def project(tmp_path: Path, people: dict[str, Signer]) -> Path:
    return recorded_project(tmp_path / "p", people["recorder"])


def weights(project: Path) -> dict[str, bytes]:
    return {FILE: (project / FILE).read_bytes()}


def claim_of(project: Path, **changes: Any) -> ReproductionClaim:
    return reproduction_claim(weights(project), **changes)


def generated(project: Path, key: Signer | None, **changes: Any) -> GenerateResult:
    return generate(GenerateRequest(plan=plan_for(project), **changes), key)


def carried(result: GenerateResult) -> list[str]:
    names = (name.removeprefix("attestations/") for name in result.files)
    return sorted(name for name in names if name.startswith("06-"))


def bom_of(result: GenerateResult) -> dict[str, Any]:
    bom: dict[str, Any] = json.loads(result.files["bom.cdx.json"])
    return bom


def checked(project: Path, people: dict[str, Signer], **demands: Any) -> Verdict:
    roles = {
        "publisher": ("release", "bom"),
        "recorder": ("data", "train", "eval"),
        "ann": ("rebuild",),
        "bob": ("rebuild",),
    }
    signers = tuple(
        TrustedSigner(name=n, key=people[n].public_key, roles=frozenset(r))
        for n, r in roles.items()
    )
    trust = Trust(Policy(signers=signers, **demands), now=NOW)
    return verify(project / "mlbom-out", trust, Asked(rerender=True))


def keep_two(project: Path, people: dict[str, Signer]) -> None:
    """Let two people train again: one gets the same bytes, the other nearly."""
    made = rebuild_statement(weights(project), {}, invocation="ann")
    exact = claim_of(project, level="exact-trace", rebuilds=(payload_of(made),))
    keep_reproduction(project, people["ann"], exact, made)
    near = rebuild_statement({FILE: b"nearly"}, {}, invocation="bob")
    close = claim_of(project, level="tolerance", required="tolerance", rebuilds=(payload_of(near),))
    keep_reproduction(project, people["bob"], close, near)


def test_a_release_that_two_people_reproduced(project: Path, people: dict[str, Signer]) -> None:
    keep_two(project, people)
    result = generated(project, people["publisher"])
    assert [name.rsplit("-", 1)[0] for name in carried(result)] == [
        "06-rebuild",
        "06-rebuild",
        "06-reproduction",
        "06-reproduction",
        "06-reproduction-result",
        "06-reproduction-result",
    ]
    for name in carried(result):
        kept = (project / ".mlbom/attestations" / name).read_bytes()
        assert result.files[f"attestations/{name}"] == kept
    two = Quality(reproduction="tolerance", reproduction_threshold=2, reproduction_independent=True)
    rule = StepRule(name="reproduce", threshold=2, independent=True)
    verdict = checked(project, people, quality=two, steps={"reproduce": rule})
    assert [p for p in verdict.problems if p.status] == []
    assert verdict.status is ExitStatus.DONE
    ann, bob = (people[name].public_key.hint for name in ("ann", "bob"))
    assert verdict.reproduced == (
        f"exact-trace by ann, key {ann} (2 runs), tolerance by bob, key {bob} (2 runs)"
    )
    below = checked(project, people, quality=replace(two, reproduction="exact-weights"))
    assert below.status is ExitStatus.FINDINGS


@pytest.mark.parametrize("spec", ["1.7", "1.6"])
def test_the_bom_declares_them_and_is_valid(
    project: Path, people: dict[str, Signer], spec: str
) -> None:
    keep_two(project, people)
    bom = bom_of(generated(project, None, spec=spec))
    validate_bom(bom)
    assert [*lint_bom(bom)] == []
    declared = bom["declarations"]
    assert [c["predicate"] for c in declared["claims"]] == [
        "reproduced: exact-trace",
        "reproduced: tolerance",
    ]
    model = next(c for c in bom["components"] if c["type"] == "machine-learning-model")
    assert {c["target"] for c in declared["claims"]} == {model["bom-ref"]}
    assert all(c["reasoning"].startswith("2 trainings ran again") for c in declared["claims"])
    urls = [d["contents"]["url"] for e in declared["evidence"] for d in e["data"]]
    assert all((project / "mlbom-out" / url).is_file() for url in urls)
    assert len(urls) == 4


def test_a_declaration_that_names_nothing_is_a_defect(
    project: Path, people: dict[str, Signer]
) -> None:
    keep_two(project, people)
    bom = bom_of(generated(project, None))
    declared = bom["declarations"]
    declared["claims"][0]["target"] = "model:other"
    declared["attestations"][0]["assessor"] = "nobody"
    declared["evidence"].append(declared["evidence"][0])
    assert [problem.partition(":")[0] for problem in lint_bom(bom)].count("declarations") == 2
    assert any("stands 2 times" in problem for problem in lint_bom(bom))


def test_no_signature_stands_in_bom_card_or_evidence(
    project: Path, people: dict[str, Signer]
) -> None:
    """Who signed shows in nothing that `generate` renders: another key gives the same bytes."""
    keep_two(project, people)
    first = generated(project, None).files
    hints = [people[name].public_key.hint.encode() for name in ("ann", "bob")]
    documents = [n for n in first if not n.startswith("attestations/")]
    assert not any(hint in first[name] for hint in hints for name in documents)
    for path in (project / ".mlbom/attestations").iterdir():
        path.unlink()
    keep_two(project, {**people, "ann": people["bob"], "bob": people["recorder"]})
    second = generated(project, None).files
    assert {n: first[n] for n in documents} == {n: second[n] for n in documents}


def test_the_card_says_what_is_stated(project: Path, people: dict[str, Signer]) -> None:
    keep_two(project, people)
    result = generated(project, None)
    card = result.files["MODEL_CARD.md"].decode()
    assert "## Reproducibility" in card
    assert "| reproduced: exact-trace | 2 times, until " in card
    assert "--key rebuild=REBUILDER.pub" in card
    assert "Reproducibility" in result.files["report.html"].decode()


def test_without_statements_nothing_is_said(project: Path) -> None:
    result = generated(project, None)
    assert "declarations" not in bom_of(result)
    assert "## Reproducibility" not in result.files["MODEL_CARD.md"].decode()
    assert result.graph.nodes(Reproduction) == ()


def test_a_failure_goes_along_and_is_a_counter_claim(
    project: Path, people: dict[str, Signer]
) -> None:
    near = rebuild_statement({FILE: b"far"}, {})
    failed = claim_of(project, level="diverged", rebuilds=(payload_of(near),))
    keep_reproduction(project, people["ann"], failed, near)
    result = generated(project, people["publisher"])
    assert len(carried(result)) == 2
    declared = bom_of(result)["declarations"]
    assert "counterClaims" in declared["attestations"][0]["map"][0]
    predicate = "not reproduced: diverged, exact-weights was required"
    assert declared["claims"][0]["predicate"] == predicate
    assert predicate in result.files["MODEL_CARD.md"].decode()
    verdict = checked(project, people)
    assert verdict.status is ExitStatus.DONE
    assert [p.rule for p in verdict.problems if p.rule == "not-passed"] == ["not-passed"]


@pytest.mark.parametrize(
    "changes", [{"level": "inconclusive"}, {"stopped_after": 3}, {"control": False}]
)
def test_what_nobody_can_tell_stays_where_it_is(
    project: Path, people: dict[str, Signer], changes: dict[str, Any]
) -> None:
    near = rebuild_statement({FILE: b"far"}, {})
    unsure = claim_of(project, rebuilds=(payload_of(near),), **changes)
    keep_reproduction(project, people["ann"], unsure, near)
    result = generated(project, people["publisher"])
    assert carried(result) == []
    assert "declarations" not in bom_of(result)


def test_a_reproduction_of_other_weights_is_left_out(
    project: Path, people: dict[str, Signer]
) -> None:
    made = rebuild_statement({FILE: b"other"}, {})
    other = reproduction_claim({FILE: b"other"}, rebuilds=(payload_of(made),))
    keep_reproduction(project, people["ann"], other, made)
    assert carried(generated(project, people["publisher"])) == []
    assert checked(project, people).status is ExitStatus.DONE


@pytest.mark.parametrize("details", [b"{}", details_of("exact-trace", "exact-weights")])
def test_a_result_with_the_details_of_another_is_left_out(
    project: Path, people: dict[str, Signer], details: bytes
) -> None:
    keep_reproduction(project, people["ann"], claim_of(project, details=details))
    names = carried(generated(project, people["publisher"]))
    assert not any("result" in name for name in names)
    assert checked(project, people).status is ExitStatus.DONE


def test_a_record_of_training_again_without_a_statement_goes_along_when_it_made_the_weights(
    project: Path, people: dict[str, Signer]
) -> None:
    folder = project / ".mlbom/attestations"
    folder.mkdir(parents=True)
    same, far = rebuild_statement(weights(project), {}), rebuild_statement({FILE: b"far"}, {})
    failed = rebuild_statement(weights(project), {}, exit_code=1)
    for made in (same, far, failed):
        sealed = seal(people["ann"], made)
        (folder / sealed.name(6, "rebuild")).write_bytes(sealed.bundle)
    result = generated(project, people["publisher"])
    assert carried(result) == [seal(people["ann"], same).name(6, "rebuild")]
    verdict = checked(project, people)
    assert verdict.status is ExitStatus.DONE
    assert verdict.reproduced.startswith("exact-weights by ann")


def test_a_record_whose_conclusion_stays_behind_counts_for_nothing(
    project: Path, people: dict[str, Signer]
) -> None:
    """One of its runs wrote these bytes, and nobody can tell: the release must not say otherwise."""
    unsure = claim_of(project, level="inconclusive")
    made = rebuild_statement(weights(project), {}, details=unsure.details_sha256)
    unsure = replace(unsure, rebuilds=(payload_of(made),))
    keep_reproduction(project, people["ann"], unsure, made)
    result = generated(project, people["publisher"])
    assert not any("reproduction" in name for name in carried(result))
    verdict = checked(project, people, quality=Quality(reproduction="metric"))
    assert verdict.reproduced == ""
    assert [p.rule for p in verdict.problems if p.status] == ["quality"]


def test_a_reproduction_of_a_closed_release_holds_for_the_next_one_of_the_same_weights(
    project: Path, people: dict[str, Signer]
) -> None:
    """It names the first closing bundle; that the second is about the same bytes is what counts."""
    generated(project, people["publisher"])
    first = closing_of(project / "mlbom-out", claim_of(project).weights)
    assert first
    told = claim_of(project, closing=first)
    made = rebuild_statement(weights(project), {}, details=told.details_sha256)
    told = replace(told, rebuilds=(payload_of(made),))
    names = keep_reproduction(project, people["ann"], told, made)
    said = f"exact-weights by ann, key {people['ann'].public_key.hint} (2 runs)"
    demands = {"quality": Quality(reproduction="exact-weights"), "steps": required("reproduce")}
    for name in names:
        bundle = (project / ".mlbom/attestations" / name).read_bytes()
        (project / "mlbom-out/attestations" / name).write_bytes(bundle)
    beside = checked(project, people, **demands)
    assert (beside.status, beside.reproduced) == (ExitStatus.DONE, said)
    result = generated(project, people["publisher"])
    assert carried(result) == names
    assert closing_of(project / "mlbom-out", told.weights) not in ("", first)
    again = checked(project, people, **demands)
    assert [p for p in again.problems if p.status] == []
    assert (again.status, again.reproduced) == (ExitStatus.DONE, said)


def test_a_level_of_another_tool_is_declared(project: Path, people: dict[str, Signer]) -> None:
    subject = Subject("m", sha256_of(weights(project)[FILE]))
    folder = project / ".mlbom/attestations"
    folder.mkdir(parents=True)
    levels = (["urn:mlbom:reproduced:exact-weights"], ["urn:mlbom:reproduced:perfect"])
    for properties in levels:
        said = {"verifier": {"id": "urn:x"}, "timeCreated": "?", "properties": properties}
        sealed = seal(people["ann"], Statement((subject,), SVR_PREDICATE, said))
        (folder / sealed.name(6, "reproduction")).write_bytes(sealed.bundle)
    result = generated(project, people["publisher"])
    assert len(carried(result)) == 1
    claim = bom_of(result)["declarations"]["claims"][0]
    assert claim["predicate"] == "reproduced: exact-weights"
    assert claim["reasoning"] == "Another tool states the level, and tells nothing else"
    assert checked(project, people).reproduced.startswith("exact-weights by ann")


def test_a_statement_that_claims_our_key_falsely_stops_the_release(
    project: Path, people: dict[str, Signer]
) -> None:
    names = keep_reproduction(project, people["publisher"], claim_of(project))
    path = project / ".mlbom/attestations" / names[0]
    bundle = json.loads(path.read_bytes())
    other = json.loads((project / ".mlbom/attestations" / names[1]).read_bytes())
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    path.write_text(json.dumps(bundle))
    with pytest.raises(MalformedError, match="claims your key"):
        generated(project, people["publisher"])
    assert not (project / "mlbom-out").exists()


def test_a_secret_in_carried_details_stops_the_release(
    project: Path, people: dict[str, Signer]
) -> None:
    secret = "ghp_" + "a" * 36
    details = details_of("exact-weights", "exact-weights", command=[secret])
    keep_reproduction(project, people["ann"], claim_of(project, details=details))
    with pytest.raises(SecretLeakError) as caught:
        generated(project, people["publisher"])
    assert secret not in caught.value.message


def test_equal_statements_give_equal_documents_in_any_order(
    tmp_path: Path, people: dict[str, Signer]
) -> None:
    made = []
    for where, order in (("a", 1), ("b/c", -1)):
        project = recorded_project(tmp_path / where / "p", people["recorder"])
        for runs in (2, 3, 4)[::order]:
            keep_reproduction(project, people["ann"], claim_of(project, runs=runs))
        made.append(preview(GenerateRequest(plan=plan_for(project))).files)
    assert made[0] == made[1]
