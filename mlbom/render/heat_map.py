"""Heat maps and rasters: cells that are equal, differ by level, or were not taken."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlbom.render.chart_frame import WIDTH, Drawing, Scale, framed
from mlbom.render.svg import (
    line_between,
    number,
    shortened,
    shortened_name,
    spot,
    table,
    text_at,
    width,
)

_RIGHT, _TOP = WIDTH - 8, 8.0
_MOST_ROWS, _MOST_COLUMNS = 40, 120
_NAME_ROOM, _NAME_SIZE = 148.0, 11
_ROW, _TALL_ROW, _FEW_ROWS = 13.0, 18.0, 12
_LEVELS = 6
_MOST_RUNS = 24
_GAP_FROM = 6.0
_LEGEND_LINE = 17.0

Cells = Sequence[Sequence[float | None]]
# Level of a cell: None not taken, 0 equal, 1 and up differs by ever more.
Levels = list[list[int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where the cells lie: columns from `left`, `slot` wide, rows `row` high."""

    left: float
    row: float
    slot: float

    def block(self, place: int, columns: tuple[int, int], *, is_thin: bool) -> str:
        """Return the outline of neighbouring cells: a thin bar, or the whole of the row."""
        gap = 1.0 if self.slot >= _GAP_FROM else 0.0
        x = self.left + columns[0] * self.slot
        length = (columns[1] - columns[0]) * self.slot - gap
        share = 0.22 if is_thin else 0.86
        y = _TOP + (place + (1 - share) / 2) * self.row
        return f"M{spot(x)} {spot(y)}h{spot(length)}v{spot(share * self.row)}h{spot(-length)}z"


def heat_map(
    title: str, rows: Sequence[str], columns: Sequence[str], values: Cells, scale: Scale
) -> str:
    """Return a map of cells: a thin bar is equal, a full block differs, nothing is not taken.

    More than 40 rows or 120 columns are joined, neighbours with neighbours: a joined cell shows
    the largest value in it, and is `not taken` only when none was taken.

    Args:
        title: of the figure.
        rows: names from top to bottom.
        columns: names from left to right.
        values: for each row one value, or None, for each column.
        scale: what a value means. NaN counts as the highest level.
    """
    row_groups, column_groups = _groups(len(rows), _MOST_ROWS), _groups(len(columns), _MOST_COLUMNS)
    levels = _levels(_joined(values, row_groups, column_groups), scale)
    names = [_spanned(rows, group) for group in row_groups]
    shown = [shortened_name(name, _NAME_ROOM, _NAME_SIZE) for name in names]
    spans = [_span(columns, group) for group in column_groups]
    left = 14 + max((width(name, _NAME_SIZE) for name in shown), default=0.0)
    row = _TALL_ROW if len(names) <= _FEW_ROWS else _ROW
    grid = _Grid(left=left, row=row, slot=(_RIGHT - left) / max(len(spans), 1))
    bottom = _TOP + row * len(names) + 4
    legend, height = _legend(scale, bottom + 50)
    return framed(
        Drawing(
            title=title,
            description=_told(names, spans, levels, scale),
            note=_note(scale, row_groups, column_groups),
            height=height,
            body=_names(shown, grid)
            + _cells(levels, grid, _classes(scale))
            + _column_axis([columns[g.start] for g in column_groups], scale.x, grid, bottom)
            + legend,
            table=_table(names, spans, levels, scale),
        )
    )


def _groups(count: int, most: int) -> list[range]:
    """Return neighbours joined so that there are at most `most` groups of equal size."""
    size = max(1, math.ceil(count / most))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _joined(values: Cells, rows: list[range], columns: list[range]) -> list[list[float | None]]:
    return [
        [
            _largest([v for r in group for v in values[r][part.start : part.stop]])
            for part in columns
        ]
        for group in rows
    ]


def _largest(values: Sequence[float | None]) -> float | None:
    taken = [v for v in values if v is not None]
    # What is not a number differs more than any number.
    return math.inf if any(math.isnan(v) for v in taken) else max(taken, default=None)


def _levels(cells: Cells, scale: Scale) -> Levels:
    bounds = scale.bounds[: _LEVELS - 1]

    def level(value: float | None) -> int | None:
        if value is None:
            return None
        return 0 if value <= 0 else 1 + sum(value >= bound for bound in bounds)

    return [[level(value) for value in line] for line in cells]


def _classes(scale: Scale) -> list[str]:
    """Return the CSS class of each level; the darkest is always one, so that few are far apart."""
    count = min(len(scale.bounds), _LEVELS - 1)
    if not count:
        return ["equal", "differs"]
    return [
        "equal",
        *(f"h{_LEVELS - (count - p) * (_LEVELS - 1) // count}" for p in range(count + 1)),
    ]


def _words(scale: Scale) -> list[str]:
    """Return the word of each level."""
    bounds = scale.bounds[: _LEVELS - 1]
    if not bounds:
        return [scale.equal, scale.differs]
    told = [f"{number(low)} to {number(high)}" for low, high in pairwise(bounds)]
    return [scale.equal, f"below {number(bounds[0])}", *told, f"{number(bounds[-1])} or more"]


def _word(level: int | None, scale: Scale) -> str:
    return scale.unknown if level is None else _words(scale)[level]


def _spanned(names: Sequence[str], group: range) -> str:
    first = names[group.start]
    return first if len(group) == 1 else f"{first} +{len(group) - 1}"


