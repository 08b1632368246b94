"""Measured numbers as JSON: rounded so that they are stable, finite or null, never beyond 2^53."""

import math
from collections.abc import Mapping
from typing import Any

from mlbom.evidence.canonical import MAX_INTEGER

# Sums of floats come out a little different on another CPU, far behind these digits.
_DIGITS = 9


def figure(value: float | None) -> float | None:
    """Return a number with nine digits that matter, or None when it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def whole(value: int) -> int | float:
    """Return an integer, as a float where JSON readers disagree about integers."""
    return value if value <= MAX_INTEGER else float(value)


def ulp_document(ulp: tuple[int, int, int] | None) -> dict[str, Any] | None:
    """Return percentiles of distances in ULP; p50 and p99 are up to 1.6 % too large above 127."""
    return (
        None if ulp is None else {"p50": whole(ulp[0]), "p99": whole(ulp[1]), "max": whole(ulp[2])}
    )


def counts_document(counts: Mapping[str, int] | None) -> dict[str, Any] | None:
    """Return what was counted of NaN, infinities, zeros and signs."""
    if counts is None:
        return None
    return {
        "nan": {"a": counts["nan_a"], "b": counts["nan_b"]},
        "inf": {"a": counts["inf_a"], "b": counts["inf_b"]},
        "nanPayloads": counts["nan_payloads"],
        "zeroSigns": counts["zero_signs"],
        "signFlips": counts["sign_flips"],
        "notFinite": counts["not_finite"],
    }
