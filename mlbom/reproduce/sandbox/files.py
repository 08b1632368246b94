"""Files on their way into a sandbox and out of it: no link is written or read through.

A link that a repository holds may lead anywhere, and so may one that a training made.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from mlbom.errors import EnvironmentFailureError, LimitError
from mlbom.record.snapshot import IGNORED

# ioctl_ficlone(2): both files share their blocks until one is changed.
_FICLONE = 0x40049409


def copy_in(root: Path, name: str, source: Path) -> None:
    """Put a present file or folder into a project's copy.

    A link in the way is followed while it stays inside; one that leads out is replaced by a folder.

    Args:
        root: the copy, absolute, links resolved.
        name: POSIX path relative to it.
        source: file or folder; links in it are followed.

    Raises:
        EnvironmentFailureError: the name leads outside, or a file cannot be read or written.
    """
    try:
        target = _make_way(root, name)
        if source.is_dir():
            for below in _walk(source):
                copy_in(root, f"{name}/{below}", source / below)
        else:
            copy_file(source, target)
    except OSError as error:
        message = f"cannot copy the input {name}: {error.strerror or error}"
        raise EnvironmentFailureError(message) from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file, sharing its blocks where the file system can, and its mode.

    Raises:
        OSError: it cannot be read, is no regular file, or cannot be written.
    """
    with suppress(FileNotFoundError):
        target.unlink()
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(source, flags), "rb") as reading:
        status = os.fstat(reading.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with target.open("xb") as writing:
            os.chmod(target, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
            if not _share(reading.fileno(), writing.fileno()):
                _copy_bytes(reading.fileno(), writing.fileno(), status.st_size)


def copy_project(source: Path, root: Path) -> None:
    """Copy the files of a project, without repositories and environments; links stay links.

    Raises:
        EnvironmentFailureError: a file cannot be read or written.
    """
    waiting = [(os.fspath(source), os.fspath(root))]
    try:
        while waiting:
            old, new = waiting.pop()
            os.makedirs(new, exist_ok=True)
            with os.scandir(old) as entries:
                for entry in entries:
                    target = os.path.join(new, entry.name)
                    if entry.is_symlink():
                        os.symlink(os.readlink(entry.path), target)
                    elif entry.is_dir():
                        if entry.name not in IGNORED:
                            waiting.append((entry.path, target))
                    elif entry.is_file():
                        copy_file(Path(entry.path), Path(target))
    except OSError as error:
        message = f"cannot copy the project: {error.strerror or error}"
        raise EnvironmentFailureError(message) from error


def take_out(root: Path, name: str, folder: Path, most: int | None = None) -> Path | None:
    """Move a file out of a sandbox, or return None when it is not there or a link leads to it.

    Args:
        root: the project in the sandbox, links resolved.
        name: POSIX path relative to it.
        folder: where to; the name stays the same below it.
        most: bytes that it may have, holes included; None for no bound.

    Raises:
        LimitError: it is larger, or larger than the room where it would be copied to.
    """
    path = find_file(root, name)
    if path is None:
        return None
    target = folder.joinpath(*_parts(name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_size(path, target.parent, most)
        os.chmod(path.parent, 0o700)
        os.chmod(path, 0o600)
        shutil.move(path, target)
    except OSError:
        with suppress(OSError):
            target.unlink()  # half of it, where the room did not do
        return None
    return target


def room(folder: Path) -> int:
    """Return the free bytes of a file system, 0 when that cannot be told."""
    try:
        free = os.statvfs(folder)
    except (OSError, AttributeError):
        return 0
    return free.f_bavail * free.f_frsize


def find_file(root: Path, name: str) -> Path | None:
    """Return a regular file of a sandbox, or None when it is not there or a link leads to it.

    Args:
        root: the project in the sandbox, links resolved; folders on the way are made accessible.
        name: POSIX path relative to it.
    """
    if not is_inside(name):
        return None
    path = root
    for part in _parts(name):
        if not _is(path, stat.S_ISDIR):
            return None
        with suppress(OSError):
            os.chmod(path, 0o700)
        path /= part
    return path if _is(path, stat.S_ISREG) else None


def is_inside(name: str) -> bool:
    """Return whether a name relative to a folder stays inside of it, links left aside."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def remove_tree(top: Path) -> None:
    """Remove a folder whatever is in it: read-only folders, folders of any depth.

    Each folder is first moved up to the top, so that no path grows long; no link is followed. What
    cannot be removed stays.
    """
    mark, number = os.urandom(8).hex(), 0
    waiting = [os.fspath(top)]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError):
            os.chmod(folder, 0o700)
        with suppress(OSError):
            for entry in list(os.scandir(folder)):
                if not entry.is_dir(follow_symlinks=False):
                    with suppress(OSError):
                        os.unlink(entry.path)
                    continue
                number += 1
                waiting.append(_lift(entry.path, os.path.join(top, f"{mark}-{number}")))
        with suppress(OSError):
            os.rmdir(folder)
    shutil.rmtree(top, ignore_errors=True)


def _lift(path: str, target: str) -> str:
    """Move a folder up; its own mode must let its `..` be changed."""
    with suppress(OSError):
        os.chmod(path, 0o700)
    try:
        os.rename(path, target)
    except OSError:
        return path
    return target


def _check_size(path: Path, folder: Path, most: int | None) -> None:
    """Refuse a file with more holes than a disk has room: copied or read, they are bytes."""
    status = os.lstat(path)
    is_copied = status.st_dev != os.stat(folder).st_dev
    bounds = [most] if most is not None else []
    bounds += [room(folder)] if is_copied else []
    if bounds and status.st_size > min(bounds):
        message = f"{path.name} was not kept: {status.st_size} bytes, {min(bounds)} are allowed"
        raise LimitError(message)


def _parts(name: str) -> tuple[str, ...]:
    if not is_inside(name):
        message = f"a name leads outside of the project: {name!r}"
        raise EnvironmentFailureError(message)
    return PurePosixPath(name).parts


def _make_way(root: Path, name: str) -> Path:
    """Make the folders above a file of the sandbox, and return where it goes."""
    parts = _parts(name)
    folder = root
    for part in parts[:-1]:
        inner = folder / part
        if inner.is_symlink():
            led = Path(os.path.realpath(inner))
            if led.is_dir() and led.is_relative_to(root):
                folder = led
                continue
            inner.unlink()
        inner.mkdir(exist_ok=True)
        folder = inner
    return folder.joinpath(*parts[-1:])


def _walk(top: Path) -> Iterator[str]:
    """Yield the files below a folder, links followed, no folder twice."""
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        place = os.path.realpath(top / below)
        if place in seen:
            continue
        seen.add(place)
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir():
                    waiting.append(name)
                elif entry.is_file():
                    yield name


def _share(source: int, target: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True


def _copy_bytes(source: int, target: int, nbytes: int) -> None:
    """Let the kernel copy, which a network file system may do at its own end."""
    copy = getattr(os, "copy_file_range", None)
    try:
        while copy and nbytes > 0:
            done = copy(source, target, nbytes)
            nbytes = nbytes - done if done else 0
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    reading, writing = (
        os.fdopen(source, "rb", closefd=False),
        os.fdopen(target, "wb", closefd=False),
    )
    with reading, writing:
        shutil.copyfileobj(reading, writing, 1024 * 1024)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.lstat(path).st_mode)
    except OSError:
        return False
