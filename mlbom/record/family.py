"""Ends a command with everything that it started, also what left its session behind.

A process belongs to it by descent, by its session, or by a variable that only this command's
processes have (proc(5)). Daemons that cleared their environment come back as our own children, once
we adopt orphans (prctl(2), PR_SET_CHILD_SUBREAPER). Where there is no /proc only the session's
process group is known.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Self

# Time to end in order after SIGTERM: to flush a log, to say goodbye to other ranks.
GRACE_S = 5.0
_LOOK_S = 0.02
# What cannot be ended within this time waits for a device, and no signal reaches it.
_PATIENCE_S = 5.0
_SUBREAPER = 36
_HAS_PROC = os.path.isdir("/proc/self")
# Commands that run now in sessions of their own: one never ends the processes of another.
_LEADERS: set[int] = set()


class _Process(NamedTuple):
    """A line of /proc/PID/stat: who its parent is, and its session."""

    parent: int
    session: int


class Family:
    """A command and everything that it started.

    Args:
        variable: name of the variable that only its processes have; empty for none.
        value: of that variable.
        leader: process id of the command, or 0 when it has ended long ago.
        is_apart: whether the leader has a session of its own, and we adopt its orphans.
    """

    def __init__(
        self, variable: str, value: str, leader: int = 0, *, is_apart: bool = False
    ) -> None:
        self._mark = b"\0" + os.fsencode(f"{variable}={value}") + b"\0" if variable else b""
        self._leader = leader
        self._is_apart = is_apart
        self._me = os.getpid()
        self._session = os.getsid(0) if hasattr(os, "getsid") else -1
        self._elder = self._children() if is_apart else set()

    def members(self) -> set[int]:
        """Return the processes that still run."""
        table = _table()
        if not table:
            return self._leader_alone()
        found = {pid for pid, process in table.items() if self._is_ours(pid, process)}
        children: dict[int, list[int]] = {}
        for pid, process in table.items():
            children.setdefault(process.parent, []).append(pid)
        waiting = list(found)
        while waiting:
            fresh = set(children.get(waiting.pop(), ())) - found
            found |= fresh
            waiting += fresh
        return found - {self._me}

    def end(self, grace_s: float = GRACE_S) -> None:
        """Ask every process to end, and kill what has not done so after a time in seconds."""
        if not self._has_ended(signal.SIGTERM, grace_s):
            self._has_ended(signal.SIGKILL, _PATIENCE_S)

    def _has_ended(self, number: int, timeout_s: float) -> bool:
        """Send a signal to each process once, also to those that come later; wait for the end."""
        told: set[int] = set()
        deadline = time.monotonic() + timeout_s
        while running := self.members():
            self._send(number, running - told)
            told |= running
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
            self._bury(told)
        return True

    def _children(self) -> set[int]:
        return {pid for pid, process in _table().items() if process.parent == self._me}

    def _leader_alone(self) -> set[int]:
        """Return the command while it runs: where there is no /proc nothing else is known."""
        try:
            os.kill(self._leader, 0)
        except OSError:
            return set()
        return {self._leader} if self._leader else set()

    def _send(self, number: int, pids: Iterable[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                # A group only where its members are not known: nobody gets a signal twice.
                send = os.killpg if self._is_apart and not _HAS_PROC else os.kill
                send(pid, number)
                send(pid, signal.SIGCONT)  # a stopped process sees no other signal

    def _bury(self, pids: Iterable[int]) -> None:
        """Take the exit status of those that we adopted; others are waited for by who started."""
        for pid in set(pids) - {self._leader} if self._is_apart else ():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _is_ours(self, pid: int, process: _Process) -> bool:
        if self._leader and self._leader in (pid, process.session):
            return True
        is_child = process.parent == self._me and process.session != self._session
        if self._is_apart and is_child and pid not in self._elder:
            return process.session not in _LEADERS
        return bool(self._mark) and _has(pid, self._mark)


class Deadline:
    """While it is entered, time runs: when it is over, a family is ended.

    Args:
        family: what is ended.
        timeout_s: seconds, or None for never.
    """

    def __init__(self, family: Family, timeout_s: float | None) -> None:
        self._family = family
        self._timeout_s = timeout_s
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self.has_passed = False

    def __enter__(self) -> Self:
        """Begin to count."""
        if self._timeout_s is not None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count no longer; what is being ended is ended first."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        if not self._is_over.wait(self._timeout_s):
            self.has_passed = True
            self._family.end()


@contextmanager
def adopting(leader: int) -> Iterator[None]:
    """Let orphans of a command become our children, so that none of them is lost.

    Args:
        leader: process id of the command, which has a session of its own.
    """
    _LEADERS.add(leader)
    has_adopted = _adopt(1)
    try:
        yield
    finally:
        _LEADERS.discard(leader)
        if has_adopted and not _LEADERS:
            _adopt(0)


def _adopt(flag: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(_SUBREAPER, flag, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _table() -> Mapping[int, _Process]:
    """Return every process that has not ended (proc(5), /proc/PID/stat)."""
    table = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in filter(str.isdigit, names):
        try:
            with open(f"/proc/{name}/stat", "rb") as stream:
                # The name of the program may hold blanks and brackets.
                state, parent, _, session, *_ = stream.read().rpartition(b") ")[2].split()
        except (OSError, ValueError):
            continue  # it has ended
        if state not in (b"Z", b"X"):
            table[int(name)] = _Process(int(parent), int(session))
    return table


def _has(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return mark in b"\0" + stream.read()
    except OSError:
        return False
