"""The generators that a training may draw from: how they stand, and which of them moved.

Only streams that moved since the import of their library count. One that nobody used started from
the system's entropy, and must not make two trainings differ.
"""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import hashlib
import sys

from _mlbom_journal import TRACING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Streams:
    """The streams of one process: `torch`, `cuda:0`, `random`, `numpy`."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._moved: set[str] = set()

    def begin(self, name: str) -> None:
        """Remember how a stream stands, right after the import of its library."""
        self._last.update(_read(name))

    def all(self) -> "dict[str, str]":
        """Return each stream with the digest of its state."""
        return {name: _hexed(state) for name, state in _read_all().items()}

    def moved(self) -> "dict[str, str]":
        """Return the streams that moved since the last call, or since the import."""
        moved = self._new(_read_all())
        self._last.update(moved)
        self._moved.update(moved)
        return {name: _hexed(state) for name, state in moved.items()}

    def used(self) -> "dict[str, str]":
        """Return the streams that have ever moved, as they stand now."""
        now = _read_all()
        names = self._moved.union(self._new(now))
        return {name: _hexed(state) for name, state in now.items() if name in names}

    def _new(self, now: "dict[str, Any]") -> "dict[str, Any]":
        """Return what is not as it was; to compare costs less than to hash."""
        return {name: state for name, state in now.items() if self._last.get(name) != state}


def _read_all() -> "dict[str, Any]":
    found: dict[str, Any] = {}
    for name in ("torch", "cuda", "random", "numpy"):
        with TRACING:
            found.update(_read(name))
    return found


def _read(name: str) -> "Iterator[tuple[str, Any]]":
    """Yield the streams of a library that is here, with their states."""
    module = sys.modules.get("numpy.random" if name == "numpy" else name)
    if name == "cuda":
        yield from _read_cuda(sys.modules.get("torch"))
    elif module is not None:
        yield name, _READERS[name](module)


def _read_torch(torch: "Any") -> bytes:
    state = torch.default_generator.get_state()
    try:
        found: bytes = state.numpy().tobytes()
    except RuntimeError:  # no numpy here
        return bytes(state.tolist())
    return found


def _read_random(random: "Any") -> "Any":
    return random.getstate()


def _read_numpy(numpy_random: "Any") -> "tuple[Any, ...]":
    kind, keys, place, has_gauss, gauss = numpy_random.get_state()
    return kind, keys.tobytes(), int(place), int(has_gauss), float(gauss)


def _read_cuda(torch: "Any") -> "Iterator[tuple[str, Any]]":
    """Read seed and offset, which the host knows: nothing waits for the device."""
    if torch is None or not torch.cuda.is_initialized():
        return
    for index, generator in enumerate(torch.cuda.default_generators):
        offset = getattr(generator, "get_offset", lambda: "")()
        yield "cuda:" + str(index), (generator.initial_seed(), offset)


def _hexed(state: "Any") -> str:
    data = state if isinstance(state, bytes) else repr(state).encode()
    return hashlib.sha256(data).hexdigest()[:16]


_READERS = {"torch": _read_torch, "random": _read_random, "numpy": _read_numpy}
STREAMS = Streams()
