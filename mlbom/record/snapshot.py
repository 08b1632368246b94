"""Which regular files lie in some folders, and how to tell later which of them have changed."""

import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Folders whose files are nobody's product: repositories, environments, compiled sources.
IGNORED = frozenset({".git", ".mlbom", ".venv", "venv", "__pycache__", "node_modules"})
_MOST_FILES = 2_000_000
_TICK_S = 0.001
_MOST_TICKS = 2000


class Stamp(NamedTuple):
    """What changes when a file is written: its inode, size and times.

    A program can set the time of modification back, and never that of change (stat(2)); the time
    of change alone moves too when a file is renamed, linked, or given another mode.
    """

    inode: int
    nbytes: int
    mtime_ns: int
    ctime_ns: int

    @property
    def content(self) -> tuple[int, int, int]:
        """Return what stays when a file is renamed, linked, or given another mode."""
        return self.inode, self.nbytes, self.mtime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The regular files of some folders at one moment; no link was followed.

    Args:
        files: absolute path -> stamp.
        link_count: links to folders; what lies behind them is not in `files`.
        unreadable_count: folders that could not be listed.
        is_whole: False when there were more files than are kept.
    """

    files: Mapping[str, Stamp]
    link_count: int = 0
    unreadable_count: int = 0
    is_whole: bool = True


def take_snapshot(places: Iterable[str], most: int = _MOST_FILES) -> Snapshot:
    """Return the regular files that are some places, or lie below them.

    Args:
        places: absolute paths of files and folders, links resolved; missing ones hold nothing.
        most: files that are kept.
    """
    files: dict[str, Stamp] = {}
    links = unreadable = 0
    open_folders = []
    for place in places:
        if stamp := stamp_of(place):
            files[place] = stamp
        elif os.path.isdir(place):
            open_folders.append(place)
    while open_folders and len(files) <= most:
        try:
            with os.scandir(open_folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in IGNORED:
                            open_folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        files[entry.path] = _stamp(entry.stat(follow_symlinks=False))
                    else:
                        links += entry.is_symlink() and os.path.isdir(entry.path)
        except OSError:
            unreadable += 1
    return Snapshot(
        files=files,
        link_count=links,
        unreadable_count=unreadable,
        is_whole=not open_folders,
    )


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of a regular file; None for a link, a folder, or what is not there."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return _stamp(status) if stat.S_ISREG(status.st_mode) else None


def is_watched(path: str, root: str) -> bool:
    """Return whether a snapshot of `root` would hold a file of this path."""
    if not path.startswith(os.path.join(root, "")):
        return False
    return IGNORED.isdisjoint(path[len(root) :].split(os.sep)[:-1])


def await_tick(folder: Path) -> int:
    """Return a time of the file system's own clock that later changes will not be older than.

    File systems stamp with a clock of some milliseconds; this waits until it has moved on, so that
    a file changed before the call has an older time than one changed after it.

    Args:
        folder: where a file can be touched.

    Returns:
        Nanoseconds since 1970.

    Raises:
        OSError: the folder cannot be written.
    """
    marker = folder / ".clock"
    try:
        marker.touch()
        first = marker.stat().st_mtime_ns
        for _ in range(_MOST_TICKS):
            time.sleep(_TICK_S)
            marker.touch()
            if (now := marker.stat().st_mtime_ns) > first:
                return now
        return first
    finally:
        marker.unlink(missing_ok=True)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
