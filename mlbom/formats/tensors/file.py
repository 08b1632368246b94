"""A weight file whose tensors can be read piece by piece, of whatever format it is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from mlbom.errors import LimitError, UnreadableError
from mlbom.formats.tensors.rows import BITS, TensorRow
from mlbom.formats.tensors.source import ByteSource
from mlbom.formats.tensors.window import Window

# Views can show the same bytes many times over: so much of that is read, besides one GiB.
MAX_UNFOLDING = 64
_FREE_BYTES = 1024**3
# Elements of any dtype that are a multiple of this begin and end with a whole byte.
_EVEN = 8
_MOST_ALIGNED = 4096


class Fact(NamedTuple):
    """How a file packs its tensors, one thing of it: `metadata`, `format`; which one of several."""

    kind: str
    name: str = ""


Packaging = dict[Fact, str]


class Placed(NamedTuple):
    """A row and where its bytes lie, None when there are none to read."""

    row: TensorRow
    window: Window | None


@dataclass(kw_only=True)
class TensorFile:
    """The tensors of one file, or of all shards of an index.

    Args:
        name: of the file or index, without its folder.
        format: `safetensors`, `torch-zip`, `torch-legacy`, `torchscript`, `npz`, `npy`; of shards
            their formats joined by `+`.
        placed: rows in the order of the file, names unique, with their windows.
        packaging: everything that does not change a tensor: metadata, imports, values beside the
            tensors, layout.
        sources: open files; `close` closes them.
    """

    name: str
    format: str
    placed: tuple[Placed, ...]
    packaging: Packaging = field(default_factory=dict)
    sources: tuple[ByteSource, ...]

    def __post_init__(self) -> None:
        """Find windows by name."""
        self._windows = {row.name: window for row, window in self.placed}

    @property
    def rows(self) -> tuple[TensorRow, ...]:
        """Return the rows in the order of the file."""
        return tuple(row for row, _ in self.placed)

    @property
    def nbytes(self) -> int:
        """Return the size of the file, or of all shards, in bytes."""
        return sum(source.nbytes for source in self.sources)

    def read(self, row: TensorRow, start: int, count: int) -> bytes:
        """Return little-endian bytes of elements in row-major order.

        Args:
            row: one of `rows`.
            start: flat index of the first element; a multiple of 8 for dtypes narrower than a byte.
            count: how many elements.

        Raises:
            UnreadableError: the tensor has no bytes that can be read.
            ChangedWhileReadingError: the file has become shorter.
        """
        window = self._windows[row.name]
        if window is None:
            message = f"{row.name[:80]!a} cannot be read: {row.problem or 'it has no data'}"
            raise UnreadableError(message)
        return window.read(start, count)

    def chunks(self, row: TensorRow, nbytes: int) -> Iterator[tuple[int, bytes]]:
        """Yield index of the first element and bytes, in pieces of about `nbytes`."""
        step = elements_in(row.dtype, nbytes)
        for start in range(0, row.elements if row.has_data else 0, step):
            yield start, self.read(row, start, min(step, row.elements - start))

    def check_unchanged(self) -> None:
        """Make sure that no file changed since it was opened.

        Raises:
            ChangedWhileReadingError: one did.
        """
        for source in self.sources:
            source.check_unchanged()

    def close(self) -> None:
        """Close the files."""
        for source in self.sources:
            source.close()

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()


def elements_in(dtype: str, nbytes: int) -> int:
    """Return how many elements make about so many bytes, in whole bytes and at least eight."""
    return max(nbytes * 8 // BITS[dtype] // _EVEN, 1) * _EVEN


def check_unfolding(placed: Iterable[Placed], nbytes: int) -> None:
    """Refuse a file whose views show its bytes without end; an alias is read once.

    Raises:
        LimitError: the tensors have more than 64 times the bytes of the file, and more than 1 GiB.
    """
    total = sum(row.nbytes for row, _ in placed if not row.alias_of)
    if total > MAX_UNFOLDING * nbytes + _FREE_BYTES:
        message = f"the tensors unfold {nbytes} bytes to {total}, beyond the limit"
        raise LimitError(message)


def layout_facts(placed: Iterable[Placed]) -> Packaging:
    """Return how tensors lie in their file: the alignment of all, and each that is no plain run."""
    facts: Packaging = {}
    bits = _MOST_ALIGNED
    for row, window in placed:
        if row.alias_of:
            facts[Fact("shared storage", row.name)] = f"the storage of {row.alias_of}"
        if window is None or not row.elements:
            continue
        bits |= window.begin
        if not window.is_plain:
            strides = ",".join(map(str, window.strides))
            facts[Fact("strides", row.name)] = strides
    facts[Fact("alignment")] = f"{bits & -bits} bytes"
    return facts


def labelled(kind: str, texts: Mapping[str, str]) -> Packaging:
    """Return named texts as facts of one kind."""
    return {Fact(kind, name): text for name, text in texts.items()}
