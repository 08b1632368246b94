"""Making key pairs: safe modes, nothing overwritten, the user's own place."""

import os
import stat
from pathlib import Path

import pytest

from mlbom.attest.publickey import KeyType, parse_public_key
from mlbom.errors import KeyExistsError, SigningError, UnsafeKeyFileError
from mlbom.sign.newkey import KEY_NAMES, LOST_VERIFIERS, KeyPaths, default_key_paths, make_key
from mlbom.status import ExitStatus


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_private_half_is_for_its_owner_alone(umask: int, tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "keys" / "k.pem")
    before = os.umask(umask)
    try:
        make_key(paths)
    finally:
        os.umask(before)
    assert stat.S_IMODE(paths.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.public.stat().st_mode) == 0o644 & ~umask
    assert stat.S_IMODE(paths.private.parent.stat().st_mode) == 0o700 & ~umask


@pytest.mark.parametrize("name", KEY_NAMES)
def test_the_public_half_is_what_verifies(name: str, tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    public = make_key(paths, KEY_NAMES[name])
    assert paths.public.name == "k.pub"
    assert parse_public_key(paths.public.read_bytes(), "k.pub") == public
    assert public.key_type is KEY_NAMES[name]
    assert b"PRIVATE" not in paths.public.read_bytes()


def test_p256_is_the_default_and_loses_no_verifier(tmp_path: Path) -> None:
    assert make_key(KeyPaths.of(tmp_path / "k.pem")).key_type is KeyType.P256
    assert [kind for kind, lost in LOST_VERIFIERS.items() if not lost] == [KeyType.P256]


@pytest.mark.parametrize("name", ["k.pem", "k.pub"])
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(KeyExistsError, match=name) as caught:
        make_key(KeyPaths.of(tmp_path / "k.pem"))
    assert caught.value.status is ExitStatus.USAGE
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.pem").symlink_to(tmp_path / "target.pem")
    with pytest.raises(KeyExistsError):
        make_key(KeyPaths.of(tmp_path / "k.pem"))
    assert not (tmp_path / "target.pem").exists()


def test_a_key_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k.pem").write_text("precious")
    monkeypatch.setattr("os.path.lexists", lambda _path: False)
    with pytest.raises(KeyExistsError):
        make_key(KeyPaths.of(tmp_path / "k.pem"))
    assert (tmp_path / "k.pem").read_text() == "precious"


def test_half_a_pair_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k.pub").write_text("precious")
    monkeypatch.setattr("os.path.lexists", lambda _path: False)
    with pytest.raises(KeyExistsError):
        make_key(KeyPaths.of(tmp_path / "k.pem"))
    assert not (tmp_path / "k.pem").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(SigningError, match="No space left"):
        make_key(KeyPaths.of(tmp_path / "k.pem"))
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_not_made_inside_the_project(tmp_path: Path) -> None:
    with pytest.raises(UnsafeKeyFileError):
        make_key(KeyPaths.of(tmp_path / "k.pem"), forbidden=(tmp_path,))
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_encrypts(tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths, passphrase="open sesame")
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in paths.private.read_bytes()


def test_the_default_place_is_the_users_config_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = default_key_paths({"XDG_CONFIG_HOME": "/c"})
    assert paths == KeyPaths(Path("/c/mlbom/keys/default.pem"), Path("/c/mlbom/keys/default.pub"))
    monkeypatch.setenv("HOME", "/h")
    for environment in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert default_key_paths(environment).private == Path("/h/.config/mlbom/keys/default.pem")


def test_a_user_without_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(SigningError, match="no home") as caught:
        default_key_paths({})
    assert "XDG_CONFIG_HOME" in caught.value.hint
