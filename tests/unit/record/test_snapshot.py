"""Files before and after."""

import os
from pathlib import Path

import pytest

from mlbom.record.snapshot import await_tick, is_watched, stamp_of, take_snapshot


def test_regular_files_are_taken_and_no_link_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a", "d/b", ".git/c", "d/.venv/e", "x/__pycache__/f", "g/.mlbom/h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("1")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(root / "a")
    (root / "nowhere").symlink_to("missing")
    (root / "loop").symlink_to(root)
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe")
    snapshot = take_snapshot([str(root), str(root / "missing"), str(root / "a")])
    assert set(snapshot.files) == {str(root / "a"), str(root / "d/b")}
    assert snapshot.link_count == 2
    assert snapshot.is_whole
    assert all(is_watched(path, str(root)) for path in snapshot.files)
    assert not is_watched(str(root / ".git/c"), str(root))
    assert not is_watched(str(tmp_path / "rooted"), str(root))


def test_more_files_than_are_kept_is_said(tmp_path: Path) -> None:
    for folder in "abc":
        (tmp_path / folder).mkdir()
        for name in range(4):
            (tmp_path / folder / str(name)).touch()
    assert not take_snapshot([str(tmp_path)], most=5).is_whole


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root lists all")
def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert take_snapshot([str(tmp_path)]).unreadable_count == 1


def test_a_file_written_after_the_tick_is_not_older_than_it(tmp_path: Path) -> None:
    for _ in range(20):
        (tmp_path / "before").write_text("1")
        tick = await_tick(tmp_path)
        (tmp_path / "after").write_text("1")
        before, after = stamp_of(str(tmp_path / "before")), stamp_of(str(tmp_path / "after"))
        assert before is not None
        assert after is not None
        assert before.mtime_ns < tick <= after.mtime_ns
    assert sorted(os.listdir(tmp_path)) == ["after", "before"]
