"""The order in which a folder listed its files to the program: file systems promise none."""
# ruff: noqa: INP001, ANN401, PYI034
# mypy: disable-error-code="import-not-found"

import hashlib
import os

from _mlbom_events import calling_line, tell
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_SETS = ("supports_fd", "supports_dir_fd", "supports_effective_ids", "supports_follow_symlinks")


class _Followed:
    """Stands for a function of `os`; like a built-in one it does not become a method in a class."""

    def __init__(self, original: "Callable[..., Any]", note: "Callable[[Any, str], Any]") -> None:
        self._original = original
        self._note = note
        self.__wrapped__ = original
        self.__name__ = original.__name__
        self.__qualname__ = original.__name__
        self.__module__ = "os"
        self.__doc__ = original.__doc__

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        found = self._original(*args, **kwargs)
        with GUARD:
            at = calling_line()
            if at:
                return self._note(found, at)
        return found

    def __reduce__(self) -> str:
        return self.__name__


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


def follow() -> None:
    """Follow the two functions on which `glob`, `os.walk` and `pathlib` stand."""
    notes: tuple[tuple[str, Any], ...] = (("listdir", _note_names), ("scandir", _FollowedScan))
    for name, note in notes:
        original = getattr(os, name)
        followed = _Followed(original, note)
        for each in _SETS:
            among: set[Any] = getattr(os, each, set())
            if original in among:
                among.add(followed)
        setattr(os, name, followed)
