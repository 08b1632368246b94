"""Files into a sandbox and out of it, and its folder: found again, locked, removed."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlbom.errors import EnvironmentFailureError, LimitError
from mlbom.record.child import MARK
from mlbom.reproduce.sandbox.files import (
    copy_in,
    copy_project,
    find_file,
    remove_tree,
    take_out,
)
from mlbom.reproduce.sandbox.ground import open_ground, remove_abandoned


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    folder.mkdir()
    return folder


def test_a_file_is_copied_with_its_mode_and_takes_the_place_of_another(
    root: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.write_bytes(bytes(range(256)) * 10_000)
    given.chmod(0o755)
    (root / "a").mkdir()
    (root / "a" / "f").symlink_to("/etc/passwd")
    copy_in(root, "a/f", given)
    assert (root / "a" / "f").read_bytes() == given.read_bytes()
    assert not (root / "a" / "f").is_symlink()
    assert stat.S_IMODE((root / "a" / "f").stat().st_mode) == 0o755


def test_a_copy_that_the_kernel_cannot_make_is_made_by_us(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "another device")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    given = tmp_path / "given"
    given.write_bytes(b"x" * 3_000_001)
    copy_in(root, "f", given)
    assert (root / "f").read_bytes() == given.read_bytes()


def test_a_file_of_another_file_system_is_copied(root: Path) -> None:
    copy_in(root, "f", Path("/proc/self/status"))
    assert b"Name:" in (root / "f").read_bytes()


def test_a_folder_is_copied_with_what_its_links_lead_to(root: Path, tmp_path: Path) -> None:
    """As a cache of a hub has it: names that are links to blobs; and a loop."""
    data = tmp_path / "data"
    (data / "blobs").mkdir(parents=True)
    (data / "blobs" / "1").write_text("one")
    (data / "snapshot").mkdir()
    (data / "snapshot" / "model.bin").symlink_to("../blobs/1")
    (data / "loop").symlink_to(data)
    (tmp_path / "link").symlink_to(data)
    copy_in(root, "in", tmp_path / "link")
    assert (root / "in" / "snapshot" / "model.bin").read_text() == "one"
    assert not (root / "in" / "snapshot" / "model.bin").is_symlink()
    assert not (root / "in" / "loop").exists()


@pytest.mark.parametrize("kind", ["missing", "pipe", "folder in the way"])
def test_what_cannot_be_copied_is_a_coded_error(root: Path, tmp_path: Path, kind: str) -> None:
    given = tmp_path / "given"
    if kind == "pipe":
        os.mkfifo(given)
    elif kind == "folder in the way":
        given.write_text("1")
        (root / "in").write_text("a file where a folder is needed")
    name = "in/f" if kind == "folder in the way" else "f"
    with pytest.raises(EnvironmentFailureError, match=f"cannot copy the input {name}"):
        copy_in(root, name, given)


def test_a_project_is_copied_without_repository_and_environment(root: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("a/f", ".git/config", ".venv/x", "a/__pycache__/y", ".mlbom/z"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (project / "link").symlink_to("a")
    os.mkfifo(project / "pipe")
    copy_project(project, root / "copy")
    assert sorted(p.relative_to(root / "copy").as_posix() for p in (root / "copy").rglob("*")) == [
        "a",
        "a/f",
        "link",
    ]
    assert os.readlink(root / "copy" / "link") == "a"


def test_a_file_is_taken_out_of_closed_folders(root: Path, tmp_path: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "w.pt").write_text("1")
    (root / "a" / "w.pt").chmod(0)
    (root / "a").chmod(0)
    taken = take_out(root, "a/w.pt", tmp_path / "kept")
    assert taken == tmp_path / "kept" / "a" / "w.pt"
    assert taken.read_text() == "1"
    assert find_file(root, "a/w.pt") is None
    assert take_out(root, "a", tmp_path / "kept") is None
    assert take_out(root, "", tmp_path / "kept") is None


def test_a_file_of_holes_is_not_taken_out(root: Path, tmp_path: Path) -> None:
    with (root / "w.pt").open("wb") as stream:
        stream.truncate(1001)
    with pytest.raises(LimitError, match=r"w\.pt was not kept: 1001 bytes, 1000 are allowed"):
        take_out(root, "w.pt", tmp_path / "kept", 1000)
    assert not list((tmp_path / "kept").iterdir())
    assert take_out(root, "w.pt", tmp_path / "kept", 1001)


def test_removing_follows_no_link(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "f").write_text("1")
    (root / "link").symlink_to(kept)
    (root / "a").mkdir()
    (root / "a" / "up").symlink_to("../..")
    remove_tree(root)
    assert not root.exists()
    assert (kept / "f").read_text() == "1"
    remove_tree(root)


def test_equal_keys_give_equal_paths_one_after_another(root: Path) -> None:
    with open_ground(root, "key", root / "trace") as first:
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        with open_ground(root, "key", root / "trace") as meanwhile:
            assert meanwhile != first
        assert first.exists()
    with open_ground(root, "key", root / "trace") as second:
        assert second == first
    with open_ground(root, "other", root / "trace") as third:
        assert third != first
    assert not list(root.iterdir())


def test_a_ground_goes_with_an_exception(root: Path) -> None:
    def fill() -> None:
        with open_ground(root, "key", root) as ground:
            (ground / "f").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert not list(root.iterdir())


def test_no_place_for_it_is_a_coded_error(root: Path) -> None:
    ground = open_ground(root / "missing", "key", root)
    with pytest.raises(EnvironmentFailureError, match="cannot make a sandbox"):
        ground.__enter__()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_the_dead_have_left_is_removed_and_the_living_are_left_alone(root: Path) -> None:
    """The lock tells them apart; what still runs in an abandoned sandbox is ended."""
    trace = root / "trace"
    with open_ground(root, "living", root / "other") as living:
        abandoned = living.with_name(living.name[:-12] + "0" * 12)
        abandoned.mkdir()
        (abandoned / "lock").write_text(str(trace))
        foreign = root / "mlbom-sandbox-other-user"
        foreign.mkdir()
        environment = {**os.environ, MARK: str(trace)}
        with subprocess.Popen(["sleep", "60"], env=environment) as left:
            time.sleep(0.1)
            remove_abandoned(root)
            assert left.wait(5) < 0
        assert living.exists()
        assert foreign.exists()
        assert not abandoned.exists()


def test_a_folder_without_its_lock_gets_time(root: Path) -> None:
    """Somebody may be about to lock it."""
    with open_ground(root, "key", root) as ground:
        fresh = ground.with_name(ground.name[:-12] + "0" * 12)
    fresh.mkdir()
    remove_abandoned(root)
    assert fresh.exists()
