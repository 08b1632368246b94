"""Files that were opened for writing, and what became of them."""

import os
import stat
import time

# The clock that local file systems stamp files with (clock_gettime(2)); it ticks every few ms.
_CLOCK_REALTIME_COARSE = 5


class WrittenFiles:
    """Notes the files that a step opens for writing, and tells in the end which it changed.

    A library often writes under a temporary name and renames: a file is found again by its inode,
    in the folder where it was written.
    """

    def __init__(self) -> None:
        self._since_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        self._noted: dict[str, tuple[int, int] | None] = {}
        self._given_up: set[str] = set()
        self._folders: dict[str, dict[int, str]] = {}

    def note(self, path: str, identity: tuple[int, int] | None = None) -> None:
        """Remember a file.

        Args:
            path: absolute.
            identity: its device and inode, when they are known.
        """
        self._noted[path] = identity

    def rename(self, old: str, new: str) -> None:
        """Follow a file that was noted to its new name."""
        if old in self._noted:
            self._noted[new] = self._noted.pop(old)
            self._given_up.add(old)

    @property
    def names(self) -> frozenset[str]:
        """Return every name that was noted, also those that were given up."""
        return frozenset(self._noted) | self._given_up

    @property
    def identities(self) -> frozenset[tuple[int, int]]:
        """Return the device and inode of every file that was noted with them."""
        return frozenset(identity for identity in self._noted.values() if identity is not None)

    def settle(self) -> frozenset[str]:
        """Return the absolute paths of the regular files that are there and were changed.

        A file that was only opened for both, as a database that is queried, is not one of them.
        """
        settled = (self._find(path, identity) for path, identity in self._noted.items())
        return frozenset(path for path in settled if path is not None and self._is_changed(path))

    def _find(self, path: str, identity: tuple[int, int] | None) -> str | None:
        status = _status(path)
        if status is not None and identity in (None, (status.st_dev, status.st_ino)):
            return path
        if identity is None:
            return None
        folder = os.path.dirname(path)
        name = self._names_in(folder).get(identity[1])
        found = os.path.join(folder, name) if name else None
        status = _status(found) if found else None
        return found if status and (status.st_dev, status.st_ino) == identity else None

    def _names_in(self, folder: str) -> dict[int, str]:
        if folder not in self._folders:
            try:
                with os.scandir(folder) as entries:
                    self._folders[folder] = {entry.inode(): entry.name for entry in entries}
            except OSError:
                self._folders[folder] = {}
        return self._folders[folder]

    def _is_changed(self, path: str) -> bool:
        status = _status(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return False
        # Unlike the time of modification, no program can set this one back.
        return status.st_ctime_ns >= self._since_ns


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
