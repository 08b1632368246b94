"""A project made by a stranger: what it may not make `generate` read, write, wait for or publish."""

import os
from pathlib import Path

import pytest

from mlbom.cli.main import run
from mlbom.sign.newkey import KeyPaths, make_key
from tests.fixtures.projects import model_directory, safetensors, training_project, write

PRECIOUS = "years of work"


def generate(path: Path, *more: str) -> int:
    return run(["generate", str(path), "--no-sign", *more])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return training_project(tmp_path / "project")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return write(tmp_path / "victim", {"private.txt": PRECIOUS}) / "private.txt"


def test_a_decisions_file_that_is_a_link_is_not_published(project: Path, victim: Path) -> None:
    (project / "mlbom.review.yaml").symlink_to(victim)
    assert generate(project) == 4
    assert not (project / "mlbom-out").exists()


def test_a_loader_file_that_is_a_link_is_not_read(tmp_path: Path, victim: Path) -> None:
    model = model_directory(tmp_path / "model")
    (model / "config.json").unlink()
    victim.write_text('{"model_type": "leaked"}')
    (model / "config.json").symlink_to(victim)
    assert generate(model) in (0, 4)
    for path in (model / "mlbom-out").rglob("*"):
        assert path.is_dir() or b"leaked" not in path.read_bytes()


@pytest.mark.parametrize("place", [".mlbom", ".mlbom/lock", ".mlbom/.gitignore", ".mlbom/private"])
def test_links_in_mlboms_own_folder_overwrite_nothing(
    project: Path, victim: Path, place: str
) -> None:
    (project / place).parent.mkdir(exist_ok=True)
    target = victim.parent if place in (".mlbom", ".mlbom/private") else victim
    (project / place).symlink_to(target)
    assert generate(project) == 0
    assert victim.read_text() == PRECIOUS
    assert os.listdir(victim.parent) == ["private.txt"]


def test_a_lock_that_is_a_pipe_and_a_staging_folder_that_is_a_link_are_survived(
    project: Path, victim: Path
) -> None:
    (project / ".mlbom").mkdir()
    os.mkfifo(project / ".mlbom" / "lock")
    assert generate(project) == 0
    (project / ".mlbom" / "lock").unlink()
    (project / ".mlbom" / ".mlbom-out.mlbom-new").symlink_to(victim.parent)
    assert generate(project) == 0
    assert victim.read_text() == PRECIOUS


def test_an_output_that_is_a_link_is_refused(project: Path, victim: Path) -> None:
    write(victim.parent, {"evidence.json": '{"gaps":[],"schema":"urn:mlbom:evidence:1"}\n'})
    (project / "mlbom-out").symlink_to(victim.parent)
    assert generate(project) == 5
    assert victim.read_text() == PRECIOUS


@pytest.mark.parametrize("output", [".", "..", "weights"])
def test_an_output_that_would_delete_the_project_is_refused(
    project: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    write(project, {"evidence.json": "{}"})
    assert run(["generate", ".", "--no-sign", "-o", output]) == 2
    assert (project / "weights" / "final.safetensors").is_file()


def test_a_projects_settings_write_nothing_outside_of_it(project: Path, victim: Path) -> None:
    (project / "mlbom.toml").write_text('output = "../victim/new"\n')
    assert generate(project) == 2
    assert not (victim.parent / "new").exists()


@pytest.mark.parametrize("name", ["pyproject.toml", "mlbom.toml", "README.md", "modelcard.yaml"])
def test_a_pipe_in_place_of_a_document_is_not_waited_for(project: Path, name: str) -> None:
    (project / "pyproject.toml").unlink()
    os.mkfifo(project / name)
    assert generate(project) in (0, 2, 4)


@pytest.mark.parametrize("name", ["pyproject.toml", "mlbom.toml", "data/big.csv", "w.safetensors"])
def test_a_terabyte_of_holes_is_not_read(project: Path, name: str) -> None:
    (project / "weights" / "final.safetensors").rename(project / "w.safetensors")
    with (project / name).open("ab") as stream:
        stream.truncate(1024**4)
    # Data of that size is declined, not unreadable.
    assert generate(project) in ((0,) if name.startswith("data") else (2, 4))


def test_a_card_with_countless_datasets_is_cut_off(project: Path) -> None:
    names = "\n".join(f"- d{i}" for i in range(50_000))
    write(project, {"README.md": f"---\ndatasets:\n{names}\n---\n# x\n"})
    assert generate(project) == 4


@pytest.mark.parametrize(
    "name", ["a b", "[x", "<script>alert(1)</script>", "..", "a\\nb", "https://x"]
)
def test_no_dataset_name_makes_the_bom_invalid(project: Path, name: str) -> None:
    write(project, {"README.md": f'---\ndatasets: ["{name}"]\n---\n# x\n'})
    assert generate(project) == 0


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999", "[1]", "true", "9" * 400])
def test_no_metric_makes_a_traceback(project: Path, value: str) -> None:
    write(project, {"modelcard.yaml": f"metrics:\n- {{name: m, value: {value}}}\n"})
    assert generate(project) in (0, 4)


@pytest.mark.parametrize(
    "text",
    [
        "tool = 3 # tool.mlbom",
        "[tool]\nmlbom = 3",
        "# tool.mlbom\nx = " + "[" * 100_000,
        '[tool.mlbom]\noutput = "a\\u0000b"',
        '[tool.mlbom]\nkey = "a\\u001bb"',
        '[tool.mlbom]\nspec = "9"',
    ],
)
def test_hostile_settings_end_with_2(project: Path, text: str) -> None:
    write(project, {"pyproject.toml": text})
    # The first two have no table [tool.mlbom] at all.
    assert generate(project) == (2 if "[tool.mlbom]" in text or "[[[" in text else 0)


def test_names_that_are_not_utf8_are_encoded_or_refused(project: Path, tmp_path: Path) -> None:
    bad = os.fsdecode(b"bad\xff.py")
    write(project, {bad: "load_dataset(x)\n"})
    assert generate(project) == 0
    assert b"bad%FF.py" in (project / "mlbom-out" / "evidence.json").read_bytes()
    model = model_directory(tmp_path / "model")
    write(model, {os.fsdecode(b"\xff.txt"): "x"})
    assert generate(model) == 4


def test_a_decoy_below_the_model_root_is_not_taken_for_the_model(tmp_path: Path) -> None:
    key = KeyPaths.of(tmp_path / "keys" / "k.pem")
    make_key(key)
    project = tmp_path / "project"
    model_directory(project / "models" / "tiny")
    assert run(["generate", str(project), "--key", str(key.private)]) == 0
    release = str(project / "mlbom-out")
    evil = model_directory(tmp_path / "evil")
    model_directory(evil / "models" / "tiny")
    (evil / "model.safetensors").write_bytes(safetensors({"a": [9]}))
    verify = ["verify", release, "--key", str(key.public), "--root"]
    assert run([*verify, str(evil)]) == 3
    assert run([*verify, str(project)]) == 0
    assert run([*verify, str(project / "models" / "tiny")]) == 0


def test_an_unreadable_folder_is_never_signed_as_complete(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    model = model_directory(tmp_path / "model")
    write(model, {"sub/x": "y"})
    (model / "sub").chmod(0)
    try:
        assert generate(model) == 4
    finally:
        (model / "sub").chmod(0o755)
