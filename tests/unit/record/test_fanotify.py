"""Tests of mlbom.record.observers.fanotify on this machine's kernel; they need root."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.errors import EnvironmentFailureError
from mlbom.record.observers.fanotify import FanotifyObserver
from mlbom.record.observers.fanotify_group import FanotifyGroup
from mlbom.record.observers.mounts import Mount, real_mounts
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.process_tree import ProcessTree
from mlbom.record.observers.written import WrittenFiles
from tests.unit.record.step import Project


def is_usable() -> bool:
    """Return whether this user and kernel have fanotify."""
    try:
        FanotifyGroup().close()
    except OSError:
        return False
    return True


needs_fanotify = pytest.mark.skipif(not is_usable(), reason="fanotify is for root on Linux")


def watch(
    argv: list[str], folder: Path, *, tree: ProcessTree | None = None, delay_s: float = 0.0
) -> Observed:
    """Run a command in a folder and return what was seen; `delay_s` before it is followed."""
    observer = FanotifyObserver(folder / ".mlbom", tree)
    observer.start()
    child = subprocess.Popen(observer.wrap(argv), cwd=folder)
    time.sleep(delay_s)
    observer.follow(child.pid)
    assert child.wait() == 0
    return observer.stop()


def shell(script: str, folder: Path, **settings: object) -> Observed:
    """Run a shell script."""
    return watch(["sh", "-c", script], folder, **settings)  # type: ignore[arg-type]


def names(paths: frozenset[str], folder: Path) -> set[str]:
    """Return the paths below a folder, relative to it."""
    return {os.path.relpath(path, folder) for path in paths if path.startswith(f"{folder}/")}


def python(code: str, folder: Path) -> Observed:
    """Run Python code."""
    return watch([sys.executable, "-S", "-c", code], folder)


@needs_fanotify
def test_reads_and_writes_of_a_tree_of_processes(tmp_path: Path) -> None:
    for name in ("input", "second", "neighbour"):
        (tmp_path / name).write_text(name)
    seen = shell("cat input | cat > out; (setsid sh -c 'cat second > late' &); sleep 0.3", tmp_path)
    assert names(seen.reads, tmp_path) == {"input", "second"}
    assert names(seen.writes, tmp_path) == {"out", "late"}
    assert seen.unseen == ()


@needs_fanotify
def test_other_processes_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("x")
    (tmp_path / "ours").write_text("x")
    observer = FanotifyObserver(tmp_path / ".mlbom")
    observer.start()
    child = subprocess.Popen(["sh", "-c", "read go; cat ours"], cwd=tmp_path, stdin=subprocess.PIPE)
    observer.follow(child.pid)
    subprocess.run(["cat", "theirs"], cwd=tmp_path, check=True)
    (tmp_path / "ours").read_text()
    (tmp_path / "made").write_text("by this process")
    child.communicate(b"\n")
    seen = observer.stop()
    assert names(seen.reads, tmp_path) == {"ours"}
    assert names(seen.writes, tmp_path) == set()


@needs_fanotify
def test_what_was_opened_before_the_root_was_named(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("x")
    seen = shell("cat input", tmp_path, delay_s=0.2)
    assert names(seen.reads, tmp_path) == {"input"}


@needs_fanotify
def test_mapped_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mapped").write_bytes(b"x" * 8192)
    code = (
        "import mmap, os; fd = os.open('mapped', os.O_RDONLY);"
        "m = mmap.mmap(fd, 0, prot=mmap.PROT_READ); os.close(fd); m[5000]; os._exit(0)"
    )
    assert names(python(code, tmp_path).reads, tmp_path) == {"mapped"}


@needs_fanotify
def test_file_opened_for_both_is_read_when_it_is_and_written_when_it_changed(
    tmp_path: Path,
) -> None:
    for name in ("queried", "changed", "blind"):
        (tmp_path / name).write_text("content")
    time.sleep(0.02)
    code = (
        "open('queried', 'r+b', 0).read(4);"
        "f = open('changed', 'r+b', 0); f.read(2); f.write(b'x');"
        "open('blind', 'r+b', 0).write(b'x')"
    )
    seen = python(code, tmp_path)
    assert names(seen.reads, tmp_path) == {"queried", "changed"}
    assert names(seen.writes, tmp_path) == {"changed", "blind"}


@needs_fanotify
def test_temporary_name_becomes_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    code = (
        "import os, time; open('.tmp1', 'w').write('x'); open('.tmp1').read(); time.sleep(.2);"
        "os.rename('.tmp1', 'model'); open('scratch', 'w'); open('scratch').read();"
        "time.sleep(.2); os.unlink('scratch')"
    )
    seen = python(code, tmp_path)
    assert names(seen.writes, tmp_path) == {"model"}
    assert names(seen.reads, tmp_path) == set()


@needs_fanotify
def test_file_renamed_while_it_is_open_has_its_last_name(tmp_path: Path) -> None:
    code = (
        "import os, time; f = open('.tmp1', 'w'); time.sleep(.2); os.rename('.tmp1', 'model');"
        "f.write('x'); f.close()"
    )
    seen = python(code, tmp_path)
    assert names(seen.writes, tmp_path) == {"model"}
    assert names(seen.reads, tmp_path) == set()


@needs_fanotify
def test_input_that_the_step_removes_or_replaces(tmp_path: Path) -> None:
    for name in ("removed", "replaced"):
        (tmp_path / name).write_text("x")
    code = (
        "import os; open('removed').read(); os.unlink('removed');"
        "open('replaced').read(); open('new', 'w').write('y'); os.replace('new', 'replaced')"
    )
    seen = python(code, tmp_path)
    assert names(seen.reads, tmp_path) == {"removed", "replaced"}
    assert names(seen.writes, tmp_path) == {"replaced"}


@needs_fanotify
def test_pipes_directories_and_the_runs_own_folder_are_no_files_of_the_step(tmp_path: Path) -> None:
    (tmp_path / ".mlbom").mkdir()
    os.mkfifo(tmp_path / "pipe")
    seen = shell(
        "ls; cat pipe & echo x > pipe; echo x > .mlbom/log; cat .mlbom/log; wait", tmp_path
    )
    assert names(seen.reads | seen.writes, tmp_path) == set()


@needs_fanotify
def test_any_name_is_read(tmp_path: Path) -> None:
    hostile = [b'a"b', b"new\nline", b"x (deleted)", b"\xff", b"-", b"\xd8\xa7"]
    for name in hostile:
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).write_text("x")
    seen = shell('cat < ./-; for f in ./*; do cat "$f"; done', tmp_path)
    assert names(seen.reads, tmp_path) == {os.fsdecode(name) for name in hostile}


@needs_fanotify
def test_thousands_of_small_files_are_all_seen(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / str(number)).write_bytes(b"x")
    code = "[open(str(n), 'rb').read() for n in range(3000)]"
    seen = python(code, tmp_path)
    assert len(names(seen.reads, tmp_path)) == 3000
    assert seen.unseen == ()


@needs_fanotify
def test_short_lived_processes_without_the_connector(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"x")
    tree = ProcessTree(use_connector=False)
    seen = shell("for n in $(seq 0 49); do cat $n; done", tmp_path, tree=tree)
    told = names(seen.reads, tmp_path)
    # None is invented; one that cannot be told is counted.
    assert told <= {str(number) for number in range(50)}
    assert len(told) == 50 or seen.unseen


@needs_fanotify
def test_orphan_without_the_connector_is_told_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("x")
    tree = ProcessTree(use_connector=False)
    seen = shell("(setsid sh -c 'sleep 0.2; cat input' &); sleep 0.5", tmp_path, tree=tree)
    assert names(seen.reads, tmp_path) == set()
    (sentence,) = seen.unseen
    assert "ended before it could be told" in sentence


@needs_fanotify
def test_file_system_mounted_by_the_step_is_told(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    script = "mount -t tmpfs none mnt && echo x > mnt/file && cat mnt/file; sleep 0.1"
    seen = watch(["unshare", "-m", "sh", "-c", script], tmp_path)
    assert any("mounted file systems for themselves" in sentence for sentence in seen.unseen)


@needs_fanotify
def test_file_system_that_cannot_be_watched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Mount("0:0", str(tmp_path / "gone"), "nfs")
    monkeypatch.setattr(
        "mlbom.record.observers.fanotify.real_mounts", lambda: [*real_mounts(), gone]
    )
    seen = shell(":", tmp_path)
    assert seen.unseen == (
        f"files below {tmp_path}/gone (nfs) were not watched: No such file or directory",
    )


@needs_fanotify
def test_lost_events_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse: Callable[[FanotifyGroup], None] = lambda _: (_ for _ in ()).throw(OSError(24, "full"))  # noqa: E731
    observer = FanotifyObserver(tmp_path)
    observer.start()
    monkeypatch.setattr(FanotifyGroup, "events", refuse)
    child = subprocess.Popen(["true"])
    observer.follow(child.pid)
    child.wait()
    seen = observer.stop()
    assert any(sentence.startswith("fanotify lost events") for sentence in seen.unseen)


@needs_fanotify
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_watch_that_broke_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observer = FanotifyObserver(tmp_path)
    monkeypatch.setattr(observer, "_take_batch", lambda: 1 // 0)
    observer.start()
    child = subprocess.Popen(["true"])
    observer.follow(child.pid)
    child.wait()
    seen = observer.stop()
    assert "fanotify ended before the step did: files may be missing" in seen.unseen


def test_without_fanotify_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: FanotifyGroup) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(FanotifyGroup, "__init__", refuse)
    with pytest.raises(EnvironmentFailureError, match="not permitted") as caught:
        FanotifyObserver(tmp_path).start()
    assert "--observe hook" in caught.value.hint


@needs_fanotify
def test_user_without_rights_gets_the_error(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from mlbom.record.observers.fanotify import *\n"
        "from mlbom.errors import EnvironmentFailureError\n"
        "os.setuid(65534)\n"
        "try: FanotifyObserver(Path('/')).start()\n"
        "except EnvironmentFailureError as error: sys.exit(error.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"fanotify cannot be used: Operation not permitted" in done.stderr


def test_mounts_that_hold_files(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 27 0:21 / /proc rw - proc proc rw\n"
        "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
        "28 27 254:0 /home /home rw - ext4 /dev/vda rw\n"
        "29 27 0:27 / /mnt/a\\040b\\134c rw - tmpfs none rw\n"
    )
    assert real_mounts(str(table)) == [
        Mount("254:0", "/", "ext4"),
        Mount("0:27", "/mnt/a b\\c", "tmpfs"),
    ]


def test_file_that_was_there_and_is_not_changed_is_not_written(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text("x")
    time.sleep(0.05)
    written = WrittenFiles()
    (tmp_path / "new").write_text("y")
    for name in ("old", "new", "gone"):
        written.note(str(tmp_path / name))
    assert written.settle() == {str(tmp_path / "new")}


@needs_fanotify
def test_what_others_write_meanwhile_is_not_the_steps(project: Project) -> None:
    theirs = project.root / "theirs.txt"

    def write() -> None:
        while not (project.root / "a/ready").exists():
            time.sleep(0.01)
        theirs.write_text("1")

    (project.root / "a").mkdir()
    (project.root / "b").mkdir()
    project.write("old")
    other = threading.Thread(target=write)
    other.start()
    recording = project.run(
        "import os, time\nos.rename('old', 'published')\nopen('a/tmp', 'w').write('1'); os.rename('a/tmp', 'b/moved')\n"
        "open('a/ready', 'w').close()\nwhile not os.path.exists('theirs.txt'): time.sleep(0.01)\n",
        observe="fanotify",
    )
    other.join()
    assert {"b/moved", "a/ready", "published"} <= project.names(recording.writes)
    # Where the watch was not whole, nothing that changed is left out.
    is_whole = not [text for text in recording.unseen if "fanotify" in text]
    assert ("theirs.txt" in project.names(recording.writes)) != is_whole
    assert bool([text for text in recording.unseen if text.startswith("1 files of")]) == is_whole
