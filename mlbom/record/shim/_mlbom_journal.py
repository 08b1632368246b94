"""The file in which one process tells its training: steps and what decides numbers (JSON lines)."""
# ruff: noqa: INP001, ANN401, UP031
# mypy: disable-error-code="import-not-found"

import os
import sys
import time

from _mlbom_trace import TRACE, Channel, Guard, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = 1
# Events of one (kind, what, at) that are written; a loop may list ten thousand folders.
_MOST_ALIKE = 64
_MOST_KINDS = 1024
_MOST_UNSEEN = 64
_POOL = "concurrent.futures.process"
# Everything that makes the trace what it is stands inside this: a failure leaves it without an end.
TRACING = Guard(reports=True)


class Journal:
    """Writes nothing unless a trace was asked for; the file is made with its first line.

    Attributes:
        step: how many steps this process has made.
    """

    def __init__(self) -> None:
        self.step = 0
        self._channel = Channel(".steps", _first_line)
        self._counts: dict[tuple[str, str, str], int] = {}
        self._unseen: set[str] = set()
        self._ended = 0

    def write(self, event: str, **fields: "Any") -> None:
        """Append one line; a disk that is full is counted, and the trace is not whole then."""
        if TRACE and self._ended != os.getpid():
            with TRACING:
                self._channel.emit(event, **fields)

    def event(self, kind: str, what: str, value: str, at: str) -> None:
        """Append something that decides numbers: a seed, a listing, a download, ..."""
        key = (kind, what, at)
        count = self._counts.get(key, 0)
        if count >= _MOST_ALIKE or (not count and len(self._counts) >= _MOST_KINDS):
            return
        self._counts[key] = count + 1
        self.write(
            "event",
            kind=kind,
            what=what,
            value=shorten(plain(value)),
            at=at,
            step=self.step,
            worker=_is_worker(),
        )

    def unseen(self, why: str) -> None:
        """Say once what could not be observed."""
        if why not in self._unseen and len(self._unseen) < _MOST_UNSEEN:
            self._unseen.add(why)
            self.write("unseen", why=shorten(plain(why)))

    def end(self) -> None:
        """Write the last line, where there was a first one and all went well."""
        if self._channel.is_begun():
            if TRACING.failures:
                self.unseen("the recorder failed %d times in the training" % TRACING.failures)
            else:
                self.write("end")
        self._ended = os.getpid()

    def forget(self) -> None:
        """Begin anew in a fork."""
        self.step = 0
        self._counts.clear()
        self._unseen.clear()
        TRACING.failures = 0


def plain(text: str) -> str:
    """Return a text that can be encoded: file names may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _first_line(_: str) -> "dict[str, Any]":
    torch = sys.modules.get("torch")
    return {
        "e": "trace",
        "v": _VERSION,
        "pid": os.getpid(),
        "rank": os.environ.get("RANK", ""),
        "world": os.environ.get("WORLD_SIZE", ""),
        "time": time.time(),
        "torch": str(getattr(torch, "__version__", "")),
        "level": TRACE,
    }


def _is_worker() -> bool:
    """Return whether this process is a worker of a data loader or of a pool."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    current = process.current_process()
    target = getattr(current, "_target", None)
    return bool(current.daemon) or getattr(target, "__module__", "") == _POOL


JOURNAL = Journal()
