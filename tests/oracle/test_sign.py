"""The reference implementation of OMS checks what `mlbom sign` signs, and `mlbom` builds on its."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlbom.cli.main import run
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS, KeyPaths, make_key
from tests.fixtures.tiny_release import write_files

pytestmark = pytest.mark.oracle
MODEL = {
    "config.json": b"{}",
    "a/b.txt": b"1",
    "a-c.txt": b"2",
    "a.txt": b"3",
    "empty": b"",
    "model-00001-of-00002.safetensors": b"x" * 999,
    "model-00002-of-00002.safetensors": b"y" * 999,
    "unit/é.txt": b"4",
}


@dataclass(frozen=True)
class Signed:
    """A model, the key that signs it, and the reference tool that judges."""

    path: Path
    key: KeyPaths
    tool: str

    @property
    def signature(self) -> Path:
        """Return where `mlbom sign` puts the signature by default."""
        if self.path.is_dir():
            return self.path / "model.sig"
        return self.path.with_name(f"{self.path.name}.sig")

    def sign(self, *more: str) -> int:
        return run(["sign", str(self.path), "--key", str(self.key.private), *more])

    def judge(self, signature: Path | None = None) -> str:
        """Return what the reference tool finds wrong, or an empty text when it accepts."""
        command = ["verify", "key", str(self.path), "--public_key", str(self.key.public)]
        return self._call(*command, "--signature", str(signature or self.signature))

    def sign_by_reference(self, signature: Path) -> None:
        command = ["sign", "key", str(self.path), "--private_key", str(self.key.private)]
        said = self._call(*command, "--signature", str(signature), "--ignore-paths", "model.sig")
        assert not said

    def _call(self, *command: str) -> str:
        done = subprocess.run([self.tool, *command], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert "No module named" not in told, told
        assert done.returncode == 0 or "failed" in told or "Error" in told, told
        return told if done.returncode else ""


@pytest.fixture
def signed(model_signing: str, tmp_path: Path) -> Signed:
    write_files(tmp_path / "model", MODEL)
    key = KeyPaths.of(tmp_path / "keys" / "k.pem")
    make_key(key)
    signed = Signed(tmp_path / "model", key, model_signing)
    assert signed.sign() == 0
    return signed


def test_a_directory_is_accepted_without_a_further_option(signed: Signed) -> None:
    assert not signed.judge()


def test_a_directory_with_what_is_ignored_is_accepted(signed: Signed) -> None:
    ignored = {".git/HEAD": b"", "README.md": b"#", "a/__pycache__/x.pyc": b"", "img/a.svg": b""}
    write_files(signed.path, ignored)
    assert signed.sign() == 0
    assert not signed.judge()


def test_a_signature_elsewhere_is_accepted(signed: Signed, tmp_path: Path) -> None:
    signed.signature.unlink()
    for place in (tmp_path / "out.sig", signed.path / "a" / "my.sig"):
        assert signed.sign("-o", str(place)) == 0
        assert not signed.judge(place)
        place.unlink()


def test_one_file_is_accepted_without_a_further_option(signed: Signed) -> None:
    one = Signed(signed.path / "model-00001-of-00002.safetensors", signed.key, signed.tool)
    assert one.sign() == 0
    assert not one.judge()
    one.path.write_bytes(b"x" * 998 + b"!")
    assert "mismatch" in one.judge()


@pytest.mark.parametrize("name", KEY_NAMES)
def test_it_accepts_the_keys_that_we_say_it_does(name: str, signed: Signed, tmp_path: Path) -> None:
    key = KeyPaths.of(tmp_path / "keys" / f"{name}.pem")
    make_key(key, KEY_NAMES[name])
    other = Signed(signed.path, key, signed.tool)
    assert other.sign() == 0
    assert (not other.judge()) is ("model_signing" not in LOST_VERIFIERS[KEY_NAMES[name]])


def edit(signed: Signed, change: Callable[[dict[str, str]], object]) -> None:
    document = json.loads(signed.signature.read_bytes())
    change(document["dsseEnvelope"])
    signed.signature.write_text(json.dumps(document))


MUTATIONS: dict[str, Callable[[Signed], object]] = {
    "changed": lambda s: (s.path / "config.json").write_bytes(b"[]"),
    "a byte more": lambda s: (s.path / "empty").write_bytes(b"!"),
    "removed": lambda s: (s.path / "a" / "b.txt").unlink(),
    "added": lambda s: write_files(s.path, {"x.py": b""}),
    "renamed": lambda s: (s.path / "a.txt").rename(s.path / "b.txt"),
    "shards swapped": lambda s: write_files(
        s.path,
        {f"model-0000{n}-of-00002.safetensors": d * 999 for n, d in ((1, b"y"), (2, b"x"))},
    ),
    "a link": lambda s: (s.path / "l").symlink_to("config.json"),
    "payload": lambda s: edit(s, lambda e: e.update(payload=e["payload"][:-4] + "fX19")),
    "payload type": lambda s: edit(s, lambda e: e.update(payloadType="text/plain")),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_it_rejects_every_mutation(mutation: str, signed: Signed) -> None:
    assert not signed.judge()
    MUTATIONS[mutation](signed)
    assert signed.judge()


def test_signing_again_after_a_change_is_accepted(signed: Signed) -> None:
    write_files(signed.path, {"config.json": b"{1}", "README.md": b"#"})
    assert signed.judge()
    assert signed.sign("--reuse", str(signed.signature)) == 0
    assert not signed.judge()


def test_a_signature_of_the_reference_tool_can_be_built_on(signed: Signed, tmp_path: Path) -> None:
    """It sorts by the parts of paths, and its statement is pretty-printed: both are read."""
    foreign = tmp_path / "foreign.sig"
    signed.sign_by_reference(foreign)
    assert not signed.judge(foreign)
    write_files(signed.path, {"config.json": b"{2}"})
    assert signed.sign("--reuse", str(foreign)) == 0
    assert not signed.judge()
