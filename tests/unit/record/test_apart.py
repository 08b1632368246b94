"""A command that runs apart: a session of its own, no input, a time limit, nothing left of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlbom.record.child import MARK, Command, Ended, run_child
from mlbom.record.family import Deadline, Family
from tests.unit.record.step import PYTHON

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def run(folder: Path, code: str, timeout_s: float | None = None, *, apart: bool = True) -> Ended:
    """Run a Python program and return how it ended."""
    command = Command(
        argv=(PYTHON, "-c", code),
        cwd=folder,
        environment={**os.environ, MARK: str(folder)},
        logs=folder,
        timeout_s=timeout_s,
        is_apart=apart,
    )
    return run_child(command, lambda _: None)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


def test_it_has_a_session_of_its_own_no_input_and_its_output_in_the_logs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import os, sys\nprint(os.getsid(0) == os.getpid(), repr(sys.stdin.read()),"
        " os.isatty(1))\nprint('err', file=sys.stderr)"
    )
    ended = run(tmp_path, code)
    assert ended.stdout is not None
    assert ended.stderr is not None
    assert ended.stdout.read_text() == "True '' False\n"
    assert ended.stderr.read_text() == "err\n"
    assert capfd.readouterr() == ("", "")
    assert (ended.exit_code, ended.signal, ended.timed_out) == (0, None, False)
    assert ended.usage.wall_s > 0
    assert (ended.usage.cpu_user_s or 0) > 0


def test_it_ends_after_its_time(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = run(tmp_path, "import time; print(1, flush=True); time.sleep(60)", 0.5)
    assert time.monotonic() - began < 10
    assert ended.timed_out
    assert ended.signal == signal.SIGTERM
    assert ended.stdout is not None
    assert ended.stdout.read_text() == "1\n"


def test_it_may_put_its_house_in_order(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('saved', flush=True), sys.exit(3)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    ended = run(tmp_path, code, 1.0)
    assert (ended.timed_out, ended.exit_code) == (True, 3)
    assert ended.stdout is not None
    assert ended.stdout.read_text() == "up\nsaved\n"


@pytest.mark.parametrize("apart", [True, False])
def test_whoever_is_deaf_is_killed_and_so_is_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, apart: bool
) -> None:
    """Also one that has left the session, and one that has stopped itself."""
    monkeypatch.setattr(Family.end, "__defaults__", (0.3,))
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    code = (
        "import os, signal, subprocess, sys, time\nsignal.signal(15, signal.SIG_IGN)\n"
        f"one = subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True)\n"
        f"two = subprocess.Popen([sys.executable, '-c', {deaf!r}])\nos.kill(two.pid, 19)\n"
        "open('pids', 'w').write(f'{one.pid} {two.pid}')\ntime.sleep(60)"
    )
    ended = run(tmp_path, code, 1.0, apart=apart)
    assert (ended.timed_out, ended.signal) == (True, signal.SIGKILL)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(is_running, pids))


def test_what_holds_the_output_open_is_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)"
    )
    began = time.monotonic()
    ended = run(tmp_path, code)
    assert time.monotonic() - began < 10
    assert ended.exit_code == 0
    assert ended.left_open
    assert ended.stdout is not None
    assert not is_running(int(ended.stdout.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_us_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert signal.getsignal(number) is before


def test_other_children_of_ours_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        assert run(tmp_path, "pass").exit_code == 0
        assert other.poll() is None
        other.kill()


def test_a_deadline_that_is_not_reached_does_nothing() -> None:
    with Deadline(Family("", ""), 5.0) as deadline:
        pass
    assert not deadline.has_passed
    assert Family(MARK, "nobody has this value").members() == set()
