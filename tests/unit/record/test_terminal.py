"""The command sees a terminal where ours is one, and Ctrl-C reaches it once."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("termios")

from tests.unit.record.step import Project

SOURCE = Path(__file__).parents[3]
DRIVER = """
import sys; sys.path.insert(0, {source!r})
from pathlib import Path
from mlbom.record.launcher import record_step
from mlbom.record.recording import StepPlan
here = Path.cwd()
folder = here / "run"
folder.mkdir()
plan = StepPlan(argv=(sys.executable, "step.py"), cwd=here, project_root=here, folder=folder,
                observe="hook")
r = record_step(plan)
print("recorded", r.exit_code, r.signal)
"""


def in_terminal(project: Project, keys: bytes, ready: bytes, script: str = "driver.py") -> str:
    """Run the driver in a session of its own terminal, press keys, return what it shows."""
    import pty

    project.write("driver.py", DRIVER.format(source=str(SOURCE)))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.execv(sys.executable, [sys.executable, script])  # noqa: S606 - a terminal's own
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        shown += piece
        if keys and ready in shown:
            os.write(terminal, keys)
            keys = b""
        if not piece:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode()


def test_the_command_has_a_terminal_and_the_log_has_its_bytes(project: Project) -> None:
    project.write(
        "step.py",
        "import os, sys\nprint(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())\n"
        "print(os.get_terminal_size(1) == os.get_terminal_size(0))\n",
    )
    shown = in_terminal(project, b"", b"")
    assert shown == "True True True\r\nTrue\r\nrecorded 0 None\r\n"
    assert (project.root / "run/stdout.log").read_bytes() == b"True True True\nTrue\n"


def test_ctrl_c_reaches_the_command_once_and_leaves_a_recording(project: Project) -> None:
    project.write(
        "step.py",
        "import signal, time\ncount = 0\n"
        "def note(*_):\n    global count\n    count += 1\n"
        "signal.signal(signal.SIGINT, note)\n"
        "print('ready', flush=True)\nend = time.monotonic() + 0.5\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
        "print('interrupts', count)\n",
    )
    shown = in_terminal(project, b"\x03", b"ready")
    assert "interrupts 1" in shown
    assert "recorded 0 None" in shown


def test_an_interrupted_python_ends_by_its_signal(project: Project) -> None:
    project.write("step.py", "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    shown = in_terminal(project, b"\x03", b"ready")
    assert "KeyboardInterrupt" in shown
    assert "recorded None 2" in shown


def test_a_command_that_stops_itself_gives_the_shell_its_terminal_back(project: Project) -> None:
    project.write(
        "step.py",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTSTP)\nprint('went on', flush=True)\n",
    )
    project.write("driver.py", DRIVER.format(source=str(SOURCE)))
    project.write(
        "shell.py",
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.setpgid(0, 0); os.tcsetpgrp(0, os.getpid())\n"
        "    signal.signal(signal.SIGTTOU, signal.SIG_DFL)\n"
        "    os.execv(sys.executable, [sys.executable, 'driver.py'])\n"
        "_, status = os.waitpid(pid, os.WUNTRACED)\n"
        "print('stopped', os.WIFSTOPPED(status), flush=True)\n"
        "os.kill(pid, signal.SIGCONT)\n"
        "print('ended', os.waitpid(pid, 0)[1], flush=True)\n",
    )
    shown = in_terminal(project, b"", b"", "shell.py")
    assert "stopped True" in shown
    assert "went on" in shown
    assert "ended 0" in shown
