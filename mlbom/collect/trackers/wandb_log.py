"""The log of a W&B run: records in blocks (the log format of LevelDB), each a message of protobuf.

Sources: leveldb doc/log_format.md, with `:W&B`, a magic number and a version before the first
block and plain CRC-32 as checksum; wandb/proto/wandb_internal.proto (Record, HistoryRecord,
SummaryRecord and their items).
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from mlbom.collect.trackers.metric import Reported, SourceFile, number, whole
from mlbom.collect.trackers.protobuf import fields
from mlbom.collect.trackers.result_files import parse_results
from mlbom.errors import MalformedError

_LIMIT = 64 * 1024 * 1024
_HEAD, _MAGIC = struct.Struct("<4sHB"), (b":W&B", 0xBEE1)
_BLOCK_NBYTES = 32 * 1024
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LARGEST_RECORD = 4 * 1024 * 1024
# Field numbers.
_HISTORY, _SUMMARY = 2, 3
_ITEM, _KEY, _NESTED_KEY, _VALUE_JSON = 1, 1, 2, 16


def read_log(source: SourceFile) -> Iterator[Reported | str]:
    """Yield every number that the run logged, in order; what is cut off at the end is told.

    Raises:
        OSError: the file cannot be read.
        MlbomError: it is too large, or no log.
    """
    step: int | None = None
    with source.open(_LIMIT) as stream:
        for count, record in enumerate(_records(stream, source.shown), start=1):
            values = dict(_items(record, source.shown))
            step = whole(values.get("_step", step))
            media = {name.removesuffix("._type") for name in values if name.endswith("._type")}
            for name, value in values.items():
                if not name.startswith("_") and name.rpartition(".")[0] not in media:
                    for found in numbers(name, value):
                        yield replace(found, step=step, line=count)


def numbers(name: str, value: Any) -> Iterator[Reported]:  # noqa: ANN401 - JSON
    """Yield the numbers of one value that was logged; tables and pictures have none."""
    if (found := number(value)) is not None:
        yield Reported(name, found)
    elif isinstance(value, dict) and "_type" not in value:
        for key, inner in value.items():
            yield from numbers(f"{name}.{key}", inner)


def _items(record: bytes, what: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of a history or a summary."""
    for kind, content in fields(record):
        if kind not in (_HISTORY, _SUMMARY) or not isinstance(content, bytes):
            continue
        for field, item in fields(content):
            if field == _ITEM and isinstance(item, bytes):
                names, text = [], b""
                for part, value in fields(item):
                    if part in (_KEY, _NESTED_KEY) and isinstance(value, bytes):
                        names.append(value.decode("utf-8", "replace"))
                    elif part == _VALUE_JSON and isinstance(value, bytes):
                        text = value
                if names and text:
                    yield ".".join(names), parse_results(text, what)


def _records(stream: BinaryIO, what: str) -> Iterator[bytes]:
    """Yield the records, put together from the chunks of the blocks.

    Raises:
        MalformedError: no log, a wrong checksum, or the file ends inside a record.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or _HEAD.unpack(head)[:2] != _MAGIC:
        message = f"{what} is no log of a W&B run"
        raise MalformedError(message)
    parts: list[bytes] = []
    nbytes = 0
    while (chunk := _next_chunk(stream, what)) is not None:
        kind, data = chunk
        if kind in (_FULL, _FIRST):
            parts, nbytes = [], 0
        nbytes += len(data)
        if nbytes <= _LARGEST_RECORD:  # Else a large table, which holds no metric.
            parts.append(data)
        if kind in (_FULL, _LAST) and nbytes <= _LARGEST_RECORD:
            yield b"".join(parts)


def _next_chunk(stream: BinaryIO, what: str) -> tuple[int, bytes] | None:
    left = _BLOCK_NBYTES - stream.tell() % _BLOCK_NBYTES
    if left < _CHUNK.size:
        stream.seek(left, os.SEEK_CUR)
    head = stream.read(_CHUNK.size)
    if not head:
        return None
    if len(head) == _CHUNK.size:
        checksum, nbytes, kind = _CHUNK.unpack(head)
        data = stream.read(nbytes)
        if len(data) == nbytes and kind in (_FULL, _FIRST, _MIDDLE, _LAST):
            if zlib.crc32(data, zlib.crc32(bytes([kind]))) == checksum:
                return kind, data
            message = f"{what} is damaged: a record has a wrong checksum"
            raise MalformedError(message)
    message = f"{what} ends inside a record"
    raise MalformedError(message)
