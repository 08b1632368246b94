"""Axes of a chart: round ticks, places on a linear or logarithmic scale, and thinning of series."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlbom.render.svg import line_between, number, text_at, width

Point = tuple[float, float]

_TICKS = 5
_ROUND = (1.0, 2.0, 5.0, 10.0)
# A logarithmic axis that spans less shows 2 and 5 between the powers of ten.
_FEW_DECADES = 2
# Room below the lowest power for values that are zero.
_ZERO_LANE = 14.0
# Values beyond, or nearer to zero on a logarithmic axis, lie at its end: no span overflows.
_LARGEST = 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A range of values laid on a range of places.

    Args:
        low, high: values at its ends, low < high, above zero on a logarithmic scale.
        start, end: places of the ends; end < start runs upward.
        is_log: whether it is logarithmic.
        has_zero: whether zero has a line of its own before `start`.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    has_zero: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies; values beyond the ends lie on them."""
        if self.is_log and value <= 0:
            return self.zero
        low, high = (self._of(v) for v in (self.low, self.high))
        share = (self._of(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    @property
    def zero(self) -> float:
        """Return where zero lies on a logarithmic scale."""
        return self.start - math.copysign(_ZERO_LANE, self.end - self.start)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Return round values between the ends, at most about six."""
        return _powers(self.low, self.high) if self.is_log else _round(self.low, self.high)

    def _of(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def axis_of(values: Sequence[float], start: float, end: float, *, is_log: bool = False) -> Axis:
    """Return the axis that holds all finite values; zeros do not widen a logarithmic one."""
    finite = [min(max(v, -_LARGEST), _LARGEST) for v in values if math.isfinite(v)]
    drawn = [v for v in finite if v > 0] if is_log else finite
    low, high = (min(drawn), max(drawn)) if drawn else (1.0, 10.0) if is_log else (0.0, 1.0)
    if is_log:
        has_zero = any(v <= 0 for v in finite)
        if has_zero:
            start += math.copysign(_ZERO_LANE, end - start)
        low, high = max(low, 1 / _LARGEST), max(high, 1 / _LARGEST)
        low, high = (low, high) if low < high else (low / 10, high * 10)
        return Axis(low=low, high=high, start=start, end=end, is_log=True, has_zero=has_zero)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    return Axis(low=low, high=high, start=start, end=end)


def left_axis(axis: Axis, label: str, left: float, right: float) -> str:
    """Return ticks, numbers, grid and label of an axis that runs upward at the left."""
    drawn = [text_at(2, axis.end - 16, label)]
    for tick in axis.ticks:
        y = axis.place(tick)
        drawn.append(line_between((left, y), (right, y), "grid"))
        drawn.append(text_at(left - 5, y + 4, number(tick), "end"))
    if axis.has_zero:
        drawn.append(line_between((left, axis.zero), (right, axis.zero), "grid"))
        drawn.append(text_at(left - 5, axis.zero + 4, "0", "end"))
    return "".join(drawn)


def bottom_axis(axis: Axis, label: str, y: float) -> str:
    """Return line, ticks, numbers and label of an axis that runs to the right at the bottom."""
    drawn = [line_between((axis.start, y), (axis.end, y), "axis")]
    for tick in axis.ticks:
        x = axis.place(tick)
        half = width(number(tick)) / 2
        drawn.append(line_between((x, y), (x, y + 4), "axis"))
        drawn.append(text_at(min(x, axis.end - half + 8), y + 16, number(tick), "middle"))
    drawn.append(text_at(axis.end, y + 31, label, "end"))
    return "".join(drawn)


def thinned(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Return about `most` points: of equal stretches the lowest and the highest each.

    The first and the last point stay, so that a series ends where it ended; of values that are not
    finite one in each stretch stays, so that a broken line stays broken.
    """
    if len(points) <= most:
        return tuple(points)
    kept = {0, len(points) - 1}
    stretches = most // 2
    for place in range(stretches):
        begin, end = (n * len(points) // stretches for n in (place, place + 1))
        finite = [i for i in range(begin, end) if math.isfinite(points[i][1])]
        if finite:
            kept.add(min(finite, key=lambda i: points[i][1]))
            kept.add(max(finite, key=lambda i: points[i][1]))
        kept.update([i for i in range(begin, end) if not math.isfinite(points[i][1])][:1])
    return tuple(points[i] for i in sorted(kept))


def _round(low: float, high: float) -> tuple[float, ...]:
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(r * power for r in _ROUND if r * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Multiplying keeps the ticks round where adding up would let errors grow.
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def _powers(low: float, high: float) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= _FEW_DECADES else (1,)
    stride = max(1, math.ceil((last - first + 1) / (_TICKS + 1)))
    # Counted from zero, not from the first: neighbouring charts then share their ticks.
    powers = [p for p in range(first, last + 1) if p % stride == 0]
    ticks = [float(f"{s}e{p}") for p in powers for s in steps]
    return tuple(t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9))
