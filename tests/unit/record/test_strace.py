"""Tests of mlbom.record.observers.strace and its log: lines of strace as data, and strace itself."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlbom.errors import EnvironmentFailureError
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.strace import StraceObserver
from mlbom.record.observers.strace_log import StraceLog

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def taken(lines: Iterable[str]) -> StraceLog:
    """Return what some lines of strace tell."""
    log = StraceLog()
    for line in lines:
        log.take(line.encode())
    return log


def observed(folder: Path, script: str, *, cwd: Path, expected: int = 0) -> Observed:
    """Run a shell script under strace, and return what was seen."""
    observer = StraceObserver(folder)
    observer.start()
    child = subprocess.Popen(observer.wrap(["sh", "-c", script]), cwd=cwd)
    observer.follow(child.pid)
    assert child.wait() == expected
    return observer.stop()


def test_result_names_the_file_and_the_flags_its_use(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("read", "both", "new", "trunc")}
    here = f"AT_FDCWD<{tmp_path}>"
    log = taken(
        [
            f'7 openat({here}, "read", O_RDONLY|O_CLOEXEC) = 3<{paths["read"]}>',
            f'7 openat({here}, "both", O_RDWR) = 3<{paths["both"]}>',
            f'7 openat2({here}, "new", {{flags=O_RDWR|O_CREAT|O_EXCL}}, 24) = 3<{paths["new"]}>',
            f'7 openat({here}, "trunc", O_RDWR|O_CREAT|O_TRUNC, 0666) = 3<{paths["trunc"]}>',
        ]
    )
    for path in paths.values():
        path.touch()
    assert log.reads() == {str(paths["read"]), str(paths["both"])}
    assert log.writes() == {str(paths[name]) for name in ("both", "new", "trunc")}


def test_call_told_in_two_halves(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.touch()
    log = taken(
        [
            f'7 openat(AT_FDCWD<{tmp_path}>, "input", O_RDONLY <unfinished ...>',
            '8 openat(AT_FDCWD</>, "gone", O_RDONLY <unfinished ...>',
            "7 +++ exited with 0 +++",
            "8 <... openat resumed>) = -1 ENOENT (No such file or directory)",
            f'9 openat(AT_FDCWD<{tmp_path}>, "input", O_RDONLY <unfinished ...>',
            f"9 <... openat resumed>)        = 3<{path}>",
        ]
    )
    assert log.reads() == {str(path)}
    assert (log.running, log.ended) == ({8, 9}, {7})


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        (r"a\"b", 'a"b'),
        (r"a\74b\76c", "a<b>c"),
        (r"\303\251\n\t\\", "é\n\t\\"),
        (") = 9", ") = 9"),
        (") = 9 x", ") = 9 x"),
        (r") = 9\74x\76", ") = 9<x>"),
        ("x (deleted)", "x (deleted)"),
        (r"\0011", "\x011"),
        (r"\377", "\udcff"),
    ],
)
def test_names_are_unescaped(tmp_path: Path, escaped: str, name: str) -> None:
    (tmp_path / name).touch()
    log = taken([f'7 openat(AT_FDCWD<{tmp_path}>, "x", O_RDONLY) = 3<{tmp_path}/{escaped}>'])
    assert log.reads() == {f"{tmp_path}/{name}"}


def test_name_that_looks_like_a_result(tmp_path: Path) -> None:
    log = taken(
        [
            '7 openat(AT_FDCWD</>, "x) = 3</etc/hostname>", O_RDONLY) = -1 ENOENT (No such file)',
            '7 openat(AT_FDCWD</>, "O_RDWR", O_PATH) = 3</etc/hostname>',
            '7 openat(AT_FDCWD</>, "/etc", O_RDONLY|O_DIRECTORY) = 3</etc>',
        ]
    )
    assert log.reads() == log.writes() == frozenset()


def test_renamed_output_has_its_last_name(tmp_path: Path) -> None:
    log = taken(
        [
            f'7 openat(AT_FDCWD<{tmp_path}>, "t", O_WRONLY|O_CREAT, 0666) = 3<{tmp_path}/t>',
            f'7 chdir("{tmp_path}/sub") = 0',
            "7 clone(child_stack=NULL, flags=SIGCHLD) = 8",
            '8 rename("../t", "out") = 0',
        ]
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "out").touch()
    assert log.writes() == {str(tmp_path / "sub" / "out")}


def test_temporary_file_that_was_read_again_is_no_input(tmp_path: Path) -> None:
    log = taken(
        [
            f'7 openat(AT_FDCWD<{tmp_path}>, "t", O_WRONLY|O_CREAT, 0666) = 3<{tmp_path}/t>',
            f'7 openat(AT_FDCWD<{tmp_path}>, "t", O_RDONLY) = 3<{tmp_path}/t>(deleted)',
            f'7 openat(AT_FDCWD<{tmp_path}>, "i", O_RDONLY) = 3<{tmp_path}/i>(deleted)',
            f'7 openat(AT_FDCWD<{tmp_path}>, "u", O_WRONLY|O_CREAT, 0666) = 3<{tmp_path}/u>',
            f'7 openat(AT_FDCWD<{tmp_path}>, "u", O_RDONLY) = 3<{tmp_path}/u>',
            f'7 renameat(AT_FDCWD<{tmp_path}>, "u", AT_FDCWD<{tmp_path}>, "v") = 0',
        ]
    )
    assert log.reads() == {str(tmp_path / "i")}


def test_what_strace_cannot_follow_is_noticed() -> None:
    log = taken(["7 unshare(CLONE_NEWNS) = -1 EPERM (Operation not permitted)"])
    assert (log.views_changed, log.rings_used) == (False, False)
    log = taken(
        [
            "7 unshare(CLONE_NEWNS) = 0",
            "7 io_uring_setup(8, {flags=0}) = 4<anon_inode:[io_uring]>",
        ]
    )
    assert (log.views_changed, log.rings_used) == (True, True)


def test_lines_that_are_not_understood_are_counted() -> None:
    log = taken(["", "garbage", "7 " + "x" * 70_000, "7 strace: remark", "7 openat("])
    assert log.skipped == 3
    assert log.reads() == frozenset()


@needs_strace
def test_reads_and_writes_of_a_tree_of_processes(tmp_path: Path) -> None:
    (tmp_path / "in put").write_text("x")
    (tmp_path / "neighbour").write_text("x")
    script = "cat 'in put' | cat > a; cd /; (setsid sh -c \"cp '$0/a' '$0/b\\\"<c>'\"); sleep 0.2"
    script = script.replace("$0", str(tmp_path))
    (tmp_path / "run").mkdir()
    seen = observed(tmp_path / "run", script, cwd=tmp_path)
    mine = {Path(path).name for path in seen.reads if path.startswith(str(tmp_path))}
    assert mine == {"in put", "a"}
    assert seen.writes == {str(tmp_path / "a"), str(tmp_path / 'b"<c>')}
    assert seen.unseen == ()
    assert list((tmp_path / "run").iterdir()) == []


@needs_strace
def test_program_and_its_interpreter_are_read(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n:\n")
    script.chmod(0o755)
    seen = observed(tmp_path, "./script", cwd=tmp_path)
    assert {str(script), os.path.realpath("/bin/sh")} <= seen.reads


@needs_strace
@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("kill -9 $$", -signal.SIGKILL), (":", 0)]
)
def test_status_is_that_of_the_command(tmp_path: Path, script: str, status: int) -> None:
    assert observed(tmp_path, script, cwd=tmp_path, expected=status).unseen == ()


@needs_strace
def test_signal_reaches_the_command_itself(tmp_path: Path) -> None:
    observer = StraceObserver(tmp_path)
    observer.start()
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print(flush=True);"
    argv = observer.wrap([sys.executable, "-c", code + "signal.pause()"])
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        observer.follow(child.pid)
        assert child.stdout
        child.stdout.readline()
        child.terminate()
        assert child.wait() == 5
    assert observer.stop().unseen == ()


@needs_strace
def test_process_that_runs_on_is_told(tmp_path: Path) -> None:
    seen = observed(tmp_path, "sleep 3 &", cwd=tmp_path)
    (sentence,) = seen.unseen
    assert sentence.startswith("1 processes still ran")


@needs_strace
def test_thread_that_starts_a_program(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("x")
    observer = StraceObserver(tmp_path)
    observer.start()
    code = (
        "import os, threading; threading.Thread(target=os.execvp, args=('cat', ['cat', 'input']))"
    )
    argv = [sys.executable, "-S", "-c", f"{code}.start()"]
    child = subprocess.Popen(observer.wrap(argv), cwd=tmp_path, stdout=subprocess.DEVNULL)
    observer.follow(child.pid)
    assert child.wait() == 0
    seen = observer.stop()
    assert str(tmp_path / "input") in seen.reads
    assert seen.unseen == ()


@needs_strace
def test_command_that_never_started_is_told(tmp_path: Path) -> None:
    observer = StraceObserver(tmp_path)
    observer.start()
    child = subprocess.Popen(observer.wrap(["./missing"]), cwd=tmp_path, stderr=subprocess.DEVNULL)
    observer.follow(child.pid)
    assert child.wait() == 1
    assert observer.stop().unseen == (
        "strace did not tell the end of the step: files may be missing",
    )


def test_strace_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailureError, match="not installed") as caught:
        StraceObserver(tmp_path).start()
    assert "--observe hook" in caught.value.hint


def test_strace_of_the_working_directory_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoy = tmp_path / "strace"
    decoy.write_text("#!/bin/sh\ntouch started\n")
    decoy.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    with pytest.raises(EnvironmentFailureError, match="not installed"):
        StraceObserver(tmp_path).start()
    assert not (tmp_path / "started").exists()


def test_strace_that_may_not_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "strace"
    program.write_text("#!/bin/sh\necho 'strace: ptrace: Operation not permitted' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(EnvironmentFailureError, match="Operation not permitted"):
        StraceObserver(tmp_path).start()
