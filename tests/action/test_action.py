"""The GitHub Action: its steps run as written, with the files and variables a runner gives them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlbom.sign.newkey import KeyPaths, make_key
from tests.fixtures.projects import training_project
from tests.fixtures.records import make_record, record_key

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def step(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in ACTION["runs"]["steps"] if s["name"] == name)
    return found


def run_generate(tmp_path: Path, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Run the generate step as a runner would; return its status, outputs and log."""
    binaries = tmp_path / "runner" / "mlbom" / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    command = binaries / "mlbom"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlbom "$@"\n')
    command.chmod(0o755)
    outputs = tmp_path / "outputs"
    outputs.write_text("")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MLBOM")
    }
    environment.update(
        RUNNER_TEMP=str(tmp_path / "runner"), GITHUB_OUTPUT=str(outputs), CI="true",
        PYTHONPATH=str(ROOT),
    )  # fmt: skip
    for name, expression in step("Generate")["env"].items():
        given = expression.removeprefix("${{ inputs.").removesuffix(" }}")
        environment[name] = inputs.get(given, ACTION["inputs"][given]["default"])
    done = subprocess.run(
        ["bash", "-c", step("Generate")["run"]],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    return done.returncode, told, done.stderr


def test_without_a_key_the_release_is_written_unsigned(tmp_path: Path) -> None:
    training_project(tmp_path / "project")
    status, told, log = run_generate(tmp_path, path="project")
    assert status == 0, log
    assert told == {
        "output": "project/mlbom-out",
        "bom-path": "project/mlbom-out/bom.cdx.json",
        "complete": "true",
    }
    assert not (tmp_path / "project" / "mlbom-out" / "attestations").exists()


def test_with_a_key_it_is_signed_and_the_key_is_gone(tmp_path: Path) -> None:
    training_project(tmp_path / "project")
    paths = KeyPaths.of(tmp_path / "keys" / "k.pem")
    make_key(paths)
    status, _, log = run_generate(
        tmp_path, path="project", key=paths.private.read_text(), release="1.0", output="o"
    )
    assert status == 0, log
    assert len(list((tmp_path / "o" / "attestations").iterdir())) == 3
    assert not (tmp_path / "runner" / "mlbom-key.pem").exists()
    assert "PRIVATE KEY" not in log


def test_keyless_asks_for_the_identity_of_the_job(tmp_path: Path) -> None:
    """Outside such a job there is none, and then nothing is written at all."""
    training_project(tmp_path / "project")
    status, told, log = run_generate(tmp_path, path="project", keyless="true")
    assert status == 5, log
    assert "E0504" in log
    assert not told
    assert not (tmp_path / "project" / "mlbom-out").exists()


def test_records_from_elsewhere_are_joined(tmp_path: Path) -> None:
    project = training_project(tmp_path / "project")
    weights = next((project / "weights").iterdir())
    make_record(
        tmp_path / "carried", "train", {"w": weights.read_bytes()}, key=record_key(tmp_path)
    )
    status, _, log = run_generate(tmp_path, path="project", runs="carried")
    assert status == 0, log
    assert "train recorded as train" in log


def test_what_cannot_be_read_fails_the_step_but_tells_where_the_set_is(tmp_path: Path) -> None:
    project = training_project(tmp_path / "project")
    (project / "weights" / "final.safetensors").write_bytes(b"broken")
    status, told, _ = run_generate(tmp_path, path="project")
    assert status == 4
    assert told["complete"] == "false"


@pytest.mark.parametrize("name", ["Install mlbom into an environment of its own", "Generate"])
def test_no_expression_is_spliced_into_a_script(name: str) -> None:
    assert "${{" not in step(name)["run"]


def test_every_foreign_action_is_pinned_by_commit() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    uses = [s["uses"] for job in workflow["jobs"].values() for s in job["steps"] if "uses" in s]
    assert uses
    assert all(len(u.partition("@")[2]) == 40 for u in uses)
