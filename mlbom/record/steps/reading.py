"""Reads what the recorder wrote of a training, step by step (`mlbom/record/shim/_mlbom_steps.py`).

The files were written by the recorded processes, so nothing in them is believed to be well formed:
a line that is not understood is counted and its process is not whole. Events of a kind that is not
known here are passed over.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlbom.record.steps.lines import (
    NOT_UNDERSTOOD,
    count,
    digest,
    digests,
    listed,
    matching,
    read_lines,
    text,
)
from mlbom.record.steps.values import (
    Entry,
    FinalState,
    ProcessSteps,
    SourceEvent,
    StepRecord,
    StepTrace,
)

SUFFIX = ".steps"
_MOST_FILES = 4096
_MOST_NBYTES = 2 * 1024**3
_MOST_STEPS = 2_000_000
_MOST_EVENTS = 100_000
_MOST_UNSEEN = 256
_LOSS = re.compile(r"[0-9a-f]{16}|-?0x[01]\.[0-9a-f]{1,13}p[+-]\d{1,4}|-?inf|-?nan|")
_RANK = re.compile(r"\d{1,9}")


@dataclass(slots=True)
class _Found:
    """What one file told so far."""

    process: ProcessSteps | None = None
    rank: int | None = None
    steps: list[StepRecord] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    events: list[SourceEvent] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    final: FinalState | None = None
    has_end: bool = False
    malformed: int = 0

    @property
    def has_trained(self) -> bool:
        """Return whether this is a process that trained, and not a worker or a launcher."""
        return bool(self.steps or self.entries or self.final)

    def whole(self) -> ProcessSteps | None:
        """Return the process, or None when it did not train or does not say who it is."""
        if self.process is None or not self.has_trained:
            return None
        is_whole = self.has_end and not self.malformed and self.final is not None
        return replace(
            self.process,
            rank=self.rank,
            steps=tuple(self.steps),
            entries=tuple(self.entries),
            final=self.final,
            unseen=tuple(self.unseen),
            is_whole=is_whole,
        )


def step_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a step trace in a folder, by name; none when it cannot be listed."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return ()
    return tuple(folder / name for name in names)


def read_steps(folder: Path) -> StepTrace:
    """Return what the step files of a folder tell.

    Args:
        folder: `trace/` of a run, with one file for each process.
    """
    files = step_files(folder)
    unseen, left_out = [], max(0, len(files) - _MOST_FILES)
    if left_out:
        unseen.append(f"{left_out} files of the step trace were not read")
    found: list[_Found] = []
    room = _MOST_NBYTES
    for path in files[:_MOST_FILES]:
        told = _Found()
        room -= _Reader(told).read(path, room)
        found.append(told)
    if malformed := sum(told.malformed for told in found):
        unseen.append(f"{malformed} lines of the step trace were not understood")
    unseen += [text for told in found if not told.has_trained for text in told.unseen]
    processes = [process for told in found if (process := told.whole())]
    processes.sort(key=lambda process: (process.rank is None, process.rank or 0, process.began))
    return StepTrace(
        processes=tuple(processes),
        events=tuple(event for told in found for event in told.events)[:_MOST_EVENTS],
        unseen=tuple(dict.fromkeys(unseen))[:_MOST_UNSEEN],
        malformed=malformed + left_out,
    )


class _Reader:
    """Takes in the file of one process."""

    def __init__(self, found: _Found) -> None:
        self._found = found
        self._pid = 0

    def read(self, path: Path, room: int) -> int:
        """Read a file until it ends or the room does; return the bytes read."""
        nbytes = 0
        for line in read_lines(path):
            nbytes += len(line)
            if nbytes > room:
                self._found.malformed += 1
                break
            try:
                self._take(json.loads(line))
            except NOT_UNDERSTOOD:
                self._found.malformed += 1
        return nbytes

    def _take(self, line: dict[str, Any]) -> None:
        kind, found = line["e"], self._found
        if kind == "trace":
            self._begin(line)
        elif found.process is None or found.has_end:
            raise ValueError
        else:
            self._take_in(kind, line)

    def _take_in(self, kind: str, line: dict[str, Any]) -> None:
        found = self._found
        if kind == "step":
            found.steps.append(_step(line, len(found.steps)))
        elif kind == "event" and len(found.events) < _MOST_EVENTS:
            found.events.append(_event(line, self._pid))
        elif kind == "entry":
            found.entries.append(_entry(line))
            found.rank = _rank(line.get("rank", ""), found.rank)
        elif kind == "unseen" and len(found.unseen) < _MOST_UNSEEN:
            found.unseen.append(text(line["why"]))
        elif kind == "final":
            found.final = _final(line)
        elif kind == "end":
            found.has_end = True

    def _begin(self, line: dict[str, Any]) -> None:
        if self._found.process is not None or line["v"] != 1:
            raise ValueError
        self._pid = count(line["pid"])
        began = float(line["time"])
        if not math.isfinite(began):
            raise ValueError
        self._found.rank = _rank(line["rank"], None)
        self._found.process = ProcessSteps(pid=self._pid, began=began)


def _rank(value: object, known: int | None) -> int | None:
    """Return the rank that a line tells, unless it is known."""
    told = text(value)
    return int(told) if known is None and _RANK.fullmatch(told) else known


def _step(line: Mapping[str, Any], number: int) -> StepRecord:
    if count(line["n"]) != number or number >= _MOST_STEPS:
        raise ValueError
    tensors = line.get("tensors", {})
    return StepRecord(
        number=number,
        optimizer=count(line["o"]),
        batches=digests(line["batch"]),
        losses=_losses(line["loss"]),
        grads=digest(line["grads"]),
        params=digest(line["params"]),
        state=digest(line["state"]),
        buffers=digest(line["buffers"]),
        rng={text(name): digest(value) for name, value in line["rng"].items()},
        flags={text(name): text(value) for name, value in line["flags"].items()},
        at=text(line["at"]),
        tensors={name: digests(tensors[name]) for name in ("grads", "params") if name in tensors},
    )


def _event(line: Mapping[str, Any], pid: int) -> SourceEvent:
    return SourceEvent(
        kind=text(line["kind"]),
        what=text(line["what"]),
        value=text(line["value"]),
        at=text(line["at"]),
        step=count(line["step"]),
        pid=pid,
        worker=bool(line["worker"]),
    )


def _entry(line: Mapping[str, Any]) -> Entry:
    names = []
    for name, dtype, shape in line["names"]:
        names.append((text(name), text(dtype), text(shape)))
    return Entry(
        optimizer=count(line["o"]),
        params=digest(line["params"]),
        state=digest(line["state"]),
        buffers=digest(line["buffers"]),
        rng={text(name): digest(value) for name, value in line["rng"].items()},
        names=tuple(names),
    )


def _final(line: Mapping[str, Any]) -> FinalState:
    return FinalState(
        params=digest(line["params"]),
        buffers=digest(line["buffers"]),
        state=digest(line["state"]),
        batches=digests(line["batch"]),
        losses=_losses(line["loss"]),
    )


def _losses(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(matching(_LOSS, value) for value in listed(values))
