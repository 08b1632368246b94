"""Compares the tracked files of a work tree with index and HEAD, without running a filter.

git's own comparison starts the clean filters that a repository names; here raw bytes are hashed.
What a filter may have changed is told apart from what has changed, and Git LFS content is compared
with its pointer.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mlbom.collect.repository.blobs import (
    GONE,
    LINK,
    SUBMODULE,
    BlobReader,
    Tracked,
)
from mlbom.digest.hashing import FileDigest, Hashing
from mlbom.errors import RepositoryError
from mlbom.git import GitRepository
from mlbom.git.lfs import POINTER_LIMIT, Pointer, parse_pointer


@dataclass(slots=True, kw_only=True)
class WorkTree:
    """What a comparison found; all paths are bytes relative to the top of the repository.

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
        is_exempt: tells of a path whether changes of it do not count.
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
    comparison = _Comparison(repository, question)
    for entry in _index(repository, question.below):
        comparison.take(entry)
    if question.has_commit:
        staged = _staged(repository, question.below)
        comparison.found.changed.update(p for p in staged if not question.is_exempt(p))
    comparison.find_pointers()
    comparison.explain_differences()
    return comparison.found


def index_paths(repository: GitRepository, below: str) -> Iterator[bytes]:
    """Yield the paths of the index below a folder, relative to the top.

    Raises:
        RepositoryError: the index cannot be read.
    """
    return (entry.path for entry in _index(repository, below))


def _index(repository: GitRepository, below: str) -> Iterator[Tracked]:
    told = repository.read("ls-files", "-z", "-v", "--stage", "--full-name", "--", below)
    start = 0
    while (end := told.find(b"\0", start)) >= 0:
        head, _, path = told[start:end].partition(b"\t")
        tag, mode, blob, stage = head.split(b" ")
        # git does not check this when it reads an index.
        if path.startswith(b"/") or not {b"", b".", b".."}.isdisjoint(path.split(b"/")):
            message = "the index names a path outside of the work tree"
            raise RepositoryError(message)
        yield Tracked(path, mode, blob.decode("ascii"), stage != b"0", tag in b"Ss")
        start = end + 1


def _staged(repository: GitRepository, below: str) -> Sequence[bytes]:
    options = ("--cached", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
    submodules = "--ignore-submodules=none"
    told = repository.read("diff-index", *options, submodules, "HEAD", "--", below)
    return told.split(b"\0")[1::2]


class _Comparison:
    """A comparison under way: entries are taken one by one, doubtful ones explained at the end."""

    def __init__(self, repository: GitRepository, question: Question) -> None:
        self.found = WorkTree()
        self._repository = repository
        self._question = question
        self._files = BlobReader(repository, trusts_mode=question.trusts_mode)
        self._differing: list[Tracked] = []
        self._unseen: list[Tracked] = []

    def take(self, entry: Tracked) -> None:
        """Look at the file of one entry."""
        found = self.found
        found.tracked_count += 1
        is_exempt = self._question.is_exempt(entry.path)
        if entry.mode == SUBMODULE:
            found.submodules[entry.path] = entry.blob
        elif is_exempt:
            self._unseen.append(entry)
        elif entry.is_conflicted:
            found.states.add("conflicted")
            found.changed.add(entry.path)
        else:
            self._compare(entry)
        if not self._question.has_commit and not is_exempt:
            found.changed.add(entry.path)

    def _compare(self, entry: Tracked) -> None:
        try:
            blob, start = self._files.identify(entry)
        except OSError as error:
            self._unseen.append(entry)
            if error.errno not in GONE:
                self.found.unreadable.add(entry.path)
            elif entry.is_left_out and error.errno in (errno.ENOENT, errno.ENOTDIR):
                self.found.states.add("sparse")
            else:
                self.found.changed.add(entry.path)
            return
        if blob != entry.blob:
            self._differing.append(entry)
        elif pointer := parse_pointer(start):
            self.found.pointers[entry.path] = pointer

    def find_pointers(self) -> None:
        """Ask the object store about entries whose own file could not tell."""
        entries = [e for e in (*self._differing, *self._unseen) if e.mode != LINK]
        asked = _lines(sorted({e.blob for e in entries}))
        told = self._repository.read("cat-file", "--batch-check", stdin=asked) if asked else b""
        small = []
        for line in told.decode("ascii").splitlines():
            blob, kind, *size = line.split(" ")
            if kind == "blob" and int(size[0]) < POINTER_LIMIT:
                small.append(blob)
        asked = _lines(small)
        told = self._repository.read("cat-file", "--batch", stdin=asked) if asked else b""
        pointers = dict(_pointers(told))
        self.found.pointers.update(
            (e.path, pointers[e.blob]) for e in entries if e.blob in pointers
        )

    def explain_differences(self) -> None:
        """Sort files whose bytes differ: fetched content, line endings, a filter, or a change."""
        found = self.found
        self._compare_fetched([e for e in self._differing if e.path in found.pointers])
        rest: set[bytes] = set()
        for entry in self._differing:
            if entry.path in found.pointers:
                continue
            try:
                if self._files.identify_large(entry) == entry.blob:
                    continue
                is_respelled = self._files.identify_with_lf(entry) == entry.blob
            except OSError:
                is_respelled = False
            (found.respelled if is_respelled else rest).add(entry.path)
        filtered = _filtered(self._repository, sorted(rest)) if rest else set()
        found.filtered |= filtered
        found.changed |= rest - filtered

    def _compare_fetched(self, entries: Sequence[Tracked]) -> None:
        """Compare the files of Git LFS pointers with what the pointers say."""
        pointers = self.found.pointers
        named = {os.fsdecode(entry.path): entry.path for entry in entries}
        sized = [(name, pointers[path].nbytes) for name, path in named.items()]
        for name, outcome in Hashing(self._repository.top).start(sized).result().items():
            path = named[name]
            if not isinstance(outcome, FileDigest):
                self.found.unreadable.add(path)
            elif Pointer(outcome.sha256, outcome.nbytes) != pointers[path]:
                self.found.changed.add(path)


def _lines(texts: Sequence[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode("ascii")


def _pointers(told: bytes) -> Iterator[tuple[str, Pointer]]:
    """Yield the pointers in what `cat-file --batch` says of small blobs."""
    start = 0
    while (end := told.find(b"\n", start)) >= 0:
        blob, kind, *size = told[start:end].split(b" ")
        start = end + 1
        if kind == b"blob":
            content = told[start : start + int(size[0])]
            start += len(content) + 1
            if pointer := parse_pointer(content):
                yield blob.decode("ascii"), pointer


def _filtered(repository: GitRepository, paths: Sequence[bytes]) -> set[bytes]:
    """Return the files that pass a filter other than Git LFS on their way into the index."""
    asked = ("check-attr", "-z", "--stdin", "filter", "ident", "working-tree-encoding")
    told = repository.read(*asked, stdin=b"".join(path + b"\0" for path in paths)).split(b"\0")
    found = set()
    for path, attribute, value in zip(told[0::3], told[1::3], told[2::3], strict=False):
        is_plain = value in (b"unspecified", b"unset") or (attribute, value) == (b"filter", b"lfs")
        if not is_plain:
            found.add(path)
    return found
