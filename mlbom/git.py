"""The one hardened git call: it starts nothing that a repository configures, and asks nobody.

Measured with hostile `.git/config`, `.gitattributes` and hooks (tests/attack/test_hostile_git.py):
`status`, `diff` and GitPython's `is_dirty` start programs that the repository names. So only
`rev-parse`, `cat-file`, `for-each-ref`, `config`, `ls-files -s`, `diff-index --cached` and
`check-attr` are called, and files of the work tree are compared by mlbom itself.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mlbom.errors import GitMissingError, LimitError, RepositoryError, UnverifiedOwnerError

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
_PIECE = 1024 * 1024
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
        environment = dict(_ENVIRONMENT)
        if not self.is_bare:
            # The folder that holds .git, whatever core.worktree says.
            environment["GIT_WORK_TREE"] = os.fspath(self.top)
        if arguments[0] != "check-attr":
            environment["GIT_ATTR_SOURCE"] = EMPTY_TREES[self.object_format]
        outcome = (call := _Call(self.top, arguments, environment, self.trusted)).run(stdin, limit)
        if outcome.status not in accepted or (silent and outcome.errors):
            raise call.failure(outcome)
        return outcome.output


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
    call = _Call(top, ("rev-parse", *asked.split()), _ENVIRONMENT, trusted)
    outcome = call.run(b"", _PIECE)
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
    environment = {k: v for k, v in _ENVIRONMENT.items() if not k.startswith("GIT_CONFIG")}
    environment |= {k: os.environ[k] for k in ("XDG_CONFIG_HOME",) if k in os.environ}
    asked = ("config", "--null", "--get-all", "safe.directory")
    outcome = _Call(top, asked, {**environment, "GIT_DIR": os.devnull}, ()).run(b"", _PIECE)
    return tuple(os.fsdecode(folder) for folder in outcome.output.split(b"\0")[:-1])


class _Outcome(NamedTuple):
    status: int
    output: bytes
    errors: bytes


@dataclass(frozen=True, slots=True)
class _Call:
    """One git command, with all of the environment that it gets."""

    top: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    trusted: tuple[str, ...]

    def run(self, stdin: bytes, limit: int) -> _Outcome:
        git, env, path = _find_programs(self.top, os.environ.get("PATH", os.defpath))
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"PATH": path, "GIT_CEILING_DIRECTORIES": os.fspath(self.top.parent)}
        environment |= self.environment
        trusted = (f"safe.directory={folder}" for folder in self.trusted)
        # GitPython passes on the whole environment of this process; `env -i` takes it off again.
        command = [env, "-i", *(f"{name}={value}" for name, value in environment.items())]
        command += [git, "--no-pager", "-C", os.fspath(self.top)]
        command += [part for setting in (*_SETTINGS, *trusted) for part in ("-c", setting)]
        process = _git_command(git).execute(
            [*command, *self.arguments],
            as_process=True,
            istream=subprocess.PIPE if stdin else None,
            shell=False,
            start_new_session=True,
        )
        return _finished(process.proc, stdin, limit, self.arguments[0])

    def failure(self, outcome: _Outcome) -> RepositoryError | UnverifiedOwnerError:
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
def _find_programs(top: Path, search_path: str) -> tuple[str, str, str]:
    """Return git, env and the absolute folders of a PATH that lie outside of the repository."""
    folders = (Path(folder) for folder in search_path.split(os.pathsep))
    inside = top.resolve()
    safe = (f for f in folders if f.is_absolute() and not f.resolve().is_relative_to(inside))
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


def _finished(process: "subprocess.Popen[bytes]", stdin: bytes, limit: int, name: str) -> _Outcome:
    """Read a process to its end, within `limit` bytes and `TIMEOUT_S` seconds."""
    output, errors, late = bytearray(), bytearray(), threading.Event()
    timer = threading.Timer(TIMEOUT_S, _kill, (process, late))
    threads = [threading.Thread(target=_drain, args=(process.stderr, errors, _PIECE))]
    if process.stdin:
        threads.append(threading.Thread(target=_feed, args=(process.stdin, stdin)))
    for thread in (timer, *threads):
        thread.start()
    try:
        _drain(process.stdout, output, limit + 1)
        process.wait()
    finally:
        timer.cancel()
        _kill(process)
        for thread in threads:
            thread.join()
    if late.is_set() or len(output) > limit:
        most = f"{TIMEOUT_S:g} seconds" if late.is_set() else f"{limit} bytes of output"
        message = f"git {name} needs more than {most}"
        raise LimitError(message)
    return _Outcome(process.wait(), bytes(output), bytes(errors))


def _kill(process: "subprocess.Popen[bytes]", late: threading.Event | None = None) -> None:
    """End git and what it may have started, which share a session, unless it has ended."""
    if process.poll() is None:
        if late:
            late.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()


def _drain(stream: Any, kept: bytearray, limit: int) -> None:  # noqa: ANN401 - a binary pipe
    """Read a pipe to its end, so that git is never held up, and keep the first `limit` bytes."""
    while piece := stream.read(_PIECE):
        kept += piece[: max(0, limit - len(kept))]


def _feed(stream: Any, data: bytes) -> None:  # noqa: ANN401 - a binary pipe
    with suppress(OSError):  # git may end early; its exit code says why
        stream.write(data)
        stream.close()
