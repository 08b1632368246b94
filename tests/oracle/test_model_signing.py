"""The reference implementation of OMS checks our weights statement against the model's files."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS
from tests.fixtures.tiny_release import TinyRelease, new_signer, write_files

pytestmark = pytest.mark.oracle


def accepts(command: str, release: TinyRelease, *options: str) -> bool:
    """Return whether `model_signing verify key` accepts the weights bundle of a release."""
    key = release.path / "signer.pub"
    key.write_bytes(release.signer.public_key.pem)
    called = [command, "verify", "key", str(release.root)]
    called += ["--signature", str(release.bundle("weights")), "--public_key", str(key), *options]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "No module named" not in told, told
    assert done.returncode == 0 or "failed" in told or "Error" in told, told
    return done.returncode == 0


@pytest.fixture
def release(tmp_path: Path) -> TinyRelease:
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path))
    release.model.update({"a/b.txt": b"1", "a-c.txt": b"2", "a.txt": b"3", "empty": b""})
    return release.build()


@pytest.mark.parametrize("name", KEY_NAMES)
def test_the_reference_accepts_the_key_types_that_we_say_it_does(
    name: str, model_signing: str, tmp_path: Path
) -> None:
    signer = new_signer(tmp_path, key_type=KEY_NAMES[name])
    release = TinyRelease(tmp_path / "project", signer).build()
    expected = "model_signing" not in LOST_VERIFIERS[KEY_NAMES[name]]
    assert accepts(model_signing, release) is expected


def test_the_reference_accepts_names_that_it_sorts_otherwise(
    release: TinyRelease, model_signing: str
) -> None:
    assert accepts(model_signing, release)


def test_the_reference_ignores_what_we_ignore(release: TinyRelease, model_signing: str) -> None:
    ignored = {".git/HEAD": b"", "README.md": b"#", "img/a.svg": b"", "mlbom/x": b""}
    write_files(release.root, ignored)
    assert accepts(model_signing, release)


def flip(release: TinyRelease) -> None:
    path = release.root / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def claim_another_key(release: TinyRelease) -> None:
    path = release.bundle("weights")
    document = json.loads(path.read_bytes())
    document["verificationMaterial"]["publicKey"]["hint"] = "0" * 64
    path.write_text(json.dumps(document))


MUTATIONS: dict[str, Callable[[TinyRelease], object]] = {
    "changed": flip,
    "removed": lambda r: (r.root / "config.json").unlink(),
    "added": lambda r: write_files(r.root, {"x.py": b""}),
    "renamed": lambda r: (r.root / "config.json").rename(r.root / "configuration.json"),
    "another key": claim_another_key,
    "another bundle": lambda r: shutil.copy(r.bundle("bom"), r.bundle("weights")),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_reference_rejects_what_we_reject(
    mutation: str, release: TinyRelease, model_signing: str
) -> None:
    assert accepts(model_signing, release)
    MUTATIONS[mutation](release)
    assert not accepts(model_signing, release)
    assert release.verify().status


def test_a_single_file_among_others_needs_an_option(tmp_path: Path, model_signing: str) -> None:
    """As docs/verify-by-hand.md says: the reference takes the folder for the model."""
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path), is_directory=False)
    release.model, release.weights = {"tiny.gguf": b"GGUF" + bytes(60)}, ("tiny.gguf",)
    release.model_root = "."
    release.build()
    (release.path / "other.txt").write_bytes(b"")
    assert not accepts(model_signing, release)
    assert accepts(model_signing, release, "--ignore_unsigned_files")
