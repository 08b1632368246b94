"""Ends a training after the steps asked for, with everything written."""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import os
import signal
import sys
import time

from _mlbom_start import recorder
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STOPPED = 75
_KEY = "mlbom-stopped"
_MOST_WAIT_S = 30.0
_CHILD_WAIT_S = 2.0


def follow(clock: "Any", steps: int) -> None:
    """Stop after so many steps.

    Args:
        clock: the `StepClock`.
        steps: how many.
    """

    def on_step(done: int) -> None:
        if done >= steps:
            stop()

    clock.callbacks.append(on_step)


def stop() -> None:
    """Write what is known, end the workers, and leave without the interpreter's own end."""
    with GUARD:
        # The first rank that leaves makes its launcher end the others, in the middle of this.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with GUARD:
        sys.modules["_mlbom_steps"].STEPS.finish()
    recorder().end()
    for stream in (sys.stdout, sys.stderr):
        with GUARD:
            stream.flush()
    with GUARD:
        _end_children()
    with GUARD:
        _await_ranks()
    os._exit(STOPPED)


def _end_children() -> None:
    """End the workers of data loaders and pools: they hold the streams and wait for work."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    deadline = time.time() + _CHILD_WAIT_S
    for child in children:
        child.join(max(0.0, deadline - time.time()))
        if child.is_alive():
            child.kill()


def _await_ranks() -> None:
    """Wait until every rank has written its last step, as far as their store tells."""
    distributed: Any = sys.modules.get("torch.distributed.distributed_c10d")
    if distributed is None or not distributed.is_initialized():
        return
    store = distributed._get_default_store()
    count = distributed.get_world_size()
    deadline = time.time() + _MOST_WAIT_S
    here = store.add(_KEY, 1)
    while here < count and time.time() < deadline:
        time.sleep(0.02)
        here = store.add(_KEY, 0)
    if distributed.get_rank() == 0:
        # The store may live in this process: the others look once more.
        time.sleep(0.2)
