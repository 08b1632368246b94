"""Charts as inline SVG: lines, bars, heat maps. Equal data gives equal bytes.

Each returns a figure of well-formed markup without script, style or address; the page brings
`CHART_STYLE` (light, dark and print). Long series are thinned, and the figure says so.
"""

import math
from collections.abc import Mapping, Sequence

from mlbom.render.chart_axes import Axis, Point, axis_of, bottom_axis, left_axis, thinned
from mlbom.render.chart_frame import CHART_STYLE, WIDTH, Axes, Drawing, Scale, framed
from mlbom.render.heat_map import heat_map
from mlbom.render.svg import line_between, number, shortened, spot, table, text_at, width

__all__ = ["CHART_STYLE", "Axes", "Scale", "bar_chart", "heat_map", "line_chart"]

_LEFT, _RIGHT, _PLOT, _BELOW = 54.0, WIDTH - 8, 150.0, 40.0
_MOST_SERIES, _MOST_POINTS, _MOST_MARKS = 6, 360, 40
_FEW_MARKS = 8
_MOST_ROWS, _MOST_BARS = 60, 96
_LEGEND_LINE = 17.0


def line_chart(title: str, series: Mapping[str, Sequence[Point]], axes: Axes) -> str:
    """Return lines over one another, each with its own dashes and marks.

    Args:
        title: of the figure.
        series: name -> (x, y), x rising. A y that is not finite breaks its line; on a logarithmic
            axis zero and below lie on a line of their own. At most six are drawn.
        axes: what they show.
    """
    drawn = dict(list(series.items())[:_MOST_SERIES])
    points = [p for line in drawn.values() for p in line]
    legend, top = _legend(tuple(drawn))
    bottom = top + _PLOT
    xs = axis_of([x for x, _ in points], _LEFT, _RIGHT)
    ys = axis_of([y for _, y in points], bottom, top, is_log=axes.is_log)
    body = [legend, left_axis(ys, axes.y, _LEFT, _RIGHT), bottom_axis(xs, axes.x, bottom)]
    body += [_line(line, xs, ys, place) for place, line in enumerate(drawn.values())]
    body.append(_mark(axes, xs, top, bottom))
    return framed(
        Drawing(
            title=title,
            description=_told_lines(drawn, axes),
            note=_notes(axes.note, *_line_notes(series, points)),
            height=bottom + _BELOW,
            body="".join(body),
            table=_line_table(drawn, axes),
        )
    )


def bar_chart(title: str, bars: Sequence[tuple[str, float]], axes: Axes) -> str:
    """Return upright bars side by side, as of a histogram.

    Args:
        title: of the figure.
        bars: label and value, from left to right, values of zero or more; at most 96 are drawn.
            Labels that would overlap are left out in the picture and stand in the table.
        axes: what they show; a logarithmic axis gives a value of zero no bar.
    """
    drawn = bars[:_MOST_BARS]
    top, bottom = 32.0, 32.0 + _PLOT
    values = [v for _, v in drawn if math.isfinite(v) and v > 0]
    # From below the least value, so that it has a bar that can be seen.
    lowest = min(values, default=1.0) / 2 if axes.is_log else 0.0
    ys = axis_of([lowest, max(values, default=1.0)], bottom, top, is_log=axes.is_log)
    slot = (_RIGHT - _LEFT) / max(len(drawn), 1)
    body = [left_axis(ys, axes.y, _LEFT, _RIGHT)]
    for place, (_, value) in enumerate(drawn):
        if math.isfinite(value) and value > 0:
            y = min(ys.place(value), bottom - 1)
            where = f'x="{spot(_LEFT + place * slot + slot * 0.1)}" y="{spot(y)}"'
            size = f'width="{spot(max(slot * 0.8, 0.5))}" height="{spot(bottom - y)}"'
            body.append(f'<rect class="bar" {where} {size}/>')
    body.append(line_between((_LEFT, bottom), (_RIGHT, bottom), "axis"))
    body.append(_bar_labels([label for label, _ in drawn], slot, bottom))
    body.append(text_at(_RIGHT, bottom + 31, axes.x, "end"))
    hidden = len(bars) - len(drawn)
    return framed(
        Drawing(
            title=title,
            description=_told_bars(drawn, axes),
            note=_notes(axes.note, f"{hidden} more bars are not drawn." if hidden else ""),
            height=bottom + _BELOW,
            body="".join(body),
            table=table((axes.x, axes.y), ((label, number(value)) for label, value in drawn)),
        )
    )


def _legend(names: Sequence[str]) -> tuple[str, float]:
    """Return the legend and where the plot below it begins."""
    x, y, drawn = _LEFT, 12.0, []
    for place, name in enumerate(names):
        told = shortened(name, _RIGHT - _LEFT - 40)
        if x > _LEFT and x + 36 + width(told) > _RIGHT:
            x, y = _LEFT, y + _LEGEND_LINE
        drawn.append(line_between((x, y - 4), (x + 26, y - 4), f"s{place}"))
        drawn.append(_dots([(x + 13, y - 4)], place))
        drawn.append(text_at(x + 32, y, told))
        x += 44 + width(told)
    return "".join(drawn), y + 31


