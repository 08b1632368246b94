"""Tests of the numbers behind the pictures."""

import json
import math

import pytest

from mlbom.reproduce.traces.series import MOST_POINTS, doubling_steps, series, shown_steps
from tests.fixtures.hand_traces import process, trace


def test_the_document_holds_every_picture_and_is_json() -> None:
    other = trace(process(changes={n: {"grads": "x", "params": "x"} for n in range(3, 8)}))
    document = series({"run-1": trace(), "run-2": trace(), "run-3": other})
    json.dumps(document, allow_nan=False)
    assert document["steps"] == list(range(8))
    assert document["loss"]["run-1"] == [1 / (n + 1) for n in range(8)]
    raster = document["raster"]
    assert raster["pair"] == ["run-1", "run-3"]
    assert raster["equal"]["grads"] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert raster["equal"]["batches"] == [1] * 8
    assert raster["equal"]["state"] == [1, 1, 1, None, 1, None, None, None]
    assert document["growth"]["pair"] == ["run-1", "run-3"]


def test_layers_are_named_and_compared_one_by_one() -> None:
    changes: dict[int, dict[str, object]] = {
        n: {"params": "x", "tensors": {"grads": ("g", "g"), "params": ("x", f"pb-{n}")}}
        for n in (6, 7)
    }
    document = series({"a": trace(), "b": trace(process(changes=changes))})
    layers = document["layers"]
    assert layers["names"] == ["layer.weight", "layer.bias"]
    assert layers["equal"] == [[1] * 6 + [0] * 2, [1] * 8]


def test_a_single_training_has_its_losses_and_nothing_to_compare() -> None:
    document = series({"run-1": trace()})
    assert set(document) == {"steps", "loss"}
    assert series({}) == {"steps": [], "loss": {}}


def test_a_loss_that_is_no_number_is_left_out() -> None:
    changes = {0: {"losses": ("inf",)}, 1: {"losses": ("1f00aa",)}, 2: {"losses": ("nan",)}}
    document = series({"a": trace(process(4, changes=changes))})
    assert document["loss"]["a"] == [None, None, None, 0.25]


def test_several_losses_of_a_step_are_averaged() -> None:
    changes = {0: {"losses": ((1.0).hex(), (2.0).hex())}}
    assert series({"a": trace(process(1, changes=changes))})["loss"]["a"] == [1.5]


def test_a_step_that_only_one_training_has_is_different() -> None:
    document = series({"a": trace(process(3)), "b": trace(process(2))})
    assert document["raster"]["equal"]["params"] == [1, 1, 0]


def test_a_long_training_is_shown_at_some_steps_with_the_first_difference_among_them() -> None:
    steps = shown_steps(100_000, 31_337)
    assert len(steps) <= MOST_POINTS
    assert {0, 31_336, 31_337, 99_999} <= set(steps)
    assert steps == sorted(set(steps))
    assert shown_steps(512) == list(range(512))


def test_a_doubling_every_three_steps_is_found() -> None:
    points = [(n, 0.0) for n in range(10)] + [(n, 1e-9 * 2 ** (n / 3)) for n in range(10, 60)]
    found = doubling_steps(points)
    assert found is not None
    assert math.isclose(found, 3.0, rel_tol=1e-9)


def test_a_growth_that_levels_off_is_fitted_until_it_does() -> None:
    points = [(n, 1e-9 * 2**n) for n in range(20)] + [(n, 1e-4) for n in range(20, 60)]
    found = doubling_steps(points)
    assert found is not None
    assert math.isclose(found, 1.0, rel_tol=1e-6)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(n, 0.0) for n in range(20)],
        [(0, 1e-9), (1, 2e-9)],
        [(n, 1e-3) for n in range(20)],
        [(n, 2.0**-n) for n in range(20)],
    ],
    ids=["none", "equal", "too few", "flat", "shrinking"],
)
def test_no_doubling_is_told_of_anything_else(points: list[tuple[int, float]]) -> None:
    assert doubling_steps(points) is None
