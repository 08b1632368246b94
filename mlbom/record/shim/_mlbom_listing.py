"""Makes folders list their files by name, or backwards: file systems promise no order.

`glob`, `os.walk`, `shutil` and `pathlib` stand on the same two functions.
"""
# ruff: noqa: INP001, ANN401, PYI034
# mypy: disable-error-code="import-not-found"

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any

_SETS = ("supports_fd", "supports_dir_fd", "supports_effective_ids", "supports_follow_symlinks")


class _Ordered:
    """Stands for a function of `os`; like a built-in one it does not become a method in a class."""

    def __init__(self, original: "Callable[..., Any]", order: "Callable[[Any], Any]") -> None:
        self._original = original
        self._order = order
        self.__wrapped__ = original
        self.__name__ = original.__name__
        self.__qualname__ = original.__name__
        self.__module__ = "os"
        self.__doc__ = original.__doc__

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self._order(self._original(*args, **kwargs))

    def __reduce__(self) -> str:
        return self.__name__


class _Scan:
    """The entries of a folder, with all that an iterator of `os.scandir` can do."""

    def __init__(self, entries: "list[Any]") -> None:
        self._rest = iter(entries)

    def __iter__(self) -> "Iterator[Any]":
        return self

    def __next__(self) -> "Any":
        return next(self._rest)

    def __enter__(self) -> "_Scan":
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is left, as the original does."""
        self._rest = iter(())


def follow(backwards: bool) -> None:  # noqa: FBT001 - one call
    """Put the ordered functions in the place of `os.listdir` and `os.scandir`."""

    def names(found: "list[Any]") -> "list[Any]":
        return sorted(found, reverse=backwards)

    def entries(found: "Any") -> "_Scan":
        with found:
            return _Scan(sorted(found, key=lambda entry: entry.name, reverse=backwards))

    for name, order in (("listdir", names), ("scandir", entries)):
        original = getattr(os, name)
        ordered = _Ordered(original, order)
        for each in _SETS:
            if original in getattr(os, each, ()):
                getattr(os, each).add(ordered)
        setattr(os, name, ordered)
