"""Which files this process opens, told by the interpreter's audit events and by native readers.

A file read is noted with its inode, size and time of change at that moment, so that what was there
before the step is told from what the step made itself. PEP 578; the events are listed in the
documentation of Python, "Audit events table".
"""
# ruff: noqa: INP001, ANN401, ARG002, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import mmap
import os
import stat
import sys

from _mlbom_trace import CHANNEL, FOLDER, GUARD, emit, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_NEW = os.O_TRUNC | os.O_EXCL
_NO_FILE = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_EFFECTIVE = os.access in getattr(os, "supports_effective_ids", ())
_SOURCES = (".py", ".pyc")
_IMPORTERS = ("runpy.py", os.path.join("importlib", "_bootstrap_external.py"))
_SLOTS, _PROBES, _MASK = 1 << 22, 8, (1 << 64) - 1
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")  # noqa: S104 - compared with, not bound to


class SeenTable:
    """Remembers what was noted, for this process and everything that it forks.

    A data loader forks new workers for every epoch; without common memory each would note every
    file again. Open addressing over hashes in shared memory: what is pushed out of a full place is
    noted once more, nothing is lost.
    """

    def __init__(self) -> None:
        self._slots = memoryview(mmap.mmap(-1, 8 * (_SLOTS + _PROBES))).cast("Q")

    def find(self, path: str, what: int) -> int:
        """Return the key of something that is new, or 0."""
        key = (hash((path, what)) & _MASK) or 1
        slots, at = self._slots, key % _SLOTS
        for place in range(at, at + _PROBES):
            if slots[place] == key:
                return 0
            if not slots[place]:
                break
        return key

    def add(self, key: int) -> None:
        """Remember a key."""
        slots, at = self._slots, key % _SLOTS
        for place in range(at, at + _PROBES):
            if not slots[place]:
                at = place
                break
        slots[at] = key


class FileWatch:
    """Notes every file that this process opens, once for reading and once for writing."""

    def __init__(self, folder_of_recorder: str) -> None:
        self._seen = SeenTable()
        self._skipped = _skipped(folder_of_recorder)
        self._on_network = False
        self.handlers: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._on_open,
            "import": self._on_import,
            "sqlite3.connect": self._on_sqlite,
            "ctypes.dlopen": self._on_import_of_library,
            "cpython.run_file": self._on_run,
            "cpython.run_module": self._on_run,
            "cpython.run_command": self._on_run,
            "os.exec": self._on_exec,
            "os.link": self._on_rename,
            "os.rename": self._on_rename,
            "os.truncate": self._on_truncate,
            "socket.connect": self._on_connect,
        }

    def install(self) -> None:
        """Hang the audit hook in; a Python before 3.8 has none."""
        if not hasattr(sys, "addaudithook"):
            return
        handlers, guard = self.handlers, GUARD

        # Only locals: the globals of a module are gone while the interpreter ends.
        def hook(event: str, args: "tuple[Any, ...]") -> None:
            handler = handlers.get(event)
            if handler is not None:
                with guard:
                    handler(args)

        sys.addaudithook(hook)

    def note(self, path: "Any", mode: str = "r") -> None:
        """Note a file that native code opens.

        Args:
            path: of the file; anything that is no path (an open file, a buffer) is passed over.
            mode: r, r+, a, w or x, as of `open`.
        """
        name = _text(path)
        if name and not name.startswith(self._skipped):
            reads = mode[0] == "r" or mode[0] == "a"
            self._note(name, reads, mode not in ("r", "rb"))

    def _on_open(self, args: "tuple[Any, ...]") -> None:
        path, flags = args[0], args[2]
        if path.__class__ is not str:
            path = _text(path)
        if not path or path.startswith(self._skipped) or flags & _NO_FILE:
            return
        access = flags & _ACCESS
        if path.endswith(_SOURCES) and access == os.O_RDONLY:
            self._on_source(path)
            return
        reads = access == os.O_RDONLY or (access == os.O_RDWR and not flags & _NEW)
        if reads and args[1] is None and not os.path.isabs(path):
            self._note_doubt(path, flags)
            reads = False
        self._note(path, reads, access != os.O_RDONLY)

    def _note(self, path: str, reads: bool, writes: bool, module: bool = False) -> None:  # noqa: FBT001, FBT002 - called for every open
        if not os.path.isabs(path):
            path = os.path.join(os.getcwd(), path)
            if path.startswith(self._skipped):
                return
        if reads:
            self._note_read(path, module)
        if writes:
            key = self._seen.find(path, 0)
            if key:
                CHANNEL.write('{"e":"write","p":%s}' % quote(path))
                self._seen.add(key)

    def _note_read(self, path: str, module: bool) -> None:  # noqa: FBT001 - likewise
        key = self._seen.find(path, 1 + module)
        status = _readable(path) if key else None
        if status is not None:
            CHANNEL.write(
                '{"e":"read","p":%s,"s":[%d,%d,%d,%d],"m":%d}'
                % (
                    quote(path),
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    module,
                )
            )
            self._seen.add(key)

    def _note_doubt(self, path: str, flags: int) -> None:
        """Note a path that `os.open` got, perhaps with a folder that the event does not tell."""
        path = os.path.join(os.getcwd(), path)
        key = self._seen.find(path, 3)
        # A file that is not here lies elsewhere; a folder is opened without waiting (os.fwalk).
        is_elsewhere = not flags & _NO_WAIT and not os.path.lexists(path)
        if key and (is_elsewhere or _readable(path)):
            CHANNEL.write('{"e":"doubt","p":%s}' % quote(path))
            self._seen.add(key)

    def _on_source(self, path: str) -> None:
        """Note a Python source; a compiled one stands for the source that it was made from."""
        if path.endswith(".pyc"):
            source = _source_of(path)
            if os.path.exists(source):
                self._note(source, reads=True, writes=False, module=True)
                return
        self._note(path, reads=True, writes=False, module=_is_imported())

    def _on_import(self, args: "tuple[Any, ...]") -> None:
        if args[1]:  # the file of an extension module; sources come as `open`
            self.note(args[1])

    def _on_import_of_library(self, args: "tuple[Any, ...]") -> None:
        if args[0] and os.sep in os.fsdecode(args[0]):
            self.note(args[0])

    def _on_sqlite(self, args: "tuple[Any, ...]") -> None:
        path = os.fsdecode(args[0])
        if path.startswith("file:"):
            from urllib.parse import unquote

            path = unquote(path[len("file:") :].split("?")[0].split("#")[0])
            path = path[2:] if path.startswith("///") else path
        if path and path != ":memory:":
            self.note(path)

    def _on_run(self, args: "tuple[Any, ...]") -> None:
        emit("argv", argv=list(getattr(sys, "argv", ())))

    def _on_rename(self, args: "tuple[Any, ...]") -> None:
        if args[3] == -1:  # else relative to another folder
            self.note(args[1], "w")

    def _on_truncate(self, args: "tuple[Any, ...]") -> None:
        self.note(args[0], "w")

    def _on_exec(self, args: "tuple[Any, ...]") -> None:
        """Note that this process becomes another Python, if that has no recorder it is missed."""
        path = _text(args[0])
        if os.path.basename(path).startswith(("python", "pypy")) and os.access(path, os.X_OK):
            emit("exec")

    def _on_connect(self, args: "tuple[Any, ...]") -> None:
        address = args[1]
        if self._on_network or not isinstance(address, tuple) or not address:
            return
        if not str(address[0]).startswith(_LOCAL):
            self._on_network = True
            emit("network")


