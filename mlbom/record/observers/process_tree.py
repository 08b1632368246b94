"""Which processes descend from a given one: told by the kernel as they fork, or read from /proc.

The kernel's process connector (Documentation/driver-api/connector.rst, `linux/cn_proc.h`) tells
root of every fork before the child has done anything, so that a process which lived for a
millisecond is still known. Inside a container it is silent; then /proc is read when a process is
first met, and one that has already gone stays unknown.
"""

import errno
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace

_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC = 11, 1, 1
_LISTEN, _IGNORE = 1, 2
_EVENT_NONE, _EVENT_FORK = 0, 1
# struct nlmsghdr (16 bytes), struct cn_msg (20 bytes), then what, cpu, timestamp of a proc_event.
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=IIIIHH")
_EVENT_AT = _HEADER.size + _MESSAGE.size
_EVENT = struct.Struct("=IIQ")
_FORK = struct.Struct("=IIII")
_BUFFER_NBYTES = 32 * 1024 * 1024
_MOST_NBYTES = 4096
_ANSWER_S = 0.5
# A process id is looked up again after this time: it may have been given to another process.
_FRESH_S = 1.0


class ForkConnector:
    """The kernel's messages about forks; only root outside a container gets them.

    Raises:
        OSError: the connector is not there, or does not answer.
    """

    def __init__(self) -> None:
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._socket = socket.socket(family, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        try:
            force = getattr(socket, "SO_RCVBUFFORCE", 33)
            self._socket.setsockopt(socket.SOL_SOCKET, force, _BUFFER_NBYTES)
            self._socket.bind((0, _CN_IDX_PROC))
            self._ask(_LISTEN)
            self._await_answer()
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def forks(self) -> list[tuple[int, int]]:
        """Return (parent, child) of every process forked since the last call.

        Raises:
            OSError: the kernel dropped messages (ENOBUFS).
        """
        found: list[tuple[int, int]] = []
        while True:
            try:
                message = self._socket.recv(_MOST_NBYTES)
            except BlockingIOError:
                return found
            if len(message) < _EVENT_AT + _EVENT.size + _FORK.size:
                continue
            if _EVENT.unpack_from(message, _EVENT_AT)[0] != _EVENT_FORK:
                continue
            _, parent, thread, child = _FORK.unpack_from(message, _EVENT_AT + _EVENT.size)
            if thread == child:
                found.append((parent, child))

    def close(self) -> None:
        """Tell the kernel that nobody listens any more."""
        with self._socket, suppress(OSError):
            self._ask(_IGNORE)

    def _ask(self, operation: int) -> None:
        body = _MESSAGE.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0) + struct.pack("=I", operation)
        done = 3  # NLMSG_DONE
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), done, 0, 0, os.getpid()) + body)

    def _await_answer(self) -> None:
        """Wait for the acknowledgement; in another pid namespace none ever comes."""
        deadline = time.monotonic() + _ANSWER_S
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            message = self._socket.recv(_MOST_NBYTES)
            if len(message) < _EVENT_AT + _EVENT.size + 4:
                continue
            if _EVENT.unpack_from(message, _EVENT_AT)[0] == _EVENT_NONE:
                (refused,) = struct.unpack_from("=I", message, _EVENT_AT + _EVENT.size)
                if refused:
                    raise OSError(refused, os.strerror(refused))
                return
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


