"""Files to digests: one read feeds every algorithm, on all cores, with an optional cache."""

import hashlib
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from mlbom.digest.engine import open_engine
from mlbom.errors import ChangedWhileReadingError, LimitError, UnreadableError, UsageError
from mlbom.evidence.digest import Digest
from mlbom.openfile import is_hollow, open_regular

BLOCK = 1024 * 1024
# A pool costs more than it saves below this much work (files, bytes).
_INLINE_FILES, _INLINE_BYTES = 2000, 64 * 1024 * 1024
# Below this mean size system calls rule and only processes help; above it hashing does, which
# releases the interpreter lock, and threads are cheaper.
_SMALL = 64 * 1024
_BATCH_FILES, _BATCH_BYTES = 1000, 64 * 1024 * 1024


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

    def put(self, path: str, reading: "Reading", found: FileDigest) -> None:
        """Remember the digests of a file, if the state in which it was read can be told again."""
        ...


class Hashing:
    """Digests being computed in the background.

    Args:
        root: directory that the paths are relative to; a path may lead out of it (a hub cache).
        algorithms: names out of sha256, sha512, blake3; SHA-256 is always among the results, first.
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
        self._engine: Executor | None = None
        self._cancelled = threading.Event()

    def start(self, files: Iterable[tuple[str, int]]) -> "Hashing":
        """Begin hashing files given as (path, size in bytes); largest first."""
        wanted = [(p, n) for p, n in files if not self._remembered(p)]
        name = _engine_for([nbytes for _, nbytes in wanted])
        self._engine = open_engine(name)
        # Another process cannot be told; its batches of small files are soon done.
        cancelled = None if name == "processes" else self._cancelled.is_set
        work = partial(_hash_batch, self._root, self._algorithms, cancelled)
        for batch in _batches(sorted(wanted, key=lambda item: -item[1])):
            self._batches.append(self._engine.submit(work, batch))
        return self

    def result(self) -> Mapping[str, FileDigest | UnreadableError]:
        """Wait and return what is known by path: digests, or why there are none."""
        found: dict[str, FileDigest | UnreadableError] = dict(self._known)
        try:
            for batch in self._batches:
                for path, outcome, reading in batch.result():
                    found[path] = outcome
                    if self._cache and reading and isinstance(outcome, FileDigest):
                        self._cache.put(os.path.join(self._root, path), reading, outcome)
        finally:
            self.stop()
        return found

    def __enter__(self) -> Self:
        """Return itself; leaving the block drops what nobody waits for any more."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop hashing."""
        self.stop()

    def stop(self) -> None:
        """Drop the work that has not begun; what is being read is left at its next block."""
        self._cancelled.set()
        if self._engine:
            self._engine.shutdown(wait=False, cancel_futures=True)

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


def _engine_for(sizes: Sequence[int]) -> str:
    """Return the name of the engine that suits files of these sizes."""
    total = sum(sizes)
    if len(sizes) < _INLINE_FILES and total < _INLINE_BYTES:
        return "inline"
    return "processes" if total / len(sizes) < _SMALL else "threads"


class FileState(NamedTuple):
    """What changes when a file changes; times in ns since 1970."""

    device: int
    inode: int
    nbytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileState":
        """Return the state that a stat call tells."""
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return cls(status.st_dev, status.st_ino, status.st_size, *times)


class Reading(NamedTuple):
    """In which state a file was read, and when that began, in ns since 1970."""

    state: FileState
    begun_ns: int


_Outcome = tuple[str, FileDigest | UnreadableError, Reading | None]
_Cancelled = Callable[[], bool] | None


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


def _hash_batch(
    root: str, algorithms: tuple[str, ...], cancelled: _Cancelled, paths: list[str]
) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for path in paths:
        full = os.path.join(root, path)
        try:
            found, reading = _hash_stable(full, path, algorithms, cancelled)
            outcomes.append((path, found, reading))
        except UnreadableError as error:
            outcomes.append((path, error, None))
        except OSError as error:
            reason = UnreadableError(f"cannot read {path}: {error.strerror or error}")
            outcomes.append((path, reason, None))
    return outcomes


def _hash_stable(
    full: str, path: str, algorithms: tuple[str, ...], cancelled: _Cancelled
) -> tuple[FileDigest, Reading]:
    """Hash a file whose state before and after is the same; try twice."""
    for _ in range(2):
        descriptor = open_regular(full)
        try:
            begun_ns = time.time_ns()
            status = os.fstat(descriptor)
            if is_hollow(status):
                message = f"{path} has {status.st_size} bytes, nearly all of them holes: not hashed"
                raise LimitError(message)
            before = FileState.of(status)
            found = _hash_descriptor(descriptor, before.nbytes, algorithms, cancelled)
            after = FileState.of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if before == after and found.nbytes == after.nbytes:
            return found, Reading(after, begun_ns)
    message = f"{path} changed while it was being hashed"
    raise ChangedWhileReadingError(message)


def _hash_descriptor(
    descriptor: int, expected: int, algorithms: tuple[str, ...], cancelled: _Cancelled
) -> FileDigest:
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
            if cancelled and cancelled():
                message = "hashing was stopped"
                raise UnreadableError(message)
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
        try:
            from blake3 import blake3
        except ImportError as error:
            message = "BLAKE3 digests need the package blake3"
            raise UsageError(message, hint="pip install 'mlbom[data]'") from error

        hasher: _Hasher = blake3()
        return hasher
    return hashlib.new(name)
