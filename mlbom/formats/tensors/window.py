"""A window of a storage in a file, read row by row whatever its strides are, in pieces.

The bytes of a tensor in row-major order are what does not depend on how it is stored: a transposed
tensor, a slice of a bigger storage and a plain copy give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

from mlbom.formats.tensors.source import Readable

# A box of elements whose outer limits take less than this is read at once, gaps included.
_BUFFER = 32 * 1024 * 1024
_FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDEST = 8
Sides = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Elements of one width at regular distances.

    Args:
        source: the file, or what was unpacked from one.
        begin: offset in the file where the storage begins.
        bits: width of one element; below 8 only a window without gaps can be read.
        shape: sides.
        strides: distance of neighbours along each side, in elements, zero or more.
        offset: of the first element in the storage, in elements.
    """

    source: Readable
    begin: int
    bits: int
    shape: Sides
    strides: Sides
    offset: int = 0

    @property
    def is_plain(self) -> bool:
        """Return whether the elements lie one behind the other, row by row."""
        sides = _merged(self.shape, self.strides)
        return not sides or sides[-1][1] == 1 == len(sides) or 0 in self.shape

    @property
    def is_readable(self) -> bool:
        """Return whether the elements can be told apart in whole bytes."""
        return self.bits >= 8 or (self.is_plain and self.offset * self.bits % 8 == 0)  # noqa: PLR2004 - bits of a byte

    @property
    def position(self) -> int:
        """Return the offset of the first element in the file, in bytes."""
        return self.begin + self.offset * self.bits // 8

    def read(self, start: int, count: int) -> bytes:
        """Return the bytes of elements in row-major order.

        Args:
            start: flat index of the first; for elements narrower than a byte it begins one.
            count: how many.
        """
        if self.is_plain:
            first, last = start * self.bits // 8, -(-(start + count) * self.bits // 8)
            return self.source.read(self.position + first, last - first)
        nbytes = self.bits // 8
        shape, strides, words = self.shape, self.strides, 1
        if nbytes > _WIDEST:  # two halves side by side
            words, nbytes = nbytes // _WIDEST, _WIDEST
            shape, strides = (*shape, words), (*(s * words for s in strides), 1)
        sides = _merged(shape, strides)
        gather = _Gather(self.source, self.begin, nbytes)
        out = bytearray(count * words * nbytes)
        target = memoryview(out).cast(_FORMATS[nbytes])
        done = 0
        for box in _boxes(sides, start * words, (start + count) * words, self.offset * words):
            gather.copy(box, target[done : done + box.elements])
            done += box.elements
        return bytes(out)


@dataclass(frozen=True, slots=True)
class _Box:
    """A part of a window that is whole along every side: where it begins, (length, stride)s."""

    origin: int
    sides: tuple[tuple[int, int], ...]

    @property
    def elements(self) -> int:
        return prod(n for n, _ in self.sides)

    @property
    def extent(self) -> int:
        """Return how many elements of the storage lie between its first and its last."""
        return 1 + sum((n - 1) * stride for n, stride in self.sides)


@dataclass(frozen=True, slots=True)
class _Gather:
    """Copies boxes of a storage into row-major order."""

    source: Readable
    begin: int
    nbytes: int

    def copy(self, box: _Box, target: "memoryview[int]") -> None:
        """Copy a box, from one read of all that it spans, or run by run when that is too much."""
        whole = box.extent * self.nbytes <= _BUFFER
        data = self._elements(box.origin, box.extent) if whole else None
        steps = [prod(n for n, _ in box.sides[i + 1 :]) for i in range(len(box.sides))]
        run = _run(box, prefers_long=whole)
        (length, stride), step = box.sides[run], steps[run]
        others = [i for i in range(len(box.sides)) if i != run]
        for place in product(*(range(box.sides[i][0]) for i in others)):
            first = sum(p * box.sides[i][1] for p, i in zip(place, others, strict=True))
            to = sum(p * steps[i] for p, i in zip(place, others, strict=True))
            part = target[to : to + (length - 1) * step + 1 : step]
            if data is not None:
                self._fill(part, data[first:], stride)
            elif ((length - 1) * stride + 1) * self.nbytes <= _BUFFER:
                read = self._elements(box.origin + first, (length - 1) * stride + 1)
                self._fill(part, read, stride)
            else:
                for i in range(length):
                    part[i] = self._elements(box.origin + first + i * stride, 1)[0]

    def _fill(self, part: memoryview, data: memoryview, stride: int) -> None:
        length = len(part)
        if stride:
            part[:] = data[: (length - 1) * stride + 1 : stride]
        else:
            part[:] = memoryview(bytes(data[:1]) * length).cast(_FORMATS[self.nbytes])

    def _elements(self, origin: int, count: int) -> memoryview:
        data = self.source.read(self.begin + origin * self.nbytes, count * self.nbytes)
        return memoryview(data).cast(_FORMATS[self.nbytes])


def plain_strides(shape: Sides) -> Sides:
    """Return the strides of elements that lie one behind the other, row by row."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def _run(box: _Box, *, prefers_long: bool) -> int:
    """Return the side to copy along: the longest, or in a file that of the nearest neighbours."""
    sides = box.sides
    if prefers_long:
        return max(range(len(sides)), key=lambda i: (sides[i][0], -sides[i][1]))
    return min(range(len(sides)), key=lambda i: (sides[i][0] == 1, sides[i][1]))


def _merged(shape: Sides, strides: Sides) -> list[tuple[int, int]]:
    """Return (length, stride) of the sides, those joined that are one run, without sides of 1."""
    sides: list[tuple[int, int]] = []
    for length, stride in zip(shape, strides, strict=True):
        if length == 1:
            continue
        if sides and sides[-1][1] == length * stride:
            sides[-1] = (sides[-1][0] * length, stride)
        else:
            sides.append((length, stride))
    return sides


def _boxes(sides: list[tuple[int, int]], start: int, stop: int, origin: int) -> Iterator[_Box]:
    """Yield the boxes that make up the elements from `start` to `stop`, in row-major order."""
    if start >= stop:
        return
    stride = sides[0][1] if sides else 1
    inner = prod(n for n, _ in sides[1:])
    (first, head), (last, tail) = divmod(start, inner), divmod(stop, inner)
    if first == last:
        yield from _boxes(sides[1:], head, tail, origin + first * stride)
        return
    if head:
        yield from _boxes(sides[1:], head, inner, origin + first * stride)
        first += 1
    if last > first:
        whole = (last - first, stride)
        yield _Box(origin + first * stride, (whole, *sides[1:]))
    if tail:
        yield from _boxes(sides[1:], 0, tail, origin + last * stride)
