"""Finds the Pythons below a process, so that one which started without the recorder is noticed.

Reads /proc now and then (proc(5)); where there is none it finds nothing.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?", re.IGNORECASE)
# Short-lived processes come at the beginning; a long training is looked at once a second.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _GROWTH = 0.02, 1.0, 1.2


def is_python(executable: str) -> bool:
    """Return whether an executable is a Python by its name."""
    return _PYTHON.fullmatch(os.path.basename(executable)) is not None


class PythonWatch:
    """Looks for Python processes among the descendants of one process."""

    def __init__(self) -> None:
        self._found: dict[int, str] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int) -> None:
        """Begin to watch a process and what it starts."""
        self._thread = threading.Thread(target=self._run, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> dict[int, str]:
        """End watching; return the Pythons that were met: process id -> executable."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return self._found

    def _run(self, pid: int) -> None:
        pause = _FIRST_PAUSE_S
        while not self._over.wait(pause):
            self._look(pid, b"")
            pause = min(pause * _GROWTH, _LONGEST_PAUSE_S)

    def _look(self, root: int, command: bytes) -> None:
        waiting = [(root, command)]
        while waiting:
            pid, of_parent = waiting.pop()
            try:
                executable = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
                command = _read(f"/proc/{pid}/cmdline")
            except OSError:
                continue  # it has ended
            # A fork that is about to start something else still has its parent's command line.
            if is_python(executable) and command != of_parent:
                self._found.setdefault(pid, executable)
            waiting += [(child, command) for child in _children(pid)]


def _children(pid: int) -> Iterator[int]:
    """Yield the children of a process; each thread has its own."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
