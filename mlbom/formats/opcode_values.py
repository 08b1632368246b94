"""The inert values that stand for what a pickle would import, call or load."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GlobalRef:
    """Something that loading would import: only its name."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return `module.name`."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """Something that loading would call (REDUCE, OBJ, INST, NEWOBJ): what, with which arguments.

    Args:
        func: a `GlobalRef`, or the inert result of another call.
        args: the arguments, a tuple where the pickle is well made.
        state: what BUILD would hand to the object, None without BUILD.
        entries: what SETITEM and SETITEMS would put into it, None without them.
        elements: what APPEND, APPENDS and ADDITEMS would add to it, None without them.
    """

    func: Any
    args: Any
    state: Any = None
    entries: dict[Any, Any] | None = None
    elements: list[Any] | None = None

    @property
    def name(self) -> str:
        """Return `module.name` of what is called, empty when that is no global."""
        return str(self.func) if isinstance(self.func, GlobalRef) else ""


@dataclass(frozen=True, slots=True, eq=False)
class PersistentId:
    """Something that the loader would look up elsewhere: the storages of torch."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Bytes or text too long to keep: only their number of bytes."""

    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueKey:
    """A dictionary key that is no text, small integer, bool or None.

    It compares by identity: hashing nested tuples or crafted numbers would cost stack or time.
    """

    value: Any
