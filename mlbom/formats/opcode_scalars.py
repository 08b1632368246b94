"""The pickle opcodes that push numbers, texts and bytes, and how they tell their sizes.

Source: Lib/pickletools.py of CPython 3.13, the argument descriptors of table `opcodes`.
"""

import codecs
import struct
from collections.abc import Callable

from mlbom.errors import MalformedError
from mlbom.formats.opcode_machine import Handler, Machine
from mlbom.formats.opcode_values import Blob

# An integer of more bytes or digits is kept as a `Blob`: no tensor needs it.
_LONG_BYTES = 64
_LONG_DIGITS = 160
_INT4 = struct.Struct("<i").unpack
_UINT2 = struct.Struct("<H").unpack
_UINT4 = struct.Struct("<I").unpack
_UINT8 = struct.Struct("<Q").unpack
_FLOAT8 = struct.Struct(">d").unpack


def _int(m: Machine) -> None:
    digits = m.line()
    m.stack.append(digits == b"01" if digits in (b"00", b"01") else _digits(digits))


def _long(m: Machine) -> None:
    m.stack.append(_digits(m.line().removesuffix(b"L")))


def _digits(digits: bytes) -> int | Blob:
    return int(digits, 0) if len(digits) <= _LONG_DIGITS else Blob(len(digits))


def _binint(m: Machine) -> None:
    m.stack.append(_INT4(m.read(4))[0])


def _binint1(m: Machine) -> None:
    m.stack.append(m.take(1)[0])


def _binint2(m: Machine) -> None:
    m.stack.append(_UINT2(m.read(2))[0])


def _long1(m: Machine) -> None:
    _push_integer(m, m.take(1)[0])


def _long4(m: Machine) -> None:
    _push_integer(m, _INT4(m.read(4))[0])


def _push_integer(m: Machine, count: int) -> None:
    if count < 0:
        message = f"LONG4 announces {count} bytes"
        raise MalformedError(message)
    if count > _LONG_BYTES:
        m.skip(count)
        m.stack.append(Blob(count))
    else:
        m.stack.append(int.from_bytes(m.take(count), "little", signed=True))


def _float(m: Machine) -> None:
    m.stack.append(float(m.line()))


def _binfloat(m: Machine) -> None:
    m.stack.append(_FLOAT8(m.read(8))[0])


def _string(m: Machine) -> None:
    quoted = m.keep(m.line())
    if len(quoted) < 2 or quoted[0] != quoted[-1] or quoted[:1] not in (b"'", b'"'):  # noqa: PLR2004 - two quotes
        message = "a STRING without quotes"
        raise MalformedError(message)
    m.stack.append(codecs.escape_decode(quoted[1:-1])[0].decode("latin-1"))


def _unicode(m: Machine) -> None:
    text = m.keep(m.line()).decode("raw-unicode-escape")
    m.stack.append(text.encode("utf-8", "backslashreplace").decode())


def _text(size: Callable[[Machine], int], encoding: str = "utf-8") -> Handler:
    def push(m: Machine) -> None:
        m.text(size(m), encoding)

    return push


def _bytes(size: Callable[[Machine], int]) -> Handler:
    def push(m: Machine) -> None:
        m.blob(size(m))

    return push


def _size1(m: Machine) -> int:
    return m.take(1)[0]


def _size4(m: Machine) -> int:
    return int(_UINT4(m.read(4))[0])


def _size8(m: Machine) -> int:
    return int(_UINT8(m.read(8))[0])


def _signed4(m: Machine) -> int:
    size = int(_INT4(m.read(4))[0])
    if size < 0:
        message = f"BINSTRING announces {size} bytes"
        raise MalformedError(message)
    return size


SCALARS: dict[bytes, Handler] = {
    b"I": _int, b"L": _long, b"J": _binint, b"K": _binint1, b"M": _binint2,
    b"\x8a": _long1, b"\x8b": _long4, b"F": _float, b"G": _binfloat,
    b"S": _string, b"T": _text(_signed4, "latin-1"), b"U": _text(_size1, "latin-1"),
    b"V": _unicode, b"X": _text(_size4), b"\x8c": _text(_size1), b"\x8d": _text(_size8),
    b"B": _bytes(_size4), b"C": _bytes(_size1), b"\x8e": _bytes(_size8), b"\x96": _bytes(_size8),
}  # fmt: skip
