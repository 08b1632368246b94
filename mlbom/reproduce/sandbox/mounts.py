"""The mounts of a jail: what is covered, what is private, what is read-only; of its own namespace.

Imported by jail.py, so the standard library alone is at hand. Whatever a cover would take away is
held open beforehand and bound back: a descriptor leads to a place that no path reaches any more.

Sources: mount(2), mount_setattr(2), umount2(2), open(2) on O_PATH, tmpfs and overlayfs (kernel
documentation), null(4), pts(4).
"""

import ctypes
import os
import re
import stat
from collections.abc import Iterable

REC, PRIVATE = 0x4000, 0x40000
_BIND, _NOSUID, _NODEV, _NOEXEC = 0x1000, 2, 4, 8
_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE, _RDONLY = -100, 0x8000, 1
_MOUNT_SETATTR = 442
# What a training needs of the devices: those of every program, terminals, and accelerators.
_DEVICES = re.compile(
    r"null|zero|full|u?random|tty|pts|shm|kfd|dri|dxg|(?:nvidia|nvhost|nvmap|nvgpu|accel)[\w-]*"
)
_DEV = "/dev"
_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Put a file system or another place at a path: the system call of the name.

    Raises:
        OSError: the system refused.
    """
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_LIBC.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data) or None))


def set_readonly(path: str, *, is_readonly: bool) -> None:
    """Set or clear one attribute of a mount and, where it may, of those below it.

    Raises:
        OSError: the system refused.
    """
    pair = (_RDONLY, 0) if is_readonly else (0, _RDONLY)
    attributes = (ctypes.c_uint64 * 4)(*pair, 0, 0)
    arguments = (ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), os.fsencode(path))
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    code = _LIBC.syscall(*arguments, ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), size)
    if code and not is_readonly:
        # Something below it was read-only before us and has to stay so.
        code = _LIBC.syscall(*arguments, ctypes.c_uint(0), ctypes.byref(attributes), size)
    _check(code)


def hide(path: str, void: str) -> None:
    """Put nothing in the place of a file or a folder.

    Args:
        path: what is hidden.
        void: an empty folder.

    Raises:
        OSError: the system refused.
    """
    if os.path.lexists(path):
        mount(void if os.path.isdir(path) else os.devnull, path, None, _BIND)


def bind(source: str, target: str) -> None:
    """Let a place be found at a path too, with everything that is mounted below it.

    Raises:
        OSError: the system refused.
    """
    mount(source, target, None, _BIND | REC)


def layer(lower: str, upper: str, work: str, *, is_user: bool) -> None:
    """Let what is written into a folder go elsewhere.

    Args:
        lower: the folder.
        upper: where what is written goes.
        work: an empty folder beside.
        is_user: whether a user namespace asks for it.

    Raises:
        OSError: the system refused.
    """
    _overlay(lower, f"lowerdir={lower},upperdir={upper},workdir={work}", is_user=is_user)


def layer_in_memory(path: str, *, is_user: bool) -> None:
    """Let what is written into a folder go to memory that ends with the namespace.

    Raises:
        OSError: the system refused; the folder is as it was.
    """
    lower = hold(path)
    try:
        mode = stat.S_IMODE(os.fstat(lower).st_mode)
        mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, "mode=700")
        try:
            for name in ("upper", "work"):
                os.mkdir(os.path.join(path, name))
            os.chmod(os.path.join(path, "upper"), mode)
            folders = f"upperdir={path}/upper,workdir={path}/work"
            _overlay(path, f"lowerdir={_held(lower)},{folders}", is_user=is_user)
        except OSError:
            _unmount(path)
            raise
    finally:
        os.close(lower)


def empty(path: str, mode: int) -> None:
    """Put an empty folder of the namespace's own in the place of another.

    Raises:
        OSError: the system refused.
    """
    mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, f"mode={mode:o}")


def replace_devices() -> None:
    """Leave of the devices those that a training needs: no disk, no memory, no machine.

    Raises:
        OSError: the system refused; the devices are as they were.
    """
    names = [name for name in os.listdir(_DEV) if _DEVICES.fullmatch(name)]
    paths = {name: f"{_DEV}/{name}" for name in names}
    links = {name: os.readlink(path) for name, path in paths.items() if os.path.islink(path)}
    # A bound ptmx finds no terminals beside it; root may open theirs whatever its mode.
    links |= {"fd": "/proc/self/fd", "ptmx": "pts/ptmx"}
    links |= {name: f"/proc/self/fd/{i}" for i, name in enumerate(("stdin", "stdout", "stderr"))}
    held = {name: hold(f"{_DEV}/{name}") for name in names if name not in links}
    try:
        mount("tmpfs", _DEV, "tmpfs", _NOSUID | _NOEXEC, "mode=755")
        try:
            for name, descriptor in held.items():
                _bring_back(descriptor, f"{_DEV}/{name}")
            for name, target in links.items():
                os.symlink(target, f"{_DEV}/{name}")
        except OSError:
            _unmount(_DEV)
            raise
    finally:
        release(held.values())


def hold(path: str) -> int:
    """Return a descriptor that leads to a place whatever is put over it.

    Raises:
        OSError: it is not there.
    """
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def restore(descriptor: int, path: str) -> None:
    """Let a place that is held be found again at its path, whatever was put over it.

    Raises:
        OSError: the system refused.
    """
    os.makedirs(path, exist_ok=True)
    bind(_held(descriptor), path)


def release(descriptors: Iterable[int]) -> None:
    """Close what was held."""
    for descriptor in descriptors:
        os.close(descriptor)


def _bring_back(descriptor: int, path: str) -> None:
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind):
        restore(descriptor, path)
    elif stat.S_ISCHR(kind):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        bind(_held(descriptor), path)


def _overlay(path: str, options: str, *, is_user: bool) -> None:
    mount("overlay", path, "overlay", 0, options + ",userxattr" * is_user)


def _unmount(path: str) -> None:
    _check(_LIBC.umount2(os.fsencode(path), _DETACH))


def _held(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _check(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
