"""in-toto-verify checks the recorded example by the layout compiled from its policy."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.cli.main import run as mlbom
from mlbom.sign.newkey import KeyPaths, make_key

pytestmark = pytest.mark.oracle
EXAMPLE = Path(__file__).parents[2] / "examples" / "char-lm"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the owner's layout, the recorded links and the product."""
    for name in ("owner", "publisher"):
        make_key(KeyPaths.of(tmp_path / f"{name}.pem"))
    for name in ("mlbom-policy.yaml", "recorder.pub"):
        shutil.copy(EXAMPLE / name, tmp_path)
    command = ["policy", "compile", str(tmp_path / "mlbom-policy.yaml"), "--expires", "2099-01-01"]
    layout = str(tmp_path / "root.layout")
    assert mlbom([*command, "--key", str(tmp_path / "owner.pem"), "-o", layout]) == 0
    (tmp_path / "links").mkdir()
    for link in EXAMPLE.glob(".mlbom/runs/*/*.link"):
        shutil.copy(link, tmp_path / "links")
    (tmp_path / "product" / "weights").mkdir(parents=True)
    shutil.copy(EXAMPLE / "weights" / "char-lm.safetensors", tmp_path / "product" / "weights")
    return tmp_path


def accepts(folder: Path) -> bool:
    tool = Path(sys.executable).with_name("in-toto-verify")
    command = [str(tool), "-l", "../root.layout", "--verification-keys", "../owner.pub"]
    done = subprocess.run(
        [*command, "--link-dir", "../links"],
        cwd=folder / "product",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "usage:" not in done.stderr, done.stderr
    return done.returncode == 0


def edit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def link(folder: Path, step: str) -> Path:
    (found,) = (folder / "links").glob(f"{step}.*.link")
    return found


MUTATIONS: dict[str, Callable[[Path], object]] = {
    "the weights": lambda f: edit(f / "product" / "weights" / "char-lm.safetensors"),
    "the layout": lambda f: edit(f / "root.layout"),
    "the link of the training": lambda f: edit(link(f, "train")),
    "no link of the data": lambda f: link(f, "data").unlink(),
    "no link of the evaluation": lambda f: link(f, "eval").unlink(),
    "another owner": lambda f: shutil.copy(f / "publisher.pub", f / "owner.pub"),
    "one link in the place of another": lambda f: shutil.copy(link(f, "data"), link(f, "train")),
}


def test_in_toto_verify_accepts_what_was_recorded(folder: Path) -> None:
    assert accepts(folder)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_in_toto_verify_rejects_each_mutation(mutation: str, folder: Path) -> None:
    MUTATIONS[mutation](folder)
    assert not accepts(folder)
