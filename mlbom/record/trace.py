"""Reads what the recorder inside each Python process wrote down (`mlbom/record/shim`).

The files were written by the recorded processes, so nothing in them is believed to be well formed;
a line that is not understood is counted. Events of a kind that is not known here are passed over.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlbom.openfile import open_regular
from mlbom.record.recording import PythonProcess, RemoteInput
from mlbom.record.snapshot import Stamp
from mlbom.record.steps.lines import NOT_UNDERSTOOD

_MOST_LINE_NBYTES = 4 * 1024 * 1024
# Events that say no more than that something happened, and the field that remembers it.
_MARKS = {"exec": "became_python", "network": "used_network", "step": "has_stepped"}


@dataclass(slots=True, kw_only=True)
class TracedProcess:
    """What one Python process told of itself.

    Args:
        process: who it is.
        began: seconds since 1970 UTC.
        is_worker: whether another Python made it by fork or multiprocessing.
        prefixes: folders of its interpreter.
        variables: those of its environment that change numbers, as it started.
        has_hook: whether its Python has audit hooks (3.8).
        has_stepped: whether an optimizer made a step in it.
        used_network: whether it connected to another host.
        became_python: whether it was about to become another Python (execve).
        failures: of the recorder itself.
        seeds: generator -> the last seed.
        flags: name -> values in the order they were set.
        loaded: library -> version.
        devices: (name, which one) of accelerators in use.
    """

    process: PythonProcess
    began: float = 0.0
    is_worker: bool = False
    prefixes: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    has_hook: bool = True
    has_stepped: bool = False
    used_network: bool = False
    became_python: bool = False
    failures: int = 0
    seeds: dict[str, str] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)
    loaded: dict[str, str] = field(default_factory=dict)
    devices: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Opened:
    """A file that was read: its stamp when it was oldest, and whether it was run as a module."""

    stamp: Stamp
    is_module: bool


@dataclass(slots=True, kw_only=True)
class Trace:
    """What all Python processes of a step told.

    Args:
        processes: in the order they began.
        reads: absolute path as it was opened -> what was found there.
        writes: absolute paths as they were opened for writing.
        doubts: paths as they would be if what was opened relative to some folder was opened
            relative to the working directory.
        remote: what came from hubs.
        malformed: lines that were not understood.
        is_lost: whether the folder was gone or could not be read.
    """

    processes: list[TracedProcess] = field(default_factory=list)
    reads: dict[str, Opened] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)
    doubts: set[str] = field(default_factory=set)
    remote: list[RemoteInput] = field(default_factory=list)
    malformed: int = 0
    is_lost: bool = False


def read_trace(folder: Path) -> Trace:
    """Return what the trace files of a folder tell.

    Args:
        folder: with one file of JSON lines for each process.
    """
    trace = Trace()
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return Trace(is_lost=True)
    for name in names:
        if name.endswith(".jsonl"):
            _ProcessReader(trace).read(folder / name)
    trace.processes.sort(key=lambda traced: traced.began)
    return trace


class _ProcessReader:
    """Takes in the file of one process."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._traced: TracedProcess | None = None

    def read(self, path: Path) -> None:
        for line in _lines(path):
            try:
                event = json.loads(line)
                self._take(event)
            except NOT_UNDERSTOOD:
                self._trace.malformed += 1

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["e"]
        if kind == "read":
            self._take_read(event)
        elif kind == "write":
            self._trace.writes.add(_path(event["p"]))
        elif kind == "doubt":
            self._trace.doubts.add(_path(event["p"]))
        elif kind == "remote":
            self._trace.remote.append(_remote(event))
        elif kind == "start":
            self._traced = _started(event)
            self._trace.processes.append(self._traced)
        elif self._traced is None:
            self._trace.malformed += 1
        else:
            _tell(self._traced, kind, event)

    def _take_read(self, event: dict[str, Any]) -> None:
        path, stamp = _path(event["p"]), Stamp(*map(int, event["s"]))
        known = self._trace.reads.get(path)
        if known is None:
            self._trace.reads[path] = Opened(stamp, bool(event["m"]))
            return
        known.is_module |= bool(event["m"])
        if stamp.mtime_ns < known.stamp.mtime_ns:
            known.stamp = stamp


