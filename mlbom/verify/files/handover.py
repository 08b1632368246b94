"""Hand over a model: the bytes that are verified are the bytes that are copied, read only once.

Whoever verifies a folder and loads it afterwards reads it twice, and somebody can exchange a file
in between. Here each file is hashed while it is copied, from one descriptor, into a folder that
only this user can enter; that folder gets its name after the verdict was good, and is removed
otherwise.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from mlbom.digest.hashing import BLOCK
from mlbom.digest.tree import Entry
from mlbom.errors import OutputError, UnreadableError, UsageError
from mlbom.openfile import is_hollow, open_regular
from mlbom.verify.files.compare import Digests, differing

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


class Taken(NamedTuple):
    """One file: the path that it gets, and its digests or why it could not be read."""

    path: str
    outcome: Digests | UnreadableError


class Handover:
    """A copy in the making.

    Args:
        target: the folder that the copy becomes; it must not exist, or be empty.

    Raises:
        UsageError: the target holds something, or is no folder.
        OutputError: nothing can be written beside it.
    """

    def __init__(self, target: Path) -> None:
        absolute = target.absolute()
        if absolute.name in ("", ".."):
            message = f"--copy-to: {target} does not name a folder"
            raise UsageError(message)
        self.target = absolute.parent.resolve() / absolute.name
        if self.target.is_symlink() or (self.target.exists() and not self.target.is_dir()):
            message = f"--copy-to: {target} is a link or no folder"
            raise UsageError(message)
        if self.target.is_dir() and any(self.target.iterdir()):
            message = f"--copy-to: {target} is not empty"
            raise UsageError(message, hint="name a folder that does not exist yet")
        self._made = [p for p in self.target.parents if not p.exists()]
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            beside = tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent)
        except OSError as error:
            self._remove_made()
            message = f"cannot write beside {target}: {error.strerror or error}"
            raise OutputError(message) from error
        self._staging = Path(beside)
        self._taken: dict[str, Digests] = {}

    def __enter__(self) -> Self:
        """Return itself; leaving the block removes whatever was not delivered."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the copy and the folders made for it, unless it was delivered."""
        shutil.rmtree(self._staging, ignore_errors=True)
        if not self.target.is_dir():
            self._remove_made()

    def _remove_made(self) -> None:
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def refuse_inside(self, folder: Path, what: str) -> None:
        """Refuse a target that would change what is verified.

        Args:
            folder: that every file of is verified.
            what: how the message calls it.

        Raises:
            UsageError: the target lies in the folder.
        """
        if self.target.is_relative_to(folder.resolve()):
            message = f"--copy-to: {self.target} lies in {what} that is verified"
            raise UsageError(message, hint="name a folder beside it")

    def take(
        self, root: Path, wanted: Iterable[tuple[Entry, str]], algorithms: Sequence[str]
    ) -> Iterator[Taken]:
        """Copy and hash files; yield digests, or why a file could not be read.

        Args:
            root: the folder that they lie in.
            wanted: each file, and the safe relative path that it gets in the copy.
            algorithms: names out of sha256 and sha512; sha256 is always among the results.

        Raises:
            OutputError: the copy cannot be written.
        """
        names = tuple(dict.fromkeys(("sha256", *algorithms)))

        def one(item: tuple[Entry, str]) -> Taken:
            return Taken(item[1], self._copy(root, item[0], item[1], names))

        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for taken in pool.map(one, wanted):
                if not isinstance(taken.outcome, UnreadableError):
                    self._taken[taken.path] = taken.outcome
                yield taken

    def deliver(self, expected: Mapping[str, Digests]) -> Path:
        """Give the copy its name, after a good verdict.

        Args:
            expected: the signed digests of every file that belongs to it.

        Raises:
            OutputError: the copy is not exactly that, or cannot be renamed; nothing is there then.
        """
        complete = self._taken.keys() == expected.keys()
        if not complete or any(differing(expected[p], d) for p, d in self._taken.items()):
            message = "the copy is not what was verified, so it is not handed over"
            raise OutputError(message)
        try:
            self._staging.chmod(0o755)
            self._staging.rename(self.target)
        except OSError as error:
            message = f"cannot write {self.target}: {error.strerror or error}"
            raise OutputError(message) from error
        return self.target

    def _copy(
        self, root: Path, entry: Entry, path: str, algorithms: Sequence[str]
    ) -> Digests | UnreadableError:
        try:
            source = open_regular(root / entry.location)
        except OSError as error:
            return UnreadableError(f"cannot read {entry.path}: {error.strerror or error}")
        try:
            if is_hollow(os.fstat(source)):
                return UnreadableError(f"{entry.path} is nearly all holes: not copied")
            return self._copy_bytes(source, entry.path, path, algorithms)
        finally:
            os.close(source)

    def _copy_bytes(
        self, source: int, name: str, path: str, algorithms: Sequence[str]
    ) -> Digests | UnreadableError:
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        place = self._staging / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            target = os.open(place, _NEW, 0o644)
        except OSError as error:
            message = f"cannot write {path}: {error.strerror or error}"
            raise OutputError(message) from error
        with os.fdopen(target, "wb", buffering=0) as stream:
            while True:
                try:
                    block = os.read(source, BLOCK)
                except OSError as error:
                    return UnreadableError(f"cannot read {name}: {error.strerror or error}")
                if not block:
                    break
                for hasher in hashers.values():
                    hasher.update(block)
                _write(stream.fileno(), block, path)
        return {algorithm: hasher.hexdigest() for algorithm, hasher in hashers.items()}


def _write(descriptor: int, block: bytes, path: str) -> None:
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise OutputError(message) from error
