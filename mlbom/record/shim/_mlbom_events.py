"""Where in the program something happens, and what decides numbers there."""
# ruff: noqa: INP001, ANN401, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import os
import sys

from _mlbom_journal import JOURNAL, plain
from _mlbom_trace import TRACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STDLIB = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_PROGRAM, _LIBRARY, _STANDARD, _RECORDER, _IMPORT = range(5)
_ROOMS: "dict[str, tuple[int, str]]" = {}


def program_lines(limit: int) -> "list[str]":
    """Return lines of the program that are running, `/abs/f.py:12 in name`, innermost first.

    Args:
        limit: how many at most.
    """
    found: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(found) < limit:
        if _room(frame.f_code.co_filename)[0] == _PROGRAM:
            found.append(_place(frame))
        frame = frame.f_back
    return found


def program_line() -> str:
    """Return the innermost line of the program that is running, or an empty text."""
    return next(iter(program_lines(1)), "")


def calling_line(standard: "tuple[str, ...]" = ("",), library: "tuple[str, ...]" = ()) -> str:
    """Return the line of the program that calls this, or an empty text if a library does.

    Args:
        standard: files of the standard library, by the end of their names, that may stand between;
            all by default.
        library: likewise of installed packages; none by default.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        room, _ = _room(name)
        if room == _PROGRAM:
            return _place(frame)
        if room == _IMPORT:
            return ""
        if not name.endswith({_LIBRARY: library, _STANDARD: standard}.get(room, "")):
            return ""
        frame = frame.f_back
    return ""


def tell(kind: str, what: str, value: "Any", at: str) -> None:
    """Write an event that the program caused; nothing where none of its lines is running."""
    if TRACE and at:
        JOURNAL.event(kind, what, "" if value is None else str(value), at)


def _place(frame: "FrameType") -> str:
    code = frame.f_code
    return "%s:%d in %s" % (_room(code.co_filename)[1], frame.f_lineno, code.co_name)


def _room(name: str) -> "tuple[int, str]":
    """Return whose file a code object is from, and the file's absolute path."""
    known = _ROOMS.get(name)
    if known is None:
        path = os.path.abspath(name)
        known = _ROOMS[name] = (_find_room(name, path), plain(path))
    return known


def _find_room(name: str, path: str) -> int:
    if name.startswith("<"):
        return _IMPORT if name.startswith("<frozen importlib") else _STANDARD
    if path.startswith(_HERE):
        return _RECORDER
    if "-packages" + os.sep in path:
        return _LIBRARY
    return _STANDARD if path.startswith(_STDLIB) else _PROGRAM
