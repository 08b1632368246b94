"""Rotation: the new pair has the name, the old one is beside it, and no failure loses a key."""

import os
import stat
from pathlib import Path

import pytest

from mlbom.attest.publickey import KeyType, parse_public_key
from mlbom.errors import KeyExistsError, PathNotFoundError, SigningError, UnsafeKeyFileError
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.rotate import is_encrypted, rotate_key
from mlbom.sign.signer import KeyAccess, open_signer

NOBODY = KeyAccess()


@pytest.fixture
def paths(tmp_path: Path) -> KeyPaths:
    paths = KeyPaths.of(tmp_path / "me.pem")
    make_key(paths)
    return paths


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_new_pair_takes_the_name_and_the_old_one_is_kept(paths: KeyPaths) -> None:
    before = content(paths.private.parent)
    done = rotate_key(paths, NOBODY)
    short = done.old.hint[:8]
    after = content(paths.private.parent)
    assert set(after) == {"me.pem", "me.pub", f"me.{short}.pem", f"me.{short}.pub"}
    assert after[f"me.{short}.pem"] == before["me.pem"]
    assert after[f"me.{short}.pub"] == before["me.pub"]
    assert open_signer(str(paths.private)).public_key == done.new != done.old
    assert parse_public_key(paths.public.read_bytes(), "me.pub") == done.new
    assert open_signer(str(done.kept.private)).public_key == done.old
    assert stat.S_IMODE(paths.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(done.kept.private.stat().st_mode) == 0o600
    assert paths.private.stat().st_nlink == done.kept.private.stat().st_nlink == 1


def test_it_can_be_done_again_and_again(paths: KeyPaths) -> None:
    hints = {rotate_key(paths, NOBODY).old.hint for _ in range(3)}
    assert len(hints) == 3
    assert len(content(paths.private.parent)) == 8


def test_the_type_stays_unless_another_is_asked_for(tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths, KeyType.ED25519)
    assert rotate_key(paths, NOBODY).new.key_type is KeyType.ED25519
    assert rotate_key(paths, NOBODY, KeyType.P384).new.key_type is KeyType.P384


def test_a_public_half_that_is_missing_is_made_again(paths: KeyPaths) -> None:
    public = paths.public.read_bytes()
    paths.public.unlink()
    assert rotate_key(paths, NOBODY).kept.public.read_bytes() == public


def test_an_encrypted_key_need_not_be_opened(tmp_path: Path) -> None:
    paths = KeyPaths.of(tmp_path / "k.pem")
    old = make_key(paths, passphrase="old words")
    assert is_encrypted(paths)
    done = rotate_key(paths, NOBODY, passphrase="new words")
    assert done.old == old
    assert is_encrypted(paths)
    assert open_signer(str(paths.private), KeyAccess(ask_passphrase=lambda _: "new words"))
    assert open_signer(str(done.kept.private), KeyAccess(ask_passphrase=lambda _: "old words"))


def test_a_name_that_is_taken_stops_it(paths: KeyPaths) -> None:
    short = open_signer(str(paths.private)).public_key.hint[:8]
    (paths.private.parent / f"me.{short}.pub").write_text("precious")
    before = content(paths.private.parent)
    with pytest.raises(KeyExistsError, match=short):
        rotate_key(paths, NOBODY)
    assert content(paths.private.parent) == before


def test_a_key_that_is_missing_or_exposed_stops_it(paths: KeyPaths, tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        rotate_key(KeyPaths.of(tmp_path / "none.pem"), NOBODY)
    with pytest.raises(UnsafeKeyFileError):
        rotate_key(paths, KeyAccess(forbidden=(tmp_path,)))
    paths.private.chmod(0o644)
    before = content(tmp_path)
    with pytest.raises(UnsafeKeyFileError):
        rotate_key(paths, NOBODY)
    assert content(tmp_path) == before


@pytest.mark.parametrize("number", range(6))
def test_no_failing_call_loses_a_key(
    number: int, paths: KeyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that changes the disk fails once, as on a full or broken one."""
    before = content(paths.private.parent)
    calls = iter(range(100))

    def failing(real: object) -> object:
        def call(*args: object, **more: object) -> object:
            if next(calls) == number:
                raise OSError(28, "No space left on device")
            assert callable(real)
            return real(*args, **more)

        return call

    for name in ("link", "fsync"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    monkeypatch.setattr(Path, "open", failing(Path.open))
    makes_link = number == 2
    try:
        rotate_key(paths, NOBODY)
    except SigningError:
        monkeypatch.undo()
        assert not makes_link
        assert content(paths.private.parent) == before
    else:
        # A link that cannot be made is a copy instead; everything else stops the rotation.
        monkeypatch.undo()
        after = content(paths.private.parent)
        assert makes_link
        assert set(before.values()) < set(after.values())
        assert len(after) == 4
