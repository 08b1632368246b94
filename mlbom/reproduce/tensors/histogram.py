"""Distances in ULP in buckets that are the wider the larger they are: percentiles of a stream.

Each power of two is divided into 64 buckets. Distances below 128 have a bucket each; a percentile
above is the upper end of its bucket, so at most 1/64 (1.6 %) too large and never too small.
"""

import math
from typing import Any

RELATIVE_ERROR = 1 / 64
_SUB_BITS = 6
_SUBS = 1 << _SUB_BITS
_OCTAVES = 65
_MANTISSA, _BIAS = 52, 1023


class UlpHistogram:
    """Counts distances, among which zero is the most frequent."""

    def __init__(self) -> None:
        import numpy as np

        self.zeros = 0
        self.largest = 0
        self._counts = np.zeros(_OCTAVES * _SUBS, np.int64)

    def add(self, distances: Any) -> int:  # noqa: ANN401 - an array of uint64, not empty
        """Count distances, and return how many are zero.

        The bucket is the exponent and the first six bits of the mantissa of the distance as a
        float64; rounding of distances beyond 2^53 can move one into the next bucket.
        """
        import numpy as np

        self.largest = max(self.largest, int(distances.max()))
        bits = distances.astype(np.float64).view(np.int64)
        # A zero has no exponent: it comes before the bucket of 1, everything else behind it.
        index = np.maximum((bits >> (_MANTISSA - _SUB_BITS)) - (_BIAS << _SUB_BITS) + 1, 0)
        counts = np.bincount(index, minlength=_OCTAVES * _SUBS + 1)
        self.zeros += int(counts[0])
        self._counts += counts[1:]
        return int(counts[0])

    def merge(self, other: "UlpHistogram") -> None:
        """Count what another histogram has counted."""
        self.zeros += other.zeros
        self.largest = max(self.largest, other.largest)
        self._counts += other._counts  # noqa: SLF001 - of the same class

    @property
    def total(self) -> int:
        """Return how many distances were counted."""
        return self.zeros + int(self._counts.sum())

    def percentile(self, share: float, more_zeros: int = 0) -> int:
        """Return the distance that so large a share does not exceed, of all and of more zeros."""
        zeros = self.zeros + more_zeros
        rank = math.ceil(share * (self.total + more_zeros)) - zeros
        if rank <= 0:
            return 0
        taken = self._counts.nonzero()[0]
        index = int(taken[self._counts[taken].cumsum().searchsorted(rank)])
        return min(_upper(index), self.largest)

    def by_octave(self) -> list[tuple[int, int]]:
        """Return (k, how many distances from 2^k to below 2^(k+1)), without those of none."""
        sums = self._counts.reshape(_OCTAVES, _SUBS).sum(axis=1)
        return [(octave, int(count)) for octave, count in enumerate(sums) if count]


def _upper(index: int) -> int:
    """Return the largest distance of a bucket."""
    octave, sub = divmod(index, _SUBS)
    if octave <= _SUB_BITS:
        return (_SUBS + sub) >> (_SUB_BITS - octave)
    return ((_SUBS + sub + 1) << (octave - _SUB_BITS)) - 1
