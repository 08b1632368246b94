"""What a number of repetitions proves: an exact upper bound on how often a run can differ.

Two equal runs say little: a kernel that adds in another order once in ten runs would pass four
times in five. The bound is that of Clopper and Pearson (1934), one-sided: the largest rate at which
no more runs than seen would differ with a probability of 5 %.
"""

from collections.abc import Mapping
from math import exp, fsum, lgamma, log
from typing import Any

CONFIDENCE = 0.95
_HALVINGS = 60


def repeat_bound(runs: int, failures: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper bound of the rate at which runs differ.

    Args:
        runs: how many were made, at least 1.
        failures: how many of them differed.
        confidence: of the bound, between 0 and 1.

    Returns:
        The rate, between 0 and 1. Without failures about 3 / runs (the rule of three).

    Raises:
        ValueError: no run, or more failures than runs.
    """
    if runs < 1 or not 0 <= failures <= runs or not 0 < confidence < 1:
        message = f"{failures} of {runs} runs at {confidence:g} has no bound"
        raise ValueError(message)
    if failures == runs:
        return 1.0
    if failures == 0:
        return float(1 - (1 - confidence) ** (1 / runs))
    low, high = failures / runs, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(failures, runs, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def repeats_document(runs: int, failures: int) -> Mapping[str, Any]:
    """Return the part `repeats` of the details document; no bound without a run."""
    if runs < 1:
        return {"runs": 0, "differing": 0, "bound": None, "confidence": CONFIDENCE}
    return {
        "runs": runs,
        "differing": failures,
        "bound": round(repeat_bound(runs, failures), 6),
        "confidence": CONFIDENCE,
    }


def _at_most(failures: int, runs: int, rate: float) -> float:
    """Return the probability that no more than so many runs differ (binomial distribution)."""
    if rate >= 1:
        return 0.0
    return fsum(
        exp(
            lgamma(runs + 1)
            - lgamma(count + 1)
            - lgamma(runs - count + 1)
            + count * log(rate)
            + (runs - count) * log(1 - rate)
        )
        for count in range(failures + 1)
    )
