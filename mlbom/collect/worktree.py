"""Compares the tracked files of a work tree with index and HEAD, without running a filter.

git's own comparison starts the clean filters that a repository names. Here a file is hashed as a
blob from its raw bytes (git: gitformat-index, hash-object). What a filter may have changed is told
apart from what has changed, and Git LFS content is compared with its pointer (git-lfs docs/spec.md).
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlbom.digest.hashing import FileDigest, Hashing
from mlbom.digest.openfile import open_regular
from mlbom.git import GitRepository

# A pointer is shorter than this (git-lfs docs/spec.md: "less than 1024 bytes").
POINTER_LIMIT = 1024
# Only files up to this size are looked at again for line endings.
TEXT_LIMIT = 16 * 1024 * 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-\S+ \S+\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)
_LINK, _SUBMODULE, _EXECUTABLE = b"120000", b"160000", b"100755"
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, None)
_PIECE = 1024 * 1024


class Pointer(NamedTuple):
    """What a Git LFS pointer stands for: SHA-256 in hexadecimal digits, size in bytes."""

    sha256: str
    nbytes: int


class Tracked(NamedTuple):
    """One entry of the index.

    Args:
        path: bytes of the path relative to the top of the repository.
        mode: six octal digits.
        blob: object id in hexadecimal digits.
        is_conflicted: whether a merge has left it undecided.
        is_left_out: whether a sparse checkout leaves its file out.
    """

    path: bytes
    mode: bytes
    blob: str
    is_conflicted: bool
    is_left_out: bool


@dataclass(slots=True, kw_only=True)
class WorkTree:
    """What a comparison found; all paths as in `Tracked`.

    Args:
        tracked_count: how many entries the index has.
        states: `conflicted`, `sparse`.
        changed: staged, changed or deleted since HEAD.
        respelled: files that differ from HEAD in line endings only.
        filtered: files whose bytes differ from HEAD and pass a filter, which was not run.
        unreadable: files that could not be read.
        submodules: commit by path.
        pointers: Git LFS pointers by path, whether or not their content was fetched.
    """

    tracked_count: int = 0
    states: set[str] = field(default_factory=set)
    changed: set[bytes] = field(default_factory=set)
    respelled: set[bytes] = field(default_factory=set)
    filtered: set[bytes] = field(default_factory=set)
    unreadable: set[bytes] = field(default_factory=set)
    submodules: dict[bytes, str] = field(default_factory=dict)
    pointers: dict[bytes, Pointer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which part of a work tree to compare, and how.

    Args:
        below: path relative to the top, `.` for all.
        is_exempt: tells of a path whether changes in it do not count.
        has_commit: whether HEAD names a commit yet.
        trusts_mode: whether the executable bit means something (git's core.fileMode).
    """

    below: str
    is_exempt: Callable[[bytes], bool]
    has_commit: bool
    trusts_mode: bool


def compare_work_tree(repository: GitRepository, question: Question) -> WorkTree:
    """Compare the tracked files below a folder with the index, and the index with HEAD.

    Raises:
        RepositoryError: the index or a tree object cannot be read.
        LimitError: git takes too long.
    """
    found = WorkTree()
    files = _Files(repository, trusts_mode=question.trusts_mode)
    differing: list[Tracked] = []
    unseen: list[Tracked] = []
    for entry in _index(repository, question.below):
        found.tracked_count += 1
        if entry.mode == _SUBMODULE:
            found.submodules[entry.path] = entry.blob
        elif question.is_exempt(entry.path):
            unseen.append(entry)
        elif entry.is_conflicted:
            found.states.add("conflicted")
            found.changed.add(entry.path)
        else:
            _compare(files, entry, found, (differing, unseen))
        if not question.has_commit and not question.is_exempt(entry.path):
            found.changed.add(entry.path)
    if question.has_commit:
        staged = _staged(repository, question.below)
        found.changed.update(path for path in staged if not question.is_exempt(path))
    _find_pointers(repository, found, [*differing, *unseen])
    _explain(repository, files, found, differing)
    return found


