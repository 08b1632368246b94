"""What a repository tells: commit, branch, tags, remotes, and whether PATH was changed."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

from mlbom import guard
from mlbom.collect.repository import SUBJECT
from mlbom.collect.repository.worktree import (
    Question,
    WorkTree,
    compare_work_tree,
    index_paths,
)
from mlbom.collect.scope import Scope, Witness
from mlbom.errors import GitMissingError, LimitError, RepositoryError, UnverifiedOwnerError
from mlbom.evidence.nodes import Pair, Repository
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.git import GitRepository, open_repository

# A commit with its message is a document; a larger one was made to exhaust a reader.
_COMMIT_LIMIT = 16 * 1024 * 1024
_LATEST_TIME = 2**40
_SETTINGS = r"^(remote\..*\.url|core\.filemode)$"
_COMMITTER = re.compile(rb"^committer [^\n]*> (\d{1,15}) [+-]\d{4}$", re.MULTILINE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s]+")
_SHOWN = 5

_Told = Iterator[Observation | Gap]


def observe_repository(scope: Scope, top: Path, witness: Witness) -> _Told:
    """Yield the `Repository` whose work tree begins at `top`, and what could not be told of it."""
    path = _published(os.fsencode(scope.path.relative_to(top).as_posix()))
    try:
        repository = open_repository(top)
        yield witness.observes(Repository(path=path))
        yield from _Inspection(scope, repository, witness).tell()
    except GitMissingError as error:
        yield witness.misses(SUBJECT, str(error))
    except UnverifiedOwnerError as error:
        yield witness.observes(Repository(state="unverified-owner", path=path))
        yield witness.misses(SUBJECT, f"{error}; {error.hint}", field="commit")
    except RepositoryError as error:
        yield witness.observes(Repository(state="corrupt", path=path))
        yield witness.cannot_read(SUBJECT, error)
    except LimitError as error:
        # Not asked for the other parts: they would keep us waiting as long.
        yield witness.cannot_read(SUBJECT, error)


def tracked_paths(top: Path, root: Path) -> frozenset[str]:
    """Return the tracked files below a folder, relative to it.

    Raises:
        GitMissingError, UnverifiedOwnerError, RepositoryError, LimitError: git does not tell.
    """
    below = root.relative_to(top).as_posix()
    names = _Names(below)
    return frozenset(names.of(path) for path in index_paths(open_repository(top), below))


class _Inspection:
    """Asks one repository for its parts; one that is damaged does not hide the others."""

    def __init__(self, scope: Scope, repository: GitRepository, witness: Witness) -> None:
        self._scope = scope
        self._repository = repository
        self._witness = witness
        self._below = scope.path.relative_to(repository.top).as_posix()
        self._has_commit = True
        self._trusts_mode = True
        self._states = {
            word
            for word, holds in (
                ("bare", repository.is_bare),
                ("shallow", repository.is_shallow),
                ("linked-worktree", (repository.git_dir / "commondir").is_file()),
            )
            if holds
        }

    def tell(self) -> _Told:
        """Yield all there is to tell, and last the state that follows from it."""
        for field, part in (
            ("commit", self._head),
            ("branch", self._references),
            ("remotes", self._settings),
            ("dirty", self._work_tree),
        ):
            try:
                yield from part()
            except RepositoryError as error:
                self._states.add("corrupt")
                yield self._unreadable(str(error), field)
        yield self._witness.observes(Repository(state=",".join(sorted(self._states)) or "ok"))

    def _unreadable(self, reason: str, field: str) -> Gap:
        return self._witness.misses(SUBJECT, reason, field=field, kind=GapKind.UNREADABLE)

    def _head(self) -> _Told:
        told = self._repository.read("cat-file", "--batch", stdin=b"HEAD\n", limit=_COMMIT_LIMIT)
        head, _, body = told.partition(b"\n")
        if head.endswith(b" missing"):
            yield from self._without_commit()
            return
        commit, kind, nbytes = head.decode("ascii").split(" ")
        content = body[: int(nbytes)]
        named = b"%b %d\0%b" % (kind.encode(), len(content), content)
        actual = hashlib.new(self._repository.object_format, named, usedforsecurity=False)
        if kind != "commit" or actual.hexdigest() != commit:
            message = "the object that HEAD names is damaged, or no commit"
            raise RepositoryError(message)
        yield self._witness.observes(Repository(commit=commit))
        seconds = _COMMITTER.search(content.partition(b"\n\n")[0])
        if seconds and int(seconds[1]) < _LATEST_TIME:
            yield self._witness.observes(Repository(commit_time=int(seconds[1])))
        else:
            yield self._unreadable("the commit states no time", "commit_time")

    def _without_commit(self) -> _Told:
        """Tell a branch that has no commit yet from one that is damaged."""
        branch = self._repository.read("symbolic-ref", "--quiet", "HEAD", accepted=(0, 1))
        named = branch.decode("utf-8", "surrogateescape").strip()
        is_known = not named or self._repository.read("for-each-ref", "--", named, silent=True)
        if is_known:
            message = "the commit that HEAD names is missing"
            raise RepositoryError(message)
        self._has_commit = False
        self._states.add("no-commits")
        yield self._witness.observes(Repository(branch=_text(branch.strip(), b"refs/heads/")))
        yield self._witness.misses(SUBJECT, "there is no commit yet", field="commit")

    def _references(self) -> _Told:
        if not self._has_commit:
            return
        asked = ("--points-at=HEAD", "--format=%(HEAD)%(refname)", "--", "refs/heads", "refs/tags")
        lines = self._repository.read("for-each-ref", *asked).splitlines()
        tags = tuple(_text(line[1:], b"refs/tags/") for line in lines if b" refs/tags/" in line)
        if tags:
            yield self._witness.observes(Repository(tags=tags))
        branches = [_text(line[1:], b"refs/heads/") for line in lines if line.startswith(b"*")]
        if branches:
            yield self._witness.observes(Repository(branch=branches[0]))
        else:
            self._states.add("detached")

    def _settings(self) -> _Told:
        asked = ("config", "--null", "--local", "--get-regexp", _SETTINGS)
        told = self._repository.read(*asked, accepted=(0, 1))
        remotes = set()
        for setting in told.decode("utf-8", "replace").split("\0"):
            key, _, value = setting.partition("\n")
            if key == "core.filemode":
                self._trusts_mode = value.lower() not in ("false", "no", "off", "0")
            elif remote := clean_remote(value):
                remotes.add(remote)
        if remotes:
            yield self._witness.observes(Repository(remotes=tuple(sorted(remotes))))

    def _work_tree(self) -> _Told:
        if self._repository.is_bare:
            reason = "a bare repository has no files to compare with its commits"
            yield self._witness.misses(SUBJECT, reason, field="dirty")
            return
        question = Question(
            below=self._below,
            is_exempt=_exemption(self._scope, self._repository.top),
            has_commit=self._has_commit,
            trusts_mode=self._trusts_mode,
        )
        found = compare_work_tree(self._repository, question)
        self._states |= found.states
        names = _Names(self._below)
        yield from self._dirtiness(found, names)
        submodules = tuple(Pair(names.of(p), commit) for p, commit in found.submodules.items())
        pointers = tuple(
            Pair(names.of(path), f"sha256:{pointer.sha256} nbytes={pointer.nbytes}")
            for path, pointer in found.pointers.items()
        )
        if submodules or pointers:
            yield self._witness.observes(Repository(submodules=submodules, lfs=pointers))
        if submodules:
            reason = "submodules are told by the commit in the index; their files were not read"
            yield self._witness.misses(SUBJECT, reason, field="submodules")

    def _dirtiness(self, found: WorkTree, names: "_Names") -> _Told:
        changed = tuple(map(names.of, found.changed))
        field = "changed" if changed else "dirty"
        if changed:
            yield self._witness.observes(Repository(dirty=True, changed=changed))
        elif not found.tracked_count:
            if self._has_commit:
                self._states.add("untracked")
            reason = "no file below PATH is tracked, so none can be compared with a commit"
            yield self._witness.misses(SUBJECT, reason, field=field)
        elif not found.filtered and not found.unreadable:
            yield self._witness.observes(Repository(dirty=False))
        if found.filtered:
            reason = "bytes differ from the commit, but pass a filter that mlbom does not run: "
            yield self._witness.misses(SUBJECT, reason + names.some(found.filtered), field=field)
        if found.unreadable:
            yield self._unreadable("cannot be read: " + names.some(found.unreadable), field)
        if found.respelled:
            reason = "differ from the commit in line endings only, not counted as changed: "
            told = reason + names.some(found.respelled)
            yield self._witness.misses(SUBJECT, told, field="changed")


class _Names:
    """Names of tracked files as they are published: relative to PATH."""

    def __init__(self, below: str) -> None:
        self._skipped = 0 if below == "." else len(os.fsencode(below)) + 1

    def of(self, path: bytes) -> str:
        return _published(path[self._skipped :] or b".")

    def some(self, paths: set[bytes]) -> str:
        """Return the first names, and how many more there are."""
        shown = ", ".join(guard.printable(self.of(path)) for path in sorted(paths)[:_SHOWN])
        more = len(paths) - _SHOWN
        return f"{shown} and {more} more" if more > 0 else shown


def clean_remote(url: str) -> str | None:
    """Return a remote without credentials; None for a local path or what is no URL.

    `git@host:path` becomes `ssh://host/path` (git: urls.txt, scp-like syntax). An `@` after the
    host could end a password with a slash in it, so such a remote is dropped.
    """
    if "://" not in url:
        host, colon, path = url.partition(":")
        if not colon or "/" in host or len(host) < len("ab") or path.startswith((":", "\\")):
            return None
        url = f"ssh://{host}/{path.lstrip('/')}"
    authority, _, rest = url.partition("://")[2].partition("/")
    if not _URL.fullmatch(url) or not authority or "@" in rest or url[:5].lower() == "file:":
        return None
    cleaned = guard.clean_url(url)
    return cleaned if _URL.fullmatch(cleaned) else None


def _exemption(scope: Scope, top: Path) -> Callable[[bytes], bool]:
    """Return what tells of a path whether its changes never count (chain.md section 1)."""
    output = scope.output or scope.path / "mlbom-out"
    folder = os.fsencode(Path(os.path.relpath(output, top)).as_posix()) + b"/"
    base = scope.path.relative_to(top)
    weights = {os.fsencode((base / scope.in_model(p)).as_posix()) for p in scope.model.weights}

    def is_exempt(path: bytes) -> bool:
        return path in weights or (path + b"/").startswith(folder) or b".mlbom" in path.split(b"/")

    return is_exempt


def _published(path: bytes) -> str:
    """Return a path as text; one that is not UTF-8 is percent-encoded as a whole."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return quote_from_bytes(path)


def _text(reference: bytes, prefix: bytes) -> str:
    return reference.removeprefix(prefix).decode("utf-8", "replace")
