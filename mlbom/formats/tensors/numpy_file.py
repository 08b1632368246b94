"""The arrays of .npy and .npz files, in place; arrays of objects are named and never unpickled.

Source: numpy 2, `numpy/lib/format.py` (NEP 1): magic, version, length, and a Python literal with
the keys descr, fortran_order and shape; .npz is a zip of such files.
"""

import ast
import re
import struct
from math import prod
from typing import Any, BinaryIO

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.strict_zip import STORED, ZipMember, read_member
from mlbom.formats.tensors.file import Fact, Packaging, Placed, TensorFile, layout_facts
from mlbom.formats.tensors.rows import BITS, TensorRow, part_of
from mlbom.formats.tensors.source import ByteSource, MemorySource, Readable
from mlbom.formats.tensors.window import Window, plain_strides
from mlbom.formats.weights import MAX_ELEMENTS

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
# Compressed arrays are unpacked into memory, all of one file together up to this.
MAX_UNPACKED = 256 * 1024 * 1024
_MAX_HEADER = 10_000
_MAX_DIMENSIONS = 64
_VERSION_END = 8
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
_KEYS = {"descr", "fortran_order", "shape"}
_DTYPES = {
    "b1": "BOOL", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32",
    "i8": "I64", "u8": "U64", "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128",
}  # fmt: skip
_PLAIN = re.compile(r"[<|]([biufc]\d{1,2})")


def open_npy(source: ByteSource) -> TensorFile:
    """Return the one array of a .npy file, named `array`.

    Raises:
        MalformedError: no such header, or another size than it says.
        LimitError: a header of more than 10,000 bytes.
    """
    placed = (_array("array", source, 0, source.nbytes),)
    return _file(source, "npy", placed, {})


def open_npz(source: ByteSource, stream: BinaryIO, members: dict[str, ZipMember]) -> TensorFile:
    """Return the arrays of a .npz file.

    Args:
        source: the archive.
        stream: the same, for compressed members.
        members: its directory; every name ends with `.npy`.

    Raises:
        MalformedError, LimitError: as `open_npy`; also more than 256 MiB of compressed arrays.
    """
    placed, packed, left = [], 0, MAX_UNPACKED
    for member in members.values():
        name = member.name.removesuffix(SUFFIX)
        if member.method == STORED and not member.encrypted:
            placed.append(_array(name, source, member.begin, member.nbytes))
            continue
        data = read_member(stream, member, left)
        left -= len(data)
        packed += 1
        placed.append(_array(name, MemorySource(data), 0, len(data)))
    told = f"{packed} of {len(members)} arrays"
    return _file(source, "npz", tuple(placed), {Fact("compression"): told} if packed else {})


def _file(source: ByteSource, kind: str, placed: tuple[Placed, ...], more: Packaging) -> TensorFile:
    return TensorFile(
        name=source.path.name,
        format=kind,
        placed=placed,
        packaging={Fact("format"): kind} | layout_facts(placed) | more,
        sources=(source,),
    )


def _array(name: str, source: Readable, begin: int, nbytes: int) -> Placed:
    """Return an array whose file begins at an offset of a source."""
    told, data_begin = _header(name, source, begin, nbytes)
    shape = told["shape"]
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS or not _are_sizes(shape):
        message = f"the array {name[:80]!a} has no shape that can be read"
        raise MalformedError(message)
    plain = _PLAIN.fullmatch(told["descr"]) if isinstance(told["descr"], str) else None
    dtype = _DTYPES.get(plain[1], "") if plain else ""
    if not dtype:
        problem = f"its dtype {str(told['descr'])[:80]!a} is none of tensors"
        return Placed(TensorRow(name=name, dtype="", shape=shape, problem=problem), None)
    row = TensorRow(name=name, dtype=dtype, shape=shape, part=part_of(name, dtype))
    if row.nbytes != begin + nbytes - data_begin:
        message = f"the array {name[:80]!a} does not have the {row.nbytes} bytes of its shape"
        raise MalformedError(message)
    strides = plain_strides(shape)
    if told["fortran_order"]:
        strides = plain_strides(shape[::-1])[::-1]
    bits = BITS[dtype]
    window = Window(source=source, begin=data_begin, bits=bits, shape=shape, strides=strides)
    return Placed(row, window)


def _header(name: str, source: Readable, begin: int, nbytes: int) -> tuple[dict[str, Any], int]:
    """Return what the header tells, and where the data begins."""
    head = source.read(begin, min(nbytes, _VERSION_END + 4))
    length = _LENGTHS.get(head[6]) if len(head) == _VERSION_END + 4 else None
    if not head.startswith(MAGIC) or length is None:
        message = f"the array {name[:80]!a} does not begin as .npy files do"
        raise MalformedError(message)
    (size,) = length.unpack_from(head, _VERSION_END)
    if size > _MAX_HEADER:
        message = f"the header of {name[:80]!a} has {size} bytes, the limit is {_MAX_HEADER}"
        raise LimitError(message)
    at = _VERSION_END + length.size
    text = source.read(begin + at, min(size, nbytes - at))
    try:
        told = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        message = f"the header of {name[:80]!a} cannot be parsed"
        raise MalformedError(message) from error
    if len(text) < size or not isinstance(told, dict) or told.keys() != _KEYS:
        message = f"the header of {name[:80]!a} does not have descr, fortran_order and shape"
        raise MalformedError(message)
    return told, begin + at + size


def _are_sizes(shape: tuple[Any, ...]) -> bool:
    known = all(type(n) is int and 0 <= n <= MAX_ELEMENTS for n in shape)
    return known and prod(shape) <= MAX_ELEMENTS
