"""The output directory: the old set or the new set, at every moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlbom import outdir
from mlbom.errors import LockedError, OutputError, UsageError
from mlbom.outdir import check_output, project_lock, replace_directory

OLD = {"evidence.json": b"old", "a/b": b"old"}
NEW = {"evidence.json": b"new", "c": b"new"}


def content(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_is_replaced_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(outdir, "_rename_exchange", lambda *_: False)
    target = tmp_path / "new" / "out"
    replace_directory(target, OLD)
    assert content(target) == OLD
    replace_directory(target, NEW)
    assert content(target) == NEW
    assert os.listdir(target.parent) == ["out"]


# NEW is two files and a folder: three times something is forced to disk before the exchange.
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_fault_at_any_write_leaves_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    target = tmp_path / "out"
    replace_directory(target, OLD)
    calls = {"left": step}
    real = os.fsync

    def failing(descriptor: int) -> None:
        calls["left"] -= 1
        if calls["left"] == 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OutputError, match="No space left"):
        replace_directory(target, NEW)
    assert content(target) == OLD
    assert os.listdir(tmp_path) == ["out"]


def test_a_killed_fallback_exchange_is_recovered(tmp_path: Path) -> None:
    target = tmp_path / "out"
    replace_directory(target, OLD)
    target.rename(tmp_path / ".out.mlbom-old")
    (tmp_path / ".out.mlbom-new").mkdir()
    replace_directory(target, NEW)
    assert content(target) == NEW
    assert os.listdir(tmp_path) == ["out"]


KILLED = """
import sys
from pathlib import Path
from mlbom.outdir import replace_directory
print("ready", flush=True)
n = 0
while True:
    n += 1
    replace_directory(Path(sys.argv[1]), {f"{i}": str(n).encode() for i in range(20)})
"""


def test_kill_at_any_moment_leaves_one_whole_set(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for round_ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        child.stdout.readline()
        time.sleep(0.005 + 0.0137 * round_)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if target.exists():
            found = content(target)
            assert len(found) == 20
            assert len(set(found.values())) == 1


def test_somebody_elses_directory_is_never_replaced(tmp_path: Path) -> None:
    thesis, project = tmp_path / "thesis", tmp_path / "project"
    thesis.mkdir()
    project.mkdir()
    (thesis / "thesis.tex").write_text("years of work")
    for mark in ("", "{}", '{"gaps":[],"schema":"urn:mlbom:evidence:1"}\n'):
        (thesis / "evidence.json").write_text(mark)
        with pytest.raises(UsageError, match="did not write"):
            check_output(thesis, [project])
    (tmp_path / "link").symlink_to(thesis)
    with pytest.raises(OutputError):
        check_output(tmp_path / "link", [project])
    for holds in (project, tmp_path):
        with pytest.raises(UsageError, match="to be inspected"):
            check_output(holds, [project])
    check_output(tmp_path / "not-there-yet", [project])


def test_links_in_the_projects_own_folder_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / ".mlbom"
    folder.mkdir()
    (folder / "lock").symlink_to(victim)
    with project_lock(folder) as writable:
        assert not writable
    (folder / "lock").unlink()
    (folder / ".gitignore").unlink(missing_ok=True)
    (folder / ".gitignore").symlink_to(tmp_path / "dangling")
    (folder / "private").symlink_to(tmp_path)
    with project_lock(folder) as writable:
        assert writable
        with pytest.raises(OSError, match="private is a link"):
            outdir.write_whole(folder / "private" / "victim", b"overwritten")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with project_lock(folder) as writable:
        assert not writable
    assert victim.read_text() == "precious"
    assert not (tmp_path / "dangling").exists()


def test_what_a_killed_run_leaves_lies_in_the_staging_folder(tmp_path: Path) -> None:
    staging = tmp_path / ".mlbom"
    staging.mkdir()
    (staging / ".out.mlbom-new").mkdir()
    (staging / ".out.mlbom-new" / "half").write_text("x")
    replace_directory(tmp_path / "out", NEW, staging)
    assert content(tmp_path / "out") == NEW
    assert sorted(os.listdir(tmp_path)) == [".mlbom", "out"]
    assert os.listdir(staging) == []


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / ".mlbom"
    with project_lock(folder) as writable:
        assert writable
        with pytest.raises(LockedError, match=str(os.getpid())), project_lock(folder):
            pass
    with project_lock(folder):
        pass
    assert (folder / ".gitignore").is_file()


def test_a_folder_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with project_lock(tmp_path / "file" / ".mlbom") as writable:
        assert not writable


def test_a_fallback_exchange_that_fails_brings_the_old_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    replace_directory(target, OLD)
    real = Path.rename

    def failing(self: Path, other: Path) -> Path:
        if self.name.endswith("-new"):
            raise OSError(5, "Input/output error")
        return real(self, other)

    monkeypatch.setattr(outdir, "_rename_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError):
        replace_directory(target, NEW)
    assert content(target) == OLD


def test_different_paths_have_different_file_names() -> None:
    names = [outdir.file_name(p) for p in ("a/b", "a-b", "a.b", ".", "model", "a b", "a//b")]
    assert len(set(names)) == len(names)
    assert outdir.file_name("a.safetensors") == "a.safetensors"
