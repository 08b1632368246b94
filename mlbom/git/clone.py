"""A clean clone of one commit: nothing that a repository configures is read, let alone started.

`git clone` runs `git upload-pack` inside the repository, which obeys its settings: of a partial
clone git before 2.45.1 fetches what is missing with whatever program they name (CVE-2024-32004). So
git never runs there: a repository of our own borrows the objects, packs those of the commit, hashes
each anew, and checks out without filter and hook.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.errors import EnvironmentFailureError, RepositoryError
from mlbom.git import OUTPUT_LIMIT, GitCall, GitRepository
from mlbom.git.lfs import fill_pointers

# Packing and hashing the files of one commit; a commit holds what a person pushed.
_TIMEOUT_S = 1800.0
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SUBMODULE = b"160000"
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone as it was made.

    Args:
        top: its folder, absolute.
        commit: what is checked out.
        committed: seconds since 1970 UTC of the commit; every file and folder has this time.
        unlike: how its files differ from what a user's own checkout may hold, each one sentence.
    """

    top: Path
    commit: str
    committed: int
    unlike: tuple[str, ...] = ()


def clone_commit(repository: GitRepository, commit: str, top: Path) -> Clone:
    """Make a clone that holds one commit, with no history and no remote.

    Submodules are left out. Content of Git LFS is taken from the repository's own store.

    Args:
        repository: what is cloned.
        commit: full object id.
        top: where to; an absolute path that is not there, in a folder that nobody else may enter.

    Raises:
        RepositoryError: the commit is not there, or an object of it is missing or damaged.
        EnvironmentFailureError: the clone cannot be written.
        LimitError: git takes too long.
        GitMissingError: there is no git program.
    """
    if not _OBJECT_ID.fullmatch(commit):
        message = "a commit is named by its full object id"
        raise RepositoryError(message)
    shared = repository.shared_folder()
    try:
        top.mkdir(mode=0o700)
        return _Cloning(repository, commit, top, shared).run()
    except OSError as error:
        message = f"cannot write the clone: {error.strerror or error}"
        raise EnvironmentFailureError(message) from error


@dataclass(frozen=True, slots=True)
class _Cloning:
    """A clone under way.

    Args:
        repository: what is cloned.
        commit: full object id.
        top: of the clone.
        shared: the folder with the objects of what is cloned.
    """

    repository: GitRepository
    commit: str
    top: Path
    shared: Path

    def run(self) -> Clone:
        """Make the clone."""
        self._transfer()
        self._git("checkout", "--quiet", "--force", "--detach", self.commit, "--")
        told = self._git("rev-list", "--max-count=1", "--timestamp", self.commit)
        committed = int(told.split()[0])
        names, submodules = self._listed()
        lfs, filtered = self._filtered(names)
        unlike = list(_left_out(submodules, "submodules are not cloned"))
        if missing := fill_pointers(self.top, lfs, self.shared / "lfs" / "objects"):
            why = "files of Git LFS are pointers, because their content is not here"
            unlike += _left_out(missing, why)
        unlike += _left_out(filtered, "files pass a filter that was not started")
        set_times(self.top, committed)
        return Clone(top=self.top, commit=self.commit, committed=committed, unlike=tuple(unlike))

    def _transfer(self) -> None:
        """Take over the objects of the commit; each gets the name that its bytes have."""
        is_sha1 = self.repository.object_format == "sha1"
        kind = () if is_sha1 else (f"--object-format={self.repository.object_format}",)
        self._git("init", "--quiet", "--template=", *kind)
        git_dir = self.top / ".git"
        # Cut off here: its parents need not be there.
        (git_dir / "shallow").write_text(f"{self.commit}\n", encoding="ascii")
        borrowed = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(self.shared / "objects")}
        self._check_commit(borrowed)
        packing = ("pack-objects", "--quiet", "--revs", ".git/borrowed")
        name = self._git(*packing, stdin=f"{self.commit}\n".encode(), environment=borrowed)
        pack = f"-{name.decode('ascii').strip()}.pack"
        (git_dir / f"borrowed{pack}").rename(git_dir / "objects" / "pack" / f"pack{pack}")
        for rest in git_dir.glob("borrowed-*"):
            rest.unlink()
        self._git("index-pack", f".git/objects/pack/pack{pack}")

    def _check_commit(self, borrowed: Mapping[str, str]) -> None:
        try:
            self._git("cat-file", "-e", f"{self.commit}^{{commit}}", environment=borrowed)
        except RepositoryError as error:
            message = f"the commit {self.commit[:12]} is not in this repository"
            hint = "git fetch --unshallow, or git fetch REMOTE COMMIT, brings an older commit"
            raise RepositoryError(message, hint=hint) from error

    def _listed(self) -> tuple[list[bytes], list[str]]:
        """Return the names of the files, and those of the submodules."""
        entries = self._git("ls-files", "-z", "--stage").split(b"\0")[:-1]
        parts = [entry.split(b"\t", 1) for entry in entries]
        files = [name for head, name in parts if not head.startswith(_SUBMODULE)]
        return files, [os.fsdecode(n) for head, n in parts if head.startswith(_SUBMODULE)]

    def _filtered(self, names: Iterable[bytes]) -> tuple[list[str], list[str]]:
        """Return the files that Git LFS would fill, and those of other filters."""
        asked = b"".join(name + b"\0" for name in names)
        if not asked:
            return [], []
        told = self._git("check-attr", "-z", "--stdin", "filter", stdin=asked).split(b"\0")
        filters = list(zip(told[0::3], told[2::3], strict=False))
        plain = (b"unspecified", b"unset", b"set", b"lfs")
        lfs = [os.fsdecode(name) for name, value in filters if value == b"lfs"]
        return lfs, [os.fsdecode(name) for name, value in filters if value not in plain]

    def _git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        call = GitCall(
            self.top,
            arguments,
            environment=environment or {},
            timeout_s=_TIMEOUT_S,
            foreign=self.repository.top,
        )
        outcome = call.run(stdin, OUTPUT_LIMIT)
        if outcome.status:
            if b"No space left on device" in outcome.errors:
                message = "cannot write the clone: No space left on device"
                raise EnvironmentFailureError(message)
            raise call.failure(outcome)
        return outcome.output


def set_times(top: Path, seconds: int) -> None:
    """Give every file and folder below a folder, and itself, one time; `.git` keeps its own.

    Raises:
        OSError: the file system refuses it.
    """
    times = (seconds, seconds)
    waiting = [os.fspath(top)]
    while waiting:
        folder = waiting.pop()
        os.utime(folder, times)
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.utime(entry.path, times, follow_symlinks=False)
                elif entry.name != ".git":
                    waiting.append(entry.path)


def _quoted(path: Path) -> str:
    """Return a path for a list that is split at colons (git: git(1), GIT_ALTERNATE_...)."""
    text = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def _left_out(names: Iterable[str], what: str) -> list[str]:
    found = sorted(names)
    shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    return [f"{len(found)} {what}: {shown}"] if found else []
