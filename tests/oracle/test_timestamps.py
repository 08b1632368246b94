"""A timestamp authority of openssl stamps our signatures, and checks what we stored."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbom.attest.bundle import Bundle, parse_bundle
from mlbom.cli.main import run
from mlbom.sign.newkey import KEY_NAMES, KeyPaths, make_key
from tests.fixtures.loopback import Answer, Asked, serving
from tests.fixtures.timestamps import Authority, make_authority
from tests.fixtures.tiny_release import write_files

pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    assert shutil.which("openssl"), "this test needs openssl"
    return make_authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    def answer(asked: Asked) -> Answer:
        assert asked.headers["Content-Type"] == "application/timestamp-query"
        return Answer(
            authority.reply(asked.body), headers={"Content-Type": "application/timestamp-reply"}
        )

    with serving(answer) as base:
        yield f"{base}/tsr"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_files(tmp_path / "model", {"config.json": b"{}", "w.safetensors": b"x"})
    return tmp_path / "model"


def new_key(folder: Path, kind: str = "p256") -> str:
    make_key(KeyPaths.of(folder / "k.pem"), KEY_NAMES[kind])
    return str(folder / "k.pem")


def bundle_of(model: Path) -> Bundle:
    return parse_bundle(json.loads((model / "model.sig").read_bytes()))


@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_an_authority_stamps_the_signature(
    kind: str, model: Path, url: str, authority: Authority, tmp_path: Path
) -> None:
    key = new_key(tmp_path, kind)
    assert run(["sign", str(model), "--key", key, "--timestamp", url]) == 0
    bundle = bundle_of(model)
    (token,) = bundle.timestamps
    assert authority.accepts(token, bundle.envelope.signature)
    assert not authority.accepts(token, bundle.envelope.signature + b"!")
    assert not authority.accepts(token, bundle.envelope.payload)


@pytest.mark.parametrize("kind", ["p256", "ed25519", "rsa", "ml-dsa-65"])
def test_a_timestamp_is_carried_by_hand(
    kind: str, model: Path, authority: Authority, tmp_path: Path
) -> None:
    key, place = new_key(tmp_path, kind), tmp_path / "t.tsr"
    command = ["sign", str(model), "--key", key, "--timestamp", str(place)]
    assert run(command) == 4
    unstamped = bundle_of(model)
    assert not unstamped.timestamps
    place.write_bytes(authority.reply((tmp_path / "t.tsq").read_bytes()))
    assert run(command) == 0
    stamped = bundle_of(model)
    assert stamped.envelope == unstamped.envelope
    assert authority.accepts(stamped.timestamps[0], stamped.envelope.signature)


def test_a_carried_timestamp_of_another_signature_is_refused(
    model: Path, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, place = new_key(tmp_path), tmp_path / "t.tsr"
    command = ["sign", str(model), "--key", key, "--timestamp", str(place)]
    assert run(command) == 4
    place.write_bytes(authority.reply((tmp_path / "t.tsq").read_bytes()))
    write_files(model, {"config.json": b"changed"})
    before = (model / "model.sig").read_bytes()
    assert run(command) == 5
    assert "the timestamp is for another signature" in capsys.readouterr().err
    assert (model / "model.sig").read_bytes() == before


def test_the_reference_tool_accepts_a_stamped_signature(
    model: Path, url: str, tmp_path: Path
) -> None:
    import os
    import subprocess

    folder = os.environ.get("MLBOM_ORACLE_VENV", "")
    command = str(Path(folder).absolute() / "bin" / "model_signing") if folder else ""
    found = command or shutil.which("model_signing")
    if found is None and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("model_signing is not installed")
    assert found, "model_signing is not installed"
    key = new_key(tmp_path)
    assert run(["sign", str(model), "--key", key, "--timestamp", url]) == 0
    called = [found, "verify", "key", str(model), "--signature", str(model / "model.sig")]
    called += ["--public_key", str(tmp_path / "k.pub")]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def refused(authority: Authority, query: bytes) -> Answer:
    """Another hash than this authority takes: an answer of it that grants nothing."""
    sha256, sha1 = bytes.fromhex("608648016503040201"), bytes.fromhex("2b0e03021a")
    assert sha256 in query
    at = query.index(sha256)
    weak = bytes([6, 5]) + sha1
    old = query[at - 2 : at + len(sha256) + 2 + 2 + 32]
    inner = weak + b"\x05\x00"
    imprint = bytes([0x30, len(inner)]) + inner + bytes([4, 20]) + bytes(20)
    at = query.index(old) - 4
    body = (
        query[2:at] + bytes([0x30, len(imprint)]) + imprint + query[query.index(old) + len(old) :]
    )
    return Answer(authority.reply(bytes([0x30, len(body)]) + body))


def other_signature(authority: Authority, query: bytes) -> Answer:
    digest_at = query.index(b"\x04\x20") + 2
    return Answer(authority.reply(query[:digest_at] + bytes(32) + query[digest_at + 32 :]))


def other_nonce(authority: Authority, query: bytes) -> Answer:
    digest_at = query.index(b"\x04\x20") + 2
    at = digest_at + 32 + 2
    return Answer(authority.reply(query[:at] + bytes([query[at] ^ 1]) + query[at + 1 :]))


def without_certificate(authority: Authority, query: bytes) -> Answer:
    assert query.endswith(b"\x01\x01\xff")
    body = query[2:-3]
    return Answer(authority.reply(bytes([0x30, len(body)]) + body))


FAULTS = {
    "was refused": refused,
    "is for another signature": other_signature,
    "answers another query": other_nonce,
    "comes without the authority's certificate": without_certificate,
}


@pytest.mark.parametrize("message", FAULTS)
def test_an_answer_that_does_not_fit_is_not_stored(
    message: str,
    model: Path,
    authority: Authority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = new_key(tmp_path)
    with serving(lambda asked: FAULTS[message](authority, asked.body)) as base:
        assert run(["sign", str(model), "--key", key, "--timestamp", base]) == 5
    assert f"the timestamp {message}" in capsys.readouterr().err
    assert sorted(p.name for p in model.iterdir()) == ["config.json", "w.safetensors"]
