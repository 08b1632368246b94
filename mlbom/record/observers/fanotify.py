"""See every file that a tree of processes opens, told by the kernel through fanotify; root only.

What counts as read and written (fanotify(7) names the events):

* read: opened and closed without write access (which is also how a mapped file shows), or read
  from by read(2), which tells a database that is queried from a file that is only written.
* written: closed with write access, and changed since the watch began.

A file of which the process cannot be told (it ended before it was met, possible only where the
process connector is silent) is counted in `unseen` and never taken for one of this step: a false
input in a signed record is worse than a sentence that says what is not known.
"""

import os
import select
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbom.errors import EnvironmentFailureError
from mlbom.record.observers.fanotify_group import FanotifyGroup, FileEvent
from mlbom.record.observers.mounts import real_mounts
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.process_tree import ProcessTree
from mlbom.record.observers.written import WrittenFiles

_DELETED = " (deleted)"
_HINT = "run as root, or choose --observe hook or --observe strace"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A regular file of an event: its path, and device and inode when they are at that path."""

    event: FileEvent
    path: str
    identity: tuple[int, int] | None


class FanotifyObserver:
    """Watches the file systems of this machine, and keeps what one tree of processes opened.

    Args:
        folder: the run's own folder; files below it are mlbom's.
        tree: tells which process belongs to the step.
    """

    name = "fanotify"

    def __init__(self, folder: Path, tree: ProcessTree | None = None) -> None:
        self._own = f"{folder}{os.sep}"
        self._tree = tree or ProcessTree()
        self._lock = threading.Lock()
        self._early: list[_Opened] = []
        self._opened: dict[str, tuple[int, int]] = {}
        self._reads: set[str] = set()
        self._unattributed: set[str] = set()
        self._foreign: set[str] = set()
        self._namespaces: dict[int, str] = {}
        self._watched: set[str] = set()
        self._unwatched: list[str] = []
        self._lost = 0
        self._is_whole = False

    def start(self) -> None:
        """Watch every file system that holds files.

        Raises:
            EnvironmentFailureError: not root, not Linux, or no fanotify in this kernel.
        """
        try:
            self._group = FanotifyGroup()
            mounts = real_mounts()
        except OSError as error:
            message = f"fanotify cannot be used: {error.strerror}"
            raise EnvironmentFailureError(message, hint=_HINT) from error
        for mount in mounts:
            self._watched.add(mount.device)
            try:
                self._group.watch(mount)
            except OSError as error:
                sentence = f"files below {mount.path} ({mount.kind}) were not watched"
                self._unwatched.append(f"{sentence}: {error.strerror}")
        self._written = WrittenFiles()
        self._namespace = _namespace("self")
        self._tree.start()
        self._wake_r, self._wake_w = os.pipe()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command unchanged."""
        return list(argv)

    def follow(self, pid: int) -> None:
        """Take the root of the tree; what it opened since it was started is taken in."""
        with self._lock:
            self._tree.update()
            self._tree.follow(pid)
            for opened in self._early:
                self._attribute(opened)
            self._early.clear()

    def stop(self) -> Observed:
        """Take in the events that wait, and return what was seen."""
        os.write(self._wake_w, b"x")
        self._thread.join()
        self._tree.close()
        self._group.close()
        os.close(self._wake_r)
        os.close(self._wake_w)
        writes = self._written.settle()
        # What a process still holds open was not told to be closed in one way or the other.
        changed = self._written.identities
        reads = self._reads | {path for path, file in self._opened.items() if file not in changed}
        # A name that the step wrote under and gave up again is no input.
        reads -= {path for path in self._written.names - writes if not os.path.exists(path)}
        return Observed(
            reads=frozenset(reads),
            writes=writes,
            written_inodes=frozenset(inode for _, inode in changed),
            unseen=tuple(self._sentences()),
        )

    def _run(self) -> None:
        """Take events until woken, then those that wait at that moment."""
        poll = select.poll()
        sources = (self._group.fileno(), self._wake_r, self._tree.fileno())
        for descriptor in sources:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        while all(descriptor != self._wake_r for descriptor, _ in poll.poll()):
            self._take_batch()
        left = self._group.pending()
        while left > 0:
            left -= max(1, self._take_batch())
        self._is_whole = True

    def _take_batch(self) -> int:
        count = 0
        with self._lock:
            try:
                for event in self._group.events():
                    if not count:  # A process is told of before the first file it opens.
                        self._tree.update()
                    count += 1
                    self._take(event)
            except OSError:
                self._lost += 1
            if not count:
                self._tree.update()
        return count

    def _take(self, event: FileEvent) -> None:
        if event.descriptor < 0:
            self._lost += 1
            return
        try:
            belongs = self._belongs(event.pid)
            if belongs is False:
                return
            if belongs and event.was_accessed:
                self._group.ignore_reads(event.descriptor)
            opened = self._name(event)
        except OSError:
            self._lost += 1
            return
        finally:
            os.close(event.descriptor)
        if opened is None or opened.path.startswith(self._own):
            return
        if self._tree.root is None:
            self._early.append(opened)
        else:
            self._attribute(opened)

    def _belongs(self, pid: int) -> bool | None:
        """Return whether a process belongs to the step; None when that is not known yet."""
        if pid in (0, os.getpid()):  # 0 is a process outside the container that this one is in.
            return False
        if self._tree.root is None:
            self._tree.meet(pid)
            return None
        return self._tree.holds(pid)

    def _name(self, event: FileEvent) -> _Opened | None:
        """Return the file of an event, if it is a regular one, under its name of this moment."""
        path = ""
        for _ in range(2):  # It may be renamed or removed between two looks.
            status = os.fstat(event.descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            path = os.readlink(f"/proc/self/fd/{event.descriptor}")
            if status.st_nlink == 0:
                path = path.removesuffix(_DELETED)
                break
            if self._opened.get(path) == _identity(status) or _is_at(path, status):
                break
        else:
            return _Opened(event, path, None)
        return _Opened(event, path, _identity(status))

    def _attribute(self, opened: _Opened) -> None:
        pid = opened.event.pid
        belongs = self._tree.holds(pid)
        if belongs is None:
            self._unattributed.add(opened.path)
        if not belongs:
            return
        if pid not in self._namespaces:
            self._namespaces[pid] = _namespace(str(pid))
        if opened.identity is None:
            self._foreign.add(opened.path)
            return
        self._opened[opened.path] = opened.identity
        if opened.event.is_read:
            self._reads.add(opened.path)
        if opened.event.is_written:
            self._written.note(opened.path, opened.identity)

    def _sentences(self) -> Iterator[str]:
        yield from self._unwatched
        if not self._is_whole:
            yield "fanotify ended before the step did: files may be missing"
        if self._lost:
            yield f"fanotify lost events {self._lost} times: files may be missing"
        if self._tree.forks_were_lost:
            yield "the kernel dropped messages about new processes: files of some may be missing"
        if self._unattributed:
            count = len(self._unattributed)
            yield (
                f"fanotify saw {count} files opened by processes that ended before it could be"
                " told whether they belong to this step"
            )
        if self._foreign:
            yield (
                f"fanotify saw {len(self._foreign)} files that are not found under the name that"
                " the step used"
            )
        if any(found not in ("", self._namespace) for found in self._namespaces.values()):
            yield "processes of the step mounted file systems for themselves: not all is watched"
        fresh = [mount for mount in real_mounts() if mount.device not in self._watched]
        if fresh:
            yield f"{len(fresh)} file systems that were mounted during the step were not watched"


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return _identity(found) == _identity(status)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _namespace(process: str) -> str:
    """Return the mount namespace of a process, empty when it has ended."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")
    except OSError:
        return ""
