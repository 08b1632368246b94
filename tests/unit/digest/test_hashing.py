"""Hashing files: every engine gives the same digests, and every failure has a name."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlbom.digest import hashing
from mlbom.digest.cache import StatCache
from mlbom.digest.hashing import FileDigest, Hashing
from mlbom.errors import ChangedWhileReadingError, UnreadableError


def tree(folder: Path, sizes: dict[str, int]) -> list[tuple[str, int]]:
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((name.encode() * (size // len(name) + 1))[:size])
    return list(sizes.items())


def one(folder: Path, name: str, algorithms: tuple[str, ...] = ("sha256",)) -> FileDigest:
    found = Hashing(folder, algorithms).start([(name, 1)]).result()[name]
    if isinstance(found, UnreadableError):
        raise found
    return found


SIZES = {"empty": 0, "small": 10, "block": hashing.BLOCK, "large": 3 * hashing.BLOCK + 7, "d/x": 5}


@pytest.mark.parametrize("engine", ["inline", "threads", "processes"])
def test_every_engine_agrees_with_hashlib(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tree(tmp_path, SIZES)
    monkeypatch.setattr(hashing, "_engine_for", lambda _sizes: engine)
    found = Hashing(tmp_path, ("sha512", "sha256")).start(files).result()
    for name, size in files:
        data = (tmp_path / name).read_bytes()
        digest = found[name]
        assert isinstance(digest, FileDigest)
        assert digest.nbytes == size
        assert digest.sha256 == hashlib.sha256(data).hexdigest()
        assert digest.hex_of("sha512") == hashlib.sha512(data).hexdigest()


def test_blake3_is_a_further_digest(tmp_path: Path) -> None:
    blake3 = pytest.importorskip("blake3")
    tree(tmp_path, {"a": 100})
    found = one(tmp_path, "a", ("sha256", "blake3"))
    assert found.hex_of("blake3") == blake3.blake3((tmp_path / "a").read_bytes()).hexdigest()


def test_failures_stay_with_their_file(tmp_path: Path) -> None:
    tree(tmp_path, {"good": 3})
    (tmp_path / "link").symlink_to("good")
    os.mkfifo(tmp_path / "pipe")
    wanted = [("good", 3), ("link", 0), ("pipe", 0), ("gone", 1)]
    found = Hashing(tmp_path).start(wanted).result()
    assert isinstance(found["good"], FileDigest)
    for name in ("link", "pipe", "gone"):
        assert isinstance(found[name], UnreadableError)
        assert name in str(found[name])


def test_a_file_that_keeps_changing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"a": 10})
    real = hashing._hash_descriptor

    def changing(descriptor: int, expected: int, *more: Any) -> FileDigest:
        found = real(descriptor, expected, *more)
        with (tmp_path / "a").open("ab") as stream:
            stream.write(b"x")
        return found

    monkeypatch.setattr(hashing, "_hash_descriptor", changing)
    with pytest.raises(ChangedWhileReadingError, match="a changed"):
        one(tmp_path, "a")


def age(path: Path) -> None:
    past = time.time() - 60
    os.utime(path, (past, past))


def cached(tmp_path: Path, database: Path) -> FileDigest:
    cache = StatCache(database)
    found = Hashing(tmp_path, cache=cache).start([("a", 10)]).result()["a"]
    cache.save()
    assert isinstance(found, FileDigest)
    return found


def test_the_cache_remembers_what_has_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"a": 10})
    database = tmp_path / "cache" / "c.sqlite"
    monkeypatch.setattr("mlbom.digest.cache._RACY_NS", 0)
    first = cached(tmp_path, database)
    monkeypatch.setattr(hashing, "_hash_stable", None)  # a second read would fail
    assert cached(tmp_path, database) == first


def test_a_rewrite_of_the_same_size_and_mtime_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"a": 10})
    age(tmp_path / "a")
    monkeypatch.setattr("mlbom.digest.cache._RACY_NS", 0)
    first = cached(tmp_path, tmp_path / "c.sqlite")
    status = (tmp_path / "a").stat()
    (tmp_path / "a").write_bytes(b"0123456789")
    os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cached(tmp_path, tmp_path / "c.sqlite") != first


def test_a_file_of_this_moment_is_not_remembered(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 10})
    cache = StatCache(tmp_path / "c.sqlite")
    Hashing(tmp_path, cache=cache).start([("a", 10)]).result()
    assert cache.get(str(tmp_path / "a"), (tmp_path / "a").lstat()) is None


@pytest.mark.parametrize("garbage", [b"not sqlite", b""])
def test_a_broken_cache_is_only_a_miss(tmp_path: Path, garbage: bytes) -> None:
    tree(tmp_path, {"a": 10})
    (tmp_path / "c.sqlite").write_bytes(garbage)
    assert cached(tmp_path, tmp_path / "c.sqlite").nbytes == 10


def test_leaving_the_block_stops_what_is_being_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(16 * 1024**3)  # holes: reading them all would take many seconds
    with Hashing(tmp_path).start([("large", 16 * 1024**3)]) as hashing:
        pass
    outcome = hashing.result()["large"]
    assert isinstance(outcome, UnreadableError)
    assert "stopped" in str(outcome)


def test_a_terabyte_of_holes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "hollow").open("wb") as stream:
        stream.truncate(1024**4)
    outcome = Hashing(tmp_path).start([("hollow", 1024**4)]).result()["hollow"]
    assert isinstance(outcome, UnreadableError)
    assert "not hashed" in str(outcome)