@dataclass(frozen=True, slots=True)
class _Stat:
    """Some fields of proc_pid_stat(5): 4 to 6 and 22; `above` leaves out 0, 1 and the process."""

    parent: int
    started: int
    above: frozenset[int]


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # The name in field 2 may hold anything, brackets too.
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20:  # noqa: PLR2004 - field 22 is the last that is needed
        return None
    parent, group, session, started = (int(fields[index]) for index in (1, 2, 3, 19))
    return _Stat(parent, started, frozenset({parent, group, session} - {0, 1, pid}))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A process as /proc showed it; times are clock ticks since the machine was started.

    Args:
        started: when it started.
        top_started: when its topmost ancestor started, below those that take in orphans.
        relatives: its ancestors, and the process groups and sessions of them all.
        asked_s: when /proc was read.
    """

    started: int
    top_started: int
    relatives: frozenset[int]
    asked_s: float


class ProcessTree:
    """The descendants of one process.

    Args:
        use_connector: False reads /proc alone, as inside a container.
    """

    def __init__(self, *, use_connector: bool = True) -> None:
        self.forks_were_lost = False
        self._use_connector = use_connector
        self._connector: ForkConnector | None = None
        self._root: int | None = None
        self._members: set[int] = set()
        self._early: list[tuple[int, int]] = []
        self._seen: dict[int, _Seen] = {}
        self._began = 0
        # Any ancestor of this process may have asked to take in orphans (PR_SET_CHILD_SUBREAPER).
        self._reapers: frozenset[int] = frozenset({0, 1})

    def start(self) -> None:
        """Begin to listen, before the root exists."""
        self._began = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        if (own := _stat(os.getpid())) is not None:
            self._reapers |= {os.getpid(), *self._lineage(own, 0).relatives}
        if self._use_connector:
            with suppress(OSError):
                self._connector = ForkConnector()

    @property
    def is_exact(self) -> bool:
        """Return whether the kernel told every fork, so that no process can be missed."""
        return self._connector is not None and not self.forks_were_lost

    @property
    def root(self) -> int | None:
        """Return the process whose descendants are asked for, once it is known."""
        return self._root

    def fileno(self) -> int | None:
        """Return the descriptor that becomes readable on a fork, or None."""
        return self._connector.fileno() if self._connector else None

    def follow(self, pid: int) -> None:
        """Take the root; what was forked since the start is counted in."""
        self._root = pid
        self._members.add(pid)
        for parent, child in self._early:
            self._add(parent, child)
        self._early.clear()

    def update(self) -> None:
        """Take in the forks that the kernel has told meanwhile."""
        if self._connector is None:
            return
        try:
            forks = self._connector.forks()
        except OSError:
            self.forks_were_lost = True
            return
        for parent, child in forks:
            if self._root is None:
                self._early.append((parent, child))
            else:
                self._add(parent, child)

    def meet(self, pid: int) -> None:
        """Look at a process now, because it may be gone when `holds` is asked."""
        if not self.is_exact:
            self._look(pid)

    def holds(self, pid: int) -> bool | None:
        """Return whether a process belongs to the tree; None when it ended before it was met."""
        if self.is_exact:
            return pid in self._members
        seen, is_member = self._look(pid), pid in self._members
        if seen is None:
            return True if is_member else None
        was_told = is_member and self._connector is not None
        if was_told or pid == self._root or not seen.relatives.isdisjoint(self._members):
            self._members.add(pid)
            return True
        self._members.discard(pid)
        # A young process below one that takes in orphans: nobody knows whose child it was.
        return None if seen.top_started >= self._began else False

    def close(self) -> None:
        """Stop listening."""
        if self._connector is not None:
            self._connector.close()

    def _add(self, parent: int, child: int) -> None:
        if parent in self._members:
            self._members.add(child)
        elif child != self._root:  # The number of a process that has ended was given to a stranger.
            self._members.discard(child)

    def _look(self, pid: int) -> _Seen | None:
        """Return what /proc tells of a process, or told while it lived."""
        known, now = self._seen.get(pid), time.monotonic()
        if known is not None and now - known.asked_s < _FRESH_S:
            return known
        process = _stat(pid)
        if process is None:
            return known
        seen = self._lineage(process, now)
        if known is not None and known.started == seen.started:
            # An orphan has a new parent; it stays who it was.
            seen = replace(known, relatives=known.relatives | seen.relatives, asked_s=now)
        self._seen[pid] = seen
        return seen

    def _lineage(self, process: _Stat, now: float) -> _Seen:
        top, relatives = process, process.above
        while top.parent not in self._reapers and (parent := _stat(top.parent)):
            top = parent
            relatives |= top.above
        return _Seen(process.started, top.started, relatives, now)
