"""The one hardened git call: it starts nothing that a repository configures, and asks nobody.

Measured with hostile `.git/config`, `.gitattributes` and hooks (tests/attack/test_hostile_git.py):
`status`, `diff` and GitPython's `is_dirty` start programs that the repository names. So only
`rev-parse`, `cat-file`, `for-each-ref`, `config`, `ls-files -s`, `diff-index --cached` and
`check-attr` are called, and files of the work tree are compared by mlbom itself. What makes a clean
clone (`mlbom/git/clone.py`) runs in a repository of our own and never reads this one's settings.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mlbom.errors import GitMissingError, RepositoryError, UnverifiedOwnerError
from mlbom.git.process import PIECE, GitOutcome, finish_process

TIMEOUT_S = 25.0
OUTPUT_LIMIT = 1024**3
# Object formats and the object id of their empty tree (git hash-object -t tree /dev/null).
EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
# What of the caller's environment git needs; GIT_DIR and its like stay outside.
_KEPT = ("HOME", "SUDO_UID", "SYSTEMROOT")
# The last word on settings that start a program or write. They go on the command line: git before
# 2.31 ignores GIT_CONFIG_COUNT without a word.
_SETTINGS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.untrackedCache=false",
    "credential.helper=",
    "diff.external=",
    "protocol.allow=never",
    "submodule.recurse=false",
    "safe.bareRepository=explicit",
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    # A repository's own protocol.ext.allow beats protocol.allow=never; this beats both.
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
_ABSOLUTE_PATH = re.compile(r"(?<![\w.~])/[^\s'\":]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRepository:
    """A repository that git accepted, and the hardened calls to it.

    Args:
        top: the folder that holds `.git`, absolute.
        git_dir: the folder that git keeps its state of this work tree in, absolute.
        object_format: sha1 or sha256.
        is_bare: whether it has no work tree.
        is_shallow: whether its history is cut off.
        trusted: `safe.directory` entries of the user's own configuration, where they were needed.
    """

    top: Path
    git_dir: Path
    object_format: str
    is_bare: bool
    is_shallow: bool
    trusted: tuple[str, ...] = ()

    def read(
        self,
        *arguments: str,
        stdin: bytes = b"",
        limit: int = OUTPUT_LIMIT,
        accepted: tuple[int, ...] = (0,),
        silent: bool = False,
    ) -> bytes:
        """Return what a git command writes.

        Args:
            arguments: the command and its arguments; text from outside only after `--`.
            stdin: what git is told.
            limit: most bytes accepted.
            accepted: exit codes that are answers, not failures.
            silent: whether any warning is a failure.

        Raises:
            RepositoryError: git failed, for example on a damaged object.
            LimitError: more output than the limit, or more time than `TIMEOUT_S`.
        """
        environment = {}
        if not self.is_bare:
            # The folder that holds .git, whatever core.worktree says.
            environment["GIT_WORK_TREE"] = os.fspath(self.top)
        if arguments[0] != "check-attr":
            environment["GIT_ATTR_SOURCE"] = EMPTY_TREES[self.object_format]
        call = GitCall(self.top, arguments, environment=environment, trusted=self.trusted)
        outcome = call.run(stdin, limit)
        if outcome.status not in accepted or (silent and outcome.errors):
            raise call.failure(outcome)
        return outcome.output

    def shared_folder(self) -> Path:
        """Return the folder that holds the objects: for a linked work tree that of the main one.

        Raises:
            RepositoryError: git cannot tell.
            LimitError: git did not answer in time.
        """
        told = self.read("rev-parse", "--git-common-dir").removesuffix(b"\n")
        return self.top / os.fsdecode(told)


def open_repository(top: Path) -> GitRepository:
    """Open the repository whose `.git` lies in a folder.

    Args:
        top: what `find_repository` returned, absolute, links resolved.

    Raises:
        GitMissingError: there is no git program.
        UnverifiedOwnerError: it belongs to another user.
        RepositoryError: `.git` is no repository, or is damaged.
        LimitError: git did not answer in time.
    """
    try:
        return _opened(top, ())
    except UnverifiedOwnerError:
        trusted = _safe_directories(top)
        if not trusted:
            raise
        return _opened(top, trusted)


def _opened(top: Path, trusted: tuple[str, ...]) -> GitRepository:
    asked = "--is-bare-repository --is-shallow-repository --show-object-format --absolute-git-dir"
    call = GitCall(top, ("rev-parse", *asked.split()), trusted=trusted)
    outcome = call.run(b"", PIECE)
    lines = outcome.output.removesuffix(b"\n").split(b"\n", 3)
    if outcome.status or len(lines) != len(asked.split()):
        raise call.failure(outcome)
    object_format = lines[2].decode("ascii", "replace")
    if object_format.startswith("--"):
        object_format = "sha1"  # git before 2.25 returns what it does not know, and knows no other
    git_dir = Path(os.fsdecode(lines[3]))
    # git passes over a .git that is no repository and goes on upward; that is another repository.
    dot_git = top / ".git"
    is_another = not dot_git.is_file() and os.path.realpath(dot_git) != os.path.realpath(git_dir)
    if is_another or object_format not in EMPTY_TREES:
        message = "the repository cannot be read: .git is damaged, or of a format not known here"
        raise RepositoryError(message)
    return GitRepository(
        top=top,
        git_dir=git_dir,
        object_format=object_format,
        is_bare=lines[0] == b"true",
        is_shallow=lines[1] == b"true",
        trusted=trusted,
    )


def _safe_directories(top: Path) -> tuple[str, ...]:
    """Return what the user's own configuration, outside of any repository, lists as safe."""
    environment: dict[str, str | None] = {
        name: None for name in _ENVIRONMENT if name.startswith("GIT_CONFIG")
    }
    environment |= {k: os.environ[k] for k in ("XDG_CONFIG_HOME",) if k in os.environ}
    asked = ("config", "--null", "--get-all", "safe.directory")
    call = GitCall(top, asked, environment={**environment, "GIT_DIR": os.devnull})
    outcome = call.run(b"", PIECE)
    return tuple(os.fsdecode(folder) for folder in outcome.output.split(b"\0")[:-1])


