"""The output directory of a release: walked once, its documents read once, nothing followed."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.attest.bundle import FOLDER, SUFFIX
from mlbom.digest.tree import Entry, EntryKind, walk
from mlbom.errors import LimitError, PathNotFoundError, UnreadableError
from mlbom.openfile import open_regular
from mlbom.verify.files.compare import Digests
from mlbom.verify.files.measure import Measured, measure

BUNDLES = f"{FOLDER}/"
# Signed by nobody, and never read (chain.md section 2).
SUMMARY = "summary.json"


@dataclass(slots=True)
class ReleaseDirectory:
    """An output directory.

    Args:
        root: the directory.
        entries: everything in it except summary.json.
    """

    root: Path
    entries: tuple[Entry, ...]
    _read: dict[str, Digests] = field(default_factory=dict)

    @classmethod
    def at(cls, root: Path) -> "ReleaseDirectory":
        """Walk a directory.

        Raises:
            PathNotFoundError: it is not there, or no directory.
        """
        if not root.is_dir():
            message = f"release directory not found: {root}"
            raise PathNotFoundError(message, looked=[str(root)])
        found = walk(root)
        kept = (e for e in found if e.path != SUMMARY or e.kind is not EntryKind.FILE)
        return cls(root, tuple(kept))

    def files(self) -> Iterator[Entry]:
        """Yield the regular files."""
        return (entry for entry in self.entries if entry.kind is EntryKind.FILE)

    def bundles(self) -> tuple[Entry, ...]:
        """Return the bundle files, in path order."""
        return tuple(
            entry
            for entry in self.files()
            if entry.path.startswith(BUNDLES)
            and entry.path.endswith(SUFFIX)
            and "/" not in entry.path.removeprefix(BUNDLES)
        )

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file; their digests are what the file is judged by from now on.

        Raises:
            UnreadableError: missing, no regular file, or not readable.
            LimitError: larger than the limit, in bytes.
        """
        try:
            descriptor = open_regular(self.root / path)
            with os.fdopen(descriptor, "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                data = stream.read(limit + 1) if size <= limit else b""
        except OSError as error:
            message = f"cannot read {path}: {error.strerror or error}"
            raise UnreadableError(message) from error
        if size > limit or len(data) > limit:
            message = f"{path} is larger than the limit of {limit} bytes"
            raise LimitError(message)
        self._read[path] = digests_of(data)
        return data

    def digests_read(self, path: str) -> Digests:
        """Return the digests of a file that `read` returned."""
        return self._read[path]

    def measure(self, algorithms: Sequence[str], *, without: Collection[str]) -> Measured:
        """Hash every file except some."""
        entries = (entry for entry in self.entries if entry.path not in without)
        return measure(self.root, entries, algorithms, self._read)


def digests_of(data: bytes) -> Digests:
    """Return both digests that statements carry."""
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha512": hashlib.sha512(data).hexdigest(),
    }
