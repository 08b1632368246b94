"""One fanotify group of the Linux kernel, through libc: mark file systems, take events."""

import array
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.record.observers.mounts import Mount

# linux/fanotify.h
_ACCESS, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN = 0x1, 0x8, 0x10, 0x20
_EVENTS = _ACCESS | _CLOSE_WRITE | _CLOSE_NOWRITE | _OPEN
_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x10, 0x20
_MARK_ADD, _MARK_MOUNT, _MARK_FILESYSTEM = 0x1, 0x10, 0x100
_MARK_IGNORED, _MARK_SURVIVES_WRITING, _MARK_EVICTABLE = 0x20, 0x40, 0x200
_AT_FDCWD = -100
_FIONREAD = 0x541B
_EVENT = struct.Struct("=IBBHQii")
# Each event of a batch holds a descriptor open, and the limit on open files may be low.
_BATCH_NBYTES = 160 * _EVENT.size


@dataclass(frozen=True, slots=True)
class FileEvent:
    """What happened to a file; events on one file that wait together come as one.

    Args:
        descriptor: of the file, open for reading; -1 when events were lost here.
        pid: the process.
        is_read: it was read from, or closed by one who could not write.
        is_written: it was closed by one who could write.
        was_accessed: bytes of it were read by read(2).
    """

    descriptor: int
    pid: int
    is_read: bool
    is_written: bool
    was_accessed: bool


class FanotifyGroup:
    """Notifications about files, never permissions: nobody ever waits for this process.

    Raises:
        OSError: not root, no Linux, or no fanotify in this kernel.
    """

    def __init__(self) -> None:
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._libc.fanotify_mark.argtypes = [
                ctypes.c_int,
                ctypes.c_uint,
                ctypes.c_uint64,
                ctypes.c_int,
                ctypes.c_char_p,
            ]
            flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS
            # Opening a named pipe for an event must not wait for the pipe's other end.
            files = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_LARGEFILE", 0)
            self._group: int = self._libc.fanotify_init(flags, files)
        except (AttributeError, TypeError) as error:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
        if self._group < 0:
            raise _last_error()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._group

    def watch(self, mount: Mount) -> None:
        """Watch one file system as a whole, or in an old kernel the place where it is mounted.

        Raises:
            OSError: it cannot be watched.
        """
        path = os.fsencode(mount.path)
        for where in (_MARK_FILESYSTEM, _MARK_MOUNT):
            done = self._libc.fanotify_mark(
                self._group, _MARK_ADD | where, _EVENTS, _AT_FDCWD, path
            )
            if done == 0:
                return
        raise _last_error()

    def ignore_reads(self, descriptor: int) -> None:
        """Ask for no more events of read(2) on a file: one says all, and a large file has many.

        A kernel before 5.19 does not know the mark; then the events go on.
        """
        flags = _MARK_ADD | _MARK_IGNORED | _MARK_SURVIVES_WRITING | _MARK_EVICTABLE
        self._libc.fanotify_mark(self._group, flags, _ACCESS, descriptor, None)

    def events(self) -> Iterator[FileEvent]:
        """Yield a batch of the events that wait; whoever takes one closes its descriptor.

        Raises:
            OSError: an event could not be handed over, and is lost.
        """
        try:
            batch = os.read(self._group, _BATCH_NBYTES)
        except BlockingIOError:
            return
        for _, _, _, _, mask, descriptor, pid in _EVENT.iter_unpack(batch):
            yield FileEvent(
                descriptor=descriptor,
                pid=pid,
                is_read=bool(mask & (_ACCESS | _CLOSE_NOWRITE)),
                is_written=bool(mask & _CLOSE_WRITE),
                was_accessed=bool(mask & _ACCESS),
            )

    def pending(self) -> int:
        """Return how many events wait."""
        import fcntl  # Not on every system; this class is.

        nbytes = array.array("i", [0])
        fcntl.ioctl(self._group, _FIONREAD, nbytes)
        return nbytes[0] // _EVENT.size

    def close(self) -> None:
        """End watching."""
        os.close(self._group)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
