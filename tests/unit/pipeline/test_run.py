"""`run` as a whole: a real command, its record, and nothing lost when signing fails."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom import guard
from mlbom.attest.bundle import parse_bundle
from mlbom.attest.dsse import Envelope
from mlbom.attest.run_claim import RunClaim, StepKind, parse_run
from mlbom.attest.statement import Statement, parse_statement
from mlbom.errors import CommandNotStartedError, SecretLeakError, SigningError, UsageError
from mlbom.pipeline.run import RunRequest, RunResult, run
from mlbom.sign.signer import Signer
from tests.fixtures.gitrepo import make_repository
from tests.fixtures.records import record_key

SCRIPT = b"""
import json, os, random
random.seed(7)
rows = open("data.csv").read()
open("private.csv").read()
os.makedirs("out", exist_ok=True)
open("out/model.bin", "w").write(rows.upper())
json.dump({"accuracy": 0.75}, open("metrics.json", "w"))
print("loss: 0.25")
"""
FILES = {"train.py": SCRIPT, "data.csv": b"a,b\n1,2\n", "neighbour.csv": b"unread\n"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project", FILES)
    (root / "private.csv").write_bytes(b"secret rows\n")
    return root.resolve()


def request(project: Path, *argv: str, kind: StepKind = StepKind.TRAIN) -> RunRequest:
    return RunRequest(
        name=kind.value,
        kind=kind,
        argv=(sys.executable, *argv),
        cwd=project,
        project_root=project,
    )


def read(result: RunResult) -> tuple[Statement, RunClaim]:
    """Return what the record's file says, read as a stranger would."""
    bundle = parse_bundle(json.loads(result.record.read_bytes()))
    statement = parse_statement(json.loads(bundle.envelope.payload))
    return statement, parse_run(statement)


def test_a_record_holds_what_was_read_and_written(project: Path, tmp_path: Path) -> None:
    key = record_key(tmp_path)
    result = run(request(project, "train.py"), key)
    statement, claim = read(result)
    told = {resource.name: resource.sha256 for resource in claim.materials if resource.sha256}
    assert told["data.csv"] == sha256(project / "data.csv")
    assert told["train.py"] == sha256(project / "train.py")
    # Read but not tracked: there by its digest, without a name.
    assert told[""] == sha256(project / "private.csv")
    digests = {resource.sha256 for resource in claim.materials}
    assert sha256(project / "neighbour.csv") not in digests
    assert {subject.name: subject.sha256 for subject in statement.subjects} == {
        "out/model.bin": sha256(project / "out/model.bin"),
        "metrics.json": sha256(project / "metrics.json"),
    }
    (source,) = [r for r in claim.materials if r.name == "source"]
    assert source.annotations["mlbom_dirty"] is False
    assert {m["name"]: m["value"] for m in claim.metrics} == {"accuracy": 0.75, "loss": 0.25}
    assert claim.parameters["seeds"] == {"random": "7"}
    assert result.signer == f"key {key.public_key.hint}"
    assert b"private.csv" not in result.record.read_bytes()


def test_names_of_an_earlier_step_are_known(project: Path, tmp_path: Path) -> None:
    """A later step may name what an earlier record published, tracked or not."""
    key = record_key(tmp_path)
    run(request(project, "train.py"), key)
    script = "open('out/model.bin').read()"
    _, claim = read(run(request(project, "-c", script, kind=StepKind.OTHER), key))
    assert "out/model.bin" in {resource.name for resource in claim.materials}


def test_a_killed_command_leaves_a_record(project: Path, tmp_path: Path) -> None:
    script = "import os; open('data.csv').read(); os.kill(os.getpid(), 9)"
    result = run(request(project, "-c", script), record_key(tmp_path))
    statement, claim = read(result)
    assert (claim.exit_code, claim.signal, claim.succeeded) == (None, 9, False)
    assert "data.csv" in {resource.name for resource in claim.materials}
    assert {s.name for s in statement.subjects} == {"logs/stdout.log", "logs/stderr.log"}


