"""The file of the ops: one for each process that has something to tell, JSON lines."""
# ruff: noqa: INP001, ANN401, UP031
# mypy: disable-error-code="import-not-found"

import os
import time

from _mlbom_start import recorder
from _mlbom_trace import Channel, Guard, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = 1
_MOST_UNSEEN = 64
# Whatever looks at ops stands inside this: what goes wrong there leaves them without some.
WATCHING = Guard(reports=True)


class OpFile:
    """What this process tells of its ops; the file is made with its first line.

    Attributes:
        steps: that this process has made; one without any is no training.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._channel = Channel(".ops", _first_line)
        self._told: set[str] = set()

    def tell(self, event: str, **fields: "Any") -> None:
        """Append one event."""
        self._channel.emit(event, **fields)

    def unseen(self, why: str) -> None:
        """Say once what could not be observed."""
        if why not in self._told and len(self._told) < _MOST_UNSEEN:
            self._told.add(why)
            self.tell("unseen", why=shorten(why))

    def finish(self) -> None:
        """Write the last line, where there was a first."""
        if WATCHING.failures:
            self.unseen("the recorder failed %d times at the ops" % WATCHING.failures)
        if self._channel.is_begun():
            self.tell("end", steps=self.steps)

    def forget(self) -> None:
        """Begin anew in a fork."""
        self.steps = 0
        self._told.clear()
        WATCHING.failures = 0


def _first_line(_: str) -> "dict[str, Any]":
    rank = os.environ.get("RANK", "")
    return {"e": "ops", "v": _VERSION, "pid": os.getpid(), "rank": rank, "time": time.time()}


OPS = OpFile()
recorder().at_end.append(OPS.finish)
recorder().in_fork.append(OPS.forget)
