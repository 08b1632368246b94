"""Computes every op of one step again on equal inputs, and names those that give other bits.

The op's own result is what the program gets; generators are put where it left them. One process is
enough to find a kernel that is not deterministic.
"""
# ruff: noqa: INP001, ANN401, ARG002
# mypy: disable-error-code="import-not-found"

import threading

from _mlbom_opfile import OPS, WATCHING
from _mlbom_opkinds import OpKinds, tensors_in
from _mlbom_ops import is_capturing, read, why_undigested
from _mlbom_places import Places
from _mlbom_replica import Replica, Uncopied
from _mlbom_trace import shorten
from _mlbom_w64 import QUIET, digest
from _mlbom_window import REPEATING, compiled_sentence, has_compiled, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from _mlbom_opkinds import OpKind

_MOST_SKIPPED = 500
_UNSURE = "its repetitions agree with each other, but not with the first result"


class OpDoubler:
    """The handler of a `Window` that computes each op again.

    Args:
        torch: the module.
        clock: the `StepClock`.
        times: how often again.
    """

    def __init__(self, torch: "Any", clock: "Any", times: int) -> None:
        self._torch = torch
        self._kinds = OpKinds(torch)
        self._places = Places(torch, clock)
        self._times = times
        self._lock = threading.RLock()  # each device has its own thread in a backward pass
        self._count = 0
        self._skipped: dict[str, str] = {}

    def begin(self, step: int) -> None:
        """Begin with the step."""
        self._places.begin()

    def step(self, step: int) -> None:
        """Go on with another step: there is only one."""

    def end(self) -> None:
        """Write how many ops were computed again, and which were not."""
        if has_compiled():
            OPS.unseen(compiled_sentence())
        OPS.tell("doubled", count=self._count, skipped=self._skipped)

    def take(self, func: "Any", args: "Any", kwargs: "Any") -> "Any":
        """Do one op, then compute it again."""
        kind, doubling = self._kinds.of(func), None
        with WATCHING, self._lock:
            doubling = self._before(kind, args, kwargs)
        result = func(*args, **kwargs)
        if doubling is not None:
            with WATCHING, self._lock, REPEATING:
                self._repeat(doubling, func, result)
        return result

    def _before(self, kind: "OpKind", args: "Any", kwargs: "Any") -> "_Doubling | None":
        reason = _reason(kind) or (is_capturing(self._torch) and "captured into a CUDA graph")
        place = self._places.here(tensors_in((args, kwargs)))
        if place.frames.is_compiled:
            OPS.unseen(compiled_sentence())
        if kind.is_silent:
            return None
        if reason:
            self._skip(kind.name, reason)
            return None
        try:
            with QUIET:
                replica = Replica(self._torch, args, kwargs)
        except (Uncopied, RuntimeError) as error:  # the latter when memory does not suffice
            self._skip(kind.name, shorten(str(error)))
            return None
        return _Doubling(kind, place, replica, kind.written(args, kwargs))

    def _repeat(self, doubling: "_Doubling", func: "Any", result: "Any") -> None:
        kind = doubling.kind
        first = kind.results(result, doubling.written)
        why = next(filter(None, map(why_undigested, first)), "" if first else "gives no tensor")
        if why:
            self._skip(kind.name, why)
            return
        results = [self._read(first)]
        try:
            results += self._compute(doubling, func)
            if results[0] != results[1] and len(set(results[1:])) == 1:
                results += self._compute(doubling, func)
        except RuntimeError as error:
            self._skip(kind.name, shorten(str(error)))
            return
        finally:
            with QUIET:
                doubling.replica.leave()
        self._count += 1
        self._judge(doubling, results)

    def _compute(self, doubling: "_Doubling", func: "Any") -> "list[tuple[str, ...]]":
        """Return the results of an op computed again as often as asked for, as digests."""
        kind, replica = doubling.kind, doubling.replica
        found: list[tuple[str, ...]] = []
        while len(found) < self._times:
            given = []
            with QUIET:
                copies = replica.copies(self._times - len(found))
            # One right after the other: threads that are awake run into each other. And not inside
            # QUIET: an op may go another way where no gradients are wanted.
            for args, kwargs in copies:
                replica.rewind()
                result = func(*args, **kwargs)
                given.append(kind.results(result, kind.written(args, kwargs)))
            found += [self._read(one) for one in given]
        return found

    def _read(self, tensors: "list[Any]") -> "tuple[str, ...]":
        with QUIET:
            return tuple(read(self._torch, [digest(one) for one in tensors]))

    def _judge(self, doubling: "_Doubling", results: "list[tuple[str, ...]]") -> None:
        """Say that an op gave different results, when its repetitions did."""
        if len(set(results)) == 1:
            return
        if len(set(results[1:])) == 1:
            # Not the op: something that it keeps or chooses on its first call.
            self._skip(doubling.kind.name, _UNSURE)
            return
        place = doubling.place
        OPS.tell(
            "double",
            op=doubling.kind.name,
            times=len(results),
            distinct=len(set(results)),
            module=place.module,
            phase=place.phase,
            at=place.at,
        )

    def _skip(self, name: str, reason: str) -> None:
        if len(self._skipped) < _MOST_SKIPPED:
            self._skipped.setdefault(name, reason)


class _Doubling:
    """One op that is to be computed again."""

    def __init__(self, kind: "OpKind", place: "Any", replica: "Replica", written: "Any") -> None:
        self.kind = kind
        self.place = place
        self.replica = replica
        self.written = written


def _reason(kind: "OpKind") -> str:
    """Return why a kind of op is not computed again, or an empty text."""
    if kind.is_collective:
        return "other processes take part"
    if kind.is_source:
        return "brings data of the host"
    if kind.is_fresh:
        return "gives memory that nobody has written yet"
    return "is a view" if kind.is_view else ""


def follow(torch: "Any", clock: "Any", step: int, times: int) -> None:
    """Compute the ops of one step again.

    Args:
        torch: the module.
        clock: the `StepClock`.
        step: which one, from 0.
        times: how often again.
    """
    watch(torch, clock, OpDoubler(torch, clock, times), (step, step))
