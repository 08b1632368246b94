"""Reader of pickle files: joblib, scikit-learn, and torch's old layout, none of them ever loaded.

Of an ordinary pickle the imports are known and the tensors are not. Torch's old layout (before 1.6)
is five pickles and the storages behind them, so its tensors are known. Sources: torch 2.13,
`torch/serialization.py` (`_legacy_save`, `_legacy_load`); joblib 1.5, `numpy_pickle.py`.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_CUR, BytesIO
from typing import BinaryIO

from mlbom.errors import MalformedError, UnknownFormatError
from mlbom.evidence.nodes import Pair
from mlbom.formats.compressed import compression, first_bytes, unpack
from mlbom.formats.joblib_arrays import array_payload
from mlbom.formats.opcode_values import Call
from mlbom.formats.opcodes import PickleFacts, walk
from mlbom.formats.torch_checkpoint import PICKLE_GLOBALS, Checkpoint, checkpoint_facts
from mlbom.formats.torch_names import REBUILDING
from mlbom.formats.torch_views import Storages
from mlbom.formats.weights import HEAD_BYTES, MAX_ELEMENTS, WeightFacts

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_STREAMS = 5
_COUNT = struct.Struct("<Q")
_MAX_TEXT = 64
_PROTO = re.compile(rb"\x80[\x02-\x05]")
_SUFFIXES = (".pkl", ".pickle", ".joblib", ".bin", ".pt", ".pth", ".ckpt")
_COMPRESSED_SUFFIXES = (*_SUFFIXES, ".gz", ".bz2", ".xz", ".lzma", ".z", ".zst", ".lz4")


class PickleReader:
    """Walks a pickle, plain or compressed."""

    name = "pickle"

    def matches(self, head: bytes, path: str) -> bool:
        """Return whether the first bytes are pickle opcodes; protocols 0 and 1 need a name too."""
        name = path.lower()
        if compression(head):
            unpacked = first_bytes(head, HEAD_BYTES)
            # What cannot be unpacked is claimed by its name, so that reading says why.
            named = name.endswith(_COMPRESSED_SUFFIXES) and (not unpacked or _is_pickle(unpacked))
            return named or bool(_PROTO.match(unpacked))
        if _PROTO.match(head):
            return True
        return name.endswith(_SUFFIXES) and _is_pickle(head)

    def read(self, stream: BinaryIO, nbytes: int) -> WeightFacts:
        """Return the facts of a pickle file.

        Raises:
            MalformedError: a damaged compression. A damaged pickle is told in `problem`.
            LimitError: more unpacked bytes than allowed.
            UnreadableError: a compression that mlbom does not unpack.
        """
        head = stream.read(HEAD_BYTES)
        if compression(head):
            stream.seek(0)
            content = unpack(stream, head)
            head = content.read(HEAD_BYTES)
            return _facts(content, len(content.getbuffer()), head)
        return _facts(stream, nbytes, head)


def _is_pickle(head: bytes) -> bool:
    """Return whether the first bytes are a pickle or import something, behind junk or not."""
    found = walk(BytesIO(head), len(head))
    return bool(found.values or found.globals)


def _facts(stream: BinaryIO, nbytes: int, head: bytes) -> WeightFacts:
    if walk(BytesIO(head), len(head), max_streams=1).values == (LEGACY_MAGIC,):
        return _legacy_facts(stream, nbytes)
    stream.seek(0)
    found = walk(stream, nbytes, payload=array_payload)
    problem = found.problem
    if found.values and found.trailing:
        problem = f"{found.trailing} bytes behind the pickle are no pickle: {problem}"
    return WeightFacts(
        format=PickleReader.name,
        has_table=False,
        globals=found.globals,
        code_kind="" if REBUILDING.issuperset(found.globals) else PICKLE_GLOBALS,
        metadata=(Pair("pickle.protocol", str(found.protocol)), *_sklearn_version(found)),
        problem=problem,
    )


def _sklearn_version(found: PickleFacts) -> Iterator[Pair]:
    """Yield the version that scikit-learn writes into the state of its estimators."""
    for value in found.values:
        state = value.state if isinstance(value, Call) else None
        told = state.get("_sklearn_version") if isinstance(state, dict) else None
        if isinstance(told, str) and len(told) <= _MAX_TEXT:
            yield Pair("sklearn.version", told)
            return


@dataclass(frozen=True, slots=True)
class LegacyCheckpoint:
    """A file in torch's old layout, walked.

    Args:
        checkpoint: its object.
        begins: offset in the file of each storage, by key; known once its storages were asked for.
    """

    checkpoint: Checkpoint
    begins: dict[str, int]


def open_legacy(stream: BinaryIO, nbytes: int) -> LegacyCheckpoint:
    """Walk a file in torch's old layout.

    Raises:
        UnknownFormatError: a pickle that is no such file.
        MalformedError: its numbers are not little-endian.
    """
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    if walk(BytesIO(head), len(head), max_streams=1).values != (LEGACY_MAGIC,):
        message = "no reader for the tensors of this format: a pickle that torch did not write"
        raise UnknownFormatError(message)
    legacy = _legacy(stream, nbytes)
    told = legacy.checkpoint.found.values[2:3]
    if not told or not isinstance(told[0], dict) or told[0].get("little_endian") is not True:
        message = "the file does not say that its numbers are little-endian: could not tell"
        raise MalformedError(message)
    return legacy


def _legacy_facts(stream: BinaryIO, nbytes: int) -> WeightFacts:
    return checkpoint_facts(_legacy(stream, nbytes).checkpoint)


def _legacy(stream: BinaryIO, nbytes: int) -> LegacyCheckpoint:
    """Magic number, protocol, system, object and storage keys are a pickle each; then storages."""
    stream.seek(0)
    found = walk(stream, nbytes, max_streams=_LEGACY_STREAMS)
    complete = len(found.values) == _LEGACY_STREAMS
    begins: dict[str, int] = {}

    def stored(storages: Storages) -> dict[str, int]:
        stream.seek(found.end)
        sizes = _legacy_storages(stream, nbytes - found.end, found.values[4], storages)
        at = found.end
        for key, size in sizes.items():
            begins[key] = at + _COUNT.size
            at += _COUNT.size + size
        return sizes

    value = found.values[3] if complete else None
    checkpoint = Checkpoint(format="torch-legacy", found=found, value=value, stored=stored)
    return LegacyCheckpoint(checkpoint, begins)


def _legacy_storages(
    stream: BinaryIO,
    left: int,
    keys: object,
    storages: Storages,
) -> dict[str, int]:
    """Return the bytes of each storage, from the counts of elements before their data."""
    stored: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else ():
        storage = storages.get(key) if isinstance(key, str) else None
        count = stream.read(_COUNT.size)
        if storage is None or key in stored or len(count) < _COUNT.size:
            message = "the list of storages does not fit the tensors, or the file is cut off"
            raise MalformedError(message)
        elements = min(_COUNT.unpack(count)[0], MAX_ELEMENTS)
        stored[key] = elements * storage.element_bytes
        left -= _COUNT.size + stored[key]
        if left < 0:
            break
        stream.seek(stored[key], SEEK_CUR)
    if left:
        side = "before" if left > 0 else "behind"
        message = f"the storages end {abs(left)} bytes {side} the end of the file"
        raise MalformedError(message)
    return stored
