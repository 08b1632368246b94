"""The launcher and the observers outside of the command."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence

import pytest

from mlbom.errors import CommandNotStartedError, EnvironmentFailureError
from mlbom.record import launcher
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.observing import Watch
from tests.unit.record.step import PYTHON, Project

is_root = sys.platform == "linux" and os.geteuid() == 0


class Told:
    """An observer that tells what it was given."""

    name = "told"

    def __init__(self, reads: Sequence[str] = (), writes: Sequence[str] = ()) -> None:
        self.reads, self.writes = frozenset(reads), frozenset(writes)
        self.calls: list[str] = []
        self.fails = False

    def start(self) -> None:
        self.calls.append("start")

    def wrap(self, argv: Sequence[str]) -> list[str]:
        self.calls.append("wrap")
        return list(argv)

    def follow(self, pid: int) -> None:
        assert pid > 0
        self.calls.append("follow")
        if self.fails:
            message = "gone"
            raise EnvironmentFailureError(message)

    def stop(self) -> Observed:
        self.calls.append("stop")
        return Observed(reads=self.reads, writes=self.writes, unseen=("it rained",))


def use(monkeypatch: pytest.MonkeyPatch, observer: Told) -> None:
    monkeypatch.setattr(launcher, "begin_watch", lambda *_: Watch(observer))


def test_what_an_observer_saw_is_sorted_into_inputs_and_outputs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = project.root.parent / "outside"
    outside.mkdir()
    (outside / "old.txt").write_text("1")
    data = project.write("data.txt")
    observer = Told(
        reads=[
            str(data),
            "/usr/lib/libc.so",
            str(outside / "old.txt"),
            str(outside / "new.txt"),
            str(project.root / "new.txt"),
            "/nowhere/gone.txt",
        ],
        writes=[str(outside / "new.txt"), str(outside / "vanished"), str(outside / "old.txt")],
    )
    use(monkeypatch, observer)
    recording = project.record("sh", "-c", "echo 1 > new.txt; echo 1 > ../outside/new.txt")
    assert set(recording.reads) == {str(data), str(outside / "old.txt")}
    assert set(recording.writes) == {str(project.root / "new.txt"), str(outside / "new.txt")}
    assert recording.observers == ("told", "stat difference")
    assert recording.unseen == ("it rained",)
    assert observer.calls == ["wrap", "follow", "stop"]


def test_an_observer_that_loses_the_command_does_not_lose_the_recording(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Told()
    observer.fails = True
    use(monkeypatch, observer)
    recording = project.record("true")
    assert recording.succeeded
    assert any("could not follow the command: gone" in text for text in recording.unseen)


def test_an_observer_is_stopped_when_the_command_does_not_start(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Told()
    use(monkeypatch, observer)
    script = project.write("script", "no interpreter")
    script.chmod(0o755)
    with pytest.raises(CommandNotStartedError):
        project.record("./script")
    assert observer.calls[-1] == "stop"


@pytest.mark.skipif(not is_root, reason="fanotify needs root")
def test_as_root_a_plain_executable_is_seen(project: Project) -> None:
    project.write("data.txt")
    recording = project.record("sh", "-c", "cat data.txt > out.txt", observe="auto")
    if "fanotify" not in recording.observers:
        pytest.skip("fanotify does not start here")
    assert project.names(recording.reads) == {"data.txt"}
    assert project.names(recording.writes) == {"out.txt"}
    assert recording.unseen == ()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_sees_a_python_without_the_recorder(project: Project) -> None:
    project.write("data.txt")
    project.write("step.py", "open('data.txt').read(); raise SystemExit(4)")
    try:
        recording = project.record(PYTHON, "-I", "step.py", observe="strace")
    except EnvironmentFailureError:
        pytest.skip("strace may not trace here")
    assert recording.exit_code == 4
    assert project.names(recording.reads) == {"data.txt", "step.py"}
    assert any("its seeds, flags and libraries were not seen" in t for t in recording.unseen)
    assert not any("files that it opened" in text for text in recording.unseen)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_a_traced_command_as_it_does_without_strace(
    project: Project, number: signal.Signals
) -> None:
    project.write(
        "step.py",
        "import os, time\nopen('part', 'w').write(str(os.getpid()))\nos.rename('part', 'ready')\n"
        "time.sleep(60)\n",
    )

    def send() -> None:
        while not (ready := project.root / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid() if number == signal.SIGTERM else int(ready.read_text()), number)

    threading.Thread(target=send, daemon=True).start()
    try:
        recording = project.record(PYTHON, "step.py", observe="strace")
    except EnvironmentFailureError:
        pytest.skip("strace may not trace here")
    assert recording.signal == number
    assert "step.py" in project.names(recording.reads)
