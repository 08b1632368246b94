"""A record of examples/char-lm that lies about its seed or threads, and what reproducing it says."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mlbom.cli.main import run as mlbom
from tests.fixtures.gitrepo import commit_all, run_git

EXAMPLE = Path(__file__).parents[3] / "examples" / "char-lm"
COMMAND = [sys.executable, "train.py", "--steps", "12"]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "char-lm"
    left_out = shutil.ignore_patterns(".mlbom", "mlbom-out", "__pycache__", "runs")
    shutil.copytree(EXAMPLE, root, ignore=left_out)
    (root / ".gitignore").write_text(".mlbom/\n__pycache__/\n")
    run_git(root, "init", "--quiet", "-b", "main")
    commit_all(root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return root


def record_with(root: Path, was: str, instead: str) -> None:
    """Record a training with a changed configuration, as if the committed one had been used."""
    config = root / "config.yaml"
    honest = config.read_text()
    assert was in honest
    commit = run_git(root, "rev-parse", "HEAD")
    config.write_text(honest.replace(was, instead))
    assert mlbom(["run", "--name", "train", "--trace", "step", "--no-sign", "--", *COMMAND]) == 0
    config.write_text(honest)
    (path,) = (root / ".mlbom" / "runs").glob("*/record.intoto.json")
    record: dict[str, Any] = json.loads(path.read_text())
    for material in record["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if "gitCommit" in material.get("digest", {}):
            material["digest"]["gitCommit"] = commit
            material["annotations"] = {"mlbom_dirty": False, "mlbom_path": "."}
        if material.get("name") == "config.yaml":
            material["digest"]["sha256"] = hashlib.sha256(honest.encode()).hexdigest()
    path.write_text(json.dumps(record))


def details(root: Path) -> dict[str, Any]:
    """Return the only details document."""
    (path,) = (root / ".mlbom" / "private" / "reproductions").glob("*/reproduction.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_another_seed_than_the_recorded_one_is_named(clone: Path) -> None:
    record_with(clone, "seed: 1729", "seed: 4104")
    assert mlbom(["reproduce", "--yes", "--no-sign", "train"]) == 1
    found = details(clone)
    assert found["verdict"]["level"] in ("diverged", "metric")
    culprit = found["culprit"]
    assert culprit["kind"] == "seed"
    assert "4104" in culprit["what"]
    assert "1729" in culprit["what"]
    assert culprit["path"] == "train.py"


def test_another_number_of_threads_than_the_recorded_one_is_named(clone: Path) -> None:
    record_with(clone, "threads: 1", "threads: 2")
    # The program sets the number itself, so that it is no part of its environment.
    assert mlbom(["reproduce", "--yes", "--no-sign", "train"]) == 1
    found = details(clone)
    assert found["verdict"]["level"] in ("tolerance", "metric")
    culprit = found["culprit"]
    assert culprit["kind"] == "environment"
    assert "torch.num_threads was 2 in the recorded run and is 1 now" in culprit["what"]
    assert culprit["path"] == "train.py"
