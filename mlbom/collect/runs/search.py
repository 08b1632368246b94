"""Find the records: files that are named, and what lies below folders, bounded and in order."""

import os
from collections.abc import Iterator
from pathlib import Path

from mlbom.attest.bundle import SUFFIX
from mlbom.collect.runs.record import RECORD_NAMES, Record, read_record
from mlbom.errors import LimitError, PathNotFoundError, UnreadableError
from mlbom.guard import unicode_path

# A folder of runs holds a few files for each; more than this was not made by recording.
MAX_ENTRIES = 100_000
_MAX_DEPTH = 8
_SKIPPED = frozenset({".git", "node_modules", "__pycache__", "private"})


def find_records(
    named: tuple[Path, ...], default: Path
) -> Iterator[Record | tuple[str, UnreadableError]]:
    """Yield every record, and the place of each file that should be one and cannot be read.

    Args:
        named: files and folders that the user names; absolute.
        default: the folder that is looked through when none is named; it may be missing.

    Raises:
        PathNotFoundError: a named place does not exist.
    """
    root = default.parent.parent
    if not named:
        yield from _below(default, root) if default.is_dir() else ()
        return
    for place in named:
        if not os.path.lexists(place):
            message = f"no such record: {place}"
            raise PathNotFoundError(message, looked=[str(place)])
        if place.is_dir():
            yield from _below(place, root)
        else:
            yield from _record(place, root, expected=True)


def _below(folder: Path, root: Path) -> Iterator[Record | tuple[str, UnreadableError]]:
    try:
        for path in _files(folder):
            yield from _record(path, root, expected=path.name in RECORD_NAMES)
    except LimitError as error:
        yield _place(folder, root), error


def _record(
    path: Path, root: Path, *, expected: bool
) -> Iterator[Record | tuple[str, UnreadableError]]:
    place = _place(path, root)
    try:
        record = read_record(path, place, expected=expected)
    except UnreadableError as error:
        yield place, error
        return
    if record:
        yield record


def _files(folder: Path) -> Iterator[Path]:
    """Yield what may be a record, in bytewise order; links are not followed.

    Raises:
        LimitError: too many entries.
    """
    pending = [(folder, 0)]
    seen = 0
    while pending:
        here, depth = pending.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            message = f"cannot list a folder of records: {error.strerror or error}"
            raise LimitError(message) from error
        seen += len(entries)
        if seen > MAX_ENTRIES:
            message = f"more than {MAX_ENTRIES} entries: further records were not looked for"
            raise LimitError(message)
        below = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append((Path(entry.path), depth + 1))
            elif entry.name in RECORD_NAMES or entry.name.endswith(SUFFIX):
                yield Path(entry.path)
        if depth < _MAX_DEPTH:
            pending += [b for b in reversed(below) if b[0].name not in _SKIPPED]


def _place(path: Path, root: Path) -> str:
    """Return a path relative to the project, else its last two parts: no path of this host."""
    inside = path.is_relative_to(root)
    return unicode_path(path.relative_to(root).as_posix() if inside else "/".join(path.parts[-2:]))
