"""Keys, devices and authorities that fail or lie: a coded error, and never half a signature."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mlbom.attest.dsse import Envelope
from mlbom.cli.main import run
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.sign.keyfile import KeyFileSigner
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.signer import open_signer, own_envelope
from tests.fixtures.loopback import Answer, Asked, serving
from tests.fixtures.projects import model_directory
from tests.fixtures.tiny_release import sha256, write_files

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model that is signed already, and has changed since."""
    model = tmp_path / "model"
    model_directory(model)
    keys = KeyPaths.of(tmp_path / "first.pem")
    make_key(keys)
    assert run(["sign", str(model), "--key", str(keys.private), "-q"]) == 0
    write_files(model, {"config.json": b'{"model_type": "changed"}'})
    return model


def content(folder: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def world_readable(folder: Path) -> Path:
    make_key(KeyPaths.of(folder / "bad.pem"))
    (folder / "bad.pem").chmod(0o644)
    return folder / "bad.pem"


def inside_the_project(folder: Path) -> Path:
    (folder / "model" / ".git").mkdir()
    make_key(KeyPaths.of(folder / "model" / ".git" / "bad.pem"))
    return folder / "model" / ".git" / "bad.pem"


def encrypted(folder: Path) -> Path:
    make_key(KeyPaths.of(folder / "bad.pem"), passphrase="open sesame")
    return folder / "bad.pem"


def wrong_passphrase(folder: Path) -> Path:
    os.environ[PASSPHRASE_VARIABLE] = "hunter2-hunter2"
    return encrypted(folder)


def empty(folder: Path) -> Path:
    (folder / "bad.pem").touch(0o600)
    return folder / "bad.pem"


def public(folder: Path) -> Path:
    return KeyPaths.of(folder / "first.pem").public


KEYS: Mapping[str, tuple[Callable[[Path], Path], int, str]] = {
    "world-readable": (world_readable, 6, "has mode 0644"),
    "inside the project": (inside_the_project, 6, "inside the project"),
    "encrypted, nobody to ask": (encrypted, 5, "no passphrase was given"),
    "wrong passphrase": (wrong_passphrase, 5, "does not open"),
    "zero bytes": (empty, 5, "is empty"),
    "the public half": (public, 5, "is a public key"),
}


@pytest.mark.parametrize("command", ["sign", "generate"])
@pytest.mark.parametrize("scheme", ["file:", "file2:"])
@pytest.mark.parametrize("what", KEYS)
def test_a_key_that_must_not_be_used_signs_nothing(
    what: str, scheme: str, command: str, model: Path, capsys: Captured
) -> None:
    make, status, message = KEYS[what]
    key = make(model.parent)
    before = content(model)
    assert run([command, str(model), "--key", f"{scheme}{key}"]) == status
    told = capsys.readouterr().err
    assert message in told
    assert key.name in told
    assert "hunter2" not in told
    assert content(model) == before
    assert PASSPHRASE_VARIABLE not in os.environ


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def silent(_: Asked) -> Answer:
    time.sleep(2)
    return Answer(b"")


ANSWERS: Mapping[str, tuple[Callable[[Asked], Answer], str]] = {
    "an error": (lambda _: Answer(b"out of order", 503), "did not answer"),
    "a redirect": (lambda _: Answer(b"", 307, {"Location": "/other"}), "did not answer"),
    "nothing": (lambda _: Answer(b""), "is malformed"),
    "a web page": (lambda _: Answer(b"<html>"), "is malformed"),
    "a flood": (lambda _: Answer(bytes(1024 * 1024 + 1)), "larger than"),
    "half of it": (lambda _: Answer(b"\x30\x82", 200, {"Content-Length": "9"}), "is malformed"),
    "rubbish after it": (lambda _: Answer(b"\x30\x00" * 9), "is malformed"),
    "silence": (silent, "did not answer"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_authority_that_answers_badly_stamps_nothing(
    what: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    pytest.importorskip("rfc3161_client")
    monkeypatch.setattr("mlbom.sign.timestamp.TIMEOUT_S", 1)
    answer, message = ANSWERS[what]
    before = content(model.parent)
    with serving(answer) as url:
        key = str(model.parent / "first.pem")
        assert run(["sign", str(model), "--key", key, "--timestamp", url]) == 5
    told = capsys.readouterr().err
    assert "error[E0504]" in told
    assert message in told
    assert content(model.parent) == before


def test_an_authority_that_is_not_there_stamps_nothing(model: Path, capsys: Captured) -> None:
    pytest.importorskip("rfc3161_client")
    before = content(model.parent)
    url = f"http://127.0.0.1:{unused_port()}/"
    key = str(model.parent / "first.pem")
    assert run(["sign", str(model), "--key", key, "--timestamp", url]) == 5
    assert "the timestamp authority did not answer" in capsys.readouterr().err
    assert content(model.parent) == before


@pytest.mark.parametrize("junk", [b"", b"\x30\x80", b"\x00" * 4096, b"<html>"])
def test_a_carried_response_that_is_none_is_refused(
    junk: bytes, model: Path, capsys: Captured
) -> None:
    pytest.importorskip("rfc3161_client")
    place = model.parent / "t.tsr"
    place.write_bytes(junk)
    before = content(model.parent)
    key = str(model.parent / "first.pem")
    assert run(["sign", str(model), "--key", key, "--timestamp", str(place)]) == 5
    assert "the timestamp is malformed" in capsys.readouterr().err
    assert content(model.parent) == before


@pytest.fixture
def large(model: Path) -> Iterator[Path]:
    (model / "large.safetensors").write_bytes(os.urandom(1024) * 64 * 1024)
    yield model
    shutil.rmtree(model)


def test_a_signing_that_is_killed_leaves_the_old_signature_or_the_new_one(large: Path) -> None:
    key = large.parent / "first.pem"
    command = [sys.executable, "-m", "mlbom", "sign", str(large), "--key", str(key), "-q"]
    started = time.perf_counter()
    subprocess.run(command, check=True)
    took = time.perf_counter() - started
    config = large / "config.json"
    for step in range(10):
        before = signed_config(large, key)
        config.write_bytes(b"{%d}" % step)
        running = subprocess.Popen(command)
        time.sleep(took * (0.3 + step / 12))
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert signed_config(large, key) in {before, sha256(config.read_bytes())}
    subprocess.run(command, check=True)
    assert signed_config(large, key) == sha256(config.read_bytes())
    assert not list(large.glob(".*mlbom-new"))


def signed_config(model: Path, key: Path) -> str:
    """Return the digest of config.json in a signature that verifies and names no leftover."""
    envelope = own_envelope((model / "model.sig").read_bytes(), open_signer(str(key)))
    assert envelope
    resources = json.loads(envelope.payload)["predicate"]["resources"]
    files = {resource["name"]: resource["digest"] for resource in resources}
    assert not [name for name in files if "mlbom-new" in name]
    return str(files["config.json"])


def test_a_device_that_swaps_its_key_signs_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The signature is checked with the public half that was shown, before it is written."""
    other = KeyPaths.of(model.parent / "other.pem")
    make_key(other)
    real = KeyFileSigner.sign
    swapped = open_signer(str(other.private))
    assert isinstance(swapped, KeyFileSigner)

    def sign(_: KeyFileSigner, payload: bytes, payload_type: str) -> Envelope:
        return real(swapped, payload, payload_type)

    monkeypatch.setattr(KeyFileSigner, "sign", sign)
    before = content(model)
    assert run(["sign", str(model), "--key", str(model.parent / "first.pem")]) == 5
    assert "does not verify" in capsys.readouterr().err
    assert content(model) == before
