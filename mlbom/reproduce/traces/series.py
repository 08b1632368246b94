"""The numbers behind the pictures of a comparison: losses, growth of a difference, rasters."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from mlbom.record.steps.values import ProcessSteps, StepRecord, StepTrace
from mlbom.reproduce.traces.divergence import first_divergence

FIELDS = ("batches", "losses", "grads", "params", "state", "buffers", "rng")
# A picture is a few hundred points wide; a longer training is shown at evenly spaced steps.
MOST_POINTS = 512
MOST_LAYERS = 256
# A doubling is told only of a growth that a straight line in the logarithm explains.
_LEAST_POINTS = 4
_LEAST_FIT = 0.5


def series(traces: Mapping[str, StepTrace]) -> dict[str, Any]:
    """Return what the pictures show, of the first process of each training.

    The pair shown is the first one that differs, else the first two.

    Args:
        traces: label -> training, in the order to show them.

    Returns:
        `steps`; `loss`: label -> number or None at each of them; `growth`: pair, steps, absolute
        difference of the losses there, and `doublingSteps`, the steps in which that difference
        doubles while it grows, or None where it does not grow like that; `raster`: pair, fields,
        steps, field -> 1 equal, 0 different, None not taken; `layers`: pair, names of the
        parameters, steps, and one row of 1 and 0 for each name.
    """
    leads = {label: trace.processes[0] for label, trace in traces.items() if trace.processes}
    count = max((len(process.steps) for process in leads.values()), default=0)
    pair, since = _pair({label: traces[label] for label in leads})
    steps = shown_steps(count, since)
    losses = {
        label: [_loss_at(process, number) for number in steps] for label, process in leads.items()
    }
    document: dict[str, Any] = {"steps": steps, "loss": losses}
    if pair:
        one, other = leads[pair[0]], leads[pair[1]]
        document["growth"] = {"pair": list(pair), **_growth(one, other, steps)}
        document["raster"] = {"pair": list(pair), **_raster(one, other, steps)}
        document["layers"] = {"pair": list(pair), **_layers(one, other, steps)}
    return document


def shown_steps(count: int, since: int = 0) -> list[int]:
    """Return the steps that are shown: all, or evenly spaced ones with the first that differs."""
    if count <= MOST_POINTS:
        return list(range(count))
    chosen = {round(at * (count - 1) / (MOST_POINTS - 3)) for at in range(MOST_POINTS - 2)}
    return sorted(chosen | {n for n in (since - 1, since) if 0 <= n < count})


def _pair(traces: Mapping[str, StepTrace]) -> tuple[tuple[str, str] | None, int]:
    """Return the labels to compare and the step at which they first differ."""
    pairs = list(combinations(traces, 2))
    for pair in pairs:
        if difference := first_divergence(traces[pair[0]], traces[pair[1]]):
            return pair, difference.step
    return (pairs[0] if pairs else None), 0


def loss_of(step: StepRecord) -> float | None:
    """Return the mean of the losses of a step that are one number each, or None."""
    numbers = [value for text in step.losses if (value := _number(text)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _number(text: str) -> float | None:
    """Return a `float.hex` as a number, None for a digest or a value that is not finite."""
    if "0x" not in text:
        return None
    value = float.fromhex(text)
    return value if math.isfinite(value) else None


def _step(process: ProcessSteps, number: int) -> StepRecord | None:
    return process.steps[number] if number < len(process.steps) else None


def _loss_at(process: ProcessSteps, number: int) -> float | None:
    step = _step(process, number)
    return loss_of(step) if step else None


def _growth(a: ProcessSteps, b: ProcessSteps, steps: Sequence[int]) -> dict[str, Any]:
    both = [(number, _loss_at(a, number), _loss_at(b, number)) for number in steps]
    points = [(n, abs(x - y)) for n, x, y in both if x is not None and y is not None]
    return {
        "steps": [number for number, _ in points],
        "difference": [difference for _, difference in points],
        "doublingSteps": doubling_steps(points),
    }


def doubling_steps(points: Sequence[tuple[int, float]]) -> float | None:
    """Return in how many steps a difference doubles, by least squares on its logarithm.

    Only the growth is fitted: from the first difference to the largest.

    Args:
        points: (step, absolute difference).
    """
    grown = [(number, value) for number, value in points if value > 0]
    if not grown:
        return None
    top = max(range(len(grown)), key=lambda at: grown[at][1])
    rising = [(float(number), math.log2(value)) for number, value in grown[: top + 1]]
    if len(rising) < _LEAST_POINTS:
        return None
    count = len(rising)
    mean_x = sum(x for x, _ in rising) / count
    mean_y = sum(y for _, y in rising) / count
    spread_x = sum((x - mean_x) ** 2 for x, _ in rising)
    spread_y = sum((y - mean_y) ** 2 for _, y in rising)
    joint = sum((x - mean_x) * (y - mean_y) for x, y in rising)
    if joint <= 0 or joint**2 < _LEAST_FIT * spread_x * spread_y:
        return None
    return spread_x / joint


def _raster(a: ProcessSteps, b: ProcessSteps, steps: Sequence[int]) -> dict[str, Any]:
    pairs = [(_step(a, number), _step(b, number)) for number in steps]
    equal = {name: [_equal(one, other, name) for one, other in pairs] for name in FIELDS}
    return {"fields": list(FIELDS), "steps": list(steps), "equal": equal}


def _equal(one: StepRecord | None, other: StepRecord | None, name: str) -> int | None:
    """Return 1 or 0, None where neither took it; a step that only one has is different."""
    if one is None or other is None:
        return 0
    ours, theirs = getattr(one, name), getattr(other, name)
    return None if not ours and not theirs else int(ours == theirs)


def _layers(a: ProcessSteps, b: ProcessSteps, steps: Sequence[int]) -> dict[str, Any]:
    """Return parameter x step, of the first optimizer whose tensors were taken."""
    both = [(n, one, other) for n in steps if (one := _step(a, n)) and (other := _step(b, n))]
    taken = [row for row in both if row[1].tensors.get("params") and row[2].tensors.get("params")]
    if not taken:
        return {"of": "params", "names": [], "steps": [], "equal": []}
    optimizer = taken[0][1].optimizer
    rows = [row for row in taken if row[1].optimizer == row[2].optimizer == optimizer]
    width = min(len(s.tensors["params"]) for _, one, other in rows for s in (one, other))
    known = next((e.names for e in a.entries if e.optimizer == optimizer), ())
    names = [known[at][0] if at < len(known) else f"param.{at}" for at in range(width)]
    equal = [
        [int(one.tensors["params"][at] == other.tensors["params"][at]) for _, one, other in rows]
        for at in range(width)
    ]
    return {
        "of": "params",
        "names": names[:MOST_LAYERS],
        "steps": [number for number, _, _ in rows],
        "equal": equal[:MOST_LAYERS],
    }
