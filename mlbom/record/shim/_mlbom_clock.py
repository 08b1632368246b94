"""Counts the steps of a training, also of one that has no optimizer."""
# ruff: noqa: INP001, ANN401, ARG002
# mypy: disable-error-code="import-not-found"

import gc

from _mlbom_opfile import OPS
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class StepClock:
    """Listens to `_mlbom_steps` and calls back at the end of each step.

    A program that updates its weights by hand makes a step with each backward pass.

    Args:
        torch: the module.

    Attributes:
        done: steps that were made.
        is_in_step: whether an optimizer is at work.
        callbacks: are called with `done` after each step, in order.
    """

    def __init__(self, torch: "Any") -> None:
        self.done = 0
        self.is_in_step = False
        self.callbacks: list[Callable[[int], None]] = []
        self._torch = torch
        self._counts_backward: bool | None = None

    def before_step(self, number: int) -> None:
        """An optimizer begins a step."""
        self._counts_backward = False
        self.is_in_step = True

    def after_step(self, number: int) -> None:
        """An optimizer has made a step."""
        self.is_in_step = False
        self._tick(number + 1)

    def after_backward(self, count: int) -> None:
        """A backward pass has ended."""
        if self._counts_backward is None:
            self._counts_backward = not self._has_optimizer()
        if self._counts_backward:
            self._tick(self.done + 1)

    def _tick(self, done: int) -> None:
        self.done = OPS.steps = done
        for callback in self.callbacks:
            with GUARD:
                callback(done)

    def _has_optimizer(self) -> bool:
        """Return whether there is an optimizer that may make a step later."""
        base = self._torch.optim.Optimizer
        # Asking objects for their class would wake up lazy ones: their type is enough.
        return any(issubclass(type(thing), base) for thing in gc.get_objects())
