"""Bytes read at any place, by several threads at once: of a file that must not change meanwhile."""

import os
import threading
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from mlbom.errors import ChangedWhileReadingError, LimitError
from mlbom.openfile import is_hollow, open_regular


class Readable(Protocol):
    """Bytes that can be read at any place."""

    def read(self, begin: int, count: int) -> bytes:
        """Return exactly `count` bytes from offset `begin`."""
        ...


class MemorySource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, begin: int, count: int) -> bytes:
        """Return exactly `count` bytes from offset `begin`."""
        return self._data[begin : begin + count]


class ByteSource:
    """A regular file, opened once.

    Args:
        path: where it lies; links to it are followed, as the caller named it.

    Raises:
        OSError: missing, unreadable or no regular file.
        LimitError: large and mostly holes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_regular(os.path.realpath(path))
        self._status = os.fstat(self._descriptor)
        self._turn = threading.Lock()
        if is_hollow(self._status):
            self.close()
            message = f"{path.name} is mostly holes: reading it would take hours and tell nothing"
            raise LimitError(message)

    @property
    def nbytes(self) -> int:
        """Return the size of the file in bytes."""
        return self._status.st_size

    def read(self, begin: int, count: int) -> bytes:
        """Return exactly `count` bytes from offset `begin`.

        Raises:
            ChangedWhileReadingError: the file has become shorter.
        """
        data = self._some(begin, count)
        while len(data) < count:
            more = self._some(begin + len(data), count - len(data))
            if not more:
                message = f"{self.path.name} has become shorter while it was read"
                raise ChangedWhileReadingError(message)
            data += more
        return data

    def _some(self, begin: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, begin)
        with self._turn:  # Windows has no read that leaves the position alone
            os.lseek(self._descriptor, begin, os.SEEK_SET)
            return os.read(self._descriptor, count)

    def stream(self) -> BinaryIO:
        """Return the file as a stream from its beginning, for one reader and one thread."""
        stream = os.fdopen(os.dup(self._descriptor), "rb")
        stream.seek(0)
        return stream

    def check_unchanged(self) -> None:
        """Make sure that all reads saw the file of one moment.

        Raises:
            ChangedWhileReadingError: size or time of the last change are not as at the beginning.
        """
        now = os.fstat(self._descriptor)
        before = self._status
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            message = f"{self.path.name} changed while it was read"
            raise ChangedWhileReadingError(message)

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()
