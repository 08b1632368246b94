"""The folder that a sandbox stands in: found again at the same path, and removed whatever happens.

Every run of one reproduction finds the same path, so that no run differs from another by its path.
A lock tells whether somebody still lives there: the kernel opens it when its owner dies, however
that may be. What the dead have left is removed at the next start.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlbom.errors import EnvironmentFailureError
from mlbom.record.child import MARK
from mlbom.record.family import Family
from mlbom.reproduce.sandbox.files import remove_tree

_PREFIX = "mlbom-sandbox"
_LOCK = "lock"
# A folder without its lock is being made at this moment, or was left so by somebody who died.
_MAKING_S = 60.0


@contextmanager
def open_ground(scratch: Path | None, key: str, trace: Path) -> Iterator[Path]:
    """Make a folder that nobody else may enter; it and its processes end with the context.

    Args:
        scratch: where; the system's temporary folder when None.
        key: equal keys give equal paths.
        trace: folder of the run's trace, by which its processes are known.

    Raises:
        EnvironmentFailureError: it cannot be made.
    """
    base = Path(os.path.realpath(scratch or tempfile.gettempdir()))
    remove_abandoned(base)
    descriptor = -1
    try:
        ground = _make(base, key)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(ground / _LOCK, flags, 0o600)
        _lock(descriptor)
        os.write(descriptor, os.fsencode(trace))
    except OSError as error:
        message = f"cannot make a sandbox in {base}: {error.strerror}"
        raise EnvironmentFailureError(message) from error
    try:
        yield ground
    finally:
        remove_tree(ground)
        os.close(descriptor)


def remove_abandoned(base: Path) -> None:
    """Remove the sandboxes whose owners have died, and end what still runs in them."""
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if not entry.name.startswith(_name("")) or not entry.is_dir(follow_symlinks=False):
                continue
            status = entry.stat(follow_symlinks=False)
            if status.st_uid == os.getuid():
                _remove_if_abandoned(Path(entry.path), status.st_ctime)


def _remove_if_abandoned(ground: Path, changed: float) -> None:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(ground / _LOCK, flags)
    except OSError:
        if time.time() - changed > _MAKING_S:
            remove_tree(ground)
        return
    try:
        _lock(descriptor)
        if trace := os.read(descriptor, 4096):
            Family(MARK, os.fsdecode(trace)).end()
        remove_tree(ground)
    except OSError:
        pass  # somebody lives there
    finally:
        os.close(descriptor)


def _make(base: Path, key: str) -> Path:
    ground = base / _name(hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12])
    try:
        ground.mkdir(mode=0o700)
    except FileExistsError:
        # Somebody else's, or another run of ours at the same time.
        return Path(tempfile.mkdtemp(prefix=f"{ground.name}-", dir=base))
    return ground


def _name(key: str) -> str:
    return f"{_PREFIX}-{os.getuid()}-{key}"


def _lock(descriptor: int) -> None:
    """Lock an open file until it is closed; raises OSError when somebody else has locked it."""
    try:
        import fcntl
    except ImportError as error:
        message = "this system has no locks that end with their owner"
        raise EnvironmentFailureError(message) from error
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
