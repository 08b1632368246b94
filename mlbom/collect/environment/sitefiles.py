"""Bounded reads of files and folders of an inspected environment, and the platform they are for.

An environment lies outside PATH. Some installers make it a farm of symbolic links, so links are
followed here, but only a regular file behind them is ever opened.
"""

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlbom.errors import LimitError, UnreadableError
from mlbom.openfile import open_regular

_WHEEL_TAG = re.compile(rb"^Tag:[ \t]*[^-\s]+-[^-\s]+-([a-z0-9_.]+)[ \t\r]*$", re.MULTILINE)
_LINUX = re.compile(r"(?:manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+|linux)_(\w+)")
_MACOS = re.compile(r"macosx_\d+_\d+_(x86_64|arm64)")
_WINDOWS = re.compile(r"win32|win_(?:amd64|arm64)")
_MAX_WHEEL = 64 * 1024
_BLOCK = 256 * 1024


def read_bounded(path: Path | str, limit: int, shown: str) -> bytes | None:
    """Return a file's content, or None when there is no such file.

    Args:
        path: where it lies.
        limit: most bytes accepted.
        shown: how messages name it; never an absolute path.

    Raises:
        UnreadableError: not a regular file, or not readable.
        LimitError: larger than the limit.
    """
    data = read_head(path, limit + 1, shown)
    if data is not None and len(data) > limit:
        message = f"{shown} is larger than {limit} bytes"
        raise LimitError(message)
    return data


def read_head(path: Path | str, nbytes: int, shown: str) -> bytes | None:
    """Return the first bytes of a file, or None when there is no such file.

    Raises:
        UnreadableError: not a regular file, or not readable.
    """
    try:
        descriptor = _open(path)
        try:
            return b"".join(_blocks(descriptor, nbytes))
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot read {shown}: {reason}"
        raise UnreadableError(message) from error


def _blocks(descriptor: int, nbytes: int) -> Iterator[bytes]:
    """Yield what a file holds, at most `nbytes`; a large limit alone must cost no memory."""
    while nbytes and (block := os.read(descriptor, min(nbytes, _BLOCK))):
        nbytes -= len(block)
        yield block


def _open(path: Path | str) -> int:
    try:
        return open_regular(path)
    except OSError:
        if not os.path.islink(path):
            raise
    return open_regular(os.path.realpath(path))


def list_folder(folder: Path | str) -> list[str]:
    """Return the names in a folder in bytewise order; none when it is missing or not readable."""
    try:
        return sorted(os.listdir(folder), key=os.fsencode)
    except (OSError, ValueError):
        return []


def refusal(folder: Path) -> str:
    """Return why an existing folder cannot be listed, empty when it can."""
    try:
        with os.scandir(folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def wheel_platform(folders: Iterable[Path]) -> str | None:
    """Return the platform of the first wheel installed that is for one, such as `linux_x86_64`.

    Source: the `Tag` lines of `*.dist-info/WHEEL` (PyPA "Binary distribution format").
    """
    for folder in folders:
        for name in list_folder(folder):
            if name.endswith(".dist-info"):
                tag = _platform_of(folder / name / "WHEEL")
                if tag:
                    return tag
    return None


def _platform_of(wheel: Path) -> str | None:
    try:
        data = read_head(wheel, _MAX_WHEEL, "WHEEL") or b""
    except UnreadableError:
        return None
    tags = (name for tag in _WHEEL_TAG.findall(data) for name in tag.decode("ascii").split("."))
    return next((plain for plain in map(plain_platform, tags) if plain), None)


def plain_platform(tag: str) -> str | None:
    """Return a wheel's platform tag without the versions in it, or None for `any` and the like.

    Args:
        tag: for example `manylinux_2_28_x86_64`, which gives `linux_x86_64`.
    """
    linux, macos = _LINUX.fullmatch(tag), _MACOS.fullmatch(tag)
    if linux:
        return f"linux_{linux[1]}"
    if macos:
        return f"macosx_{macos[1]}"
    return tag if _WINDOWS.fullmatch(tag) else None


def host_platform() -> str:
    """Return the platform of this host in the same form."""
    system = {"darwin": "macosx", "win32": "win"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    return "win32" if (system, machine) == ("win", "x86") else f"{system}_{machine}"
