"""How far two tensors lie apart, block by block: bits, ULP, norms, signs, NaN and zeros."""

import math
from dataclasses import dataclass, field
from typing import Any

from mlbom.errors import MissingExtraError
from mlbom.reproduce.tensors.histogram import UlpHistogram
from mlbom.reproduce.tensors.kinds import Kind

# Numbers of one block: its temporary arrays stay in the cache of a core.
_BLOCK = 16 * 1024
# A block of which less than one in so many numbers differ is measured where it does.
_SPARSE = 8
Array = Any


@dataclass(slots=True)
class Sums:
    """Sums over the numbers of tensors, of pairs that are both finite.

    Args:
        a, b: squares of A's and of B's.
        product: A's times B's.
        difference: squares of the differences.
        largest: largest absolute difference.
    """

    a: float = 0.0
    b: float = 0.0
    product: float = 0.0
    difference: float = 0.0
    largest: float = 0.0

    def add(self, other: "Sums") -> None:
        """Add the sums of another tensor."""
        self.a += other.a
        self.b += other.b
        self.product += other.product
        self.difference += other.difference
        self.largest = max(self.largest, other.largest)

    @property
    def rel_l2(self) -> float | None:
        """Return the norm of the difference over the norm of A, None when float64 cannot tell."""
        if self.largest == 0:
            return 0.0
        told = _ratio(math.sqrt(self.difference), math.sqrt(self.a))
        return told or None  # squares of tiny numbers vanish: that is no zero

    @property
    def cosine(self) -> float | None:
        """Return the cosine of the angle between A and B, None when float64 cannot tell."""
        told = _ratio(self.product, math.sqrt(self.a) * math.sqrt(self.b))
        return None if told is None else max(-1.0, min(1.0, told))


@dataclass(slots=True)
class Counts:
    """What is counted in two tensors, in numbers: a complex element has two.

    Args:
        nan_a, nan_b, inf_a, inf_b: NaN and infinities in A and in B.
        nan_payloads: NaN in both, of different bits.
        zero_signs: +0 in one, -0 in the other.
        sign_flips: above zero in one, below in the other.
        not_finite: unequal, and in one of the two a NaN or infinity; not what `nan_payloads` has.
    """

    nan_a: int = 0
    nan_b: int = 0
    inf_a: int = 0
    inf_b: int = 0
    nan_payloads: int = 0
    zero_signs: int = 0
    sign_flips: int = 0
    not_finite: int = 0

    def add(self, other: "Counts") -> None:
        """Add the counts of another tensor."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def by_name(self) -> dict[str, int]:
        """Return the counts by their names."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, kw_only=True)
