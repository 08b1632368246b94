"""Walk a directory tree in bytewise path order without ever following a link."""

import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class EntryKind(StrEnum):
    """What a directory entry is. Only files have bytes that a walk may open."""

    FILE = "file"
    LINK = "link"
    SPECIAL = "special"
    SKIPPED = "skipped"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a walked tree.

    Args:
        path: POSIX path relative to the root; bytes that are not UTF-8 are surrogate-escaped.
        kind: what it is; special is a device, pipe or socket, skipped is on the ignore list.
        nbytes: size of a file in bytes, else 0.
        target: the text of a link, else empty.
    """

    path: str
    kind: EntryKind
    nbytes: int = 0
    target: str = ""

    @property
    def location(self) -> str:
        """Return the path to open, relative to the root: the blob for a file of a hub cache."""
        if not self.target:
            return self.path
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.target))


_HUB_SNAPSHOT = re.compile(r"(models|datasets)--(.+)/snapshots/([0-9a-f]{40})")


def hub_snapshot(root: Path) -> tuple[str, str] | None:
    """Return (repository id, commit) when a directory is a snapshot of a Hugging Face cache.

    There every file is a link `../../blobs/DIGEST`, the one kind of link that leads out of a root
    and is still followed.
    """
    match = _HUB_SNAPSHOT.fullmatch("/".join(root.parts[-3:]))
    return (match[2].replace("--", "/"), match[3]) if match else None


def walk_files(root: Path, ignored: Callable[[str], bool] = lambda _path: False) -> Iterator[Entry]:
    """Walk as `walk` does, with the links of a hub cache snapshot shown as the files they mean."""
    in_hub_cache = hub_snapshot(root) is not None
    for entry in walk(root, ignored):
        yield _blob_behind(root, entry) if in_hub_cache else entry


def file_at(root: Path, path: str) -> Entry | None:
    """Return the regular file at a path below a root, or None; links as in `walk_files`.

    Args:
        root: the directory.
        path: POSIX path relative to it, of one component or more.
    """
    place = os.path.join(root, path)
    try:
        if os.path.islink(place):
            entry = Entry(path, EntryKind.LINK, target=os.readlink(place))
            entry = _blob_behind(root, entry) if hub_snapshot(root) else entry
        else:
            status = os.lstat(place)
            regular = stat.S_ISREG(status.st_mode)
            entry = Entry(path, EntryKind.FILE if regular else EntryKind.SPECIAL, status.st_size)
    except OSError:
        return None
    return entry if entry.kind is EntryKind.FILE else None


def _blob_behind(root: Path, entry: Entry) -> Entry:
    """Return the file that a link of a hub cache stands for; any other entry as it is."""
    if entry.kind is not EntryKind.LINK:
        return entry
    location = os.path.normpath(root / entry.location)
    blobs = os.path.normpath(root / "../../blobs")
    if os.path.dirname(location) != blobs or not os.path.isfile(location):
        return entry
    return Entry(entry.path, EntryKind.FILE, os.lstat(location).st_size, entry.target)


def walk(root: Path, ignored: Callable[[str], bool] = lambda _path: False) -> Iterator[Entry]:
    """Yield every entry that is not a directory, in bytewise order of the POSIX path.

    Directories sort as if their name ended in `/`, which makes a depth-first walk come out in
    global path order. Memory grows with the largest directory, not with the tree.

    Args:
        root: the directory to walk.
        ignored: decides by root-relative path; what is ignored is yielded once as `SKIPPED`.
    """
    pending = _listing(os.fspath(root), "")
    stack = [pending]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            continue
        path, entry = item
        if entry is None:
            yield Entry(path, EntryKind.UNREADABLE)
        elif ignored(path):
            yield Entry(path, EntryKind.SKIPPED)
        elif entry.is_dir(follow_symlinks=False):
            stack.append(_listing(entry.path, path + "/"))
        else:
            yield _entry(path, entry)


def _listing(directory: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str] | None]]:
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=_order)
    except OSError:
        yield prefix.rstrip("/"), None
        return
    for entry in entries:
        yield prefix + entry.name, entry


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def _entry(path: str, entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_symlink():
            return Entry(path, EntryKind.LINK, target=os.readlink(entry.path))
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return Entry(path, EntryKind.UNREADABLE)
    if stat.S_ISREG(status.st_mode):
        return Entry(path, EntryKind.FILE, status.st_size)
    return Entry(path, EntryKind.SPECIAL)
