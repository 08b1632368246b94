"""The digest cache: what a file hashed to when it was last in the state that it is in now.

One row per directory in a SQLite file of the user's cache directory, keyed by a digest of the
directory's path, so that no name of the project is stored outside of it. A row that does not parse
is a miss. `verify` never asks the cache.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from mlbom.digest.hashing import FileDigest, FileState, Reading
from mlbom.evidence.digest import Digest

_SCHEMA = "CREATE TABLE IF NOT EXISTS directories (path TEXT PRIMARY KEY, files TEXT NOT NULL)"
# A file that changed this recently could change again within the same clock tick, unseen.
_RACY_NS = 2 * 10**9

_Row = dict[str, list[object]]


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return this user's cache folder (XDG base directory specification).

    It may not exist; for a user without a home it never will, and nothing is cached.
    """
    base = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.devnull if base.startswith("~") else base) / "mlbom"


def default_cache_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the digest cache of this user."""
    return cache_folder(environment) / "digests-1.sqlite"


class StatCache:
    """A digest cache keyed by device, inode, size, mtime and ctime of the file.

    Args:
        path: the SQLite file; made when it is missing. When it cannot be used, nothing is cached.
    """

    def __init__(self, path: Path) -> None:
        self._rows: dict[str, _Row] = {}
        self._changed: set[str] = set()
        self._connection = _connect(path)

    def get(self, path: str, status: os.stat_result) -> FileDigest | None:
        """Return the digests of an unchanged file."""
        directory, name = os.path.split(path)
        match self._row(directory).get(name):
            case [list(state), list(told)] if state == list(FileState.of(status)):
                try:
                    digests = tuple(Digest.parse(str(text)) for text in told)
                except ValueError:
                    return None
                return FileDigest(status.st_size, digests)
        return None

    def put(self, path: str, reading: Reading, found: FileDigest) -> None:
        """Remember the digests of a file, unless it changed in the two seconds before."""
        state = reading.state
        if reading.begun_ns - max(state.mtime_ns, state.ctime_ns) < _RACY_NS:
            return
        directory, name = os.path.split(path)
        row = self._row(directory)
        row[name] = [list(state), [str(d) for d in found.digests]]
        self._changed.add(directory)

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is no failure."""
        if not self._connection:
            return
        rows = [(_key(d), json.dumps(self._rows[d])) for d in sorted(self._changed)]
        try:
            with self._connection:
                self._connection.executemany("REPLACE INTO directories VALUES (?, ?)", rows)
        except sqlite3.Error:
            return
        finally:
            self._connection.close()

    def _row(self, directory: str) -> _Row:
        if directory not in self._rows:
            self._rows[directory] = self._load(directory)
        return self._rows[directory]

    def _load(self, directory: str) -> _Row:
        if not self._connection:
            return {}
        try:
            query = "SELECT files FROM directories WHERE path = ?"
            found = self._connection.execute(query, (_key(directory),)).fetchone()
            row = json.loads(found[0]) if found else {}
        except (sqlite3.Error, ValueError):
            return {}
        return row if isinstance(row, dict) else {}


def _connect(path: Path) -> sqlite3.Connection | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=5)
        connection.execute(_SCHEMA)
    except (OSError, sqlite3.Error):
        return None
    return connection


def _key(directory: str) -> str:
    return hashlib.sha256(os.fsencode(directory)).hexdigest()
