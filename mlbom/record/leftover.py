"""Counts the processes of a step that still run when it is over: daemons, background jobs.

Whatever a recorded command starts inherits a variable that only this run has, which proc(5) shows;
a process that cleared its environment, or belongs to another user, is not found.
"""

import os


def count_running(variable: str, value: str) -> int:
    """Return how many processes were started with a variable of this value.

    Args:
        variable: its name.
        value: what no other run has.
    """
    wanted = b"\0" + os.fsencode(f"{variable}={value}") + b"\0"
    try:
        names = os.listdir("/proc")
    except OSError:
        return 0
    return sum(_has(f"/proc/{name}/environ", wanted) for name in names if name.isdigit())


def _has(environ: str, wanted: bytes) -> bool:
    try:
        with open(environ, "rb") as stream:
            return wanted in b"\0" + stream.read()
    except OSError:
        return False
