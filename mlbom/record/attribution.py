"""What a step read and what it made, from what was opened and from the files before and after."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mlbom.record.observers.observer import Observed
from mlbom.record.own_files import OwnFiles
from mlbom.record.snapshot import Snapshot, Stamp, is_watched, stamp_of
from mlbom.record.trace import Trace

# A file stamped by the clock of another host may seem a little younger than the end of the step.
_CLOCKS_DIFFER_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """The files of a step; absolute paths, links resolved, sorted. As in `Recording`."""

    reads: tuple[str, ...]
    overwritten: tuple[str, ...]
    writes: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that tells of the files of a step.

    Args:
        root: the project's folder, links resolved.
        own: tells inputs from the system's files.
        trace: what the Pythons told.
        observed: what an outside observer saw.
        declared: declared inputs as they were before, path -> stamp.
        outputs: declared outputs, links resolved.
        program: the command's own file, links resolved.
        before: files before the step.
        after: files after it.
        began_ns: what was written by the step is not older.
        ended_ns: when it had ended.
        is_seen_whole: whether an outside observer missed nothing, so that a file which it did not
            see the step write was changed by somebody else.
    """

    root: str
    own: OwnFiles
    trace: Trace
    observed: Observed
    declared: Mapping[str, Stamp]
    outputs: tuple[str, ...]
    program: str
    before: Snapshot
    after: Snapshot
    began_ns: int
    ended_ns: int
    is_seen_whole: bool = False

    def use(self) -> FileUse:
        """Return what the step read and made."""
        reads = dict.fromkeys(self.declared, True)
        modules = set()
        for opened, (stamp, is_module) in self._opened.items():
            was_there = opened in reads or self._was_there(opened, stamp)
            path = opened if was_there else self._origin(opened, stamp)
            if path is not None:
                reads[path] = True
                if is_module:
                    modules.add(path)
        return FileUse(
            reads=tuple(sorted(reads)),
            overwritten=tuple(sorted(filter(self._is_overwritten, reads))),
            writes=tuple(sorted(set(self._writes()))),
            modules=tuple(sorted(modules)),
        )

    @cached_property
    def _opened(self) -> dict[str, tuple[Stamp | None, bool]]:
        """Return real path -> what was found there (None: not known), whether it was run."""
        found: dict[str, tuple[Stamp | None, bool]] = {}
        resolver = _Resolver()
        for path, opened in self.trace.reads.items():
            real = resolver.resolve(path)
            if not self._is_own(path, real):
                stamp, was_module = found.get(real, (opened.stamp, False))
                oldest = min(stamp or opened.stamp, opened.stamp, key=lambda one: one.mtime_ns)
                found[real] = (oldest, opened.is_module or was_module)
        for path in self.observed.reads:
            if path not in found and not self._is_own(path, path):
                found[path] = (None, False)
        if not self._is_own(self.program, self.program):
            found.setdefault(self.program, (None, False))
        return found

    @cached_property
    def _seen_written(self) -> frozenset[str]:
        resolver = _Resolver()
        told = {resolver.resolve(path) for path in self.trace.writes}
        return frozenset(told | self.observed.writes)

    def _is_own(self, path: str, real: str) -> bool:
        """Return whether a file is nobody's input; a project may link to what lies elsewhere."""
        path = os.path.normpath(path)
        if self.own.holds(path):
            return True
        return not path.startswith(os.path.join(self.root, "")) and self.own.holds(real)

    def _was_there(self, path: str, stamp: Stamp | None) -> bool:
        """Return whether a file that was read was there before the step, as it was read."""
        known = self.before.files.get(path)
        if known is not None:
            return stamp is None or stamp.content == known.content
        if self.before.is_whole and is_watched(path, self.root):
            return False
        now = stamp_of(path)
        if now is None and path.startswith(os.path.join(tempfile.gettempdir(), "")):
            return False  # a temporary file that is gone
        stamp = stamp or now
        return stamp is not None and not self._is_of_step(path, stamp)

    def _origin(self, path: str, stamp: Stamp | None) -> str | None:
        """Return the name that a file had before the step, which gave it the one it was read by."""
        stamp = stamp or stamp_of(path)
        first = self._first_names.get(stamp.content) if stamp else None
        return None if first is None or self._is_own(first, first) else first

    @cached_property
    def _first_names(self) -> dict[tuple[int, int, int], str]:
        return {stamp.content: path for path, stamp in self.before.files.items()}

    def _is_of_step(self, path: str, stamp: Stamp) -> bool:
        """Return whether a file outside of the project was written while the step ran."""
        if self._is_recent(stamp.mtime_ns):
            return True
        # Unpacking and copying may keep old times.
        is_gone = not os.path.exists(path)
        return path in self._seen_written and (is_gone or self._is_recent(stamp.ctime_ns))

    def _is_recent(self, time_ns: int) -> bool:
        return self.began_ns <= time_ns <= self.ended_ns + _CLOCKS_DIFFER_NS

    def _is_overwritten(self, path: str) -> bool:
        """Return whether the bytes that the step read are gone."""
        stamp, _ = self._opened.get(path, (None, False))
        first = self.declared.get(path) or self.before.files.get(path) or stamp
        now = stamp_of(path)
        if first is None:
            # Seen from outside alone: what it was before is not known, only that it was touched.
            return now is None or now.ctime_ns >= self.began_ns
        return now != first or first.ctime_ns >= self.began_ns

    def doubtful_outputs(self) -> tuple[int, int]:
        """Return how many declared outputs are not there, and how many did not change."""
        missing = unchanged = 0
        for files in map(self._files_of, self.outputs):
            missing += not files
            unchanged += bool(files) and not any(map(self._is_changed, files))
        return missing, unchanged

    def _files_of(self, place: str) -> list[str]:
        """Return the files that are a place, or lie below it, after the step."""
        below = os.path.join(place, "")
        return [path for path in self.after.files if path == place or path.startswith(below)]

    def _is_changed(self, path: str) -> bool:
        return self.before.files.get(path) != self.after.files[path]

    @cached_property
    def unclaimed(self) -> frozenset[str]:
        """Return the files that changed, though the step was seen whole and did not write them."""
        if not self.is_seen_whole:
            return frozenset()
        declared = {path for place in self.outputs for path in self._files_of(place)}
        others = set(self.after.files) - self._seen_written - declared
        inodes = self.observed.written_inodes
        return frozenset(
            path
            for path in filter(self._is_changed, others)
            if self.after.files[path].inode not in inodes
        )

    def _writes(self) -> Iterable[str]:
        changed = filter(self._is_changed, self.after.files)
        yield from (path for path in changed if path not in self.unclaimed)
        for files in map(self._files_of, self.outputs):
            # What was declared and did not change is an output because the user says so.
            if not any(map(self._is_changed, files)):
                yield from files
        for path in self._seen_written:
            stamp = None if path in self.after.files else stamp_of(path)
            if stamp is None or self._is_ignored(path) or self.own.holds(path):
                continue
            if not self.own.is_cached(path) and self._is_of_step(path, stamp):
                yield path

    def _is_ignored(self, path: str) -> bool:
        """Return whether a file of the project was compared, or lies where nobody's product is."""
        if not path.startswith(os.path.join(self.root, "")):
            return False
        is_compared = self.before.is_whole and self.after.is_whole
        return is_compared or not is_watched(path, self.root)


class _Resolver:
    """Resolves links; the folder of many files is resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def resolve(self, path: str) -> str:
        """Return the path without links."""
        folder, name = os.path.split(path)
        if os.path.islink(path) or name in ("", os.curdir, os.pardir):
            return os.path.realpath(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        return os.path.join(real, name)