class Measured:
    """The distances of two tensors of one dtype and shape, in so far as they were added.

    Args:
        differing: elements whose bits differ.
        first: flat index of the first of them, -1 without any.
        ulps: distances of numbers that are finite in both, the zeros too.
        sums, counts: as their classes say.
    """

    differing: int = 0
    first: int = -1
    ulps: UlpHistogram = field(default_factory=UlpHistogram)
    sums: Sums = field(default_factory=Sums)
    counts: Counts = field(default_factory=Counts)

    @property
    def rel_l2(self) -> float | None:
        """Return the norm of the difference over the norm of A, None when that is no number."""
        return None if self.counts.not_finite else self.sums.rel_l2

    @property
    def cosine(self) -> float | None:
        """Return the cosine of the angle between A and B, None when that is no number."""
        return None if self.counts.not_finite else self.sums.cosine

    @property
    def max_abs(self) -> float | None:
        """Return the largest absolute difference, None when that is no number."""
        return None if self.counts.not_finite else self.sums.largest

    def add(self, kind: Kind, a: bytes, b: bytes, start: int) -> None:
        """Add a piece of both tensors that begins at element `start`."""
        import numpy as np

        ours, theirs = np.frombuffer(a, kind.bits), np.frombuffer(b, kind.bits)
        with np.errstate(all="ignore"):
            for at in range(0, len(ours), _BLOCK):
                block = slice(at, at + _BLOCK)
                self._add(kind, ours[block], theirs[block], start + at // kind.numbers)

    def _add(self, kind: Kind, ours: Array, theirs: Array, start: int) -> None:
        import numpy as np

        unequal = ours != theirs
        elements = unequal.reshape(-1, kind.numbers).any(axis=1)
        differing = int(np.count_nonzero(elements))
        if differing and not self.differing:
            self.first = start + int(elements.argmax())
        self.differing += differing
        va = kind.values(ours)
        vb = kind.values(theirs) if differing else va
        if not math.isfinite(float(va.sum()) + float(vb.sum())):
            finite = self._set_apart(va, vb, unequal)
            ours, theirs, unequal = ours[finite], theirs[finite], unequal[finite]
            va, vb = va[finite], vb[finite]
        self._measure(va, vb)
        if differing * _SPARSE < len(ours):  # picking numbers out costs more than a few passes
            self.ulps.zeros += len(unequal) - int(np.count_nonzero(unequal))
            ours, theirs, va, vb = ours[unequal], theirs[unequal], va[unequal], vb[unequal]
            unequal = unequal[unequal]
        if len(ours):
            zeros = self._distances(kind, (ours, theirs), (va, vb))
            # Equal numbers of unequal bits: +0 and -0.
            self.counts.zero_signs += zeros - len(ours) + int(np.count_nonzero(unequal))

    def _set_apart(self, va: Array, vb: Array, unequal: Array) -> Array:
        """Count what is not finite, and return which pairs are."""
        import numpy as np

        nan_a, nan_b, inf_a, inf_b = np.isnan(va), np.isnan(vb), np.isinf(va), np.isinf(vb)
        finite = ~(nan_a | nan_b | inf_a | inf_b)
        counts = self.counts
        counts.nan_a += int(nan_a.sum())
        counts.nan_b += int(nan_b.sum())
        counts.inf_a += int(inf_a.sum())
        counts.inf_b += int(inf_b.sum())
        counts.nan_payloads += int((nan_a & nan_b & unequal).sum())
        counts.not_finite += int((unequal & ~finite & ~(nan_a & nan_b)).sum())
        return finite

    def _measure(self, va: Array, vb: Array) -> None:
        square = float(va @ va)
        self.sums.a += square
        if vb is va:
            self.sums.b += square
            self.sums.product += square
            return
        self.sums.b += float(vb @ vb)
        self.sums.product += float(va @ vb)

    def _distances(self, kind: Kind, bits: tuple[Array, Array], values: tuple[Array, Array]) -> int:
        """Count the distances of numbers, and return how many are zero."""
        import numpy as np

        ka, kb = kind.keys(bits[0]), kind.keys(bits[1])
        low, high = np.minimum(ka, kb), np.maximum(ka, kb)
        # Modulo 2^64 the distance is right although the difference may not fit.
        distance = high.view(np.uint64) - low.view(np.uint64)
        zeros = self.ulps.add(distance)
        self.counts.sign_flips += int(np.count_nonzero((low < 0) & (high > 0)))
        gap = values[0] - values[1] if kind.is_float else distance.astype(np.float64)
        self.sums.difference += float(gap @ gap)
        self.sums.largest = max(self.sums.largest, float(gap.max()), -float(gap.min()))
        return zeros

    def merge(self, other: "Measured") -> None:
        """Add what another tensor's measurement found; indices stay apart."""
        self.differing += other.differing
        self.ulps.merge(other.ulps)
        self.sums.add(other.sums)
        self.counts.add(other.counts)


def require_numpy() -> None:
    """Make sure that differences can be measured.

    Raises:
        MissingExtraError: numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        message = "the tensors differ, and measuring by how much needs numpy"
        hint = "pip install 'mlbom[reproduce]'; or --bits, which tells only that they differ"
        raise MissingExtraError(message, hint=hint) from error
    del np


def _ratio(over: float, under: float) -> float | None:
    if under == 0 or not math.isfinite(over) or not math.isfinite(under):
        return None
    told = over / under
    return told if math.isfinite(told) else None
