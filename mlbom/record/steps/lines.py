"""Reads lines that a recorded process wrote, and their values, believing none of them."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlbom.openfile import open_regular

_MOST_LINE_NBYTES = 16 * 1024 * 1024
_MOST_TEXT = 8192
# What a line of a form that nobody expects makes of its reader.
NOT_UNDERSTOOD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_DIGEST = re.compile(r"[0-9a-f]{16}|")


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; one that is too long, or without its end, comes as an empty one.

    A process that was killed while it wrote leaves such a line at most as its last. A file that
    cannot be opened is one empty line.
    """
    try:
        stream = os.fdopen(open_regular(path), "rb")
    except OSError:
        yield b""
        return
    with stream:
        while line := stream.readline(_MOST_LINE_NBYTES):
            if not line.endswith(b"\n"):
                yield b""
                return
            yield line


def count(value: object) -> int:
    """Return a whole number from 0; TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise TypeError
    return value


def text(value: object) -> str:
    """Return a text of bounded length; TypeError or ValueError for anything else."""
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise TypeError
    value.encode()  # half of a surrogate pair is no text
    return value


def listed(values: object) -> Sequence[object]:
    """Return a list; TypeError for anything else."""
    if not isinstance(values, list):
        raise TypeError
    return values


def texts(values: object) -> tuple[str, ...]:
    """Return a list of texts; TypeError or ValueError for anything else."""
    return tuple(text(value) for value in listed(values))


def digest(value: object) -> str:
    """Return a digest of 16 hexadecimal digits, or an empty text; ValueError for anything else."""
    return matching(_DIGEST, value)


def digests(values: object) -> tuple[str, ...]:
    """Return a list of digests; TypeError or ValueError for anything else."""
    return tuple(digest(value) for value in listed(values))


def matching(form: "re.Pattern[str]", value: object) -> str:
    """Return a text of a form; ValueError for anything else."""
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError
    return value
