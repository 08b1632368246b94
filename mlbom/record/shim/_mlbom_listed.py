"""The order in which a folder listed its files to the program: file systems promise none."""
# ruff: noqa: INP001, ANN401, PYI034
# mypy: disable-error-code="import-not-found"

import hashlib
import os

from _mlbom_events import calling_line, tell
from _mlbom_stand_in import stand_in
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class _FollowedScan:
    """Stands for an iterator of `os.scandir`, and tells at its end what it yielded."""

    def __init__(self, entries: "Any", at: str) -> None:
        self._entries = entries
        self._at = at
        self._order = hashlib.sha256()
        self._is_told = False

    def __iter__(self) -> "_FollowedScan":
        return self

    def __next__(self) -> "Any":
        try:
            entry = next(self._entries)
        except StopIteration:
            self._tell()
            raise
        self._order.update(os.fsencode(entry.name) + b"\0")
        return entry

    def __enter__(self) -> "_FollowedScan":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is left, as the original does."""
        self._tell()
        self._entries.close()

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            with GUARD:
                tell("listing", "os.scandir", self._order.hexdigest()[:16], self._at)


def _note_names(found: "Iterable[Any]", at: str) -> "Any":
    order = hashlib.sha256()
    for name in found:
        order.update(os.fsencode(name) + b"\0")
    tell("listing", "os.listdir", order.hexdigest()[:16], at)
    return found


def _told(note: "Callable[[Any, str], Any]") -> "Callable[[Any], Any]":
    """Return what tells of a listing that the program asked for, and leaves all others alone."""

    def then(found: "Any") -> "Any":
        with GUARD:
            at = calling_line()
            if at:
                return note(found, at)
        return found

    return then


def follow() -> None:
    """Follow both functions."""
    stand_in("listdir", _told(_note_names))
    stand_in("scandir", _told(_FollowedScan))