def _line(points: Sequence[Point], xs: Axis, ys: Axis, place: int) -> str:
    """Return one series: a line for each stretch of finite values, marks where there are few."""
    stretches: list[list[Point]] = [[]]
    for x, y in thinned(points, _MOST_POINTS):
        if math.isfinite(y):
            stretches[-1].append((xs.place(x), ys.place(y)))
        elif stretches[-1]:
            stretches.append([])
    drawn = []
    for stretch in stretches:
        if len(stretch) > 1:
            told = " ".join(f"{spot(x)},{spot(y)}" for x, y in stretch)
            # Dashes of a line that goes up and down all the time would be noise.
            kind = f"s{place} dense" if len(points) > _MOST_POINTS else f"s{place}"
            drawn.append(f'<polyline class="{kind}" points="{told}"/>')
    drawn.append(_dots(_marked(stretches, place), place))
    return "".join(drawn)


def _marked(stretches: Sequence[Sequence[Point]], place: int) -> list[Point]:
    """Return the points with a mark: all of few, else some, and those that stand alone.

    Each series has its marks elsewhere, so that two lines over one another are told apart.
    """
    drawn = [point for stretch in stretches for point in stretch]
    if len(drawn) <= _MOST_MARKS:
        return drawn
    stride = len(drawn) // _FEW_MARKS
    alone = [stretch[0] for stretch in stretches if len(stretch) == 1]
    return drawn[stride * (place + 1) // (_MOST_SERIES + 1) :: stride] + alone


def _dots(points: Sequence[Point], place: int) -> str:
    """Return the marks of one series: circle, square, triangle, cross, diamond, plus."""
    shapes = (
        "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
        "m-2.5-2.5h5v5h-5z",
        "m0-3.5l3.5 6h-7z",
        "m-3-3l6 6m0-6l-6 6",
        "m0-3.5l3.5 3.5l-3.5 3.5l-3.5-3.5z",
        "m-3.5 0h7m-3.5-3.5v7",
    )
    told = "".join(f"M{spot(x)} {spot(y)}{shapes[place]}" for x, y in points)
    return f'<path class="s{place} dots" d="{told}"/>' if told else ""


def _mark(axes: Axes, xs: Axis, top: float, bottom: float) -> str:
    """Return the dashed line at the marked place, its text on the side that has room."""
    if axes.mark is None:
        return ""
    x = xs.place(axes.mark)
    is_right = x > (_LEFT + _RIGHT) / 2
    told = shortened(axes.mark_text, (x - _LEFT if is_right else _RIGHT - x) - 8)
    text = text_at(x - 4 if is_right else x + 4, top - 3, told, "end" if is_right else "")
    return line_between((x, top - 12), (x, bottom), "mark") + text


def _bar_labels(labels: Sequence[str], slot: float, bottom: float) -> str:
    """Return the labels under the bars: every one, or every second, third, ... that fits."""
    widest = max((width(shortened(label, 90)) for label in labels), default=0.0)
    stride = max(1, math.ceil((widest + 6) / slot))
    drawn = []
    for place in range(0, len(labels), stride):
        told = shortened(labels[place], 90)
        x = min(_LEFT + (place + 0.5) * slot, WIDTH - width(told) / 2)
        drawn.append(text_at(x, bottom + 16, told, "middle"))
    return "".join(drawn)


def _line_notes(series: Mapping[str, Sequence[Point]], points: Sequence[Point]) -> list[str]:
    longest = max((len(line) for line in series.values()), default=0)
    broken = sum(not math.isfinite(y) for _, y in points)
    hidden = len(series) - _MOST_SERIES
    return [
        f"Of {longest} points the lowest and the highest of each of {_MOST_POINTS // 2} stretches "
        "are drawn."
        if longest > _MOST_POINTS
        else "",
        f"{broken} values that are not finite are not drawn." if broken else "",
        f"{hidden} more series are not drawn." if hidden > 0 else "",
    ]


def _notes(*notes: str) -> str:
    return " ".join(note for note in notes if note)


def _told_lines(series: Mapping[str, Sequence[Point]], axes: Axes) -> str:
    told = [f"{axes.y} over {axes.x}{', logarithmic' if axes.is_log else ''}."]
    for name, line in series.items():
        finite = [(x, y) for x, y in line if math.isfinite(y)]
        if finite:
            (x1, y1), (x2, y2) = finite[0], finite[-1]
            told.append(f"{name}: {number(y1)} at {number(x1)} to {number(y2)} at {number(x2)}.")
        else:
            told.append(f"{name}: no values.")
    if axes.mark is not None:
        told.append(f"{axes.mark_text} at {number(axes.mark)}.")
    return " ".join(told)


def _told_bars(bars: Sequence[tuple[str, float]], axes: Axes) -> str:
    finite = [(label, value) for label, value in bars if math.isfinite(value)]
    told = f"{axes.y} for each {axes.x}{', logarithmic' if axes.is_log else ''}."
    if not finite:
        return f"{told} No values."
    label, value = max(finite, key=lambda bar: bar[1])
    return f"{told} {len(bars)} bars, the highest {number(value)} at {label}."


def _line_table(series: Mapping[str, Sequence[Point]], axes: Axes) -> str:
    """Return the values as a table of at most about sixty rows, evenly chosen and the last."""
    by_x: dict[float, dict[str, float]] = {}
    for name, line in series.items():
        for x, y in line:
            by_x.setdefault(x, {})[name] = y
    rows = sorted(by_x.items())
    stride = max(1, math.ceil(len(rows) / _MOST_ROWS))
    chosen = (
        rows[::stride] if not rows or rows[-1] in rows[::stride] else [*rows[::stride], rows[-1]]
    )
    told = (
        (number(x), *(number(ys[n]) if n in ys else "\u2013" for n in series)) for x, ys in chosen
    )
    made = table((axes.x, *series), told)
    return (
        made if stride == 1 else f"<p>One row in {stride} of {len(rows)}, and the last.</p>{made}"
    )
