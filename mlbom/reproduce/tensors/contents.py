"""The bytes of two files: equal or not, digests of both, and where the first difference is."""

import hashlib
from dataclasses import dataclass

from mlbom.formats.tensors.file import TensorFile
from mlbom.formats.tensors.rows import BITS, TensorRow
from mlbom.reproduce.tensors.digests import CHUNK, row_digest
from mlbom.reproduce.tensors.kinds import kind_of
from mlbom.reproduce.tensors.numbers import Measured, require_numpy


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What two tensors of one kind hold.

    Args:
        sha256_a, sha256_b: of their bytes; empty without data.
        first: flat index of the first element that differs, -1 when none does.
        measured: how far they lie apart; None when they are equal or nobody asked.
    """

    sha256_a: str
    sha256_b: str
    first: int = -1
    measured: Measured | None = None

    @property
    def is_equal(self) -> bool:
        """Return whether every bit is equal."""
        return self.sha256_a == self.sha256_b


class PairReader:
    """Reads tensor after tensor of two files side by side; several threads may ask at once.

    Args:
        a: an open file.
        b: the other; the same one when the files are known to be equal.
        numbers: whether differences are measured.
    """

    def __init__(self, a: TensorFile, b: TensorFile, *, numbers: bool) -> None:
        self.a, self.b = a, b
        self.numbers = numbers

    def compare(self, rows: tuple[TensorRow, TensorRow]) -> Contents:
        """Return what two tensors of equal dtype and shape hold, from one pass over both.

        Raises:
            MissingExtraError: they differ, that is to be measured, and numpy is not installed.
        """
        row, other = rows
        if not row.has_data or self.a is self.b:
            same = row_digest(self.a, row)
            return Contents(sha256_a=same, sha256_b=same)
        pass_ = _Pass(self, row)
        theirs = self.b.chunks(other, CHUNK)
        for (start, ours), (_, data) in zip(self.a.chunks(row, CHUNK), theirs, strict=True):
            pass_.add(ours, data, start)
        return pass_.contents()


class _Pass:
    """One pass over a pair: one hasher as long as the bytes are equal, two from there on."""

    def __init__(self, reader: PairReader, row: TensorRow) -> None:
        self.reader, self.row = reader, row
        self.ours = hashlib.sha256()
        self.theirs = self.ours
        self.first = -1
        self.measured: Measured | None = None

    def add(self, ours: bytes, theirs: bytes, start: int) -> None:
        """Take in the next piece of both."""
        if self.theirs is self.ours and ours != theirs:
            self.theirs = self.ours.copy()
            self.first = start + _first_byte(ours, theirs) * 8 // BITS[self.row.dtype]
            self._begin(start)
        self.ours.update(ours)
        if self.theirs is not self.ours:
            self.theirs.update(theirs)
        self._measure(ours, theirs, start)

    def _begin(self, stop: int) -> None:
        """Begin to measure: norms are of whole tensors, so what was equal is read once more."""
        if not self.reader.numbers:
            return
        require_numpy()
        kind = kind_of(self.row.dtype)
        if kind is None:
            return
        self.measured = Measured()
        for start, ours in self.reader.a.chunks(self.row, CHUNK):
            if start >= stop:
                break
            self.measured.add(kind, ours, ours, start)

    def _measure(self, ours: bytes, theirs: bytes, start: int) -> None:
        kind = kind_of(self.row.dtype) if self.measured else None
        if self.measured and kind:
            self.measured.add(kind, ours, theirs, start)

    def contents(self) -> Contents:
        """Return what was found."""
        return Contents(
            sha256_a=self.ours.hexdigest(),
            sha256_b=self.theirs.hexdigest(),
            first=self.first,
            measured=self.measured,
        )


def first_difference(a: TensorFile, b: TensorFile) -> int | None:
    """Return the offset of the first byte in which two files differ, None when they are the same.

    Of shards it is counted through all of them; the first file or size that differs counts.
    """
    before = 0
    for one, other in zip(a.sources, b.sources, strict=False):
        shared = min(one.nbytes, other.nbytes)
        for begin in range(0, shared, CHUNK):
            count = min(CHUNK, shared - begin)
            ours, theirs = one.read(begin, count), other.read(begin, count)
            if ours != theirs:
                return before + begin + _first_byte(ours, theirs)
        before += shared
        if one.nbytes != other.nbytes:
            return before
    return None if len(a.sources) == len(b.sources) else before


def _first_byte(a: bytes, b: bytes) -> int:
    """Return where two unequal byte strings of one length differ first, by halving."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