@dataclass(frozen=True, slots=True)
class GitCall:
    """One git command, hardened.

    Args:
        top: the repository's folder.
        arguments: the command and its arguments; text from outside only after `--`.
        environment: what it gets beside the hardened variables; None takes one of those away.
        trusted: `safe.directory` entries.
        timeout_s: seconds that it may take; `TIMEOUT_S` when None.
        foreign: another folder that no program is taken from.
    """

    top: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    timeout_s: float | None = None
    foreign: Path | None = None

    def run(self, stdin: bytes, limit: int) -> GitOutcome:
        """Run it to its end.

        Raises:
            GitMissingError: there is no git program.
            LimitError: more output than the limit, or more time than it may take.
        """
        foreign = (self.top, self.foreign or self.top)
        git, env, path = _find_programs(foreign, os.environ.get("PATH", os.defpath))
        environment: dict[str, str | None] = {
            name: os.environ[name] for name in _KEPT if name in os.environ
        }
        environment |= {"PATH": path, "GIT_CEILING_DIRECTORIES": os.fspath(self.top.parent)}
        environment |= _ENVIRONMENT
        environment |= self.environment
        trusted = (f"safe.directory={folder}" for folder in self.trusted)
        # GitPython passes on the whole environment of this process; `env -i` takes it off again.
        command = [env, "-i", *(f"{k}={v}" for k, v in environment.items() if v is not None)]
        command += [git, "--no-pager", "-C", os.fspath(self.top)]
        command += [part for setting in (*_SETTINGS, *trusted) for part in ("-c", setting)]
        process = _git_command(git).execute(
            [*command, *self.arguments],
            as_process=True,
            istream=subprocess.PIPE if stdin else None,
            shell=False,
            start_new_session=True,
        )
        timeout_s = TIMEOUT_S if self.timeout_s is None else self.timeout_s
        return finish_process(process.proc, stdin, (limit, timeout_s), self.arguments[0])

    def failure(self, outcome: GitOutcome) -> RepositoryError | UnverifiedOwnerError:
        """Return the error for a command that failed; its text names no absolute path."""
        told = outcome.errors.decode("utf-8", "replace")
        if "dubious ownership" in told or "is owned by someone else" in told:
            message = "the repository belongs to another user, and git does not read it"
            return UnverifiedOwnerError(message)
        lines = told.replace(os.fspath(self.top), ".").splitlines() or ["no reason given"]
        line = next((text for text in lines if text.startswith(("fatal:", "error:"))), lines[0])
        reason = _ABSOLUTE_PATH.sub("<path>", line)
        return RepositoryError(f"git {self.arguments[0]} failed: {reason}")


@cache
def _find_programs(foreign: tuple[Path, ...], search_path: str) -> tuple[str, str, str]:
    """Return git, env and the absolute folders of a PATH that lie outside of the repository."""
    folders = (Path(folder) for folder in search_path.split(os.pathsep))
    inside = [top.resolve() for top in foreign]
    safe = (
        folder
        for folder in folders
        if folder.is_absolute() and not any(map(folder.resolve().is_relative_to, inside))
    )
    path = os.pathsep.join(map(os.fspath, safe))
    git, env = shutil.which("git", path=path), shutil.which("env", path=path)
    if not git or not env:
        message = "git is not installed, or not on the PATH"
        raise GitMissingError(message)
    return git, env, path


@cache
def _git_command(git: str) -> Any:  # noqa: ANN401 - git.cmd.Git, not imported before it is used
    """Return GitPython's command object; the import costs as much as thirty git processes."""
    # On import GitPython runs `git version`, by whatever program this variable names.
    name = "GIT_PYTHON_GIT_EXECUTABLE"
    before = os.environ.get(name, "")
    os.environ[name] = git
    try:
        from git.cmd import Git
    except ImportError as error:
        message = "the git on the PATH does not start"
        raise GitMissingError(message) from error
    finally:
        os.environ[name] = before
        if not before:
            del os.environ[name]
    return Git()
