"""The wire format of Protocol Buffers, field by field (protobuf.dev, Encoding)."""

from collections.abc import Iterator

from mlbom.errors import MalformedError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BITS = 64


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a message; numbers of fixed size come as their bytes.

    Raises:
        MalformedError: the bytes are no message. No length is believed beyond the end.
    """
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            number, position = _varint(data, position)
            yield key >> 3, number
            continue
        if kind == _BYTES:
            nbytes, position = _varint(data, position)
        else:
            nbytes = {_FIXED64: 8, _FIXED32: 4}.get(kind, len(data) + 1)
        value = data[position : position + nbytes]
        if len(value) < nbytes:
            message = "a message has a field that runs beyond its end"
            raise MalformedError(message)
        position += nbytes
        yield key >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - no more bytes follow
            return value & ((1 << _BITS) - 1), position
    message = "a message has a number that does not end"
    raise MalformedError(message)


def signed(value: int) -> int:
    """Return an int64 that was read as unsigned."""
    return value - (1 << _BITS) if value >> (_BITS - 1) else value
