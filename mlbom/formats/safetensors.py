"""Reader of safetensors files: the header only, and every rule that the format sets.

Source: the format description of huggingface/safetensors 0.8 (README, section Format). The library
accepts a tensor name that appears twice; we do not, because two readers could then disagree.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import Any, BinaryIO

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.nodes import Pair
from mlbom.formats.opcodes import walk
from mlbom.formats.strict_json import parse_json
from mlbom.formats.weights import MAX_ELEMENTS, SAFETENSORS_BITS, TensorInfo, WeightFacts

MAX_HEADER_BYTES = 100_000_000
# Brackets and commas: what a JSON text of that size may turn into in memory. 100,000 tensors of
# four dimensions have 700,000 of them.
MAX_HEADER_ITEMS = 8_000_000
_MAX_OBJECTS = 1_000_000
_MAX_DIMENSIONS = 64
_MAX_NAME_SHOWN = 80
_PLAUSIBLE_LENGTH = 2**40
_KEYS = {"dtype", "shape", "data_offsets"}
_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsLayout:
    """A header and where the bytes of its tensors lie.

    Args:
        facts: what the file says about itself.
        begins: offset in the file of each tensor, by name.
        padding: how many blanks fill the header up.
    """

    facts: WeightFacts
    begins: Mapping[str, int]
    padding: int


class SafetensorsReader:
    """Reads the header of a safetensors file."""

    name = "safetensors"

    def matches(self, head: bytes, path: str) -> bool:
        """Return whether a JSON object follows the length, or only the name says safetensors."""
        length = int.from_bytes(head[:_LENGTH], "little")
        if head[_LENGTH : _LENGTH + 1] == b"{" and length < _PLAUSIBLE_LENGTH:
            return True
        other = head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
        return path.lower().endswith(".safetensors") and not other

    def read(self, stream: BinaryIO, nbytes: int) -> WeightFacts:
        """Return the facts of a safetensors file of `nbytes` bytes.

        Raises:
            MalformedError: the header breaks a rule of the format, or the file does not end where
                the header says; or its bytes are a pickle at the same time.
            LimitError: the header is larger than 100 MB or has millions of items.
        """
        return read_layout(stream, nbytes).facts


def read_layout(stream: BinaryIO, nbytes: int) -> SafetensorsLayout:
    """Return the facts of a safetensors file, and where its tensors lie.

    Raises:
        MalformedError, LimitError: as `SafetensorsReader.read`.
    """
    length, text = _header(stream, nbytes)
    header: dict[str, Any] = parse_json(text, "the header", max_bytes=MAX_HEADER_BYTES)
    metadata = _metadata(header.pop("__metadata__", {}))
    data_begin = _LENGTH + length
    tensors, begins = _tensors(header, data_begin, nbytes)
    return SafetensorsLayout(
        facts=WeightFacts(format=SafetensorsReader.name, tensors=tensors, metadata=metadata),
        begins=begins,
        padding=length - len(text.rstrip(b" ")),
    )


def _header(stream: BinaryIO, nbytes: int) -> tuple[int, bytes]:
    first = stream.read(_LENGTH)
    if len(first) < _LENGTH:
        message = f"the file has {len(first)} bytes, less than the 8 of the header length"
        raise MalformedError(message)
    (length,) = struct.unpack("<Q", first)
    if length > nbytes - _LENGTH:
        message = f"the header announces {length} bytes, the file has {nbytes - _LENGTH} after it"
        raise MalformedError(message)
    if length > MAX_HEADER_BYTES:
        message = f"the header has {length} bytes, more than the limit of {MAX_HEADER_BYTES}"
        raise LimitError(message)
    text = stream.read(length)
    if len(text) < length:
        message = f"the file ends inside its header of {length} bytes"
        raise MalformedError(message)
    if not text.startswith(b"{"):
        message = "the header does not begin with {"
        raise MalformedError(message)
    items = text.count(b"[") + text.count(b",")
    if items > MAX_HEADER_ITEMS or text.count(b"{") > _MAX_OBJECTS:
        message = f"the header has {items} items, more than the limit of {MAX_HEADER_ITEMS}"
        raise LimitError(message)
    _refuse_pickle(first + text)
    return length, text


def _refuse_pickle(data: bytes) -> None:
    """Refuse a file that a pickle loader would run: its length field reads as pickle opcodes."""
    for name in walk(BytesIO(data), len(data), max_streams=1).globals:
        # A length whose first byte is the opcode GLOBAL or EXT1 makes up names that nothing has.
        if name.isascii() and all(part.isidentifier() for part in name.split(".")):
            message = (
                f"the bytes are a pickle as well, which imports {_shown(name)}: could not tell"
            )
            raise MalformedError(message)


def _metadata(told: Any) -> tuple[Pair, ...]:  # noqa: ANN401 - any JSON value
    if not isinstance(told, dict) or not all(isinstance(v, str) for v in told.values()):
        message = "__metadata__ is no map of texts"
        raise MalformedError(message)
    return tuple(Pair(name, text) for name, text in sorted(told.items()))


def _tensors(
    header: dict[str, Any], data_begin: int, nbytes: int
) -> tuple[tuple[TensorInfo, ...], dict[str, int]]:
    spans: list[tuple[int, int, str]] = []
    tensors: list[TensorInfo] = []
    for name, told in header.items():
        tensor, begin, end = _tensor(name, told)
        tensors.append(tensor)
        spans.append((begin, end, name))
    spans.sort()
    _check_spans(spans, nbytes - data_begin)
    return tuple(tensors), {name: data_begin + begin for begin, _, name in spans}


def _tensor(name: str, told: Any) -> tuple[TensorInfo, int, int]:  # noqa: ANN401 - any JSON value
    if not isinstance(told, dict) or told.keys() != _KEYS:
        message = f"tensor {_shown(name)} does not have exactly dtype, shape and data_offsets"
        raise MalformedError(message)
    dtype, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    bits = SAFETENSORS_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        message = f"tensor {_shown(name)} has the unknown dtype {_shown(dtype)}"
        raise MalformedError(message)
    if not _are_sizes(shape, _MAX_DIMENSIONS) or not _are_sizes(offsets, 2) or len(offsets) < 2:  # noqa: PLR2004 - a pair
        message = f"tensor {_shown(name)} has a shape or data_offsets that are no lists of sizes"
        raise MalformedError(message)
    begin, end = offsets
    nbits = prod(shape) * bits
    if nbits != (end - begin) * 8:
        told_bytes = f"{nbits} bits by dtype and shape, {end - begin} bytes by its data_offsets"
        message = f"tensor {_shown(name)} takes {told_bytes}"
        raise MalformedError(message)
    return TensorInfo(name, dtype, tuple(shape)), begin, end


def _are_sizes(value: Any, most: int) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether this is a short list of whole numbers whose product stays computable."""
    if not isinstance(value, list) or len(value) > most or not {*map(type, value)} <= {int}:
        return False
    return not value or (min(value) >= 0 and max(value) <= MAX_ELEMENTS)


def _shown(name: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a name for a message: quoted, escaped and short."""
    if not isinstance(name, str):
        return f"of type {type(name).__name__}"
    return ascii(name if len(name) <= _MAX_NAME_SHOWN else name[:_MAX_NAME_SHOWN] + "...")


def _check_spans(spans: list[tuple[int, int, str]], data_bytes: int) -> None:
    position = 0
    for begin, end, name in spans:
        if begin != position:
            what = "overlaps the tensor before it" if begin < position else "leaves a gap before it"
            message = f"tensor {_shown(name)} {what}: it begins at {begin}, not at {position}"
            raise MalformedError(message)
        position = end
    if position != data_bytes:
        what = "more" if data_bytes > position else "less"
        message = f"the file has {data_bytes} bytes of data, {what} than its tensors' {position}"
        raise MalformedError(message)
