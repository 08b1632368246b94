"""Starts the command as it is, lets signals through, and waits for its end.

A command that runs apart is not the user's but ours: it has a session of its own and no input, its
output goes to its logs, and when it has ended, or has taken too long, so has all that it started.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.errors import CommandNotStartedError, EnvironmentFailureError
from mlbom.record.family import GRACE_S, Deadline, Family, adopting
from mlbom.record.passthrough import Passthrough
from mlbom.record.recording import Usage
from mlbom.record.signals import Interruption, SignalForwarding, is_in_foreground

# Every process of a recorded command has this variable (mlbom/record/launcher.py).
MARK = "MLBOM_RECORD_DIR"
# So often it is asked whether the user wants to wait for the end of the output no longer.
_LOOK_S = 0.1
# The terminal continues a stopped process and us at once, but not at the same instant.
_SETTLE_S = 0.05
# So long what a command apart has started may go on writing when itself has ended.
_LAST_WORDS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is started.

    Args:
        argv: as it is.
        cwd: working directory, absolute.
        environment: all of its variables.
        logs: folder for stdout.log and stderr.log.
        timeout_s: seconds after which it is ended with all that it started, or None.
        is_apart: whether it gets a session of its own, no input, and its output goes to the logs
            only.
    """

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    logs: Path
    timeout_s: float | None = None
    is_apart: bool = False


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
        timed_out: whether it was ended because it took too long.
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
    timed_out: bool = False


def run_child(command: Command, on_start: Callable[[int], None]) -> Ended:
    """Run a command to its end and hand its output through to the end.

    What the command leaves running may hold its output open: then this goes on until that is
    closed, as `command | cat` would, since who writes where nobody listens is killed. Ctrl-C (or
    SIGTERM, SIGHUP) ends the wait. The times are those of the command itself.

    Args:
        command: what to start. One that runs apart leaves nothing running, and Ctrl-C ends it.
        on_start: is told its process id at once.

    Raises:
        CommandNotStartedError: there is no such command, or it cannot be executed.
        EnvironmentFailureError: its logs cannot be written.
        KeyboardInterrupt: a signal came while a command ran apart.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    streams = _streams(command)
    started, clock = time.time(), time.monotonic()
    run = _run_apart if command.is_apart else _run_along
    end = run(command, streams, on_start)
    code, wall_s = end.process.returncode, end.clock - clock
    return Ended(
        pid=end.process.pid,
        started=started,
        finished=started + wall_s,
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        usage=replace(end.usage, wall_s=wall_s),
        stdout=streams[0].log,
        stderr=streams[1].log,
        left_open=not end.is_whole,
        timed_out=end.timed_out,
    )


@dataclass(slots=True)
class _End:
    """A command that has ended: its process, what it used, when that was on our clock."""

    process: "subprocess.Popen[bytes]"
    usage: Usage
    clock: float
    is_whole: bool = True
    timed_out: bool = False


def _streams(command: Command) -> tuple[Passthrough, Passthrough]:
    targets = (None, None) if command.is_apart else (1, 2)
    try:
        return (
            Passthrough(targets[0], command.logs / "stdout.log"),
            Passthrough(targets[1], command.logs / "stderr.log"),
        )
    except OSError as error:
        message = f"cannot keep the output of the command: {error.strerror}"
        raise EnvironmentFailureError(message) from error


def _run_along(
    command: Command, streams: tuple[Passthrough, Passthrough], on_start: Callable[[int], None]
) -> _End:
    """Run the user's own command: signals, terminal and output are its."""
    with SignalForwarding([stream.resize for stream in streams]) as signals:
        process = _start(command, streams)
        signals.direct_to(process.pid)
        on_start(process.pid)
        with Deadline(_family(command, process), command.timeout_s) as deadline:
            usage = _wait(process, os.WUNTRACED)
        end = _End(process, usage, time.monotonic(), timed_out=deadline.has_passed)
        signals.direct_to(None)
        end.is_whole = _drain(streams, lambda: signals.is_interrupted)
    return end


def _run_apart(
    command: Command, streams: tuple[Passthrough, Passthrough], on_start: Callable[[int], None]
) -> _End:
    """Run a command of ours: whatever happens, nothing of it is left when this returns."""
    with Interruption():
        process = _start(command, streams)
        family = _family(command, process)
        with adopting(process.pid):
            try:
                on_start(process.pid)
                with Deadline(family, command.timeout_s) as deadline:
                    usage = _wait(process, 0)
                end = _End(process, usage, time.monotonic(), timed_out=deadline.has_passed)
                last_words = time.monotonic() + _LAST_WORDS_S
                end.is_whole = _drain(streams, lambda: time.monotonic() > last_words)
            finally:
                family.end(GRACE_S if process.returncode is None else _LAST_WORDS_S)
                process.wait()
    return end


def _family(command: Command, process: "subprocess.Popen[bytes]") -> Family:
    variable = MARK if command.environment.get(MARK) else ""
    value = command.environment.get(MARK, "")
    return Family(variable, value, process.pid, is_apart=command.is_apart)


def _start(command: Command, streams: Sequence[Passthrough]) -> "subprocess.Popen[bytes]":
    try:
        process = subprocess.Popen(
            list(command.argv),
            cwd=command.cwd,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL if command.is_apart else None,
            stdout=streams[0].end,
            stderr=streams[1].end,
            # Descriptors that we were given for the command (a job server, `3<file`) go on to it.
            close_fds=False,
            start_new_session=command.is_apart,
        )
    except (OSError, ValueError) as error:
        for stream in streams:
            stream.cancel()
        raise _not_started(command, error) from error
    for stream in streams:
        stream.start()
    return process


def _drain(streams: Sequence[Passthrough], is_enough: Callable[[], bool]) -> bool:
    """Return whether all streams came to their end before it was enough."""
    waiting = list(streams)
    while waiting and not is_enough():
        waiting = [stream for stream in waiting if not stream.is_over(_LOOK_S)]
    for stream in streams:
        stream.finish()
    return not waiting


def _not_started(command: Command, error: Exception) -> CommandNotStartedError:
    if not command.cwd.is_dir():
        return CommandNotStartedError(f"the folder to run in is not there: {command.cwd}", hint="")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CommandNotStartedError(f"cannot start {command.argv[0]}: {reason}")


def _wait(process: "subprocess.Popen[bytes]", options: int) -> Usage:
    """Wait for its end, and return what the tree of processes used."""
    if not hasattr(os, "wait4"):
        process.wait()
        return Usage(wall_s=0.0)
    _, status, used = os.wait4(process.pid, options)
    while os.WIFSTOPPED(status):
        _stop_with(process.pid)
        _, status, used = os.wait4(process.pid, options)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(
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
