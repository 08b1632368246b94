"""The abstract machine that steps through pickle opcodes: it imports nothing and calls nothing.

Source: Lib/pickletools.py and Lib/pickle.py of CPython 3.13, protocols 0 to 5. Plain data is
rebuilt; whatever the real machine would import, call or look up becomes an inert value of
`mlbom.formats.opcode_values`. No step recurses, and budgets bound time and memory.
"""

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.opcode_values import Blob, Call, GlobalRef, OpaqueKey

# 10 million opcodes take a few seconds and hold 250,000 tensors.
MAX_OPCODES = 10_000_000
MAX_CONTAINERS = 4_000_000
MAX_GLOBALS = 10_000
MAX_TEXT_BYTES = 128 * 1024 * 1024
MAX_LINE = 64 * 1024
KEPT_TEXT = 64 * 1024
KEPT_BYTES = 64
MAX_INDEX = 2**32
# What a payload hook answers when another pickle follows inside this one (joblib's object arrays).
NESTED = -1


class Stop(Exception):  # noqa: N818 - a signal between handler and loop, not an error
    """The STOP opcode was reached; the argument is the value of the stream."""


class TruncatedError(MalformedError):
    """The bytes of a pickle end before its STOP."""


Handler = Callable[["Machine"], None]


class Machine:
    """The state of one walk over one or more pickle streams.

    Args:
        stream: seekable bytes.
        nbytes: where the bytes end.
        payload: asked after each BUILD of a call how many raw bytes follow inside the stream.
    """

    __slots__ = (
        "calls", "containers", "globals", "marks", "memo", "nbytes", "opcodes", "payload",
        "persistent", "protocol", "read", "stack", "stream", "suspended", "text_bytes",
    )  # fmt: skip

    def __init__(
        self, stream: BinaryIO, nbytes: int, payload: Callable[[Call, BinaryIO], int] | None = None
    ) -> None:
        self.stream = stream
        self.read = stream.read
        self.nbytes = nbytes
        self.payload = payload
        self.opcodes = self.containers = self.text_bytes = 0
        self.globals: dict[tuple[str, str], GlobalRef] = {}
        self.calls: Counter[str] = Counter()
        self.persistent = 0
        self.protocol = 0
        self._reset()

    def _reset(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.suspended: list[tuple[list[Any], list[int], dict[int, Any]]] = []

    def run(self, handlers: Mapping[bytes, Handler]) -> Any:  # noqa: ANN401 - any inert value
        """Step through one stream from the current position and return its value.

        Args:
            handlers: what to do for each opcode; `b""` stands for the end of the bytes.

        Raises:
            TruncatedError: the bytes end before STOP.
            MalformedError: no opcode, a wrong argument, too little on the stack.
            LimitError: a budget is used up.
        """
        self._reset()
        read, opcodes = self.read, self.opcodes
        try:
            for opcodes in range(self.opcodes, MAX_OPCODES):  # noqa: B007 - read in `finally`
                handlers[read(1)](self)
        except Stop as reached:
            return reached.args[0]
        except KeyError as error:
            raise MalformedError(self._at(f"{error.args[0]!r} is no pickle opcode")) from error
        except IndexError as error:
            raise MalformedError(self._at("too little on the stack")) from error
        except struct.error as error:
            raise TruncatedError(self._at("the pickle ends inside an argument")) from error
        except (ValueError, OverflowError) as error:
            raise MalformedError(self._at("a wrong argument")) from error
        finally:
            self.opcodes = opcodes + 1
        message = f"the pickle has more than {MAX_OPCODES} opcodes, the limit"
        raise LimitError(message)

    def _at(self, what: str) -> str:
        return f"{what}, before byte {self.stream.tell()}"

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes; a count beyond `KEPT_TEXT` is checked before it is read."""
        data = self.read(count)
        if len(data) < count:
            raise TruncatedError(self._at("the pickle ends inside an argument"))
        return data

    def line(self) -> bytes:
        """Return the argument up to a line feed, without it."""
        data = self.stream.readline(MAX_LINE)
        if not data.endswith(b"\n"):
            if len(data) == MAX_LINE:
                message = f"a text argument is longer than the limit of {MAX_LINE} bytes"
                raise LimitError(message)
            raise TruncatedError(self._at("the pickle ends inside an argument"))
        return data[:-1]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them."""
        position = self.stream.tell()
        if count > self.nbytes - position:
            left = self.nbytes - position
            message = self._at(f"an argument announces {count} bytes, {left} are left")
            raise TruncatedError(message)
        self.stream.seek(position + count)

    def text(self, count: int, encoding: str = "utf-8") -> None:
        """Push a text of `count` bytes, as a `Blob` when it is long."""
        if count > KEPT_TEXT:
            self.skip(count)
            self.stack.append(Blob(count))
            return
        self.stack.append(self.keep(self.take(count)).decode(encoding, "backslashreplace"))

    def blob(self, count: int) -> None:
        """Push `count` bytes, as a `Blob` when they are many."""
        if count > KEPT_BYTES:
            self.skip(count)
            self.stack.append(Blob(count))
        else:
            self.stack.append(self.keep(self.take(count)))

    def keep(self, data: bytes) -> bytes:
        """Return bytes that will stay in memory, after counting them."""
        self.text_bytes += len(data)
        if self.text_bytes > MAX_TEXT_BYTES:
            message = f"the texts of the pickle exceed the limit of {MAX_TEXT_BYTES} bytes"
            raise LimitError(message)
        return data

    def made(self, value: Any) -> None:  # noqa: ANN401 - any inert value
        """Push a new container, after counting it."""
        self.containers += 1
        if self.containers > MAX_CONTAINERS:
            message = f"the pickle makes more than {MAX_CONTAINERS} containers, the limit"
            raise LimitError(message)
        self.stack.append(value)

    def pop(self) -> Any:  # noqa: ANN401 - any inert value
        """Return the top of the stack, which may not lie below the last mark."""
        if self.marks and self.marks[-1] >= len(self.stack):
            raise IndexError
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """Return all that was pushed since the last mark."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def imports(self, module: Any, name: Any) -> GlobalRef:  # noqa: ANN401 - inert values
        """Note that loading would import `module.name`."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise MalformedError(self._at("a global whose name is no text"))
        ref = self.globals.get((module, name))
        if ref is None:
            if len(self.globals) >= MAX_GLOBALS:
                message = f"the pickle imports more than {MAX_GLOBALS} names, the limit"
                raise LimitError(message)
            self.keep(module.encode() + name.encode())
            ref = self.globals[module, name] = GlobalRef(module, name)
        return ref

    def call(self, opcode: str, func: Any, args: Any) -> None:  # noqa: ANN401 - inert values
        """Push the inert result of a call."""
        self.calls[opcode] += 1
        self.made(Call(func, args))

    def memoize(self, index: int) -> None:
        """Remember the top of the stack."""
        if not 0 <= index < MAX_INDEX:
            raise ValueError
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Push what was remembered."""
        try:
            self.stack.append(self.memo[index])
        except KeyError as error:
            raise MalformedError(self._at(f"memo entry {index} was never set")) from error

    def after_build(self, built: Call) -> None:
        """Pass over raw bytes that follow a built object, or begin the pickle nested there."""
        if self.payload is None:
            return
        count = self.payload(built, self.stream)
        if count != NESTED:
            self.skip(count)
            return
        self.suspended.append((self.stack, self.marks, self.memo))
        self.stack, self.marks, self.memo = [], [], {}

    def stop(self) -> None:
        """End the stream, or return from a nested one to the stream around it."""
        value = self.pop()
        if not self.suspended:
            raise Stop(value)
        self.stack, self.marks, self.memo = self.suspended.pop()
        self.stack[-1].elements = [value]


def set_items(target: Any, items: list[Any]) -> None:  # noqa: ANN401 - any inert value
    """Put alternating keys and values into a dictionary or an inert object."""
    if isinstance(target, Call):
        target.entries = target.entries if target.entries is not None else {}
        target = target.entries
    if not isinstance(target, dict):
        return
    for key, value in zip(items[::2], items[1::2], strict=True):
        plain = type(key) is str or key is None or type(key) is bool
        plain = plain or (type(key) is int and abs(key) < MAX_INDEX)
        target[key if plain else OpaqueKey(key)] = value


def add_elements(target: Any, items: list[Any]) -> None:  # noqa: ANN401 - any inert value
    """Add elements to a list or an inert object."""
    if isinstance(target, Call):
        target.elements = target.elements if target.elements is not None else []
        target = target.elements
    if isinstance(target, list):
        target.extend(items)
