"""See every file that a tree of processes opens by running it under strace; no root needed."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlbom.errors import EnvironmentFailureError
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.strace_log import CALLS, StraceLog

# -DD: the tracer is a process apart, so that the command stays a direct child: its exit status,
# its signals and its resource usage are its own. `?` allows a call that this processor lacks.
_OPTIONS = (
    "-DD",
    "-f",
    "--seccomp-bpf",
    "-q",
    "-y",
    "--signal=!chld",
    "--trace=" + ",".join(f"?{call}" for call in CALLS),
)
_HINT = "install strace 5.3 or newer, or choose --observe hook"
_TRIAL_S = 20.0
# The tracer writes its last lines after the command has ended; its first ones right at the start.
_PATIENCE_S, _BRIEF_S = 10.0, 1.0
_PAUSE_S = 0.005
_CHUNK_NBYTES = 1024 * 1024


class StraceObserver:
    """Traces the calls that open, rename and start files; `strace(1)` must be installed.

    Args:
        folder: where the log lies while the step runs.
    """

    name = "strace"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "strace.log"
        self._strace = ""
        self._pid: int | None = None
        self._position = 0
        self._rest = b""

    def start(self) -> None:
        """Try whether strace is there and may trace.

        Raises:
            EnvironmentFailureError: it is not, or it may not.
        """
        found = shutil.which("strace")
        if found is None or not os.path.isabs(found):
            message = "strace is not installed"
            raise EnvironmentFailureError(message, hint=_HINT)
        self._strace = found
        trial = [found, *_OPTIONS, "-o", os.devnull, "--", "true"]
        try:
            done = subprocess.run(
                trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = f"strace cannot be used: {error}"
            raise EnvironmentFailureError(message, hint=_HINT) from error
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip().splitlines()
            message = f"strace cannot trace here: {told[-1] if told else done.returncode}"
            raise EnvironmentFailureError(message, hint=_HINT)
        self._log = StraceLog()

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command as strace starts it."""
        return [self._strace, *_OPTIONS, "-o", str(self._file), "--", *argv]

    def follow(self, pid: int) -> None:
        """Take the process of which the end is awaited in the log."""
        self._pid = pid

    def stop(self) -> Observed:
        """Read the log to its end, remove it, and return what it told."""
        grown = time.monotonic()
        while True:
            if self._read():
                grown = time.monotonic()
            is_over = self._pid is None or self._pid in self._log.ended
            if is_over and not self._log.running:
                break
            has_begun = self._log.lines > 0
            if time.monotonic() - grown > (_PATIENCE_S if has_begun and not is_over else _BRIEF_S):
                break
            time.sleep(_PAUSE_S)
        self._file.unlink(missing_ok=True)
        return Observed(
            reads=self._log.reads(),
            writes=self._log.writes(),
            unseen=tuple(self._sentences()),
        )

    def _read(self) -> bool:
        """Take in the lines that are new, and return whether there were any."""
        if not self._file.exists():
            return False
        before = self._log.lines
        with open(self._file, "rb") as stream:
            stream.seek(self._position)
            while chunk := stream.read(_CHUNK_NBYTES):
                self._position += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._log.take(line)
        return self._log.lines > before

    def _sentences(self) -> Iterator[str]:
        log = self._log
        if self._pid is not None and self._pid not in log.ended:
            yield "strace did not tell the end of the step: files may be missing"
        elif log.running:
            yield (
                f"{len(log.running)} processes still ran when the step had ended: files that they"
                " opened later were not seen"
            )
        if log.skipped:
            yield f"{log.skipped} lines of strace were not understood: files may be missing"
        if log.views_changed:
            yield "a process of the step changed its view of the file system: paths may differ"
        if log.rings_used:
            yield "a process of the step used io_uring, whose files strace does not see"
