"""Hands the output of a process through as it comes, and keeps a copy.

Where our own output is a terminal the process gets one too (a pseudo-terminal that changes no
byte), so that it buffers, colours and draws as it would without us; else it gets a pipe.
"""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

_PIECE_NBYTES = 64 * 1024


class Passthrough:
    """One output stream of a process.

    Args:
        target: our own descriptor, where it goes on to; None for the copy only.
        log: file to keep a copy in.
    """

    def __init__(self, target: int | None, log: Path) -> None:
        self._target = target
        self._log = log
        self._lock = threading.Lock()
        self._is_over = False
        self._is_whole = True
        self._kept = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._source, self.end = _terminal(target) or os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to hand through, after the process has got its end."""
        os.close(self.end)
        self._thread.start()

    def cancel(self) -> None:
        """Take back everything: the process did not start."""
        for descriptor in (self.end, self._source, self._kept):
            os.close(descriptor)
        self._log.unlink(missing_ok=True)

    def resize(self) -> None:
        """Give a pseudo-terminal the size of our own."""
        with suppress(OSError, ImportError):
            _copy_size(self._target, self._source)

    def is_over(self, timeout_s: float) -> bool:
        """Return whether the stream has ended, waiting for that at most for a time in seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Close the copy; what something writes that still holds the stream open is not kept."""
        with self._lock:
            self._is_over = True
            self._is_whole &= _is_there(self._log, self._kept)
            os.close(self._kept)

    @property
    def log(self) -> Path | None:
        """Return the copy, or None when it could not be written to its end or was removed."""
        return self._log if self._is_whole else None

    def _run(self) -> None:
        try:
            while piece := self._read():
                self._keep(piece)
                if not self._hand_on(piece):
                    break
        finally:
            # The process is told by SIGPIPE that nobody listens, as it would be without us.
            os.close(self._source)

    def _read(self) -> bytes:
        try:
            return os.read(self._source, _PIECE_NBYTES)
        except OSError as error:
            if error.errno != errno.EIO:  # how a pseudo-terminal ends
                raise
            return b""

    def _keep(self, piece: bytes) -> None:
        with self._lock:
            if self._is_over or not self._is_whole:
                return
            try:
                _write(self._kept, piece)
            except OSError:
                self._is_whole = False

    def _hand_on(self, piece: bytes) -> bool:
        """Return whether anybody may still listen."""
        if self._target is None:
            return True
        try:
            _write(self._target, piece)
        except BrokenPipeError:
            return False
        except OSError:
            self._target = None  # it was closed from the start: the copy goes on
        return True


def _is_there(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still found under its name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _terminal(target: int | None) -> tuple[int, int] | None:
    """Return both ends of a pseudo-terminal like ours, or None when ours is no terminal."""
    try:
        if target is None or not os.isatty(target):
            return None
        import termios

        ours, theirs = os.openpty()
        attributes = termios.tcgetattr(theirs)
        # Our own terminal makes "\r\n" of "\n"; made twice it would be in the copy.
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        _copy_size(target, ours)
    except (ImportError, AttributeError, OSError):
        return None
    return ours, theirs


def _copy_size(source: int | None, target: int) -> None:
    if source is not None and os.isatty(target):
        import termios

        termios.tcsetwinsize(target, termios.tcgetwinsize(source))
