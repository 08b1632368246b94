"""Files to digests: one read feeds every algorithm, on all cores, with an optional cache."""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlbom.digest.engine import open_engine
from mlbom.digest.openfile import open_regular
from mlbom.errors import ChangedWhileReadingError, UnreadableError
from mlbom.evidence.digest import Digest

BLOCK = 1024 * 1024
# A pool costs more than it saves below this much work (files, bytes).
_INLINE_FILES, _INLINE_BYTES = 2000, 64 * 1024 * 1024
# Below this mean size system calls rule and only processes help; above it hashing does, which
# releases the interpreter lock, and threads are cheaper.
_SMALL = 64 * 1024
_BATCH_FILES, _BATCH_BYTES = 1000, 64 * 1024 * 1024

ALGORITHMS = ("sha256", "sha512", "blake3")


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The size in bytes and the digests of one file; SHA-256 is always the first of them."""

    nbytes: int
    digests: tuple[Digest, ...]

    @property
    def sha256(self) -> str:
        """Return the SHA-256 in hexadecimal digits: the identity of a file."""
        return self.digests[0].value

    def hex_of(self, algorithm: str) -> str | None:
        """Return the hexadecimal digits of an algorithm, or None when it was not asked for."""
        return next((d.value for d in self.digests if d.algorithm == algorithm), None)


class DigestCache(Protocol):
    """Remembers digests between runs; `verify` never uses one."""

    def get(self, path: str, status: os.stat_result) -> FileDigest | None:
        """Return the remembered digests of a file that has not changed since, or None."""
        ...

    def put(self, path: str, status: os.stat_result, found: FileDigest) -> None:
        """Remember the digests of a file."""
        ...


class Hashing:
    """Digests being computed in the background.

    Args:
        root: directory that the paths are relative to; a path may lead out of it (a hub cache).
        algorithms: names out of `ALGORITHMS`; SHA-256 is always among the results, first.
        cache: remembers digests between runs.
    """

    def __init__(
        self, root: Path, algorithms: Sequence[str] = ("sha256",), cache: DigestCache | None = None
    ) -> None:
        self._root = os.fspath(root)
        self._algorithms = ("sha256", *(a for a in algorithms if a != "sha256"))
        self._cache = cache
        self._known: dict[str, FileDigest] = {}
        self._batches: list[Future[list[_Outcome]]] = []
        self._stop: Callable[[], None] = lambda: None

    def start(self, files: Iterable[tuple[str, int]]) -> "Hashing":
        """Begin hashing files given as (path, size in bytes); largest first."""
        wanted = [(p, n) for p, n in files if not self._remembered(p)]
        total = sum(nbytes for _, nbytes in wanted)
        small = bool(wanted) and total / len(wanted) < _SMALL
        inline = len(wanted) < _INLINE_FILES and total < _INLINE_BYTES
        engine = open_engine("inline" if inline else "processes" if small else "threads")
        self._stop = lambda: engine.shutdown(wait=False, cancel_futures=True)
        for batch in _batches(sorted(wanted, key=lambda item: -item[1])):
            self._batches.append(engine.submit(_hash_batch, self._root, batch, self._algorithms))
        return self

    def result(self) -> Mapping[str, FileDigest | UnreadableError]:
        """Wait and return what is known by path: digests, or why there are none."""
        found: dict[str, FileDigest | UnreadableError] = dict(self._known)
        try:
            for batch in self._batches:
                for path, outcome, status in batch.result():
                    found[path] = outcome
                    if self._cache and status and isinstance(outcome, FileDigest):
                        self._cache.put(os.path.join(self._root, path), status, outcome)
        finally:
            self._stop()
        return found

    def _remembered(self, path: str) -> bool:
        if not self._cache:
            return False
        full = os.path.join(self._root, path)
        try:
            status = os.lstat(full)
        except OSError:
            return False
        known = self._cache.get(full, status)
        if not known or not stat.S_ISREG(status.st_mode):
            return False
        digests = {d.algorithm: d for d in known.digests}
        if not set(self._algorithms) <= set(digests):
            return False
        self._known[path] = FileDigest(known.nbytes, tuple(digests[a] for a in self._algorithms))
        return True


def hash_files(
    root: Path, paths: Iterable[str], algorithms: Sequence[str] = ("sha256",)
) -> Mapping[str, FileDigest]:
    """Return the digests of files below a directory, each read once, without a cache.

    Args:
        root: directory that the paths are relative to.
        paths: POSIX paths of regular files.
        algorithms: names out of `ALGORITHMS`.

    Raises:
        UnreadableError: a file is missing, a link, not regular or not readable.
        ChangedWhileReadingError: a file changed while it was read, twice.
    """
    sized = [(path, _size(root, path)) for path in paths]
    found: dict[str, FileDigest] = {}
    for path, outcome in Hashing(root, algorithms).start(sized).result().items():
        if isinstance(outcome, UnreadableError):
            raise outcome
        found[path] = outcome
    return found


def _size(root: Path, path: str) -> int:
    try:
        return os.lstat(os.path.join(root, path)).st_size
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UnreadableError(message) from error


_Outcome = tuple[str, FileDigest | UnreadableError, os.stat_result | None]


def _batches(files: Iterable[tuple[str, int]]) -> Iterable[list[str]]:
    batch: list[str] = []
    nbytes = 0
    for path, size in files:
        batch.append(path)
        nbytes += size
        if len(batch) >= _BATCH_FILES or nbytes >= _BATCH_BYTES:
            yield batch
            batch, nbytes = [], 0
    if batch:
        yield batch


def _hash_batch(root: str, paths: list[str], algorithms: tuple[str, ...]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for path in paths:
        full = os.path.join(root, path)
        try:
            found, status = _hash_stable(full, path, algorithms)
            outcomes.append((path, found, status))
        except UnreadableError as error:
            outcomes.append((path, error, None))
        except OSError as error:
            reason = UnreadableError(f"cannot read {path}: {error.strerror or error}")
            outcomes.append((path, reason, None))
    return outcomes


def _hash_stable(
    full: str, path: str, algorithms: tuple[str, ...]
) -> tuple[FileDigest, os.stat_result]:
    """Hash a file whose state before and after is the same; try twice."""
    for _ in range(2):
        descriptor = open_regular(full)
        try:
            before = os.fstat(descriptor)
            found = _hash_descriptor(descriptor, before.st_size, algorithms)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if file_state(before) == file_state(after) and found.nbytes == after.st_size:
            return found, after
    message = f"{path} changed while it was being hashed"
    raise ChangedWhileReadingError(message)


def file_state(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return what changes when a file changes: device, inode, size, mtime and ctime in ns."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _hash_descriptor(descriptor: int, expected: int, algorithms: tuple[str, ...]) -> FileDigest:
    hashers = [_hasher(name) for name in algorithms]
    nbytes = 0
    if expected <= BLOCK:
        # One plain read: the buffer of the loop below costs more than a small file does.
        while block := os.read(descriptor, BLOCK):
            nbytes += len(block)
            for hasher in hashers:
                hasher.update(block)
    else:
        buffer = memoryview(bytearray(BLOCK))
        stream = io.FileIO(descriptor, closefd=False)
        while count := stream.readinto(buffer):
            nbytes += count
            for hasher in hashers:
                hasher.update(buffer[:count])
    digests = zip(algorithms, hashers, strict=True)
    return FileDigest(nbytes, tuple(Digest(name, h.hexdigest()) for name, h in digests))


class _Hasher(Protocol):
    def update(self, data: bytes | memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


def _hasher(name: str) -> _Hasher:
    if name == "blake3":
        from blake3 import blake3

        hasher: _Hasher = blake3()
        return hasher
    return hashlib.new(name)
