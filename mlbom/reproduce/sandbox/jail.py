"""Starts a command in namespaces of its own: `python -I -S jail.py ORDER -- COMMAND...`.

It becomes the command (execve(2)): process id, input and output stay. ORDER is a JSON object, as
`Jail.wrapper` in confine.py makes it. What was done is told through an inherited pipe that the
command does not get. What the system does not allow is left out and told. The standard library
alone is at hand here, and mounts.py.

Sources: namespaces(7), user_namespaces(7), netdevice(7), prctl(2), capabilities(7).
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

_NEWNS, _NEWUSER, _NEWNET = 0x00020000, 0x10000000, 0x40000000
_CAPSET_VERSION = 0x20080522
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
# What root may keep: its own files, ports, memory and priorities. Without SYS_ADMIN nobody takes a
# cover away, without SETUID nobody becomes a user whose processes lead out of here, without
# DAC_READ_SEARCH nobody opens files by number.
_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _BIND, _IPC_LOCK, _SYS_NICE = 0, 1, 3, 4, 10, 14, 23
_KEPT = frozenset({_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _BIND, _IPC_LOCK, _SYS_NICE})
_CAPABILITIES = range(64)
# Namespaces together, then what is to be had of them.
_WISHES = (_NEWNS | _NEWNET, _NEWNET, _NEWNS)
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Cell:
    """What is done before the command starts.

    Args:
        order: what was ordered.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._gained = 0
        self.said: list[str] = []
        self.told: dict[str, Any] = {"before": _namespaces(), "hidden": 0, "readonly": False}

    def close(self) -> None:
        """Do everything that the system allows."""
        if sys.platform == "linux":
            self._enter()
            self._mount()
            self._raise_loopback()
        os.chdir(self._order["cwd"])  # through the new mounts
        self._limit()
        self._renounce()
        self.told["after"] = _namespaces()
        self.told["interfaces"] = [name for _, name in socket.if_nameindex()]
        self.told["said"] = self.said

    def _enter(self) -> None:
        flags, why = _best(_NEWNS | _NEWNET)
        if flags:
            _unshare(flags)
        self._gained = flags
        if not flags & _NEWNET:
            self.said.append(f"network not isolated: {why}")
        if not flags & _NEWNS:
            self.said.append(f"keys not hidden and files not protected: {why}")

    def _mount(self) -> None:
        """Put the files in order; what shall be found below a cover is held open meanwhile."""
        if not self._gained & _NEWNS:
            return
        order = self._order
        sys.path.append(order["library"])  # last: nothing there takes the place of a standard one
        from mlbom.reproduce.sandbox import mounts

        is_user = bool(self._gained & _NEWUSER)
        mounts.mount(None, "/", None, mounts.REC | mounts.PRIVATE)
        held = {path: mounts.hold(path) for path in order["kept"]}
        if os.geteuid() == 0 and not is_user:
            self._try("the devices of this machine stay", mounts.replace_devices)
        for path in order["emptied"]:
            self._try(f"{path} is shared with others", mounts.empty, path, 0o1777)
        for path in order["apart"]:
            told = f"{path} is shared with others"
            self._try(told, partial(mounts.layer_in_memory, path, is_user=is_user))
        for path in order["closed"]:
            self._try("earlier runs and their records can be read", mounts.empty, path, 0o755)
        for path, descriptor in held.items():
            mounts.restore(descriptor, path)
        mounts.release(held.values())
        for lower, upper, work in order["layers"]:
            told = f"the cache {os.path.basename(lower)} can only be read"
            self._try(told, partial(mounts.layer, lower, upper, work, is_user=is_user))
        # Last, for an overlay shows what was hidden below it.
        for path in order["hidden"]:
            told = f"{os.path.basename(path)} not hidden"
            self.told["hidden"] += self._try(told, mounts.hide, path, order["void"])
        self._try("files outside of the sandbox stay writable", self._protect)

    def _try(self, otherwise: str, act: Callable[..., None], *arguments: object) -> bool:
        """Do something, or tell why it was not done; return whether it was."""
        try:
            act(*arguments)
        except OSError as error:
            self.said.append(f"{otherwise}: {error.strerror}")
            return False
        return True

    def _protect(self) -> None:
        """Make every file read-only but those in the places ordered, inner ones last."""
        from mlbom.reproduce.sandbox import mounts

        places = sorted(self._order["places"], key=lambda place: len(place[0]))
        for path, _ in places:
            if not os.path.ismount(path):
                mounts.bind(path, path)
        mounts.set_readonly("/", is_readonly=True)
        self.told["readonly"] = True
        for path, is_readonly in places:
            mounts.set_readonly(path, is_readonly=is_readonly)

    def _raise_loopback(self) -> None:
        """Raise `lo`, which a new network has down: a distributed job waits for it for ever."""
        if not self._gained & _NEWNET:
            return
        import fcntl

        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
                ask = struct.pack("16sh22x", b"lo", 0)
                flags = struct.unpack_from("h", fcntl.ioctl(channel, _SIOCGIFFLAGS, ask), 16)[0]
                fcntl.ioctl(channel, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))
        except OSError as error:
            self.said.append(f"the loopback interface is down: {error.strerror}")

    def _limit(self) -> None:
        for name, most in self._order["limits"].items():
            number = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(number)[1]
            if hard != resource.RLIM_INFINITY:
                most = min(most, hard)  # noqa: PLW2901 - nobody raises what is lower already
            try:
                resource.setrlimit(number, (most, most))
            except (OSError, ValueError) as error:
                self.said.append(f"limit {name} not set: {error}")

    def _renounce(self) -> None:
        """Give up privileges for good, and die with the one who started us."""
        if sys.platform != "linux":
            return
        if os.geteuid() == 0:
            _drop_capabilities()
        _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        _LIBC.prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _best(wished: int) -> tuple[int, str]:
    """Return the most of the namespaces that can be had, and why not all of them can."""
    why = ""
    for wish in dict.fromkeys(wish & wished for wish in _WISHES):
        for flags in (wish, wish | _NEWUSER) if wish else ():
            if not (reason := _try(flags)):
                return flags, why
            why = why or reason
    return 0, why


