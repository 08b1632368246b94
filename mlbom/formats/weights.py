"""What every reader of weight files gives, and how the right reader is found."""

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import prod
from typing import BinaryIO, NamedTuple, Protocol

from mlbom.errors import UnknownFormatError
from mlbom.evidence.digest import Digest
from mlbom.evidence.nodes import Count, Pair

# In the order in which they are asked; the first that recognises the first bytes reads the file.
READERS = (
    "mlbom.formats.safetensors:SafetensorsReader",
    "mlbom.formats.torch_zip:TorchZipReader",
    "mlbom.formats.pickle_file:PickleReader",
)
# How many of the first bytes a reader is shown.
HEAD_BYTES = 4096
MAX_ELEMENTS = 2**53

# Bits of one element, by the names of safetensors 0.8: the vocabulary of dtypes here.
SAFETENSORS_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
# What torch 2.13 has beyond these; an element of F4_X2 is a pair.
TORCH_BITS = {
    "C32": 32, "C128": 128, "F4_X2": 8,
    "QINT8": 8, "QUINT8": 8, "QINT32": 32, "QUINT4X2": 4, "QUINT2X4": 2,
    "BITS8": 8, "BITS16": 16, "BITS1X8": 8, "BITS2X4": 8, "BITS4X2": 8,
}  # fmt: skip


# Dtypes of indices, counters and masks.
INDEX_DTYPES = frozenset({"I64", "U64", "BOOL"})


class TensorInfo(NamedTuple):
    """One tensor of the table: its name, dtype (a safetensors name where there is one) and shape.

    A named tuple, because a file can hold hundreds of thousands: it sorts and serialises in C.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Return the number of elements; 1 for a scalar, whose shape is ()."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """What a weight file says about itself, read without running anything of it.

    Args:
        format: `safetensors`, `torch-zip`, `torch-legacy`, `torchscript`, `pickle`, ...
        tensors: the tensor table in the order of the file; names are unique.
        metadata: named texts that the file carries.
        globals: sorted `module.name` of everything that loading the file would import.
        code_kind: what kind of code loading the file can run (`pickle-globals`, `torchscript`);
            empty when `globals` do nothing but rebuild tensors.
        aliases: sorted names of tensors whose elements another tensor of the table already counts.
        has_table: whether the tensors are known at all.
        problem: why a part of the file could not be read, empty when all of it was; every other
            field then tells what was read before and after that part.
    """

    format: str
    tensors: tuple[TensorInfo, ...] = ()
    metadata: tuple[Pair, ...] = ()
    globals: tuple[str, ...] = ()
    code_kind: str = ""
    aliases: tuple[str, ...] = ()
    has_table: bool = True
    problem: str = ""

    @property
    def counted(self) -> tuple[TensorInfo, ...]:
        """Return the tensors without aliases."""
        if not self.aliases:
            return self.tensors
        left_out = frozenset(self.aliases)
        return tuple(t for t in self.tensors if t.name not in left_out)

    @property
    def parameters(self) -> int:
        """Return the elements of all tensors that can hold weights, each counted once.

        Position ids, step counters and masks are tensors of 64-bit integers or booleans, in which
        no scheme of quantisation keeps weights: they stand in `dtypes` and are not counted here.
        """
        return sum(t.elements for t in self.counted if t.dtype not in INDEX_DTYPES)

    @property
    def dtypes(self) -> tuple[Count, ...]:
        """Return how many elements there are of each dtype, those that are no parameters too."""
        elements: Counter[str] = Counter()
        for tensor in self.counted:
            elements[tensor.dtype] += tensor.elements
        return _counts(elements.items())

    @property
    def shapes(self) -> tuple[Count, ...]:
        """Return how many tensors there are of each shape, written `768x3072`, or `scalar`."""
        tensors = Counter(t.shape for t in self.tensors)
        return _counts(("x".join(map(str, s)) or "scalar", n) for s, n in tensors.items())

    @property
    def digest(self) -> Digest:
        """Return the SHA-256 of the tensor table as canonical JSON: sorted `[name, dtype, shape]`.

        It does not depend on the format: the same tensors in safetensors and in a torch zip give
        the same digest.
        """
        table = json.dumps(sorted(self.tensors), separators=(",", ":"), ensure_ascii=False)
        return Digest("sha256", hashlib.sha256(table.encode("utf-8")).hexdigest())


class WeightReader(Protocol):
    """Reads one weight format; bounded in time and memory, and never runs anything."""

    name: str

    def matches(self, head: bytes, path: str) -> bool:
        """Return whether the first `HEAD_BYTES` look like this format; the name is only a hint."""
        ...

    def read(self, stream: BinaryIO, nbytes: int) -> WeightFacts:
        """Return the facts of a file.

        Args:
            stream: seekable, at the beginning.
            nbytes: size of the file.

        Raises:
            MalformedError: the bytes are not of this format after all.
            LimitError: the file asks for more than the reader allows.
            UnreadableError: otherwise unreadable; the message says why.
        """
        ...


def read_weights(stream: BinaryIO, nbytes: int, path: str) -> WeightFacts:
    """Return the facts of a weight file, by whichever reader knows its first bytes.

    Args:
        stream: seekable, at the beginning.
        nbytes: size of the file.
        path: name of the file, a hint only.

    Raises:
        UnknownFormatError: no reader knows the format.
        MalformedError: the bytes are not of the format that they begin like.
        LimitError: the file asks for more than its reader allows.
        UnreadableError: otherwise unreadable.
    """
    head = stream.read(HEAD_BYTES)
    reader = reader_for(head, path)
    if reader is None:
        message = "no reader for this format"
        raise UnknownFormatError(message)
    stream.seek(0)
    with without_cycle_search():
        return reader.read(stream, nbytes)


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Hold the search for cycles off.

    Readers build hundreds of thousands of containers, none in a cycle: looking for cycles
    meanwhile would double the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def reader_for(head: bytes, path: str) -> WeightReader | None:
    """Return the reader of a file, or None when no reader knows its format.

    Args:
        head: the first `HEAD_BYTES` of the file.
        path: name of the file; decides only where the bytes alone do not tell.
    """
    readers = (_reader(entry) for entry in READERS)
    return next((reader for reader in readers if reader.matches(head, path)), None)


@cache
def _reader(entry: str) -> WeightReader:
    module, _, name = entry.partition(":")
    reader: WeightReader = getattr(import_module(module), name)()
    return reader


def _counts(items: Iterable[tuple[str, int]]) -> tuple[Count, ...]:
    return tuple(Count(name, number) for name, number in sorted(items))
