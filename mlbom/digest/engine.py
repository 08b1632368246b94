"""Engines: who runs the hashing work. One seam, `concurrent.futures.Executor`, one table."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any

# Name -> "package.module:factory"; nothing is imported until used.
ENGINES = {
    "inline": "mlbom.digest.engine:InlineExecutor",
    "threads": "mlbom.digest.engine:thread_pool",
    "processes": "mlbom.digest.engine:process_pool",
}


def open_engine(name: str) -> Executor:
    """Return a new executor of the named kind.

    Raises:
        KeyError: the name is not in `ENGINES`.
    """
    module, _, factory = ENGINES[name].partition(":")
    engine: Executor = getattr(import_module(module), factory)()
    return engine


class InlineExecutor(Executor):
    """Runs each task at once in the calling thread."""

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401 - as the base class
        **kwargs: Any,  # noqa: ANN401
    ) -> Future[Any]:
        """Run a task and return its finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def thread_pool() -> Executor:
    """Return one thread per core: for large files, whose hashing releases the interpreter lock."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="mlbom-hash")


def process_pool() -> Executor:
    """Return one process per core: for many small files. Started afresh, so threads stay safe."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn"))
