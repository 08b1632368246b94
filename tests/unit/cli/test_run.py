"""`mlbom run` at the command line: the command's own exit status, and what is told."""

import sys
from pathlib import Path

import pytest

from mlbom.cli.main import run as mlbom
from tests.fixtures.records import record_key


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "mlbom.toml").write_text("")
    monkeypatch.chdir(root)
    return root


def python(script: str, *options: str) -> list[str]:
    return ["run", *options, "--", sys.executable, "-c", script]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("print(1)", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 15)", 128 + 15),
    ],
)
def test_the_commands_own_status_is_passed_through(
    script: str, status: int, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mlbom(python(script, "--name", "train", "--no-sign")) == status
    (record,) = project.glob(".mlbom/runs/*/record.intoto.json")
    assert str(record) in capfd.readouterr().err


def test_the_commands_output_is_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('told'); print('warned', file=sys.stderr)"
    assert mlbom(python(script, "--no-sign", "-q")) == 0
    assert capfd.readouterr() == ("told\n", "warned\n")


def test_the_kind_follows_from_the_name(capfd: pytest.CaptureFixture[str]) -> None:
    mlbom(python("", "--name", "eval", "--no-sign"))
    assert "eval (eval): done" in capfd.readouterr().err
    mlbom(python("", "--name", "export", "--no-sign"))
    assert "export (other): done" in capfd.readouterr().err
    mlbom(python("", "--name", "fit", "--kind", "train", "--no-sign"))
    assert "fit (train): done" in capfd.readouterr().err


def test_what_was_not_observed_is_told(capfd: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "a.txt").write_text("x")
    assert mlbom(["run", "--no-sign", "--observe", "hook", "--", "cp", "a.txt", "b.txt"]) == 0
    told = capfd.readouterr().err
    assert "not observed: nothing told which files the step opened" in told
    assert "wrote 1" in told


def test_a_key_is_asked_for_before_the_command_starts(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], project: Path
) -> None:
    monkeypatch.setenv("CI", "1")
    assert mlbom(python("open('started', 'w')")) == 2
    told = capfd.readouterr().err
    assert "E0106" in told
    for choice in ("--key", "--keyless", "--no-sign"):
        assert choice in told
    assert not (project / "started").exists()


def test_a_signed_record_names_its_key(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    key = record_key(tmp_path)
    private = str(tmp_path / "recorder.pem")
    assert mlbom(python("", "--key", private)) == 0
    assert f"signed by key {key.public_key.hint}" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--no-sign"],
        ["run", "--no-sign", "--", "./no-such-program"],
        ["run", "--no-sign", "--name", "../x", "--", "true"],
        ["run", "--no-sign", "--input", "none.csv", "--", "true"],
        ["run", "--no-sign", "--observe", "guess", "--", "true"],
    ],
)
def test_usage_errors_end_with_2(arguments: list[str], project: Path) -> None:
    try:
        status = mlbom(arguments)
    except SystemExit as stopped:
        status = int(str(stopped.code))
    assert status == 2
    assert not list(project.glob(".mlbom/runs/*"))
