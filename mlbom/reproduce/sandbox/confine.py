"""Orders a jail for one command, and reads what became of the order."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlbom.errors import EnvironmentFailureError
from mlbom.record.recording import Recording

_SCRIPT = Path(__file__).with_name("jail.py")
_LIBRARY = Path(__file__).parents[3]
# Where programs write that think of no other place: what they leave there ends with them.
_SHARED = "/dev/shm"  # noqa: S108 - a mount, not a file
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - mounts, not files
_WRITABLE = (*_TEMPORARY, _SHARED, "/dev/pts", "/proc")
# Of the kernel's own files those that change this machine, not the process.
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi")
_PIECE = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a command is confined to.

    Args:
        cwd: where it starts.
        void: an empty folder, put in the place of hidden ones.
        writable: files and folders that it may write, all else is read-only.
        protected: folders that it must not write even where `writable` or `/tmp` holds them.
        needed: further paths that must stay readable.
        hidden: files and folders that it must not read.
        closed: folders of which it finds nothing but what `writable` holds.
        layers: (folder, for what is written into it, an empty folder beside): read but not changed.
        limits: of resources, by the name of getrlimit(2) without `RLIMIT_`.
    """

    cwd: Path
    void: Path
    writable: Sequence[Path]
    protected: Sequence[Path] = ()
    needed: Sequence[Path] = ()
    hidden: Sequence[str] = ()
    closed: Sequence[Path] = ()
    layers: Sequence[tuple[Path, Path, Path]] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How far the system let a command be confined.

    Args:
        network: how the network was kept off, or why not, one sentence.
        isolated: whether it was off.
        hidden: how many places with keys were hidden.
        is_protected: whether files outside of the sandbox could not be written.
        said: what could not be done, each one sentence.
    """

    network: str
    isolated: bool
    hidden: int = 0
    is_protected: bool = False
    said: tuple[str, ...] = ()


class Jail:
    """The jail of one command: a wrapper for it, while it is entered, and what it told.

    Args:
        confinement: what the command is confined to.
    """

    def __init__(self, confinement: Confinement) -> None:
        self._confinement = confinement
        self._ours, self._theirs = -1, -1

    def __enter__(self) -> Self:
        """Open the pipe that the jail tells through."""
        self._ours, self._theirs = os.pipe()
        os.set_inheritable(self._theirs, True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pipe."""
        for descriptor in (self._ours, self._theirs):
            if descriptor >= 0:
                os.close(descriptor)

    def wrapper(self) -> tuple[str, ...]:
        """Return what starts the command."""
        wanted = self._confinement
        hidden, self._exposed = _apart(wanted.hidden, (*wanted.writable, *wanted.needed))
        emptied, apart = _private(wanted)
        lowers = (lower for lower, _, _ in wanted.layers)
        order = {
            "library": os.fspath(_LIBRARY),
            "report": self._theirs,
            "parent": os.getpid(),
            "cwd": os.fspath(wanted.cwd),
            "hidden": hidden,
            "void": os.fspath(wanted.void),
            "kept": _real((wanted.void, *wanted.writable, *lowers)),
            "emptied": emptied,
            "apart": apart,
            "closed": _outermost(wanted.closed),
            "places": _places(wanted),
            "layers": [list(map(os.fspath, layer)) for layer in wanted.layers],
            "limits": dict(wanted.limits),
        }
        return (sys.executable, "-I", "-S", os.fspath(_SCRIPT), json.dumps(order), "--")

    def isolation(self, recording: Recording) -> Isolation:
        """Return what was done, once the command has ended.

        Args:
            recording: of the command.

        Raises:
            EnvironmentFailureError: the jail could not be closed, so the command never started.
        """
        os.close(self._theirs)
        self._theirs = -1
        with os.fdopen(self._ours, "rb") as stream:
            self._ours = -1
            data = stream.read(_PIECE)
        if not data and (recording.timed_out or recording.signal is not None):
            return Isolation(network="ended before the network was off", isolated=False)
        told: dict[str, Any] = json.loads(data) if data else {"failed": "it told nothing"}
        if "failed" in told:
            message = f"the sandbox could not be closed: {told['failed']}"
            raise EnvironmentFailureError(message)
        return _isolation(told, self._exposed)


def _isolation(told: Mapping[str, Any], exposed: Sequence[str]) -> Isolation:
    said = [*told["said"], *(f"{os.path.basename(path)} not hidden" for path in exposed)]
    before, after = told["before"].get("net", ""), told["after"].get("net", "")
    interfaces = told["interfaces"]
    isolated = bool(after) and before != after and interfaces == ["lo"]
    if isolated:
        own = f"a network namespace of its own ({after}, outside {before})"
        network = f"IP network off: {own} with lo alone"
    else:
        why = next((text for text in said if text.startswith("network not isolated")), "")
        network = why or f"network not isolated: it has {', '.join(interfaces) or 'no lo'}"
    return Isolation(
        network=network,
        isolated=isolated,
        hidden=told["hidden"],
        is_protected=told["readonly"],
        said=tuple(said),
    )


def _apart(hidden: Iterable[str], needed: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Return what can be hidden, and what holds something that the command needs."""
    places = [os.path.realpath(path) for path in needed]
    can: list[str] = []
    cannot: list[str] = []
    for path in hidden:
        holds = any(_holds(path, place) for place in places)
        (cannot if holds else can).append(path)
    return can, cannot


def _private(wanted: Confinement) -> tuple[list[str], list[str]]:
    """Return which folders of all programs are empty for this one, and which only its own.

    A temporary folder may hold data and interpreters: it is read, and what is written ends with the
    run. Shared memory holds nothing that a training needs, unless the project itself lies there.
    """
    temporary = _outermost(map(Path, (*_TEMPORARY, tempfile.gettempdir())))
    needed = _real((*wanted.writable, *wanted.protected, *wanted.needed))
    if not os.path.isdir(_SHARED):
        return [], temporary
    if any(_holds(_SHARED, path) for path in needed):
        return [], _outermost(map(Path, (*temporary, _SHARED)))
    return [_SHARED], [path for path in temporary if not _holds(_SHARED, path)]


def _outermost(folders: Iterable[Path]) -> list[str]:
    """Return the folders that are there, links resolved, none inside another."""
    kept: list[str] = []
    for path in sorted(_real(folders)):
        if os.path.isdir(path) and not any(_holds(outer, path) for outer in kept):
            kept.append(path)
    return kept


def _real(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(os.path.realpath(path) for path in paths))


def _holds(outer: str, path: str) -> bool:
    return f"{path}/".startswith(f"{outer.rstrip(os.sep)}/")


def _places(wanted: Confinement) -> list[tuple[str, bool]]:
    """Return (path, whether it is read-only) of everything that is not as all else."""
    system = {os.path.realpath(path) for path in (*_WRITABLE, tempfile.gettempdir())}
    places = {path: False for path in system if os.path.isdir(path)}
    places |= {path: True for path in _KERNEL if os.path.exists(path)}
    places |= {os.path.realpath(path): True for path in wanted.protected}
    places |= {os.path.realpath(path): False for path in wanted.writable}
    return sorted(places.items())