def _span(names: Sequence[str], group: range) -> tuple[str, str]:
    return names[group.start], names[group.stop - 1]


def _runs(line: Sequence[int | None]) -> Iterator[tuple[int, int, int | None]]:
    """Yield where neighbours of one level begin and end, and their level."""
    start = 0
    for place in range(1, len(line) + 1):
        if place == len(line) or line[place] != line[start]:
            yield start, place, line[start]
            start = place


def _names(names: Sequence[str], grid: _Grid) -> str:
    return "".join(
        text_at(grid.left - 6, _TOP + (place + 0.5) * grid.row + 4, name, "name end")
        for place, name in enumerate(names)
    )


def _cells(levels: Levels, grid: _Grid, classes: Sequence[str]) -> str:
    """Return one path for each level; narrow neighbours of a level are one block."""
    drawn: list[list[str]] = [[] for _ in classes]
    for place, line in enumerate(levels):
        for start, stop, level in _runs(line):
            if level is None:
                continue
            is_apart = grid.slot >= _GAP_FROM
            blocks = [(c, c + 1) for c in range(start, stop)] if is_apart else [(start, stop)]
            drawn[level] += [grid.block(place, block, is_thin=not level) for block in blocks]
    return "".join(
        f'<path class="{kind}" d="{"".join(parts)}"/>'
        for kind, parts in zip(classes, drawn, strict=True)
        if parts
    )


def _column_axis(firsts: Sequence[str], label: str, grid: _Grid, y: float) -> str:
    """Return the axis under the columns: names that fit, and what they are."""
    drawn = [line_between((grid.left, y), (_RIGHT, y), "axis")]
    told = [shortened(name, 60) for name in firsts]
    widest = max((width(name) for name in told), default=0.0)
    stride = max(1, math.ceil((widest + 8) / grid.slot))
    for place in range(0, len(told), stride):
        x = grid.left + (place + 0.5) * grid.slot
        drawn.append(line_between((x, y), (x, y + 4), "axis"))
        drawn.append(
            text_at(min(x, _RIGHT - width(told[place]) / 2), y + 16, told[place], "middle")
        )
    drawn.append(text_at(_RIGHT, y + 31, label, "end"))
    return "".join(drawn)


def _legend(scale: Scale, y: float) -> tuple[str, float]:
    """Return what each shape and shade means, and the height that is needed."""
    x, drawn = 8.0, []
    for kind, word in [
        *zip(_classes(scale), _words(scale), strict=True),
        ("", f"{scale.unknown}: empty"),
    ]:
        told = shortened(word, 150)
        if x + 26 + width(told) > _RIGHT:
            x, y = 8.0, y + _LEGEND_LINE
        high = 3 if kind == "equal" else 11
        where = f'x="{spot(x)}" y="{spot(y - 4 - high / 2)}" width="16" height="{high}"'
        drawn.append(f'<rect class="{kind}" {where}/>' if kind else _empty(x, y))
        drawn.append(text_at(x + 22, y, told))
        x += 38 + width(told)
    return "".join(drawn), y + 10


def _empty(x: float, y: float) -> str:
    return f'<rect class="axis empty" x="{spot(x)}" y="{spot(y - 9)}" width="16" height="10"/>'


def _note(scale: Scale, rows: list[range], columns: list[range]) -> str:
    told = [scale.note] if scale.note else []
    joined = [
        f"{len(groups[0])} {what}"
        for groups, what in ((rows, "rows"), (columns, "columns"))
        if groups and len(groups[0]) > 1
    ]
    if joined:
        told.append(f"{' and '.join(joined)} are joined in one; it shows the largest of them.")
    return " ".join(told)


def _told(
    names: Sequence[str], spans: Sequence[tuple[str, str]], levels: Levels, scale: Scale
) -> str:
    """Return what the map shows in words: what differs, and from which column on."""
    differing = [
        (name, next(p for p, level in enumerate(line) if level))
        for name, line in zip(names, levels, strict=True)
        if any(line)
    ]
    told = f"{scale.label}: {len(names)} rows, {len(spans)} columns by {scale.x}."
    if not differing:
        taken = any(level is not None for line in levels for level in line)
        return (
            f"{told} {f'All that was taken: {scale.equal}.' if taken else f'All {scale.unknown}.'}"
        )
    name, place = min(differing, key=lambda row: row[1])
    return (
        f"{told} {len(differing)} rows differ, first {name} at {scale.x} {spans[place][0]}; "
        f"{len(names) - len(differing)} do not."
    )


def _table(
    names: Sequence[str], spans: Sequence[tuple[str, str]], levels: Levels, scale: Scale
) -> str:
    """Return each row as stretches of columns that are alike."""
    told = (
        (name, _stretches(line, spans, scale)) for name, line in zip(names, levels, strict=True)
    )
    return table((scale.label, f"By {scale.x}"), told)


def _stretches(line: Sequence[int | None], spans: Sequence[tuple[str, str]], scale: Scale) -> str:
    runs = list(_runs(line))
    told = []
    for start, stop, level in runs[:_MOST_RUNS]:
        first, last = spans[start][0], spans[stop - 1][1]
        place = first if first == last else f"{first} to {last}"
        told.append(f"{place}: {_word(level, scale)}")
    hidden = len(runs) - len(told)
    return "; ".join(told) + (f"; and {hidden} more changes" if hidden > 0 else "")