def _try(flags: int) -> str:
    """Return why namespaces cannot be had, or nothing; tried by a child, for there is no way back.

    A user namespace whose users cannot be mapped would leave us nobody's files.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = ""
        try:
            _unshare(flags)
        except OSError as error:
            reason = error.strerror or str(error)
        os.write(theirs, reason.encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(pid, 0)
    with os.fdopen(ours, "rb") as stream:
        return stream.read().decode()


def _unshare(flags: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(flags))
    if not flags & _NEWUSER:
        return
    # user_namespaces(7): a group map needs setgroups to be denied first.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)


def _drop_capabilities() -> None:
    for number in _CAPABILITIES:
        if number not in _KEPT:
            _LIBC.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    kept = sum(1 << number for number in _KEPT)
    header = struct.pack("Ii", _CAPSET_VERSION, 0)
    # Effective, permitted, inheritable: low 32 bits, then high ones.
    _LIBC.capset(header, struct.pack("6I", kept, kept, 0, 0, 0, 0))


def _check(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _namespaces() -> dict[str, str]:
    return dict(_links("net", "mnt", "user"))


def _links(*names: str) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, os.readlink(f"/proc/self/ns/{name}")
        except OSError:
            yield name, ""


def _environment() -> dict[bytes, bytes]:
    """Return the variables as we were given them: a Python may add one to its own (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as stream:
            given = stream.read()
    except OSError:
        return dict(os.environb)
    pairs = (line.partition(b"=") for line in given.split(b"\0") if b"=" in line)
    return {name: value for name, _, value in pairs}


def main(arguments: Sequence[str]) -> int:
    """Do what was ordered, and become the command; return only when that cannot be."""
    order, command = json.loads(arguments[0]), list(arguments[2:])
    report = order["report"]
    os.set_inheritable(report, False)
    environment = _environment()
    cell = Cell(order)
    try:
        cell.close()
    except OSError as error:
        cell.told["failed"] = error.strerror or str(error)
        os.write(report, json.dumps(cell.told).encode())
        return 126
    os.write(report, json.dumps(cell.told).encode())
    if os.getppid() != order["parent"]:
        return 126  # it died before it could be told that we shall die with it
    for name in _IGNORED_BY_PYTHON:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - without a shell is what is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
