"""The recorder's channel: what one process did, as JSON lines that survive its being killed.

Each event is one `write` to a file opened with O_APPEND, one file for each process. Whatever the
recorder does in the user's program stands inside `GUARD`: an exception that leaves an audit hook
would break the program that is recorded.
"""
# ruff: noqa: INP001, ANN401, UP031

import os
import sys
import time

try:
    from _json import encode_basestring_ascii as _quote
except ImportError:
    from json.encoder import py_encode_basestring_ascii as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

FOLDER = os.environ.get("MLBOM_RECORD_DIR", "")
# What is written of each training step (step, tensors), and what `mlbom reproduce` changes (JSON).
TRACE = os.environ.get("MLBOM_RECORD_TRACE", "")
PROBE = os.environ.get("MLBOM_RECORD_PROBE", "")
_MOST_TEXT = 200
_FIRST_DESCRIPTOR = 64
# Variables that change what numbers come out: PyTorch notes on randomness; oneMKL, oneDNN, NCCL.
_PREFIXES = ("OMP_", "MKL_", "KMP_", "OPENBLAS_", "ONEDNN_", "CUBLAS", "NCCL_", "NVTE_", "TORCH_")
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CAUSAL_CONV1D_DETERMINISTIC",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "FLASH_ATTENTION_DETERMINISTIC",
    "MAMBA_DETERMINISTIC",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
)


class Guard:
    """Swallows and counts what goes wrong in the recorder; interrupts pass through."""

    def __init__(self, reports: bool) -> None:  # noqa: FBT001 - two instances, both here
        self.failures = 0
        self._reports = reports

    def __enter__(self) -> None:
        """Begin guarded work."""

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> bool:
        """Return whether the exception ends here."""
        if kind is None or not issubclass(kind, Exception):
            return False
        self.failures += 1
        if self._reports and self.failures == 1:
            with _SILENT:
                emit("failure", why="%s: %s" % (kind.__name__, error))
        return True


_SILENT = Guard(reports=False)
GUARD = Guard(reports=True)


class Channel:
    """A trace file of this process; a fork gets its own.

    Args:
        suffix: of its name.
        first: returns the fields of its first line from how the process came to be, fork or exec;
            by default those of the recorder's own file.
    """

    def __init__(
        self, suffix: str = ".jsonl", first: "Callable[[str], dict[str, Any]] | None" = None
    ) -> None:
        self._suffix = suffix
        self._first = first or _describe
        self._descriptor = -1
        self._identity = (-1, -1)
        self._pid = 0
        self._path = ""

    def ensure(self) -> None:
        """Open the file of this process, unless it is open."""
        if self._pid != os.getpid():
            self._begin()
        elif not self._is_ours():
            self._open()

    def write(self, line: str) -> None:
        """Append one line."""
        self.ensure()
        data = (line + "\n").encode("ascii")
        written = os.write(self._descriptor, data)
        while written < len(data):  # a disk that is nearly full, then an error
            written += os.write(self._descriptor, data[written:])

    def emit(self, event: str, **fields: "Any") -> None:
        """Append one event; call it inside `GUARD`."""
        fields["e"] = event
        self.write(encode(fields))

    def is_begun(self) -> bool:
        """Return whether this process, and not only one that it is a fork of, has such a file."""
        return self._pid == os.getpid()

    def has_room(self) -> bool:
        """Return whether this process may open one more file."""
        self.ensure()
        try:
            os.close(os.dup(self._descriptor))
        except OSError:
            return False
        return True

    def _begin(self) -> None:
        """Open a new file; its first line says which process this is."""
        how = "fork" if self._pid else "exec"
        self._pid = os.getpid()
        name = "%d-%x%s" % (self._pid, int(time.time() * 1e6), self._suffix)
        self._path = os.path.join(FOLDER, name)
        self._open()
        self.write(encode(self._first(how)))

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = _out_of_the_way(os.open(self._path, flags, 0o600))
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)

    def _is_ours(self) -> bool:
        """Return whether the descriptor is still ours: a daemon closes all, and opens its own."""
        try:
            status = os.fstat(self._descriptor)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity


def _out_of_the_way(descriptor: int) -> int:
    """Return a descriptor with a high number: programs may count on 3 being the next one."""
    try:
        import fcntl

        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    except (ImportError, OSError):  # another system, or a low limit
        return descriptor
    os.close(descriptor)
    return moved


def _describe(how: str) -> "dict[str, Any]":
    """Return what identifies this process and its environment."""
    site = sys.modules.get("site")
    return {
        "e": "start",
        "how": how,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "time": time.time(),
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)],
        "user_site": getattr(site, "USER_SITE", None) or "",
        "version": "%d.%d.%d" % sys.version_info[:3],
        "argv": list(getattr(sys, "argv", ())),
        "variables": numeric_variables(),
        "rank": os.environ.get("RANK", ""),
        "hook": hasattr(sys, "addaudithook"),
    }


CHANNEL = Channel()


def encode(value: "Any") -> str:
    """Return a value as JSON; the json package itself would slow down every start of a Python."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return "%d" % value
    if isinstance(value, float) and value - value == 0:
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encode(item) for item in value]) + "]"
    if isinstance(value, dict):
        items = [quote(str(key)) + ":" + encode(item) for key, item in value.items()]
        return "{" + ",".join(items) + "}"
    return quote(str(value))


def quote(text: str) -> str:
    """Return a text as a JSON string in ASCII."""
    return _quote(text)


def emit(event: str, **fields: "Any") -> None:
    """Append one event to the recorder's own file; call it inside `GUARD`."""
    CHANNEL.emit(event, **fields)


def shorten(value: "Any") -> str:
    """Return a value as a short text."""
    text = value if isinstance(value, str) else repr(value)
    return text[:_MOST_TEXT]


def numeric_variables() -> "dict[str, str]":
    """Return the variables of this process that change what numbers come out."""
    return {
        name: shorten(value)
        for name, value in os.environ.items()
        if name in _VARIABLES or name.startswith(_PREFIXES)
    }
