"""What model_signing signs, verified by us: keys, certificates, one file, its own order."""

import subprocess
from pathlib import Path

import pytest

from mlbom.cli.main import run
from mlbom.sign.newkey import KeyPaths, make_key
from tests.fixtures.tiny_release import MODEL_FILES, write_files
from tests.unit.verify.test_authority import BETWEEN, CODE, END, ROOT, make, pem, usage

pytestmark = pytest.mark.oracle


def signed(command: str, method: str, model: Path, *options: str) -> Path:
    place = model / "model.sig" if model.is_dir() else model.with_suffix(".sig")
    called = [command, "sign", method, str(model), "--signature", str(place), *options]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model whose names the reference sorts otherwise than the specification."""
    files = {**MODEL_FILES, "a/b.txt": b"1", "a-c.txt": b"2", "a.txt": b"3", "empty": b""}
    write_files(tmp_path / "model", files)
    write_files(tmp_path / "model", {".git/config": b"x"})
    return tmp_path / "model"


def test_a_signature_with_a_key_is_accepted_and_changes_are_not(
    model_signing: str, model: Path, tmp_path: Path
) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths)
    place = signed(model_signing, "key", model, "--private_key", str(paths.private))
    asked = ["verify", str(place), "--key", str(paths.public)]
    assert run(asked) == 0
    for name, data in (("a.txt", b"4"), ("new.py", b""), ("a/b.txt", b"")):
        before = (model / name).read_bytes() if (model / name).exists() else None
        (model / name).write_bytes(data)
        assert run(asked) == 3
        (model / name).unlink() if before is None else (model / name).write_bytes(before)
    (model / "a.txt").rename(model / "b.txt")
    assert run(asked) == 3


def test_a_signature_of_one_file_is_accepted(model_signing: str, tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths)
    write_files(tmp_path, {"tiny.bin": b"weights"})
    weights = tmp_path / "tiny.bin"
    place = signed(model_signing, "key", weights, "--private_key", str(paths.private))
    asked = ["verify", str(place), "--key", str(paths.public)]
    assert run([*asked, "--root", str(weights)]) == 0
    assert run(asked) == 0
    weights.write_bytes(b"other")
    assert run(asked) == 3


def test_a_signature_with_a_certificate_is_accepted_while_that_is_valid(
    model_signing: str, model: Path, tmp_path: Path
) -> None:
    import datetime as dt

    from cryptography.hazmat.primitives import serialization

    roots = tmp_path / "roots.pem"
    roots.write_bytes(pem(ROOT))
    (tmp_path / "between.pem").write_bytes(pem(BETWEEN))
    for end, expected in ((END, 0), (dt.datetime(2024, 2, 1, tzinfo=dt.UTC), 3)):
        leaf = make("leaf", BETWEEN, usage(), CODE, end=end)
        (tmp_path / "leaf.pem").write_bytes(pem(leaf))
        form = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        private = leaf[1].private_bytes(serialization.Encoding.PEM, form, plain)
        (tmp_path / "leaf.key").write_bytes(private)
        options = ["--private_key", str(tmp_path / "leaf.key")]
        options += ["--signing_certificate", str(tmp_path / "leaf.pem")]
        options += ["--certificate_chain", str(tmp_path / "between.pem")]
        (model / "model.sig").unlink(missing_ok=True)
        place = signed(model_signing, "certificate", model, *options)
        assert run(["verify", str(place), "--trust-root", str(roots)]) == expected
        check = [model_signing, "verify", "certificate", str(model), "--signature", str(place)]
        check += ["--certificate_chain", str(roots)]
        # The reference accepts both: it looks at the chain on the leaf's own first day.
        assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_the_standards_own_vectors_are_read(shared_conformance: Path, tmp_path: Path) -> None:
    """Their models are not published: the signature is judged, and the files are missing."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(pem(ROOT))
    folder = shared_conformance / "oms" / "vectors"
    for place in sorted((folder / "invalid").glob("*.json")):
        assert run(["verify", str(place), "--root", str(tmp_path), "--trust-root", str(roots)]) == 3
    wrong = folder / "invalid-payload" / "wrong-predicate.bundle.json"
    assert run(["verify", str(wrong), "--root", str(tmp_path), "--trust-root", str(roots)]) == 3
