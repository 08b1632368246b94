"""`@sigstore/verify`, the verifier of npm and GitHub, judges our bundles and mutations of them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fixtures.mutations import MUTATIONS, mutated
from tests.fixtures.records import make_record, record_key
from tests.fixtures.tiny_release import TinyRelease, new_signer

pytestmark = pytest.mark.oracle
SCRIPT = Path(__file__).with_name("verify.mjs")


@pytest.fixture(scope="module")
def node_modules() -> str:
    """Return the folder with `node_modules`, named by MLBOM_ORACLE_NODE."""
    folder = os.environ.get("MLBOM_ORACLE_NODE", "")
    is_there = bool(folder) and (Path(folder) / "node_modules" / "@sigstore" / "verify").is_dir()
    if not is_there and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("@sigstore/verify is not installed")
    assert is_there, "@sigstore/verify is not installed"
    assert shutil.which("node"), "this test needs node"
    return str(Path(folder).absolute())


def judge(node_modules: str, folder: Path, public: bytes, told: Mapping[str, bytes]) -> list[str]:
    """Return what the verifier says of each bundle, in order."""
    folder.mkdir(exist_ok=True)
    (folder / "key.pub").write_bytes(public)
    paths = []
    for number, data in enumerate(told.values()):
        paths.append(folder / f"{number}.sigstore.json")
        paths[-1].write_bytes(data)
    environment = {**os.environ, "MLBOM_ORACLE_NODE": node_modules}
    command = ["node", str(SCRIPT), str(folder / "key.pub"), *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("label", ["weights", "bom", "release"])
def test_it_accepts_a_bundle_and_no_mutation_of_it(
    label: str, node_modules: str, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path)).build()
    bundle = release.bundle(label).read_bytes()
    told = {"": bundle, **{name: mutated(bundle, name) for name in MUTATIONS}}
    public = release.signer.public_key.pem
    accepted, *others = judge(node_modules, tmp_path / "js", public, told)
    assert accepted == "accepted"
    assert len(others) == len(MUTATIONS)
    assert all(verdict.startswith("rejected: ") for verdict in others), others


@pytest.mark.parametrize("kind", ["data", "train", "eval"])
def test_it_accepts_a_record_and_no_mutation_of_it(
    kind: str, node_modules: str, tmp_path: Path
) -> None:
    key = record_key(tmp_path)
    record = make_record(tmp_path / "run", kind, {"model.bin": b"weights"}, key=key).read_bytes()
    told = {"": record, **{name: mutated(record, name) for name in MUTATIONS}}
    accepted, *others = judge(node_modules, tmp_path / "js", key.public_key.pem, told)
    assert accepted == "accepted"
    assert all(verdict.startswith("rejected: ") for verdict in others), others


def test_it_rejects_a_bundle_of_another_key(node_modules: str, tmp_path: Path) -> None:
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path)).build()
    stranger = new_signer(tmp_path, "stranger").public_key.pem
    (verdict,) = judge(
        node_modules, tmp_path / "js", stranger, {"": release.bundle("bom").read_bytes()}
    )
    assert verdict.startswith("rejected: ")