def _index(repository: GitRepository, below: str) -> Iterator[Tracked]:
    told = repository.read("ls-files", "-z", "-v", "--stage", "--full-name", "--", below)
    start = 0
    while (end := told.find(b"\0", start)) >= 0:
        head, _, path = told[start:end].partition(b"\t")
        tag, mode, blob, stage = head.split(b" ")
        is_left_out = tag in b"Ss"
        yield Tracked(path, mode, blob.decode("ascii"), stage != b"0", is_left_out)
        start = end + 1


def _staged(repository: GitRepository, below: str) -> Sequence[bytes]:
    options = ("--cached", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
    submodules = "--ignore-submodules=none"
    told = repository.read("diff-index", *options, submodules, "HEAD", "--", below)
    return told.split(b"\0")[1::2]


def _compare(
    files: "_Files",
    entry: Tracked,
    found: WorkTree,
    doubtful: tuple[list[Tracked], list[Tracked]],
) -> None:
    """File one entry under what its file is: unchanged, changed, unreadable or doubtful."""
    differing, unseen = doubtful
    try:
        blob, start = files.identify(entry)
    except OSError as error:
        unseen.append(entry)
        if error.errno not in _GONE:
            found.unreadable.add(entry.path)
        elif entry.is_left_out and error.errno == errno.ENOENT:
            found.states.add("sparse")
        else:
            found.changed.add(entry.path)
        return
    if blob != entry.blob:
        differing.append(entry)
    elif pointer := _POINTER.fullmatch(start):
        found.pointers[entry.path] = Pointer(pointer[1].decode(), int(pointer[2]))


class _Files:
    """The files of a work tree as git blobs, no link followed."""

    def __init__(self, repository: GitRepository, *, trusts_mode: bool) -> None:
        self._top = os.fsencode(repository.top)
        self._new_hash = lambda: hashlib.new(repository.object_format, usedforsecurity=False)
        self._trusts_mode = trusts_mode
        self._folders: dict[bytes, bool] = {b"": True}

    def identify(self, entry: Tracked) -> tuple[str, bytes]:
        """Return the blob id of a file's raw bytes and its first 1024 bytes.

        Raises:
            OSError: it is not there, not of the kind that the index says, or not readable.
        """
        if not self._is_real(os.path.dirname(entry.path)):
            raise FileNotFoundError(errno.ENOENT, "a parent is no folder")
        full = os.path.join(self._top, entry.path)
        if entry.mode == _LINK:
            return self._link(full)
        descriptor = open_regular(os.fsdecode(full))
        try:
            status = os.fstat(descriptor)
            is_executable = bool(status.st_mode & stat.S_IXUSR)
            if self._trusts_mode and is_executable != (entry.mode == _EXECUTABLE):
                raise OSError(errno.ELOOP, "another mode")
            return self._blob(descriptor, status.st_size)
        finally:
            os.close(descriptor)

    def spelled_with_lf(self, entry: Tracked) -> str:
        """Return the blob id that a text file would have with LF line endings."""
        descriptor = open_regular(os.fsdecode(os.path.join(self._top, entry.path)))
        with os.fdopen(descriptor, "rb") as stream:
            text = stream.read(TEXT_LIMIT).replace(b"\r\n", b"\n")
        return self.blob_id(text)

    def blob_id(self, content: bytes) -> str:
        """Return the object id of a blob (git: hash of `blob SIZE NUL content`)."""
        hasher = self._new_hash()
        hasher.update(b"blob %d\0" % len(content) + content)
        return hasher.hexdigest()

    def _link(self, full: bytes) -> tuple[str, bytes]:
        try:
            return self.blob_id(os.readlink(full)), b""
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(errno.ELOOP, "no link") from error
            raise

    def _blob(self, descriptor: int, nbytes: int) -> tuple[str, bytes]:
        start = os.read(descriptor, _PIECE)
        if len(start) == nbytes < _PIECE:
            return self.blob_id(start), start[:POINTER_LIMIT]
        hasher = self._new_hash()
        hasher.update(b"blob %d\0" % nbytes + start)
        while piece := os.read(descriptor, _PIECE):
            hasher.update(piece)
        return hasher.hexdigest(), b""

    def _is_real(self, folder: bytes) -> bool:
        """Return whether a folder and all above it, up to the top, are folders and no links."""
        known = self._folders.get(folder)
        if known is None:
            known = self._is_real(os.path.dirname(folder))
            try:
                known = known and stat.S_ISDIR(os.lstat(os.path.join(self._top, folder)).st_mode)
            except OSError:
                known = False
            self._folders[folder] = known
        return known


def _find_pointers(
    repository: GitRepository, found: WorkTree, entries: Sequence[Tracked]
) -> None:
    """Read from the object store what may be a pointer: the file's own bytes did not tell."""
    blobs = sorted({e.blob for e in entries if e.mode not in (_LINK, _SUBMODULE)})
    if not blobs:
        return
    asked = "\n".join([*blobs, ""]).encode()
    told = repository.read("cat-file", "--batch-check", stdin=asked)
    small = []
    for line in told.splitlines():
        match line.split(b" "):
            case [blob, b"blob", nbytes] if int(nbytes) < POINTER_LIMIT:
                small.append(blob)
    if not small:
        return
    told = repository.read("cat-file", "--batch", stdin=b"\n".join([*small, b""]))
    pointers = dict(_pointers(told))
    for entry in entries:
        if entry.blob in pointers:
            found.pointers[entry.path] = pointers[entry.blob]


def _pointers(told: bytes) -> Iterator[tuple[str, Pointer]]:
    start = 0
    while (end := told.find(b"\n", start)) >= 0:
        blob, kind, nbytes = (told[start:end].split(b" ") + [b"", b"0"])[:3]
        start = end + 1
        if kind == b"blob":
            content = told[start : start + int(nbytes)]
            start += int(nbytes) + 1
            if pointer := _POINTER.fullmatch(content):
                yield blob.decode(), Pointer(pointer[1].decode(), int(pointer[2]))


def _explain(
    repository: GitRepository, files: _Files, found: WorkTree, differing: Sequence[Tracked]
) -> None:
    """Sort files whose bytes differ: fetched content, line endings, a filter, or a change."""
    fetched = [entry for entry in differing if entry.path in found.pointers]
    other = [entry for entry in differing if entry.path not in found.pointers]
    found.changed.update(_not_as_pointed(repository, found, fetched))
    for entry in other:
        try:
            if files.spelled_with_lf(entry) == entry.blob:
                found.respelled.add(entry.path)
        except OSError:
            found.changed.add(entry.path)
    rest = {entry.path for entry in other} - found.respelled - found.changed
    filtered = _filtered(repository, sorted(rest)) if rest else set()
    found.filtered |= filtered
    found.changed |= rest - filtered


def _not_as_pointed(
    repository: GitRepository, found: WorkTree, entries: Sequence[Tracked]
) -> Iterator[bytes]:
    sized = [(os.fsdecode(e.path), found.pointers[e.path].nbytes) for e in entries]
    digests = Hashing(repository.top).start(sized).result()
    for path, outcome in digests.items():
        raw = os.fsencode(path)
        if isinstance(outcome, FileDigest):
            if Pointer(outcome.sha256, outcome.nbytes) != found.pointers[raw]:
                yield raw
        else:
            found.unreadable.add(raw)


def _filtered(repository: GitRepository, paths: Sequence[bytes]) -> set[bytes]:
    """Return the files that pass a filter other than Git LFS on their way into the index."""
    asked = ("check-attr", "-z", "--stdin", "filter", "ident", "working-tree-encoding")
    told = repository.read(*asked, stdin=b"\0".join([*paths, b""])).split(b"\0")
    found = set()
    for path, attribute, value in zip(told[0::3], told[1::3], told[2::3], strict=False):
        is_plain = value in (b"unspecified", b"unset") or (attribute, value) == (b"filter", b"lfs")
        if not is_plain:
            found.add(path)
    return found
