"""The bound on how often runs can differ, against values that others have tabulated."""

from math import comb

import pytest

from mlbom.reproduce.trials.repeats import repeat_bound, repeats_document


@pytest.mark.parametrize(
    ("runs", "failures", "bound"),
    [
        (1, 0, 0.95),
        (2, 0, 1 - 0.05**0.5),
        (10, 0, 0.2589),
        (30, 0, 0.0950),
        (59, 0, 0.0495),  # the least number of runs that excludes 5 %
        (299, 0, 0.0100),
        (10, 1, 0.3942),
        (20, 1, 0.2161),
        (10, 5, 0.7776),
        (10, 9, 0.9949),
        (5, 5, 1.0),
    ],
)
def test_known_bounds(runs: int, failures: int, bound: float) -> None:
    assert repeat_bound(runs, failures) == pytest.approx(bound, abs=6e-5)


@pytest.mark.parametrize("runs", [2, 7, 40, 400])
def test_it_is_the_rate_at_which_five_percent_see_no_more(runs: int) -> None:
    for failures in range(0, runs, max(1, runs // 5)):
        rate = repeat_bound(runs, failures)
        terms = (comb(runs, k) * rate**k * (1 - rate) ** (runs - k) for k in range(failures + 1))
        assert sum(terms) == pytest.approx(0.05, rel=1e-6)


def test_without_failures_it_is_the_rule_of_three() -> None:
    for runs in (100, 1000, 100_000):
        assert repeat_bound(runs, 0) == pytest.approx(3 / runs, rel=0.02)


def test_more_runs_and_fewer_failures_make_it_smaller() -> None:
    bounds = [repeat_bound(runs, 1) for runs in range(2, 60)]
    assert bounds == sorted(bounds, reverse=True)
    bounds = [repeat_bound(20, failures) for failures in range(21)]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize(("runs", "failures"), [(0, 0), (3, 4), (3, -1)])
def test_impossible_counts_are_refused(runs: int, failures: int) -> None:
    with pytest.raises(ValueError, match="no bound"):
        repeat_bound(runs, failures)


def test_the_document() -> None:
    assert repeats_document(3, 0) == {
        "runs": 3,
        "differing": 0,
        "bound": 0.631597,
        "confidence": 0.95,
    }
    assert repeats_document(0, 0)["bound"] is None
