"""Asks torch for deterministic algorithms, and notes every op that has none.

torch.use_deterministic_algorithms warns, or refuses, op by op (PyTorch notes on randomness). What
the program asks for itself is not done while the probe asks for more.
"""
# ruff: noqa: INP001, ANN401, ARG001, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import functools
import os
import re
import warnings

from _mlbom_events import program_lines
from _mlbom_opfile import OPS
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_WARNED = 1000
_MOST_LINES = 8
_MOST_MESSAGE = 400
# Without it torch refuses every product of matrices on CUDA.
_WORKSPACE, _WORKSPACE_SIZE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
_TOLD = re.compile(
    "does not have a deterministic implementation"
    "|non-?deterministic algorithm"
    "|Deterministic behavior was enabled"
)
_ANY_TEXT = re.compile(".*(" + _TOLD.pattern + ")", re.DOTALL)
_NAME = re.compile(r"^\s*(\S+?)[\s,]")


class Sweep:
    """Keeps torch at what the probe asks for.

    Args:
        torch: the module.
        strict: whether an op without a deterministic algorithm fails.
    """

    def __init__(self, torch: "Any", strict: bool) -> None:  # noqa: FBT001 - one call
        self.strict = strict
        self._torch = torch
        self._set = torch.use_deterministic_algorithms
        self._warned: set[tuple[str, tuple[str, ...]]] = set()

    def begin(self) -> None:
        """Set what is asked for, and stand before the functions that could change it."""
        torch = self._torch
        for name in ("use_deterministic_algorithms", "set_deterministic_debug_mode"):
            setattr(torch, name, self._refusing(getattr(torch, name)))
        self.assert_again()
        self._hold_benchmark()
        self._listen()

    def assert_again(self, _: int = 0) -> None:
        """Undo what the program has changed meanwhile."""
        torch = self._torch
        is_soft = torch.is_deterministic_algorithms_warn_only_enabled()
        if not torch.are_deterministic_algorithms_enabled() or is_soft == self.strict:
            self._set(True, warn_only=not self.strict)
        cudnn = torch.backends.cudnn
        if cudnn.benchmark:
            torch._C._set_cudnn_benchmark(False)
        self._put_filter()

    def _refusing(self, original: "Any") -> "Any":
        @functools.wraps(original)
        def refused(*args: "Any", **kwargs: "Any") -> None:
            with GUARD:
                OPS.unseen("what the program asked of torch.%s was not done" % original.__name__)
                self.assert_again()

        return refused

    def _hold_benchmark(self) -> None:
        """Keep cuDNN from choosing its algorithms by their speed."""
        flag = type(self._torch.backends.cudnn).__dict__.get("benchmark")

        def keep(value: "Any") -> None:
            if value:
                OPS.unseen("what the program asked of cudnn.benchmark was not done")

        if hasattr(flag, "setter"):
            flag.setter = keep  # type: ignore[union-attr]

    def _listen(self) -> None:
        """Take the warnings of torch before the program's filters and streams do."""
        owner, original = self, getattr(warnings, "_showwarnmsg", None)
        if original is None:
            OPS.unseen("this Python shows its warnings where they cannot be noted")
            return

        def show(message: "Any") -> None:
            text = str(message.message)
            if not _TOLD.search(text):
                original(message)
                return
            with GUARD:
                owner._note(text)

        warnings._showwarnmsg = show  # type: ignore[attr-defined]
        for name in ("simplefilter", "filterwarnings", "resetwarnings"):
            setattr(warnings, name, self._filtering(getattr(warnings, name)))
        self._put_filter()

    def _filtering(self, original: "Any") -> "Any":
        """Return a function that sets a filter, and puts ours before it again."""

        @functools.wraps(original)
        def filtering(*args: "Any", **kwargs: "Any") -> None:
            original(*args, **kwargs)
            with GUARD:
                self._put_filter()

        return filtering

    def _put_filter(self) -> None:
        ours = ("always", _ANY_TEXT, UserWarning, None, 0)
        if not warnings.filters or warnings.filters[0] != ours:
            warnings.filters[:] = [one for one in warnings.filters if one != ours]  # type: ignore[index]
            warnings.filters.insert(0, ours)  # type: ignore[attr-defined]
            warnings._filters_mutated()  # type: ignore[attr-defined]

    def _note(self, text: str) -> None:
        found = _NAME.match(text)
        name = found.group(1) if found else "torch"
        at = tuple(program_lines(_MOST_LINES))
        if (name, at[:1]) in self._warned or len(self._warned) >= _MOST_WARNED:
            return
        self._warned.add((name, at[:1]))
        message = " ".join(text.split())[:_MOST_MESSAGE]
        OPS.tell("warned", op=name, message=message, at=list(at))


def follow(torch: "Any", clock: "Any", strict: bool) -> None:  # noqa: FBT001 - one call
    """Ask torch for deterministic algorithms from now on, at each step again.

    Args:
        torch: the module.
        clock: the `StepClock`.
        strict: whether an op without one fails; else it is noted.
    """
    if strict:
        os.environ.setdefault(_WORKSPACE, _WORKSPACE_SIZE)
    sweep = Sweep(torch, strict)
    sweep.begin()
    clock.callbacks.append(sweep.assert_again)
