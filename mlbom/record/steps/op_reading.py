"""Reads what the recorder wrote of the ops of a training (`mlbom/record/shim/_mlbom_ops.py`).

The files were written by the recorded processes, so nothing in them is believed to be well formed:
a line that is not understood is counted, and said. Events of a kind that is not known here are
passed over.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlbom.record.steps.lines import NOT_UNDERSTOOD, count, digest, digests, read_lines, text, texts
from mlbom.record.steps.ops import DoubledOp, OpRecord, OpTrace, WarnedOp

SUFFIX = ".ops"
_VERSION = 1
_MOST_FILES = 4096
_MOST_NBYTES = 2 * 1024**3
_MOST_OPS = 2_000_000
_MOST_FINDINGS = 10_000
_RANK = re.compile(r"\d{1,9}")
_CUT = "the ops end before their process did: it was ended, or the recorder was"


@dataclass(slots=True)
class _Found:
    """What one file told so far."""

    pid: int = -1
    rank: int | None = None
    began: float = 0.0
    steps: int | None = None
    malformed: int = 0
    doubled_count: int = 0
    entries: dict[int, str] = field(default_factory=dict)
    ops: list[OpRecord] = field(default_factory=list)
    doubled: list[DoubledOp] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    warned: list[WarnedOp] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def trace(self) -> OpTrace:
        """Return it as a value."""
        unseen = list(self.unseen)
        if self.malformed:
            unseen.append(f"{self.malformed} lines of the ops were not understood")
        if self.steps is None:
            unseen.append(_CUT)
        return OpTrace(
            pid=self.pid,
            rank=self.rank,
            entries=self.entries,
            ops=tuple(self.ops),
            doubled=tuple(self.doubled),
            doubled_count=self.doubled_count,
            skipped=self.skipped,
            warned=tuple(self.warned),
            unseen=tuple(dict.fromkeys(unseen)),
        )


def read_ops(folder: Path) -> tuple[OpTrace, ...]:
    """Return what the processes of a run told of their ops, by rank, else in the order they began.

    A process that ended without a step (a worker of a data loader, a launcher of ranks) is left
    out when another one made steps.

    Args:
        folder: `trace/` of a run, with at most one file of ops for each process.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return ()
    room, found = _Room(_MOST_NBYTES, _MOST_OPS), []
    for name in names[:_MOST_FILES]:
        told = _Found()
        _Reader(told, room).read(folder / name)
        if told.pid >= 0:
            found.append(told)
    if any(told.steps for told in found):
        found = [told for told in found if told.steps != 0]
    found.sort(key=lambda told: (told.rank is None, told.rank or 0, told.began))
    return tuple(told.trace() for told in found)


@dataclass(slots=True)
class _Room:
    """How much more is read, over all files."""

    nbytes: int
    ops: int


class _Reader:
    """Takes in the file of one process."""

    def __init__(self, found: _Found, room: _Room) -> None:
        self._found = found
        self._room = room

    def read(self, path: Path) -> None:
        """Read a file until it ends or the room does."""
        for line in read_lines(path):
            self._room.nbytes -= len(line)
            if self._room.nbytes < 0 or self._room.ops <= 0:
                self._found.unseen.append("there are more ops than are read")
                break
            try:
                self._take(json.loads(line))
            except NOT_UNDERSTOOD:
                self._found.malformed += 1

    def _take(self, line: dict[str, Any]) -> None:
        kind, found = text(line["e"]), self._found
        if kind == "ops":
            self._begin(line)
        elif found.pid < 0 or found.steps is not None:
            raise ValueError
        elif kind == "op":
            found.ops.append(_op(line))
            self._room.ops -= 1
        elif kind == "window":
            found.entries[count(line["step"])] = digest(line["entry"])
        elif kind == "end":
            found.steps = count(line["steps"])
        else:
            self._take_finding(kind, line)

    def _take_finding(self, kind: str, line: dict[str, Any]) -> None:
        found = self._found
        if len(found.doubled) + len(found.warned) + len(found.unseen) >= _MOST_FINDINGS:
            raise ValueError
        if kind == "double":
            found.doubled.append(_doubled(line))
        elif kind == "doubled":
            found.doubled_count = count(line["count"])
            skipped = {text(name): text(why) for name, why in line["skipped"].items()}
            found.skipped.update(skipped)
        elif kind == "warned":
            name, message = text(line["op"]), text(line["message"])
            found.warned.append(WarnedOp(name=name, message=message, at=texts(line["at"])))
        elif kind == "unseen":
            found.unseen.append(text(line["why"]))

    def _begin(self, line: dict[str, Any]) -> None:
        if self._found.pid >= 0 or line["v"] != _VERSION:
            raise ValueError
        rank, began = text(line["rank"]), float(line["time"])
        self._found.pid = count(line["pid"])
        self._found.rank = int(rank) if _RANK.fullmatch(rank) else None
        self._found.began = began if 0 <= began < 2**53 else 0.0


def _op(line: Mapping[str, Any]) -> OpRecord:
    return OpRecord(
        number=count(line["i"]),
        step=count(line["step"]),
        name=text(line["op"]),
        inputs=digests(line["in"]),
        outputs=digests(line["out"]),
        module=text(line["module"]),
        phase=text(line["phase"]),
        at=texts(line["at"]),
        is_seeded=bool(line["seeded"]),
        rng=digest(line["rng"]),
        is_source=bool(line["source"]),
    )


def _doubled(line: Mapping[str, Any]) -> DoubledOp:
    return DoubledOp(
        name=text(line["op"]),
        times=count(line["times"]),
        distinct=count(line["distinct"]),
        module=text(line["module"]),
        phase=text(line["phase"]),
        at=texts(line["at"]),
    )
