"""Event files of TensorBoard: records with checksums (TFRecord), each an `Event` in protobuf.

Sources: tensorflow/core/lib/io/record_writer.h (length, masked CRC-32C, data, masked CRC-32C),
tensorboard/compat/proto/{event,summary,tensor,tensor_shape}.proto, and the wire format of Protocol
Buffers. Only scalars are decoded, and no length is believed beyond the record that holds it.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mlbom.collect.trackers.protobuf import fields, signed
from mlbom.errors import MalformedError

# A scalar takes some fifty bytes; larger records are pictures, graphs, histograms.
_LARGEST_SCALAR_RECORD = 64 * 1024
_LENGTH = struct.Struct("<QI")
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_MASK, _MASK_DELTA = 0xFFFFFFFF, 0xA282EAD8
_POLYNOMIAL = 0x82F63B78
_CHECKSUM_NBYTES = 4
# Field numbers.
_EVENT_STEP, _EVENT_SUMMARY, _SUMMARY_VALUE = 2, 5, 1
_VALUE_TAG, _VALUE_SIMPLE, _VALUE_TENSOR = 1, 2, 8
_TENSOR_DTYPE, _TENSOR_SHAPE, _SHAPE_DIM = 1, 2, 2
_TENSOR_NUMBERS = (4, 5, 6)  # tensor_content, float_val, double_val
_FORMS = {1: _FLOAT, 2: _DOUBLE}  # DataType DT_FLOAT, DT_DOUBLE


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number in the file, from 1, its bytes and the checksum stored beside."""

    number: int
    data: bytes
    checksum: int

    @property
    def is_intact(self) -> bool:
        """Return whether the bytes have the stored checksum."""
        return masked_crc32c(self.data) == self.checksum


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number of an event."""

    tag: str
    value: float
    step: int


def records(stream: BinaryIO, what: str) -> Iterator[Record]:
    """Yield the records that may hold scalars; larger ones are passed over.

    The checksum of a length is verified here, that of the data is left to the caller.

    Raises:
        MalformedError: a length whose checksum is wrong, or the file ends inside a record.
    """
    number = 0
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    while head := stream.read(_LENGTH.size):
        number += 1
        if len(head) < _LENGTH.size:
            raise _cut(what, number)
        nbytes, checksum = _LENGTH.unpack(head)
        if masked_crc32c(head[:8]) != checksum:
            message = f"{what} is damaged: record {number} has a wrong length"
            raise MalformedError(message)
        if nbytes > end - stream.tell():
            raise _cut(what, number)
        if nbytes > _LARGEST_SCALAR_RECORD:
            stream.seek(nbytes, os.SEEK_CUR)
            data = None
        else:
            data = stream.read(nbytes)
        tail = stream.read(_CHECKSUM_NBYTES)
        if len(tail) < _CHECKSUM_NBYTES:
            raise _cut(what, number)
        if data is not None:
            yield Record(number, data, int.from_bytes(tail, "little"))


def scalars(data: bytes) -> list[Scalar]:
    """Return the scalars of one event.

    Raises:
        MalformedError: the bytes are no event.
    """
    step, summary = 0, b""
    for number, value in fields(data):
        if number == _EVENT_STEP and isinstance(value, int):
            step = signed(value)
        elif number == _EVENT_SUMMARY and isinstance(value, bytes):
            summary = value
    found = (_scalar(value, step) for number, value in fields(summary) if number == _SUMMARY_VALUE)
    return [scalar for scalar in found if scalar is not None]


def masked_crc32c(data: bytes) -> int:
    """Return the checksum as TFRecord stores it: CRC-32C (RFC 3720), rotated, plus a constant."""
    crc = _MASK
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= _MASK
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _MASK


def _scalar(value: int | bytes, step: int) -> Scalar | None:
    """Decode a Summary.Value; None when it holds something else than one number."""
    if not isinstance(value, bytes):
        return None
    tag, number = "", None
    for field, content in fields(value):
        if not isinstance(content, bytes):
            continue
        if field == _VALUE_TAG:
            tag = content.decode("utf-8", "replace")
        elif field == _VALUE_SIMPLE:
            number = _unpack(_FLOAT, content)
        elif field == _VALUE_TENSOR:
            number = _scalar_tensor(content)
    return Scalar(tag, number, step) if tag and number is not None else None


def _scalar_tensor(data: bytes) -> float | None:
    """Decode a TensorProto that holds one float or double and has no dimension."""
    form, content = None, b""
    for field, value in fields(data):
        if field == _TENSOR_DTYPE and isinstance(value, int):
            form = _FORMS.get(value)
        elif not isinstance(value, bytes):
            continue
        elif field == _TENSOR_SHAPE and any(inner == _SHAPE_DIM for inner, _ in fields(value)):
            return None
        elif field in _TENSOR_NUMBERS:
            content = value
    return _unpack(form, content) if form else None


def _unpack(form: struct.Struct, content: bytes) -> float | None:
    if len(content) != form.size:
        return None
    value: float = form.unpack(content)[0]
    return value


def _cut(what: str, number: int) -> MalformedError:
    return MalformedError(f"{what} ends inside record {number}")


def _table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        values.append(crc)
    return tuple(values)


_TABLE = _table()
