"""The command line: exit codes, messages, start-up, and the main job from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlbom.cli.explain import all_errors
from mlbom.cli.main import COMMANDS, run
from mlbom.evidence.graph import Graph
from mlbom.render.card import CardRenderer
from mlbom.render.document import Document
from mlbom.sign.newkey import KeyPaths, make_key
from tests.fixtures.projects import model_directory, safetensors, training_project, write


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPaths:
    paths = KeyPaths.of(tmp_path_factory.mktemp("keys") / "k.pem")
    make_key(paths)
    return paths


def generate(path: Path, key: KeyPaths, *more: str) -> int:
    return run(["generate", str(path), "--key", str(key.private), *more])


def verify(path: Path, key: KeyPaths, *more: str) -> int:
    return run(["verify", str(path / "mlbom-out"), "--key", str(key.public), *more])


@pytest.mark.parametrize("make", [model_directory, training_project])
def test_generate_then_verify(tmp_path: Path, key: KeyPaths, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    assert generate(tmp_path, key) == 0
    out = tmp_path / "mlbom-out"
    names = {p.name for p in out.iterdir()}
    assert names == {
        "bom.cdx.json",
        "MODEL_CARD.md",
        "report.html",
        "evidence.json",
        "model.manifest",
        "summary.json",
        "attestations",
    }
    assert [p.name[:2] for p in sorted((out / "attestations").iterdir())] == ["03", "04", "08"]
    assert verify(tmp_path, key, "--rerender") == 0


def test_generating_twice_gives_the_same_bytes(tmp_path: Path, key: KeyPaths) -> None:
    training_project(tmp_path)
    assert generate(tmp_path, key) == 0
    first = {p: p.read_bytes() for p in (tmp_path / "mlbom-out").rglob("*") if p.is_file()}
    assert generate(tmp_path, key) == 0
    assert {p: p.read_bytes() for p in (tmp_path / "mlbom-out").rglob("*") if p.is_file()} == first


def test_the_json_verdict_is_all_that_stdout_holds(
    tmp_path: Path, key: KeyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    training_project(tmp_path)
    generate(tmp_path, key)
    assert capsys.readouterr().out == ""
    assert verify(tmp_path, key, "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "trusted"
    assert verify(tmp_path, key, "--format", "sarif") == 0
    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"


def test_output_dash_prints_the_bom_and_writes_nothing(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    training_project(tmp_path)
    assert run(["generate", str(tmp_path), "-o", "-"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["bomFormat"] == "CycloneDX"
    assert not (tmp_path / "mlbom-out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["generat"], 2, "did you mean 'generate'?"),
        (["generate", "--nonsense"], 2, "unrecognized arguments"),
        (["generate", "gone"], 2, "E0101"),
        (["generate", "."], 2, "E0103"),
        (["generate", ".", "--weights", "models/a.safetensors"], 2, "weights not found: models/a"),
        (
            ["generate", ".", "--hashes", "md5"],
            2,
            "hashes is one of sha256, sha512, blake3, not 'md5'",
        ),
        (["verify", "gone"], 2, "no release at gone"),
        (["explain", "E9999"], 2, "there is no code"),
        ([], 2, "commands:"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        found = run([*arguments, "--no-sign"] if arguments[:1] == ["generate"] else arguments)
    except SystemExit as stop:
        found = int(str(stop.code))
    told = capsys.readouterr()
    assert found == status
    assert message in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


def test_under_ci_a_choice_of_key_is_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training_project(tmp_path)
    monkeypatch.setenv("CI", "true")
    assert run(["generate", str(tmp_path)]) == 2
    assert "--no-sign" in capsys.readouterr().err
    assert run(["generate", str(tmp_path), "--no-sign"]) == 0
    assert not (tmp_path / "mlbom-out" / "attestations").exists()


def test_the_first_use_makes_a_key_and_verify_uses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training_project(tmp_path)
    assert run(["generate", str(tmp_path), "--no-sign"]) == 0
    assert run(["verify", str(tmp_path / "mlbom-out")]) == 2
    assert "E0107" in capsys.readouterr().err
    assert run(["generate", str(tmp_path)]) == 0
    assert "made your signing key" in capsys.readouterr().err
    assert run(["generate", str(tmp_path)]) == 0
    assert "made your signing key" not in capsys.readouterr().err
    assert run(["verify", str(tmp_path / "mlbom-out")]) == 0
    assert "trusting your own key" in capsys.readouterr().err


def test_an_output_outside_the_project_is_the_callers_choice(
    tmp_path: Path, key: KeyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_project(tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    assert run(["generate", "--key", str(key.private), "-o", "../beside"]) == 0
    release = ["verify", "../beside", "--key", str(key.public), "--root", "."]
    assert run(release) == 0
    monkeypatch.setenv("MLBOM_OUTPUT", "../by-variable")
    assert run(["generate", "--no-sign"]) == 0


def test_an_error_leaves_the_previous_output_untouched(tmp_path: Path, key: KeyPaths) -> None:
    training_project(tmp_path)
    assert generate(tmp_path, key) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "mlbom-out").rglob("*") if p.is_file()}
    write(tmp_path, {"weights/second.safetensors": safetensors({"w": [1]})})
    assert generate(tmp_path, key) == 2
    (tmp_path / "weights" / "second.safetensors").unlink()
    (tmp_path / "weights" / "final.safetensors").unlink()
    assert generate(tmp_path, key) == 2
    after = {p: p.read_bytes() for p in (tmp_path / "mlbom-out").rglob("*") if p.is_file()}
    assert after == before


def test_corrupt_weights_end_with_4_and_a_set_that_says_so(
    tmp_path: Path, key: KeyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    model_directory(tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:-3])
    assert generate(tmp_path, key) == 4
    assert "unreadable: weights:model.safetensors" in capsys.readouterr().err
    assert json.loads((tmp_path / "mlbom-out" / "summary.json").read_bytes())["complete"] is False
    assert generate(tmp_path, key, "--allow-incomplete") == 0
    assert verify(tmp_path, key) == 0


def test_all_models_each_into_a_directory_of_its_own(tmp_path: Path, key: KeyPaths) -> None:
    write(
        tmp_path,
        {"a.safetensors": safetensors({"w": [1]}), "b.safetensors": safetensors({"w": [2]})},
    )
    assert generate(tmp_path, key, "--all") == 0
    for name in ("a.safetensors", "b.safetensors"):
        out = tmp_path / f"mlbom-out-{name}"
        assert run(["verify", str(out), "--key", str(key.public), "--rerender"]) == 0
    assert generate(tmp_path, key, "--all") == 0


def test_a_secret_in_a_file_name_refuses_the_release(
    tmp_path: Path, key: KeyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"
    model_directory(tmp_path)
    write(tmp_path, {f"{secret}.json": "{}"})
    assert generate(tmp_path, key) == 6
    assert not (tmp_path / "mlbom-out").exists()
    told = capsys.readouterr().err
    assert "the file name <redacted:huggingface-token>.json" in told
    assert secret not in told
    # verify trusts a model directory as a whole, so nothing of it can be left out
    assert generate(tmp_path, key, "--exclude", "hf_*") == 2
    assert secret not in capsys.readouterr().err
    (tmp_path / f"{secret}.json").unlink()
    assert generate(tmp_path, key) == 0


def test_settings_are_printed_with_their_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlbom.toml").write_text('spec = "1.6"\n')
    assert run(["config", str(tmp_path), "--show-origin"]) == 0
    told = capsys.readouterr().out
    assert "spec = 1.6" in told
    assert "# mlbom.toml:" in told


def test_every_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for error in all_errors():
        assert run(["explain", error.code]) == 0
    assert run(["explain", "digest-mismatch"]) == 0
    assert run(["explain"]) == 0
    codes = [e.code for e in all_errors()]
    assert len(codes) == len(set(codes))
    assert "Exit status: 3" in capsys.readouterr().out


def test_help_imports_the_standard_library_only() -> None:
    code = (
        "import sys\nfrom mlbom.cli.main import run\n"
        "try: run(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'yaml','jinja2','git','cryptography','jsonschema_rs','torch','textual',"
        "'cyclonedx','huggingface_hub','packaging','packageurl','rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in COMMANDS:
        assert command in done.stdout


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    training_project(tmp_path)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "mlbom", "explain"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    assert b"Traceback" not in child.stderr.read()
    child.wait()
    child.stderr.close()


@pytest.mark.parametrize("make", [model_directory, training_project])
def test_a_document_that_its_evidence_does_not_render_to_is_named(
    tmp_path: Path, key: KeyPaths, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)  # type: ignore[operator]
    real = CardRenderer.render

    def embellished(self: CardRenderer, graph: Graph) -> Document:
        card = real(self, graph)
        return Document(card.name, card.media_type, card.data + b"The best model of all.\n")

    with monkeypatch.context() as patched:
        patched.setattr(CardRenderer, "render", embellished)
        assert generate(tmp_path, key) == 0
    assert verify(tmp_path, key) == 0
    assert verify(tmp_path, key, "--rerender") == 3


def test_a_file_system_error_is_no_traceback(
    tmp_path: Path, key: KeyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    training_project(tmp_path)
    (tmp_path / ".mlbom").mkdir()
    (tmp_path / ".mlbom" / "private").write_text("in the way")
    assert generate(tmp_path, key) == 0
    assert "private evidence is not kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MLBOM_SPEC", "1.5", "spec is one of 1.7, 1.6, not '1.5'"),
        ("MLBOM_DATA_DEPTH", "ful", "data-depth is one of"),
        ("MLBOM_WIEGHTS", "x", "unknown variable MLBOM_WIEGHTS"),
        ("MLBOM_RELEASE", "no version!", "is no version"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    message: str,
) -> None:
    training_project(tmp_path)
    monkeypatch.setenv(name, value)
    assert run(["generate", str(tmp_path), "--no-sign"]) == 2
    assert message in capsys.readouterr().err


def test_an_interpreter_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    training_project(tmp_path)
    assert run(["generate", str(tmp_path), "--no-sign", "--python", "/nonexistent"]) == 2


def test_paths_are_looked_for_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training_project(tmp_path / "p")
    monkeypatch.chdir(tmp_path)
    for given in ("p/weights/final.safetensors", "weights/final.safetensors"):
        assert run(["generate", "p", "--no-sign", "--weights", given]) == 0
    assert run(["generate", "p", "--no-sign", "--weights", "gone.pt"]) == 2
    assert "looked in" in capsys.readouterr().err


def test_the_private_evidence_holds_what_is_not_published(tmp_path: Path) -> None:
    training_project(tmp_path)
    query = "sources:\n- {system: warehouse, query: select everything from customers}\n"
    (tmp_path / "data" / "MANIFEST.yaml").write_text("name: corpus\n" + query)
    assert run(["generate", str(tmp_path), "--no-sign"]) == 0
    published = (tmp_path / "mlbom-out" / "evidence.json").read_bytes()
    private = (tmp_path / ".mlbom" / "private" / "evidence.json").read_bytes()
    assert b"customers" not in published
    assert b"customers" in private


def test_a_snapshot_of_the_hub_cache_is_verified_in_place(tmp_path: Path, key: KeyPaths) -> None:
    plain = model_directory(tmp_path / "plain")
    snapshot = tmp_path / "models--org--name" / "snapshots" / ("0a" * 20)
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    for path in (p for p in plain.iterdir() if p.is_file()):
        write(blobs, {f"{path.name}.blob": path.read_bytes()})
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}.blob")
    assert generate(snapshot, key) == 0
    bom = json.loads((snapshot / "mlbom-out" / "bom.cdx.json").read_bytes())
    assert bom["components"][0]["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert verify(snapshot, key) == 0
    good = (blobs / "config.json.blob").read_bytes()
    (blobs / "config.json.blob").write_bytes(good + b" ")
    assert verify(snapshot, key) == 3
    (blobs / "config.json.blob").write_bytes(good)
    assert verify(snapshot, key) == 0
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(plain / "config.json")
    assert verify(snapshot, key) == 3
