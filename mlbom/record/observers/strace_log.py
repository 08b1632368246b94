"""Read the log of strace: which files a tree of processes opened, and what became of them.

The form is that of `strace -f -y -q -o FILE` (strace(1), version 5.3 and newer): one call on a
line, texts quoted and escaped as in C, each descriptor followed by its path in angle brackets, a
call that was interrupted by another process told in two halves.
"""

import os
import re
import stat
from collections.abc import Iterator

from mlbom.record.observers.written import WrittenFiles

OPENING = ("open", "openat", "openat2", "creat", "open_by_handle_at")
_RENAMING = ("rename", "renameat", "renameat2")
_FORKING = ("fork", "vfork", "clone", "clone3")
_MOVING = ("mount", "unshare", "setns", "chroot", "pivot_root")
CALLS = (
    *OPENING,
    *_RENAMING,
    *_FORKING,
    *_MOVING,
    "execve",
    "chdir",
    "fchdir",
    "io_uring_setup",
)
_LINE = re.compile(rb"(\d+) +(.*)", re.DOTALL)
# The result ends the line. A name may look like one, but it cannot hold a bare angle bracket.
_CALL = re.compile(rb"(\w+)\((.*)\) += (\d+)(?:<((?:[^<>\\]|\\.)*)>(?:\(deleted\))?)?", re.DOTALL)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ANNOTATED = re.compile(rb"<(?:[^<>\\]|\\.)*>")
_HERE = re.compile(rb"AT_FDCWD<((?:[^<>\\]|\\.)*)>")
_OPERAND = re.compile(rb'(?:(?:AT_FDCWD|\d+)<((?:[^<>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"f": b"\f", b"v": b"\v"}
# A thread that starts a program takes the number of its process, and gives up its own.
_SUPERSEDED = re.compile(rb"superseded by execve in pid (\d+)")
_UNFINISHED, _RESUMED = b" <unfinished ...>", re.compile(rb"<\.\.\. \w+ resumed>")
_LONGEST_LINE = 64 * 1024


class StraceLog:
    """What the lines of a log tell, taken in one by one; memory grows with the files alone."""

    def __init__(self) -> None:
        self.lines = 0
        self.running: set[int] = set()
        self.ended: set[int] = set()
        self.skipped = 0
        self.views_changed = False
        self.rings_used = False
        self._reads: set[str] = set()
        self._written = WrittenFiles()
        self._halves: dict[int, bytes] = {}
        self._folders: dict[int, str] = {}

    def take(self, line: bytes) -> None:
        """Take in one line, without its end."""
        self.lines += 1
        match = _LINE.fullmatch(line)
        if match is None or len(line) > _LONGEST_LINE:
            self.skipped += 1
            return
        pid, text = int(match[1]), match[2]
        if text.startswith(b"+++ "):
            superseded = _SUPERSEDED.search(text)
            self._take_end(int(superseded[1]) if superseded else pid)
            return
        self.running.add(pid)
        self.ended.discard(pid)
        if text.endswith(_UNFINISHED):
            self._halves[pid] = text.removesuffix(_UNFINISHED)
            return
        resumed = _RESUMED.match(text)
        if resumed:
            text = self._halves.pop(pid, b"") + text[resumed.end() :]
        self._take_call(pid, text)

    def reads(self) -> frozenset[str]:
        """Return the regular files that were opened for reading, by absolute path."""
        return frozenset(self._regular(self._reads))

    def writes(self) -> frozenset[str]:
        """Return the regular files that were opened for writing and were changed."""
        return self._written.settle()

    def _regular(self, paths: set[str]) -> Iterator[str]:
        for path in paths:
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path
            except OSError:  # Gone. If the step itself made it, it is no input.
                if path not in self._written.names:
                    yield path

    def _take_end(self, pid: int) -> None:
        self.ended.add(pid)
        self.running.discard(pid)
        self._folders.pop(pid, None)
        self._halves.pop(pid, None)

    def _take_call(self, pid: int, text: bytes) -> None:
        here = _HERE.search(text)
        if here:
            self._folders[pid] = _path(here[1])
        call = _CALL.fullmatch(text)
        if call is None:  # A call that failed, a signal, a remark.
            return
        name, arguments, result = call[1].decode(), call[2], call[4]
        if name in OPENING and result is not None:
            self._take_open(name, arguments, _path(result))
        elif name in _RENAMING:
            self._take_rename(pid, arguments)
        elif name in _FORKING:
            self._take_child(pid, int(call[3]))
        elif name == "execve":
            self._take_program(pid, arguments)
        elif name in ("chdir", "fchdir"):
            self._take_folder(pid, arguments)
        self.views_changed |= name in _MOVING
        self.rings_used |= name == "io_uring_setup"

    def _take_child(self, pid: int, child: int) -> None:
        """Expect the child of a fork, unless it ended before the fork was told."""
        if child in self.ended or self.views_changed:
            return
        self.running.add(child)
        if pid in self._folders:
            self._folders.setdefault(child, self._folders[pid])

    def _take_open(self, name: str, arguments: bytes, path: str) -> None:
        flags = _ANNOTATED.sub(b"", _QUOTED.sub(b"", arguments))
        if not path.startswith("/") or b"O_PATH" in flags or b"O_DIRECTORY" in flags:
            return
        writes = name == "creat" or b"O_WRONLY" in flags or b"O_RDWR" in flags
        is_new = name == "creat" or b"O_TRUNC" in flags or b"O_EXCL" in flags
        if writes:
            self._written.note(path)
        if not writes or (b"O_RDWR" in flags and not is_new):
            self._reads.add(path)

    def _take_rename(self, pid: int, arguments: bytes) -> None:
        operands = [self._operand(pid, *found) for found in _OPERAND.findall(arguments)]
        if len(operands) == 2 and all(operands):  # noqa: PLR2004 - from, to
            self._written.rename(operands[0], operands[1])

    def _take_program(self, pid: int, arguments: bytes) -> None:
        program = _OPERAND.match(arguments)
        path = self._operand(pid, b"", program[2]) if program else ""
        if path:
            self._reads.add(os.path.realpath(path))

    def _take_folder(self, pid: int, arguments: bytes) -> None:
        target = _OPERAND.match(arguments)
        annotated = _ANNOTATED.search(arguments)
        if target:
            folder = self._operand(pid, b"", target[2])
        else:
            folder = _path(annotated.group()[1:-1]) if annotated else ""
        if folder:
            self._folders[pid] = folder
        else:
            self._folders.pop(pid, None)

    def _operand(self, pid: int, folder: bytes, name: bytes) -> str:
        """Return the absolute path of an argument, empty when its folder is not known."""
        base = _path(folder) if folder else self._folders.get(pid, "")
        path = os.path.normpath(os.path.join(base, _path(name)))
        return path if path.startswith("/") else ""


def _path(escaped: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(_unescape, escaped))


def _unescape(match: re.Match[bytes]) -> bytes:
    told = match[1]
    if told[:1].isdigit():
        return bytes([int(told, 8) & 0xFF])
    return _PLAIN.get(told, told)
