"""Sees every op that torch dispatches, from the end of one step to the end of another.

A dispatch mode (torch.utils._python_dispatch) gets each op below autograd, in its forward pass, its
backward pass and its optimizer, as plain aten ops.
"""
# ruff: noqa: INP001, ANN401, ARG001, SLF001
# mypy: disable-error-code="import-not-found"

import os
import sys
import threading

from _mlbom_opfile import OPS, WATCHING
from _mlbom_w64 import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME = "MlbomOpWindow"
_FIRST_TORCH = "this torch has no dispatch modes: its ops cannot be seen"
_NESTED = "another dispatch mode was at work where the ops of a step should have been seen"
_ELSEWHERE = "the steps are made in another thread than torch was imported in"
_COMPILED = "compiled region: its ops were not seen one by one"
_EAGER = "compiled region replayed eagerly: its numbers may not be those of the training"
_NEVER = "the training ended before the step whose ops were asked for"


class Repeating:
    """Up while ops are computed again: no other window sees them.

    Attributes:
        busy: whether it is.
    """

    def __init__(self) -> None:
        self.busy = False

    def __enter__(self) -> None:
        """Begin with repetitions."""
        self.busy = True

    def __exit__(self, *_: object) -> None:
        """Go back to the ops of the program."""
        self.busy = False


REPEATING = Repeating()


class Window:
    """Keeps a dispatch mode on while certain steps are made.

    Args:
        torch: the module.
        clock: the `StepClock`.
        handler: has `begin(step)`, `take(func, args, kwargs)` which does the op and returns its
            result, `step(step)` between two steps, and `end()`.
        steps: the first, from 0, which begins at the import of torch, and the last.
    """

    def __init__(
        self, torch: "Any", clock: "Any", handler: "Any", steps: "tuple[int, int]"
    ) -> None:
        self._torch = torch
        self._clock = clock
        self._handler = handler
        self._first, self._last = steps
        self._mode: Any = None
        self._is_on = False
        self._pid = os.getpid()
        self._thread = 0

    def begin(self) -> None:
        """Begin at once, when the first step is asked for."""
        if not hasattr(sys.modules.get("torch.utils._python_dispatch"), "TorchDispatchMode"):
            OPS.unseen(_FIRST_TORCH)
        elif self._first == 0:
            self._enter(0)

    def on_step(self, done: int) -> None:
        """A step was made, `done` in all: that one of this number comes next."""
        if self._pid != os.getpid():
            return
        with WATCHING:
            self._go_on(done)

    def _go_on(self, done: int) -> None:
        if self._is_on and done > self._last:
            self._leave()
        elif self._is_on:
            self._move(done)
        elif self._mode is None and self._first <= done <= self._last:
            self._enter(done)
        if self._mode is not None and not self._is_on:
            self._pop()

    def finish(self) -> None:
        """The process ends."""
        if self._pid != os.getpid():
            return
        if self._is_on:
            self._leave()
        elif self._thread == 0 and self._clock.done:
            OPS.unseen(_NEVER)

    def dispatch(self, func: "Any", args: "Any", kwargs: "Any") -> "Any":
        """Do one op."""
        # A forked worker inherits the mode; the recorder's own ops are not the program's.
        if not self._is_on or QUIET.busy or REPEATING.busy or self._pid != os.getpid():
            return func(*args, **kwargs)
        return self._handler.take(func, args, kwargs)

    def _enter(self, step: int) -> None:
        dispatch = sys.modules["torch.utils._python_dispatch"]
        if any(type(one).__name__ != _NAME for one in dispatch._get_current_dispatch_mode_stack()):
            OPS.unseen(_NESTED)
            return
        self._handler.begin(step)
        self._mode = _mode(self._torch, dispatch, self)
        self._thread = threading.get_ident()
        self._is_on = True
        self._mode.__enter__()

    def _move(self, step: int) -> None:
        if self._thread == threading.get_ident():
            self._handler.step(step)
            return
        OPS.unseen(_ELSEWHERE)
        self._is_on = False
        self._handler.end()
        self._mode = None  # it cannot be left from here; it is not on any more
        self._enter(step)

    def _leave(self) -> None:
        self._is_on = False
        self._handler.end()

    def _pop(self) -> None:
        """Take the mode off, once it is the innermost of its thread."""
        dispatch = sys.modules["torch.utils._python_dispatch"]
        if self._thread == threading.get_ident() and _innermost(dispatch) is self._mode:
            self._mode.__exit__(None, None, None)
            self._mode = None


def _mode(torch: "Any", dispatch: "Any", window: Window) -> "Any":
    """Return a dispatch mode that hands each op to the window."""
    plain = torch.Tensor.__torch_dispatch__

    def take(
        self: "Any", func: "Any", types: "Any", args: "Any" = (), kwargs: "Any" = None
    ) -> "Any":
        if any(one.__torch_dispatch__ is not plain for one in types):
            # Subclasses of tensors have their turn first: what they make of it comes back here.
            return NotImplemented
        return window.dispatch(func, args, kwargs or {})

    # Where torch lets it, what was compiled runs as compiled: unseen, but unchanged.
    members = {
        "__torch_dispatch__": take,
        "ignore_compile_internals": classmethod(lambda cls: True),  # noqa: ARG005
    }
    return type(_NAME, (dispatch.TorchDispatchMode,), members)()


def _innermost(dispatch: "Any") -> "Any":
    return dispatch._get_current_dispatch_mode()


def compiled_sentence() -> str:
    """Return what cannot be seen where torch.compile has been at work."""
    base = sys.modules["torch.utils._python_dispatch"].TorchDispatchMode
    return _COMPILED if hasattr(base, "ignore_compile_internals") else _EAGER


def has_compiled() -> bool:
    """Return whether torch.compile has compiled something in this process."""
    utils: Any = sys.modules.get("torch._dynamo.utils")
    counters = getattr(utils, "counters", {})
    return bool(counters.get("stats", {}).get("unique_graphs"))


def watch(torch: "Any", clock: "Any", handler: "Any", steps: "tuple[int, int]") -> None:
    """Hand the ops of certain steps to a handler.

    Args:
        torch: the module.
        clock: the `StepClock`.
        handler: as of `Window`.
        steps: the first and the last, from 0.
    """
    from _mlbom_start import recorder

    window = Window(torch, clock, handler, steps)
    clock.callbacks.append(window.on_step)

    def finish() -> None:
        with WATCHING:
            window.finish()

    recorder().at_end.insert(0, finish)
    window.begin()
