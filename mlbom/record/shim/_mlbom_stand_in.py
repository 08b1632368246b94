"""Stands in for the functions of `os` that list folders; `glob`, `os.walk`, `pathlib` use them."""
# ruff: noqa: INP001, ANN401

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SETS = ("supports_fd", "supports_dir_fd", "supports_effective_ids", "supports_follow_symlinks")


class _StandIn:
    """Stands for a function of `os`; like a built-in one it does not become a method in a class."""

    def __init__(self, original: "Callable[..., Any]", then: "Callable[[Any], Any]") -> None:
        self._original = original
        self._then = then
        self.__wrapped__ = original
        self.__name__ = original.__name__
        self.__qualname__ = original.__name__
        self.__module__ = "os"
        self.__doc__ = original.__doc__

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self._then(self._original(*args, **kwargs))

    def __reduce__(self) -> str:
        return self.__name__


def stand_in(name: str, then: "Callable[[Any], Any]") -> None:
    """Put a function in the place of one of `os` that hands its result through `then`."""
    original = getattr(os, name)
    instead = _StandIn(original, then)
    for each in _SETS:
        among: set[Any] = getattr(os, each, set())
        if original in among:
            among.add(instead)
    setattr(os, name, instead)
