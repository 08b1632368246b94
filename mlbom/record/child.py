"""Starts the command as it is, lets signals through, and waits for its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.errors import CommandNotStartedError, EnvironmentFailureError
from mlbom.record.passthrough import Passthrough
from mlbom.record.recording import Usage
from mlbom.record.signals import SignalForwarding, is_in_foreground

# So often it is asked whether the user wants to wait for the end of the output no longer.
_LOOK_S = 0.1
# The terminal continues a stopped process and us at once, but not at the same instant.
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is started.

    Args:
        argv: as it is.
        cwd: working directory, absolute.
        environment: all of its variables.
        logs: folder for stdout.log and stderr.log.
    """

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    logs: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended.

    Args:
        pid: its process id.
        started: seconds since 1970 UTC.
        finished: seconds since 1970 UTC.
        exit_code: or None when a signal ended it.
        signal: that signal, or None.
        usage: times and memory.
        stdout: its log, or None when it could not be kept.
        stderr: likewise.
        left_open: whether something that it started still held its output.
    """

    pid: int
    started: float
    finished: float
    exit_code: int | None
    signal: int | None
    usage: Usage
    stdout: Path | None
    stderr: Path | None
    left_open: bool


def run_child(command: Command, on_start: Callable[[int], None]) -> Ended:
    """Run a command to its end, however long it takes, and hand its output through to the end.

    What the command leaves running may hold its output open: then this goes on until that is
    closed, as `command | cat` would, since who writes where nobody listens is killed. Ctrl-C (or
    SIGTERM, SIGHUP) ends the wait. The times are those of the command itself.

    Args:
        command: what to start.
        on_start: is told its process id at once.

    Raises:
        CommandNotStartedError: there is no such command, or it cannot be executed.
        EnvironmentFailureError: its logs cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        streams = (
            Passthrough(1, command.logs / "stdout.log"),
            Passthrough(2, command.logs / "stderr.log"),
        )
    except OSError as error:
        message = f"cannot keep the output of the command: {error.strerror}"
        raise EnvironmentFailureError(message) from error
    with SignalForwarding([stream.resize for stream in streams]) as signals:
        started, clock = time.time(), time.monotonic()
        process = _start(command, streams)
        signals.direct_to(process.pid)
        on_start(process.pid)
        code, usage = _wait(process)
        signals.direct_to(None)
        finished, wall_s = time.time(), time.monotonic() - clock
        is_whole = _drain(streams, signals)
    return Ended(
        pid=process.pid,
        started=started,
        finished=finished,
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        usage=replace(usage, wall_s=wall_s),
        stdout=streams[0].log,
        stderr=streams[1].log,
        left_open=not is_whole,
    )


def _start(command: Command, streams: Sequence[Passthrough]) -> "subprocess.Popen[bytes]":
    try:
        process = subprocess.Popen(
            list(command.argv),
            cwd=command.cwd,
            env=dict(command.environment),
            stdout=streams[0].end,
            stderr=streams[1].end,
            # Descriptors that we were given for the command (a job server, `3<file`) go on to it.
            close_fds=False,
        )
    except (OSError, ValueError) as error:
        for stream in streams:
            stream.cancel()
        raise _not_started(command, error) from error
    for stream in streams:
        stream.start()
    return process


def _drain(streams: Sequence[Passthrough], signals: SignalForwarding) -> bool:
    """Return whether all streams came to their end before the user ended the wait."""
    waiting = list(streams)
    while waiting and not signals.is_interrupted:
        waiting = [stream for stream in waiting if not stream.is_over(_LOOK_S)]
    for stream in streams:
        stream.finish()
    return not waiting


def _not_started(command: Command, error: Exception) -> CommandNotStartedError:
    if not command.cwd.is_dir():
        return CommandNotStartedError(f"the folder to run in is not there: {command.cwd}", hint="")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CommandNotStartedError(f"cannot start {command.argv[0]}: {reason}")


def _wait(process: "subprocess.Popen[bytes]") -> tuple[int, Usage]:
    """Return the exit code (minus the signal) and what the tree of processes used."""
    if not hasattr(os, "wait4"):
        return process.wait(), Usage(wall_s=0.0)
    _, status, used = os.wait4(process.pid, os.WUNTRACED)
    while os.WIFSTOPPED(status):
        _stop_with(process.pid)
        _, status, used = os.wait4(process.pid, os.WUNTRACED)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return process.returncode, Usage(
        wall_s=0.0,
        cpu_user_s=used.ru_utime,
        cpu_system_s=used.ru_stime,
        max_rss_nbytes=used.ru_maxrss * unit,
    )


def _stop_with(pid: int) -> None:
    """Stop too when the command has stopped itself, so that the user's shell gets its terminal."""
    time.sleep(_SETTLE_S)
    if hasattr(os, "waitid"):
        has_moved = os.WCONTINUED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, pid, has_moved) is not None:
            return
    if is_in_foreground():
        os.kill(os.getpid(), signal.SIGTSTP)