def _skipped(folder_of_recorder: str) -> "tuple[str, ...]":
    """Return the folders whose files are nobody's input; the launcher looks again, more closely."""
    root = os.path.join(os.environ.get("MLBOM_RECORD_ROOT", ""), "")
    folders = os.environ.get("MLBOM_RECORD_SKIP", "").split(os.pathsep)
    folders += [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)]
    folders += [entry for entry in sys.path if os.path.basename(entry).endswith("-packages")]
    # Of these the launcher named all folders but those that may hold data.
    folders = [folder for folder in folders if folder not in ("/usr", "/usr/local")]
    found = [os.path.join(folder, "") for folder in folders if folder]
    kept = [folder for folder in found if not root.startswith(folder)]
    kept += [os.path.join(folder, "") for folder in (FOLDER, folder_of_recorder)]
    return tuple(kept)


def _text(path: "Any") -> str:
    """Return a path as text, or nothing for what is no path."""
    if isinstance(path, (str, bytes)) or hasattr(path, "__fspath__"):
        return os.fsdecode(path)
    return ""


def _readable(path: str) -> "os.stat_result | None":
    """Return the status of a regular file if opening it can succeed: the event comes before."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        is_allowed = os.access(path, os.R_OK, effective_ids=_EFFECTIVE)
        return status if is_allowed and CHANNEL.has_room() else None
    except (OSError, ValueError):
        return None


def _source_of(path: str) -> str:
    """Return the source of a compiled file (PEP 3147, and PYTHONPYCACHEPREFIX)."""
    folder, name = os.path.split(path)
    stem = name.split(".")[0] + ".py"
    prefix = getattr(sys, "pycache_prefix", None)
    if prefix and folder.startswith(prefix):
        return os.path.join(folder[len(prefix) :], stem)
    if os.path.basename(folder) == "__pycache__":
        return os.path.join(os.path.dirname(folder), stem)
    return path


def _is_imported() -> bool:
    """Return whether the file is opened to be run: by the interpreter itself, importlib, runpy."""
    depth = 4  # this function, _on_source, _on_open, the hook
    try:
        caller = sys._getframe(depth).f_code.co_filename
    except ValueError:
        return True
    return caller.startswith("<frozen ") or caller.endswith(_IMPORTERS)
