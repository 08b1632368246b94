"""Which seeds and determinism flags were set, as they were set.

A program may set them thousands of times: after the first changes only the last value is kept, and
written at the end.
"""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import os
import sys

from _mlbom_events import calling_line, program_line, tell
from _mlbom_start import recorder
from _mlbom_trace import TRACE, emit, shorten
from _mlbom_wrap import argument, before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from _mlbom_wrap import Note

_MOST_WRITTEN = 64
# A data loader seeds its workers from the generator that the program seeded, and torch.manual_seed
# seeds the generators of all devices: neither is a choice of the program.
_DERIVING = (
    os.path.join("torch", "utils", "data", "_utils", "worker.py"),
    os.path.join("torch", "random.py"),
)


class Values:
    """Named values of one kind whose changes are written.

    Args:
        event: seed or flag.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._last: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._count = 0
        recorder().at_end.append(self._finish)

    def get(self, name: str) -> "str | None":
        """Return the last value of a name."""
        return self._last.get(name)

    def set(self, values: "dict[str, str]") -> None:
        """Take in what is set now."""
        changed = {name: text for name, text in values.items() if self._last.get(name) != text}
        if not changed:
            return
        self._last.update(changed)
        self._count += 1
        if self._count > _MOST_WRITTEN:
            self._unwritten.update(changed)
        else:
            emit(self._event, v=changed)

    def _finish(self) -> None:
        if self._unwritten:
            emit(self._event, v=self._unwritten)


SEEDS = Values("seed")
# How an event calls what seeded a generator.
_CALLS = {
    "torch": "torch.manual_seed",
    "torch.cuda": "torch.cuda.manual_seed",
    "random": "random.seed",
    "numpy": "numpy.random.seed",
}


def note_seed(generator: str, at: int = 0, name: str = "seed") -> "Note":
    """Return a note for a function that seeds a generator; no seed means the system's entropy."""

    def note(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        if not _caller().endswith(_DERIVING):
            value = argument(args, kwargs, at, name)
            _set(generator, value)
            tell_seed(_CALLS[generator], value, program_line())

    return note


def _set(generator: str, value: "Any") -> None:
    SEEDS.set({generator: "entropy" if value is None else shorten(value)})


def tell_seed(what: str, value: "Any", at: str) -> None:
    """Tell that a generator got a seed, or the system's entropy where there is none."""
    if what.startswith("numpy"):
        _ENTROPY_AT[0] = at if value is None else ""
    tell("entropy" if value is None else "seed", what, value, at)


# Where a generator of numpy last took the system's entropy by its name: it is not told again.
_ENTROPY_AT = [""]


def _caller() -> str:
    """Return the file that called a wrapped function."""
    return sys._getframe(3).f_code.co_filename  # this, the note, the wrapper


def after_random(module: "ModuleType") -> None:
    """Follow `random.seed`, and private generators that the program makes."""
    before(module, "seed", note_seed("random", 0, "a"))
    if not TRACE:
        return
    standard: Any = module
    recorder().load("_mlbom_streams").STREAMS.begin("random")

    def note_private(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        value = argument(args, kwargs, 1, "a")
        tell_seed("random.Random", value, calling_line((os.sep + "random.py",)))

    before(standard.Random, "seed", note_private)


def after_numpy(module: "ModuleType") -> None:
    """Follow the global generator of numpy, and new ones that no library makes for itself."""

    def note_new(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> None:
        if "-packages" + os.sep not in _caller():
            value = argument(args, kwargs, 0, "seed")
            _set("numpy.default_rng", value)
            tell_seed("numpy.default_rng", value, calling_line(()))

    before(module, "seed", note_seed("numpy"))
    before(module, "default_rng", note_new)
    if not TRACE:
        return
    recorder().load("_mlbom_streams").STREAMS.begin("numpy")

    def note_entropy(_: "tuple[Any, ...]", __: "dict[str, Any]") -> None:
        at = calling_line(())
        if at != _ENTROPY_AT[0]:
            tell("entropy", "numpy.random", None, at)
        _ENTROPY_AT[0] = ""

    # Every generator of numpy that is given no seed takes its entropy from there.
    before(sys.modules.get("numpy.random.bit_generator"), "randbits", note_entropy)
