"""Puts a note before a function, a method or a class of a library, and changes nothing else."""
# ruff: noqa: INP001, ANN401, ARG001
# mypy: disable-error-code="import-not-found"

import functools

from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What is called with the arguments and the keywords of the wrapped call.
    Note = Callable[[tuple[Any, ...], dict[str, Any]], None]
    # Likewise with the result first.
    ResultNote = Callable[[Any, tuple[Any, ...], dict[str, Any]], None]

_METHODS = ("function", "method_descriptor", "instancemethod", "cython_function_or_method")


class _NotedMethod:
    """Stands for a bound method in a module, `random.seed`: has its attributes, pickles as it."""

    def __init__(self, original: "Any", note: "Note") -> None:
        self._original = original
        self._note = note
        self.__wrapped__ = original
        self.__doc__ = original.__doc__

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        with GUARD:
            self._note(args, kwargs)
        return self._original(*args, **kwargs)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.__dict__["_original"], name)

    def __reduce__(self) -> "tuple[Any, ...]":
        return getattr, (self._original.__self__, self._original.__name__)


def before(owner: "Any", name: str, note: "Note") -> None:
    """Call `note` before every call of a function or method; nothing where there is none."""
    original = getattr(owner, name, None)
    if original is None:
        return

    if type(original).__name__ == "method":
        setattr(owner, name, _NotedMethod(original, note))
        return

    @functools.wraps(original)
    def noted(*args: "Any", **kwargs: "Any") -> "Any":
        with GUARD:
            note(args, kwargs)
        return original(*args, **kwargs)

    _replace(owner, name, noted)


def after(owner: "Any", name: str, note: "ResultNote") -> None:
    """Call `note` after every call of a function or method that did not fail."""
    original = getattr(owner, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def noted(*args: "Any", **kwargs: "Any") -> "Any":
        result = original(*args, **kwargs)
        with GUARD:
            note(result, args, kwargs)
        return result

    _replace(owner, name, noted)


def derive(owner: "Any", name: str, note: "Note") -> None:
    """Put a derived class in the place of a native one whose methods cannot be replaced."""
    original = getattr(owner, name, None)
    if original is None:
        return

    def noted(self: "Any", *args: "Any", **kwargs: "Any") -> None:
        with GUARD:
            note(args, kwargs)

    members = {"__init__": noted, "__module__": original.__module__, "__doc__": original.__doc__}
    setattr(owner, name, type(original.__name__, (original,), members))


def argument(args: "tuple[Any, ...]", kwargs: "dict[str, Any]", at: int, name: str) -> "Any":
    """Return an argument given by place or by name, or None."""
    return args[at] if len(args) > at else kwargs.get(name)


def _replace(owner: "Any", name: str, function: "Any") -> None:
    """Set a function; in a class, one that was static stays so."""
    is_static = isinstance(owner, type) and name != "__init__" and not _takes_self(owner, name)
    setattr(owner, name, staticmethod(function) if is_static else function)


def _takes_self(owner: type, name: str) -> bool:
    """Return whether a member of a class gets the instance as its first argument."""
    for base in owner.__mro__:
        if name in base.__dict__:
            return type(base.__dict__[name]).__name__ in _METHODS
    return True
