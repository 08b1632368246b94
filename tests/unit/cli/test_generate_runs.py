"""`mlbom generate --runs`: which records it takes, what it says of them, how it ends."""

import json
from pathlib import Path

import pytest

from mlbom.cli.main import run
from tests.fixtures.projects import training_project
from tests.fixtures.records import make_record, record_key, recorded_project


def weights_of(project: Path) -> bytes:
    return (project / "weights" / "final.safetensors").read_bytes()


def test_the_records_of_the_project_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = recorded_project(tmp_path / "p")
    make_record(project / ".mlbom/runs/x", "train", {"w.pt": b"others"}, name="lonely")
    assert run(["generate", str(project), "--no-sign"]) == 0
    told = capsys.readouterr().err
    assert "train recorded as train (run:" in told
    assert "not signed): python train.py --lr 0.1" in told
    assert ".mlbom/runs/x/record.intoto.json: the record 'lonely' is not part of the chain" in told


def test_records_are_taken_from_files_and_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = training_project(tmp_path / "p")
    key = record_key(tmp_path / "keys")
    one = make_record(tmp_path / "a", "train", {"w.pt": weights_of(project)}, key=key)
    make_record(tmp_path / "b/deep", "eval", {"w.pt": weights_of(project)}, key=key)
    places = [str(one), str(tmp_path / "b")]
    assert run(["generate", str(project), "--no-sign", "--runs", *places]) == 0
    counts = json.loads((project / "mlbom-out/summary.json").read_bytes())["counts"]
    assert counts["runs"] == {"eval": 1, "train": 1}
    names = sorted(p.name[:8] for p in (project / "mlbom-out/attestations").iterdir())
    assert names == ["02-train", "05-eval-"]
    assert "eval recorded as eval" in capsys.readouterr().err


def test_a_setting_names_records_relative_to_the_project(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    make_record(project / "evidence/a", "train", {"w.pt": weights_of(project)})
    (project / "mlbom.toml").write_text('runs = ["evidence"]\ngrid-gco2-per-kwh = "120.5"\n')
    assert run(["generate", str(project), "--no-sign"]) == 0
    counts = json.loads((project / "mlbom-out/summary.json").read_bytes())["counts"]
    assert counts["runs"] == {"train": 1}


def test_a_missing_record_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = training_project(tmp_path / "p")
    assert run(["generate", str(project), "--no-sign", "--runs", str(tmp_path / "gone")]) == 2
    assert "no such record" in capsys.readouterr().err
    assert not (project / "mlbom-out").exists()


def test_a_malformed_record_ends_with_4_and_a_set_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = training_project(tmp_path / "p")
    (tmp_path / "bad.json").write_bytes(b"{}")
    assert run(["generate", str(project), "--no-sign", "--runs", str(tmp_path / "bad.json")]) == 4
    assert "bad.json" in capsys.readouterr().err
    assert "bad.json" in (project / "mlbom-out/report.html").read_text()


def test_a_secret_in_a_record_ends_with_6(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = training_project(tmp_path / "p")
    make_record(
        project / ".mlbom/runs/a",
        "train",
        {"w.pt": weights_of(project)},
        key=record_key(tmp_path / "keys"),
        command=("python", "ghp_" + "a" * 36),
    )
    assert run(["generate", str(project), "--no-sign"]) == 6
    told = capsys.readouterr().err
    assert ".mlbom/runs/a/record.sigstore.json" in told
    assert "ghp_" not in told


@pytest.mark.parametrize("factor", ["much", "-1", "1e3", "inf"])
def test_a_grid_factor_is_a_plain_number(
    tmp_path: Path, factor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = training_project(tmp_path / "p")
    (project / "mlbom.toml").write_text(f'grid-gco2-per-kwh = "{factor}"\n')
    assert run(["generate", str(project), "--no-sign"]) == 2
    assert "grid-gco2-per-kwh" in capsys.readouterr().err
