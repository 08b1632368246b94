"""Git LFS: what a pointer stands for, and putting the content in its place without git-lfs.

Source: git-lfs docs/spec.md, version 1. git-lfs itself is a filter, and no filter is started here.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mlbom.openfile import open_regular

# A pointer is shorter than this (git-lfs docs/spec.md: "less than 1024 bytes").
POINTER_LIMIT = 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-\S+ \S+\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)
_PIECE = 1024 * 1024


class Pointer(NamedTuple):
    """What a Git LFS pointer stands for: SHA-256 in hexadecimal digits, size in bytes."""

    sha256: str
    nbytes: int


def parse_pointer(content: bytes) -> Pointer | None:
    """Return what a blob points to, or None when it is no pointer (git-lfs docs/spec.md, v1)."""
    found = _POINTER.fullmatch(content)
    return Pointer(found[1].decode(), int(found[2])) if found else None


def fill_pointers(top: Path, names: Iterable[str], objects: Path) -> list[str]:
    """Put the content of Git LFS in the place of its pointers.

    Args:
        top: folder of a clone that nobody else writes to.
        names: files below it that git-lfs would fill.
        objects: `lfs/objects` of the repository that was cloned.

    Returns:
        The names whose content is not there, or is not what the pointer says.

    Raises:
        OSError: the clone cannot be written.
    """
    missing = []
    for name in names:
        path = top / name
        pointer = _pointer_in(path)
        if pointer and not _fill(path, pointer, objects):
            missing.append(name)
    return missing


def _pointer_in(path: Path) -> Pointer | None:
    try:
        descriptor = open_regular(path)
    except OSError:
        return None  # a link, or not checked out
    with os.fdopen(descriptor, "rb") as stream:
        return parse_pointer(stream.read(POINTER_LIMIT))


def _fill(path: Path, pointer: Pointer, objects: Path) -> bool:
    """Return whether the content was there, whole and as the pointer says."""
    oid = pointer.sha256
    try:
        source = open_regular(objects / oid[:2] / oid[2:4] / oid)
    except OSError:
        return False
    fresh = path.with_name(f".{oid}.mlbom-new")
    with os.fdopen(source, "rb", buffering=0) as stream:
        if os.fstat(source).st_size != pointer.nbytes:
            return False
        try:
            is_right = _copy(stream.fileno(), fresh, stat.S_IMODE(path.stat().st_mode)) == oid
            if is_right:
                fresh.replace(path)
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()
    return is_right


def _copy(source: int, target: Path, mode: int) -> str:
    """Copy an open file, and return the SHA-256 of what was copied."""
    hasher = hashlib.sha256()
    with target.open("xb", buffering=0) as stream:
        os.fchmod(stream.fileno(), mode)
        while piece := os.read(source, _PIECE):
            hasher.update(piece)
            view = memoryview(piece)
            while view:
                view = view[stream.write(view) :]
    return hasher.hexdigest()