def _tell(traced: TracedProcess, kind: str, event: dict[str, Any]) -> None:
    """Take in an event that tells something about its process."""
    if kind == "argv":
        traced.process = replace(traced.process, argv=_texts(event["argv"]))
    elif kind == "end":
        traced.process = replace(traced.process, finished=True)
        traced.failures = max(traced.failures, int(event["failures"]))
    elif kind == "failure":
        traced.failures = max(traced.failures, 1)
    elif kind in ("seed", "loaded"):
        {"seed": traced.seeds, "loaded": traced.loaded}[kind].update(_named(event["v"]))
    elif kind == "flag":
        for name, value in _named(event["v"]).items():
            traced.flags.setdefault(name, []).append(value)
    elif kind == "device":
        traced.devices.update((_text(name), _text(which)) for name, which in event["v"])
    elif kind in _MARKS:
        setattr(traced, _MARKS[kind], True)


def _started(event: dict[str, Any]) -> TracedProcess:
    rank, argv = _text(event["rank"]), _texts(event["argv"])
    process = PythonProcess(
        pid=int(event["pid"]),
        parent=int(event["parent"]),
        executable=_text(event["executable"]),
        prefix=_text(event["prefix"]),
        version=_text(event["version"]),
        argv=argv,
        rank=int(rank) if rank.isascii() and rank.isdigit() else None,
    )
    return TracedProcess(
        process=process,
        began=float(event["time"]),
        is_worker=event["how"] == "fork" or "--multiprocessing-fork" in argv,
        prefixes=(*_texts(event["prefixes"]), _text(event["user_site"])),
        variables=_named(event["variables"]),
        has_hook=bool(event["hook"]),
    )


def _remote(event: dict[str, Any]) -> RemoteInput:
    return RemoteInput(
        kind=_text(event["kind"]),
        name=_text(event["name"]),
        requested=_text(event["requested"]),
        revision=_text(event["revision"]),
        files=_texts(event["files"]),
        config=_text(event.get("config", "")),
        split=_text(event.get("split", "")),
    )


def merge_remote(told: list[RemoteInput]) -> tuple[RemoteInput, ...]:
    """Return each thing from a hub once, with all its files, sorted.

    A library that asks for a branch asks for the commit behind it later: that is the same thing.
    """
    merged: dict[tuple[str, ...], RemoteInput] = {}
    for one in sorted(told, key=lambda one: one.requested == one.revision):
        key = (one.kind, one.name, one.revision or f"?{one.requested}", one.config, one.split)
        known = merged.setdefault(key, one)
        files = tuple(sorted({*known.files, *one.files}))
        merged[key] = replace(known, files=files)
    return tuple(merged[key] for key in sorted(merged))


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a trace file; one that is too long comes as an empty, malformed one."""
    try:
        stream = os.fdopen(open_regular(path), "rb")
    except OSError:
        yield b""
        return
    with stream:
        while line := stream.readline(_MOST_LINE_NBYTES):
            if not line.endswith(b"\n") and len(line) == _MOST_LINE_NBYTES:
                while (rest := stream.readline(_MOST_LINE_NBYTES)) and not rest.endswith(b"\n"):
                    pass
                line = b""
            yield line


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    os.fsencode(value)  # what is no file name is no text of a process either
    return value


def _path(value: object) -> str:
    path = _text(value)
    if not os.path.isabs(path):
        raise ValueError
    return path


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(_text(value) for value in values)


def _named(values: object) -> dict[str, str]:
    if not isinstance(values, dict):
        raise TypeError
    return {_text(name): _text(value) for name, value in values.items()}
