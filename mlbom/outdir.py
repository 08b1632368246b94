"""The output directory: written beside, then exchanged whole; old set or new set, never half."""

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlbom.errors import LimitError, LockedError, OutputError, UsageError
from mlbom.openfile import read_regular

MARK = "evidence.json"
# How our evidence begins: no other evidence.json is taken for an earlier output.
_EVIDENCE = re.compile(rb'\{"gaps":.*"schema":"urn:mlbom:evidence:\d+"\}\s*', re.DOTALL)
_OWN_NAMES = frozenset(
    "bom.cdx.json bom.cdx.xml bom.spdx.json MODEL_CARD.md report.html evidence.json model.manifest "
    "summary.json decisions.yaml attestations data img".split()
)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_GITIGNORE = b"*\n!runs/\n!runs/*/\n!runs/*/record.sigstore.json\n!runs/*/*.link\n"


def check_output(target: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output directory that holds something which mlbom did not write.

    Args:
        target: the output directory, its parents resolved.
        inputs: folders that are inspected: the output may lie in them, never hold them.

    Raises:
        UsageError: the directory holds foreign files, or what is inspected.
        OutputError: it is a link, or no directory.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        message = f"the output {target.name} is a link or no directory"
        raise OutputError(message, hint="-o DIR names another directory")
    for folder in inputs:
        if folder.is_relative_to(target):
            message = f"the output {target} holds what is to be inspected"
            raise UsageError(message, hint="generate replaces its whole output: name another")
    if target.is_dir() and any(target.iterdir()) and not _is_own(target):
        message = f"the directory {target.name} holds files that mlbom did not write"
        hint = "generate replaces its whole output directory: name an empty or new one with -o"
        raise UsageError(message, hint=hint)


def _is_own(folder: Path) -> bool:
    """Return whether a directory is an earlier output, and nothing else lies in it."""
    if not {entry.name for entry in folder.iterdir()} <= _OWN_NAMES:
        return False
    try:
        return bool(_EVIDENCE.fullmatch(read_regular(folder / MARK, 2**28, MARK)))
    except (OSError, LimitError):
        return False


def replace_directory(
    target: Path, files: Mapping[str, bytes], staging: Path | None = None
) -> None:
    """Make a directory hold exactly the given files, at one moment.

    A killed process leaves the old set or the new set; what it leaves in the staging folder is
    cleaned up by the next call. Call it under `project_lock`.

    Args:
        target: the directory; its parents are made.
        files: content by POSIX path relative to it.
        staging: where the new set is put together; beside the target when None, or when it lies on
            another file system.

    Raises:
        OutputError: it could not be written; the old set is untouched.
    """
    old = target.with_name(f".{target.name}.mlbom-old")
    fresh = target.with_name(f".{target.name}.mlbom-new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if staging and staging.stat().st_dev == target.parent.stat().st_dev:
            fresh = staging / fresh.name
        _recover(target, fresh, old)
        _write_all(fresh, files)
        _exchange(fresh, target, old)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        message = f"cannot write {target.name}: {error.strerror or error}"
        hint = "free some space, or name another place with -o DIR"
        raise OutputError(message, hint=hint) from error


@contextlib.contextmanager
def project_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of a project's `.mlbom` folder; yield whether the folder can be written.

    The operating system drops the lock when its holder dies, so a stale one cannot block.

    Raises:
        LockedError: another process holds it.
        OSError: its file system knows no locks.
    """
    try:
        _real_directory(folder)
        if not os.path.lexists(folder / ".gitignore"):
            write_whole(folder / ".gitignore", _GITIGNORE)
        flags = os.O_RDWR | os.O_CREAT | _nofollow()
        descriptor = os.open(folder / "lock", flags, 0o644)
    except OSError:
        yield False
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        yield False
        return
    try:
        if not try_lock(descriptor):
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "another process"
            message = f"locked by process {holder}: another mlbom is writing in this project"
            raise LockedError(message)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield True
    finally:
        os.close(descriptor)


def file_name(path: str) -> str:
    """Return one file name for a relative path; different paths give different names."""
    plain = re.sub(r"[^\w.-]+", "-", path.strip("./") or "model")
    if plain == path:
        return plain
    return f"{plain}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write one file of `.mlbom` as `replace_file` does, and make its folders; follow no link.

    Raises:
        OSError: it could not be written, or a folder on the way is a link.
    """
    _real_directory(path.parent)
    replace_file(path, data, mode)


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write one file of an existing folder so that a reader sees the old content or the new one.

    Raises:
        OSError: it could not be written; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}.mlbom-new")
    try:
        _write(beside, data, mode)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _real_directory(folder: Path) -> None:
    """Make a directory of `.mlbom`, or refuse what stands there when it is none.

    Raises:
        OSError: a link or a file stands there, or the parent is none either.
    """
    if folder.name != ".mlbom":
        _real_directory(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    if not stat.S_ISDIR(folder.lstat().st_mode):
        message = f"{folder.name} is a link or no directory"
        raise OSError(message)


def _recover(target: Path, fresh: Path, old: Path) -> None:
    """Finish or undo what a killed run left: the old set comes back when nothing took its place."""
    if old.exists() and not target.exists():
        old.rename(target)
    for leftover in (fresh, old):
        if leftover.is_symlink():
            leftover.unlink()
        elif leftover.exists():
            shutil.rmtree(leftover)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data, 0o644)
    for directory in {folder, *((folder / name).parent for name in files)}:
        _sync_directory(directory)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _nofollow(), mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _exchange(fresh: Path, target: Path, old: Path) -> None:
    if not target.exists():
        fresh.rename(target)
    elif not _rename_exchange(fresh, target):
        # No atomic exchange here: for a moment only `old` exists, and `_recover` knows it.
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            old.rename(target)
            raise
    # The new set is in place: what a failing disk says now cannot undo that.
    with contextlib.suppress(OSError):
        _sync_directory(target.parent)


def _rename_exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step (Linux renameat2); return False where there is no such."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    done = renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE)
    return bool(done == 0)


def _sync_directory(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nofollow() -> int:
    return getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def try_lock(descriptor: int) -> bool:
    """Return whether an open file could be locked; the system drops the lock with its holder.

    Raises:
        OSError: this file system knows no locks.
    """
    try:
        import fcntl
    except ImportError:
        # Without flock the last writer wins; whatever is exchanged is whole all the same.
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
