"""Reads a git process to its end, within limits of bytes and of seconds."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any, NamedTuple

from mlbom.errors import LimitError

PIECE = 1024 * 1024


class GitOutcome(NamedTuple):
    """How a git command ended: exit code, standard output, the first of standard error."""

    status: int
    output: bytes
    errors: bytes


def finish_process(
    process: "subprocess.Popen[bytes]", stdin: bytes, limits: tuple[int, float], name: str
) -> GitOutcome:
    """Read a process to its end.

    Args:
        process: a git command with pipes.
        stdin: what it is told.
        limits: most bytes of output, most seconds.
        name: of the command, for the message.

    Raises:
        LimitError: more output, or more time.
    """
    limit, timeout_s = limits
    output, errors, late = bytearray(), bytearray(), threading.Event()
    timer = threading.Timer(timeout_s, _kill, (process, late))
    threads = [threading.Thread(target=_drain, args=(process.stderr, errors, PIECE))]
    if process.stdin:
        threads.append(threading.Thread(target=_feed, args=(process.stdin, stdin)))
    for thread in (timer, *threads):
        thread.start()
    try:
        _drain(process.stdout, output, limit + 1)
        process.wait()
    finally:
        timer.cancel()
        _kill(process)
        for thread in threads:
            thread.join()
    if late.is_set() or len(output) > limit:
        most = f"{timeout_s:g} seconds" if late.is_set() else f"{limit} bytes of output"
        message = f"git {name} needs more than {most}"
        raise LimitError(message)
    return GitOutcome(process.wait(), bytes(output), bytes(errors))


def _kill(process: "subprocess.Popen[bytes]", late: threading.Event | None = None) -> None:
    """End git and what it may have started, which share a session, unless it has ended."""
    if process.poll() is None:
        if late:
            late.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()


def _drain(stream: Any, kept: bytearray, limit: int) -> None:  # noqa: ANN401 - a binary pipe
    """Read a pipe to its end, so that git is never held up, and keep the first `limit` bytes."""
    while piece := stream.read(PIECE):
        kept += piece[: max(0, limit - len(kept))]


def _feed(stream: Any, data: bytes) -> None:  # noqa: ANN401 - a binary pipe
    with suppress(OSError):  # git may end early; its exit code says why
        stream.write(data)
        stream.close()
