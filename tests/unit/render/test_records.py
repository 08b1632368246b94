"""A recording becomes a claim: what is named, what is told by digest alone, what is left out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.run_claim import StepKind, parse_run, run_statement
from mlbom.digest.manifest import dir_hash, parse_manifest
from mlbom.record.recording import Recording, RemoteInput, StepPlan, Usage
from mlbom.render.records import (
    classic_artifacts,
    private_inputs,
    step_claim,
    step_subjects,
)
from mlbom.render.step import StepFacts

ROOT = Path("/home/ada/project")
SCRIPT, DATA, OUT = (str(ROOT / name) for name in ("train.py", "data/private.csv", "out/model.bin"))
AWAY = "/mnt/secret-client/rows.parquet"
LOGS = (ROOT / "stdout.log", ROOT / "stderr.log")
DIGESTS = {
    SCRIPT: "1" * 64,
    DATA: "2" * 64,
    OUT: "3" * 64,
    AWAY: "4" * 64,
    str(LOGS[0]): "5" * 64,
    str(LOGS[1]): "6" * 64,
}


def facts(**changes: Any) -> StepFacts:
    plan = StepPlan(
        argv=(
            "/usr/bin/python3",
            str(ROOT / "train.py"),
            "--wandb-token",
            "abc",
            "--from=/mnt/x/y.bin",
        ),
        cwd=ROOT / "sub",
        project_root=ROOT,
        folder=ROOT / ".mlbom/runs/one",
    )
    recording = Recording(
        plan=plan,
        started=1000.9,
        finished=1060.1,
        exit_code=0,
        signal=None,
        usage=Usage(wall_s=59.2, max_rss_nbytes=1024, energy_j={"gpu:0": 1.23456}),
        reads=(AWAY, DATA, SCRIPT),
        writes=(OUT,),
        modules=(SCRIPT,),
        observers=("audit hook",),
        unseen=("cannot see /mnt/secret-client/rows.parquet well",),
        environment={"OMP_NUM_THREADS": "1", "HF_TOKEN": "x", "HOME": "/home/ada"},
        seeds={"torch": "7"},
        stdout=LOGS[0],
        stderr=LOGS[1],
    )
    recording_changes = changes.pop("recording", {})
    told: dict[str, Any] = {
        "name": "train",
        "kind": StepKind.TRAIN,
        "invocation": "one",
        "tool_version": "1.0",
        "recording": replace(recording, **recording_changes),
        "digests": DIGESTS,
        "names": {SCRIPT: "train.py", OUT: "out/model.bin"},
    }
    return StepFacts(**{**told, **changes})


def test_only_names_that_may_be_told_are_told() -> None:
    """chain.md 5: tracked files are named, any other is there by its digest."""
    materials = step_claim(facts()).materials
    assert [(m.name, m.sha256) for m in materials] == [
        ("train.py", "1" * 64),
        ("", "2" * 64),
        ("", "4" * 64),
    ]
    assert materials[0].annotations == {"mlbom_role": "code"}
    payload = run_statement(step_claim(facts()), step_subjects(facts())).payload()
    for private in (b"private.csv", b"secret-client", b"/ada", b"abc", b"HF_TOKEN"):
        assert private not in payload


def test_the_private_manifest_knows_every_name() -> None:
    assert parse_manifest(private_inputs(facts())) == {
        "train.py": "1" * 64,
        "data/private.csv": "2" * 64,
        "mnt/secret-client/rows.parquet": "4" * 64,
    }


def test_command_and_variables_tell_nothing_of_the_host() -> None:
    claim = step_claim(facts())
    assert claim.command == (
        "python3",
        "train.py",
        "--wandb-token",
        "<redacted:argument>",
        "--from=y.bin",
    )
    assert claim.folder == "sub"
    assert claim.parameters["environmentVariables"] == {"OMP_NUM_THREADS": "1"}
    assert claim.unseen == (f"cannot see <sha256:{'4' * 12}> well",)


def test_a_private_input_is_not_named_by_the_command_either() -> None:
    plan = replace(
        facts().recording.plan, argv=("python", "train.py", f"--data={AWAY}", "data/private.csv")
    )
    claim = step_claim(facts(recording={"plan": plan}))
    assert claim.command[2:] == (f"--data=<sha256:{'4' * 12}>", f"<sha256:{'2' * 12}>")


def test_times_are_cut_to_seconds_and_usage_is_what_was_measured() -> None:
    claim = step_claim(facts())
    assert (claim.started, claim.finished) == (1000, 1060)
    assert claim.usage == {
        "wallSeconds": 59.2,
        "maxRssBytes": 1024,
        "energyJoules": {"gpu:0": 1.235},
    }


def test_an_overwritten_input_is_not_claimed() -> None:
    claim = step_claim(facts(recording={"overwritten": (DATA,)}))
    assert "2" * 64 not in {material.sha256 for material in claim.materials}


def test_a_step_that_left_nothing_is_stated_of_its_logs() -> None:
    subjects = step_subjects(facts(recording={"writes": (), "exit_code": None, "signal": 9}))
    assert [s.name for s in subjects] == ["logs/stderr.log", "logs/stdout.log"]


def test_an_evaluation_is_about_the_weights_that_it_read() -> None:
    weights = str(ROOT / "out/model.safetensors")
    told = facts(
        kind=StepKind.EVAL,
        recording={"reads": (SCRIPT, weights)},
        digests={**DIGESTS, weights: "7" * 64},
        names={SCRIPT: "train.py", weights: "out/model.safetensors", OUT: "out/model.bin"},
        weights=frozenset({weights}),
    )
    assert [(s.name, s.sha256) for s in step_subjects(told)] == [
        ("out/model.safetensors", "7" * 64)
    ]
    byproducts = {resource.name for resource in step_claim(told).byproducts}
    assert byproducts == {"stdout.log", "stderr.log", "out/model.bin"}


def test_many_outputs_are_one_manifest_with_its_content() -> None:
    outputs = [str(ROOT / f"out/{n:03}.bin") for n in range(257)]
    told = facts(
        recording={"writes": tuple(outputs)},
        digests={**DIGESTS, **{path: f"{n:064x}" for n, path in enumerate(outputs)}},
        names={path: f"out/{n:03}.bin" for n, path in enumerate(outputs)},
    )
    (subject,) = step_subjects(told)
    manifest = next(r for r in step_claim(told).byproducts if r.name == "outputs.manifest")
    assert subject.name == "outputs.manifest"
    assert manifest.content is not None
    assert subject.sha256 == manifest.sha256 == dir_hash(manifest.content)
    assert parse_manifest(manifest.content)["out/256.bin"] == f"{256:064x}"


def test_many_private_inputs_are_one_digest_without_names() -> None:
    inputs = [str(ROOT / f"rows/{n:03}.csv") for n in range(257)]
    told = facts(
        recording={"reads": tuple(inputs)},
        digests={**DIGESTS, **{path: f"{n:064x}" for n, path in enumerate(inputs)}},
        names={OUT: "out/model.bin"},
    )
    (resource,) = step_claim(told).materials
    assert resource.sha256 == dir_hash(private_inputs(told))
    assert resource.annotations == {"mlbom_files": 257}
    assert resource.content is None


@pytest.mark.parametrize(
    ("remote", "uri"),
    [
        (
            RemoteInput(kind="model", name="org/base", revision="c" * 40),
            "pkg:huggingface/org/base@",
        ),
        (RemoteInput(kind="dataset", name="org/rows", revision="c" * 40), "/org/rows/tree/"),
        (RemoteInput(kind="dataset", name="org/rows", requested="main"), "/datasets/org/rows"),
    ],
)
def test_what_came_from_a_hub_is_told_at_its_revision(remote: RemoteInput, uri: str) -> None:
    told = step_claim(facts(recording={"remote": (remote,)})).materials[-1]
    assert uri in told.uri
    assert told.uri.endswith(remote.revision)
    assert ("gitCommit" in told.digests) == bool(remote.revision)


def test_the_link_names_what_the_record_names() -> None:
    materials, products = classic_artifacts(facts())
    assert materials == {
        "train.py": "1" * 64,
        f"sha256/{'2' * 64}": "2" * 64,
        f"sha256/{'4' * 64}": "4" * 64,
    }
    assert products == {"out/model.bin": "3" * 64}


def test_two_outputs_of_one_name_are_both_stated() -> None:
    places = ("/mnt/a/model.bin", "/mnt/b/model.bin")
    told = facts(
        recording={"writes": places},
        digests={**DIGESTS, places[0]: "a" * 64, places[1]: "b" * 64},
        names=dict.fromkeys(places, "model.bin"),
    )
    stated = {"model.bin": "a" * 64, f"sha256/{'b' * 64}": "b" * 64}
    assert {subject.name: subject.sha256 for subject in step_subjects(told)} == stated
    assert classic_artifacts(told)[1] == stated


def test_the_claim_survives() -> None:
    claim = step_claim(facts())
    assert parse_run(run_statement(claim, step_subjects(facts()))) == claim
