"""The pictures of a reproduction, drawn from the `series` of its details document."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.render.charts import Axes, Scale, heat_map, line_chart
from mlbom.render.reproduction.document import divergence_of
from mlbom.render.reproduction.weights import histograms
from mlbom.render.svg import number

Json = Mapping[str, Any]
Point = tuple[float, float]


def pictures(document: Json) -> list[str]:
    """Return the figures that there are data for, as markup."""
    series = document["series"]
    divergence = divergence_of(document)
    has_place = divergence is not None and divergence.get("field") != "root"
    mark = float(divergence["step"]) if divergence and has_place else None
    drawn = [
        _losses(series, mark),
        _growth(series.get("growth") or {}, mark),
        _raster(series.get("raster") or {}),
        _layers(series.get("layers") or {}),
        *histograms(document["comparisons"]),
    ]
    return [figure for figure in drawn if figure]


def _losses(series: Json, mark: float | None) -> str:
    steps = series.get("steps") or []
    lines = {name: _points(steps, values) for name, values in (series.get("loss") or {}).items()}
    if not any(math.isfinite(y) for line in lines.values() for _, y in line):
        return ""
    axes = Axes(x="step", y="loss", mark=mark, mark_text="first difference")
    return line_chart("Loss of each run", lines, axes)


def _growth(growth: Json, mark: float | None) -> str:
    points = _points(growth.get("steps") or [], growth.get("difference") or [])
    if not any(y > 0 for _, y in points):
        return ""
    lines = {"difference": points}
    doubling = growth.get("doublingSteps")
    note = "No doubling is fitted: it does not grow like that."
    if isinstance(doubling, int | float) and doubling > 0:
        lines["fitted doubling"] = _fitted(points, float(doubling))
        told = number(doubling)
        note = f"It doubles every {'step' if told == '1' else f'{told} steps'} while it grows."
    pair = " and ".join(map(str, growth.get("pair") or ()))
    axes = Axes(
        x="step",
        y="|difference|, log",
        is_log=True,
        mark=mark,
        mark_text="first difference",
        note=note,
    )
    return line_chart(f"Difference of the losses of {pair}", lines, axes)


def _fitted(points: Sequence[Point], doubling: float) -> list[Point]:
    """Return the line of that doubling through the middle of the growth, up to the largest."""
    grown = [(x, math.log2(y)) for x, y in points if y > 0 and math.isfinite(y)]
    top = max(range(len(grown)), key=lambda place: grown[place][1])
    rising = grown[: top + 1]
    middle_x = sum(x for x, _ in rising) / len(rising)
    middle_y = sum(y for _, y in rising) / len(rising)
    ends = (rising[0][0], rising[-1][0])
    return [(x, 2.0 ** (middle_y + (x - middle_x) / doubling)) for x in dict.fromkeys(ends)]


def _raster(raster: Json) -> str:
    fields, steps = raster.get("fields") or [], raster.get("steps") or []
    rows = [_differences(raster["equal"].get(name, ()), len(steps)) for name in fields]
    if not fields or not steps:
        return ""
    pair = " and ".join(map(str, raster.get("pair") or ()))
    scale = Scale(label="Part of the step", note=_shown_steps(steps))
    return heat_map(f"Every step of {pair}", fields, [str(n) for n in steps], rows, scale)


def _layers(layers: Json) -> str:
    names, steps = layers.get("names") or [], layers.get("steps") or []
    if not names or not steps:
        return ""
    rows = [_differences(row, len(steps)) for row in layers.get("equal") or ()]
    pair = " and ".join(map(str, layers.get("pair") or ()))
    title = f"Each tensor of {layers.get('of', 'params')} at each step, {pair}"
    scale = Scale(label="Tensor", note=_shown_steps(steps))
    count = min(len(names), len(rows))
    return heat_map(title, names[:count], [str(n) for n in steps], rows[:count], scale)


def _shown_steps(steps: Sequence[int]) -> str:
    hidden = steps[-1] - steps[0] + 1 - len(steps)
    return f"{len(steps)} steps are shown, {hidden} between them are not." if hidden > 0 else ""


def _differences(equal: Sequence[int | None], count: int) -> list[float | None]:
    """Return 1 for different, 0 for equal, None for not taken, one for each step."""
    told: list[float | None] = [None if v is None else float(not v) for v in equal[:count]]
    return told + [None] * (count - len(told))


def _points(steps: Sequence[int], values: Sequence[Any]) -> list[Point]:
    return [
        (float(step), float(v) if isinstance(v, int | float) else math.nan)
        for step, v in zip(steps, values, strict=False)
    ]
