"""Open regular files of an untrusted tree: no link followed, no pipe or device waited for."""

import os
import stat
from pathlib import Path

from mlbom.errors import LimitError

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_LARGE = 16 * 1024**3


def open_regular(path: Path | str) -> int:
    """Return a file descriptor of a regular file.

    Raises:
        OSError: the path is missing, unreadable, a link, or not a regular file.
    """
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = "not a regular file"
        raise OSError(message)
    return descriptor


def read_regular(path: Path | str, limit: int, what: str) -> bytes:
    """Return the content of a regular file.

    Args:
        path: where it lies.
        limit: most bytes accepted.
        what: how messages name it.

    Raises:
        OSError: as `open_regular`.
        LimitError: larger than the limit; nothing of it was read.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        nbytes = os.fstat(stream.fileno()).st_size
        data = stream.read(min(limit, nbytes) + 1)
    if max(nbytes, len(data)) > limit:
        message = f"{what} is larger than {limit} bytes, the limit for a document"
        raise LimitError(message)
    return data


def is_hollow(status: os.stat_result) -> bool:
    """Return whether a large file is mostly holes: reading it would take hours and tell nothing."""
    blocks = getattr(status, "st_blocks", None)
    if blocks is None or status.st_size <= _LARGE:
        return False
    return bool(blocks * 512 < status.st_size // 16)