def test_an_overwritten_input_is_a_gap_and_not_a_claim(project: Path, tmp_path: Path) -> None:
    before = sha256(project / "data.csv")
    script = "rows = open('data.csv').read(); open('data.csv', 'w').write(rows * 2)"
    _, claim = read(run(request(project, "-c", script), record_key(tmp_path)))
    inputs = {r.sha256 for r in claim.materials}
    assert not inputs & {before, sha256(project / "data.csv")}
    assert any("data.csv was overwritten or removed" in text for text in claim.unseen)


def test_a_command_that_does_not_start_leaves_nothing(project: Path, tmp_path: Path) -> None:
    asked = RunRequest(
        name="x", kind=StepKind.OTHER, argv=("./none",), cwd=project, project_root=project
    )
    with pytest.raises(CommandNotStartedError):
        run(asked, record_key(tmp_path))
    assert not list((project / ".mlbom" / "runs").iterdir())


def kept(project: Path) -> list[Path]:
    return list((project / ".mlbom" / "private" / "runs").glob("*/record.intoto.json"))


def test_a_key_that_fails_after_the_run_loses_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = record_key(tmp_path)

    def unplugged(self: Signer, payload: bytes, payload_type: str) -> Envelope:
        message = "the device is gone"
        raise SigningError(message)

    monkeypatch.setattr(type(key), "sign", unplugged)
    result = run(request(project, "train.py"), key)
    assert isinstance(result.failure, SigningError)
    assert not list(project.glob(".mlbom/runs/*/record.*"))
    (copy,) = kept(project)
    assert parse_run(parse_statement(json.loads(copy.read_bytes()))).succeeded
    assert copy.stat().st_mode & 0o077 == 0


def test_a_secret_in_the_name_of_an_output_is_not_told(project: Path, tmp_path: Path) -> None:
    token = "hf_" + "a1B2" * 9
    (project / "make.py").write_text(f"open('{token}.txt', 'w').write('x')")
    statement, _ = read(run(request(project, "make.py"), record_key(tmp_path)))
    assert [s.name for s in statement.subjects] == [f"sha256/{hashlib.sha256(b'x').hexdigest()}"]


def test_a_secret_that_survives_is_refused_and_nothing_is_lost(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "find_secrets", lambda _: iter([guard.SecretHit("token", 7)]))
    result = run(request(project, "train.py"), record_key(tmp_path))
    assert isinstance(result.failure, SecretLeakError)
    assert not list(project.glob(".mlbom/runs/*/record.*"))
    assert len(kept(project)) == 1


class AuthorityDown:
    """A timestamp authority that does not answer."""

    def stamp(self, signature: bytes) -> bytes:
        message = f"no answer for {len(signature)} bytes"
        raise SigningError(message)


def test_an_authority_that_is_down_costs_the_timestamp_only(project: Path, tmp_path: Path) -> None:
    result = run(request(project, "train.py"), record_key(tmp_path), AuthorityDown())
    assert isinstance(result.failure, SigningError)
    assert read(result)[1].succeeded
    assert result.record.name == "record.sigstore.json"


def test_an_export_without_a_folder_is_told_before_the_command_starts(project: Path) -> None:
    asked = replace(request(project, "train.py"), export=project / "none" / "record.json")
    with pytest.raises(UsageError):
        run(asked, None)
    assert not (project / "out").exists()


def test_absurd_numbers_do_not_cost_the_record(project: Path, tmp_path: Path) -> None:
    state = '{"log_history": [{"loss": 1, "step": ' + "9" * 30 + "}]}"
    script = f"open('trainer_state.json', 'w').write({state!r})"
    (project / "absurd.py").write_text(script)
    result = run(request(project, "absurd.py"), record_key(tmp_path))
    assert result.failure is None
    assert read(result)[1].succeeded


def test_the_record_can_be_exported(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "carried.sigstore.json"
    result = run(replace(request(project, "-c", "print(1)"), export=place), record_key(tmp_path))
    assert place.read_bytes() == result.record.read_bytes()


def test_without_a_key_the_record_is_a_bare_statement(project: Path) -> None:
    result = run(request(project, "-c", "print(1)"), None)
    assert result.record.name == "record.intoto.json"
    assert parse_run(parse_statement(json.loads(result.record.read_bytes()))).succeeded
    assert result.link is None
