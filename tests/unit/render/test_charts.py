"""Charts: well-formed, the same bytes every time, readable without colour, bounded, literal."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from mlbom.render.chart_axes import axis_of, thinned
from mlbom.render.charts import CHART_STYLE, Axes, Scale, bar_chart, heat_map, line_chart
from mlbom.render.svg import number, shortened, shortened_name, spot, width
from tests.fixtures.reproduction_details import HOSTILE

AXES = Axes(x="step", y="loss")
SVG = "{http://www.w3.org/2000/svg}"


def lines(title: str = "Loss", count: int = 20, name: str = "run") -> str:
    series = {f"{name} {n}": [(x, math.cos(x / 5) + n) for x in range(count)] for n in (1, 2)}
    return line_chart(title, series, Axes(x=title, y=title, mark=3, mark_text=title, note=title))


def bars(title: str = "ULP", count: int = 20, name: str = "2^") -> str:
    return bar_chart(title, [(f"{name}{n}", float(n * n % 997)) for n in range(count)], AXES)


def heat(title: str = "Steps", count: int = 20, name: str = "layer.") -> str:
    values = [[None if c % 5 == 0 else float(c > r) for c in range(count)] for r in range(count)]
    rows = [f"{name}{n}" for n in range(count)]
    return heat_map(title, rows, [str(n) for n in range(count)], values, Scale(label=title))


CHARTS: list[Callable[..., str]] = [lines, bars, heat]


def parsed(figure: str) -> ET.Element:
    return ET.fromstring(figure)  # noqa: S314 - our own markup


def texts(figure: str) -> str:
    return " ".join(parsed(figure).itertext())


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_is_well_formed_named_and_has_its_data_beside_it(chart: Callable[..., str]) -> None:
    figure = parsed(chart(title="The title"))
    (svg,) = figure.iter(f"{SVG}svg")
    assert svg.get("role") == "img"
    assert [child.tag for child in svg][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert svg[0].text == "The title"
    assert len(svg[1].text or "") > 20
    assert len(list(figure.iter("tr"))) == 21
    assert all(row[0].get("scope") for row in figure.iter("tr"))


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("count", [0, 1, 2, 41, 500])
def test_a_chart_stays_in_its_frame_and_holds_no_odd_number(
    chart: Callable[..., str], count: int
) -> None:
    figure = chart(count=count)
    svg = next(parsed(figure).iter(f"{SVG}svg"))
    right, bottom = (float(v) for v in (svg.get("viewBox") or "").split()[2:])
    for element in svg.iter():
        for key in ("x", "x1", "x2"):
            assert 0 <= float(element.get(key, "0")) <= right
        for key in ("y", "y1", "y2"):
            assert 0 <= float(element.get(key, "0")) <= bottom
        # The frame cuts what is wider than it, so a text must begin and end inside.
        if element.tag == f"{SVG}text" and element.text:
            size = 11 if "name" in element.get("class", "") else 12
            room = width(element.text, size)
            anchor = element.get("class", "").split()[-1:] or [""]
            begin = (
                float(element.get("x", "0")) - {"end": 1.0, "middle": 0.5}.get(anchor[0], 0) * room
            )
            assert begin >= -0.1, element.text
            assert begin + room <= right + 0.1, element.text
    assert not re.search(r"nan|inf|[ \"]-0[ \"]|\d\.\d{2}", svg_numbers(figure))


def svg_numbers(figure: str) -> str:
    return " ".join(re.findall(r' (?:d|points|x\d?|y\d?|width|height)="([^"]*)"', figure)).lower()


@pytest.mark.parametrize("chart", CHARTS)
def test_equal_data_give_equal_bytes_and_other_data_do_not(chart: Callable[..., str]) -> None:
    assert chart() == chart()
    assert chart() != chart(count=21)


@pytest.mark.parametrize("chart", CHARTS)
def test_hostile_text_is_literal(chart: Callable[..., str]) -> None:
    figure = parsed(chart(title=HOSTILE, name=HOSTILE, count=3))
    assert not {e.tag.rpartition("}")[2] for e in figure.iter()} & {"script", "img", "style"}
    assert "<script>alert(1)</script>{{ 7*7 }}" in " ".join(figure.itertext())
    assert not re.search("[\x00\x1b\u202e]", chart(title=HOSTILE, name=HOSTILE))


@pytest.mark.parametrize("chart", CHARTS)
def test_names_without_end_stay_small(chart: Callable[..., str]) -> None:
    assert len(chart(name="x" * 50_000, count=2)) < 350_000


def test_a_long_series_is_thinned_to_extremes_and_says_so() -> None:
    points = [(float(n), float(n == 7777) - float(n == 1234)) for n in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 102
    assert (7777.0, 1.0) in kept
    assert (1234.0, -1.0) in kept
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    figure = line_chart("Loss", {"run": points}, AXES)
    assert (
        "Of 10000 points the lowest and the highest of each of 180 stretches are drawn." in figure
    )
    assert "One row in 167 of 10000, and the last." in figure
    assert len(figure) < 20_000


def test_a_gap_breaks_the_line_also_when_thinned() -> None:
    points = [(float(n), math.nan if n == 5000 else 1.0) for n in range(10_000)]
    assert line_chart("Loss", {"run": points}, AXES).count("<polyline") == 2
    assert "1 values that are not finite are not drawn." in line_chart("L", {"r": points}, AXES)


def test_zero_has_its_own_line_on_a_logarithmic_axis() -> None:
    axis = axis_of([0.0, 1e-8, 1.0], 100.0, 0.0, is_log=True)
    assert axis.zero > axis.place(1e-8) > axis.place(1e-4) > axis.place(1.0) == 0.0
    assert axis.place(0.0) == axis.zero <= 100.0
    assert all(1e-8 <= tick <= 1.0 for tick in axis.ticks)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 0),
        (1, 1),
        (-3, 12_000),
        (1e-30, 1e30),
        (5e-324, 1e308),
        (-1e308, 1e308),
        (0.1, 0.1000001),
    ],
)
def test_axes_have_a_few_round_ticks_inside(low: float, high: float, is_log: bool) -> None:
    axis = axis_of([low, high], 0.0, 100.0, is_log=is_log)
    assert len(axis.ticks) <= 9
    rounding = (axis.high - axis.low) * 1e-6
    assert all(axis.low - rounding <= tick <= axis.high + rounding for tick in axis.ticks)
    assert all(0 <= axis.place(tick) <= 100 for tick in axis.ticks)


def test_equal_different_and_not_taken_differ_in_shape() -> None:
    def blocks(value: float | None) -> tuple[int, ...]:
        figure = heat_map("t", ["a"], ["0"], [[value]], Scale(label="x"))
        found = re.findall(r'<path class="\w+" d="M\S+ \S+h\S+v([\d.]+)h', figure)
        return tuple(round(float(height)) for height in found)

    assert blocks(None) == ()
    assert blocks(0) == (4,)
    assert blocks(1) == (16,)
    legend = texts(heat_map("t", ["a"], ["0"], [[1]], Scale(label="x")))
    assert all(word in legend for word in ("equal", "differs", "not taken: empty"))


def test_joined_cells_never_hide_a_difference() -> None:
    rows, columns = [f"l.{n}" for n in range(1000)], [str(n) for n in range(5000)]
    values: list[list[float | None]] = [[0.0] * 5000 for _ in rows]
    values[777][4321] = 1.0
    figure = heat_map("t", rows, columns, values, Scale(label="Tensor"))
    assert figure.count('<path class="differs"') == 1
    assert "1 rows differ, first l.775 +24 at step 4284" in figure
    assert "25 rows and 42 columns are joined in one" in figure
    assert "4284 to 4325: differs" in figure
    assert len(figure) < 30_000


def test_a_joined_cell_is_not_taken_only_when_none_was() -> None:
    values: list[list[float | None]] = [[None] * 240 for _ in range(2)]
    values[1][11] = 0.0
    told = texts(heat_map("t", ["a", "b"], [str(n) for n in range(240)], values, Scale(label="x")))
    assert "0 to 239: not taken" in told
    assert "10 to 11: equal" in told


def test_levels_and_what_is_no_number() -> None:
    scale = Scale(label="relative L2", bounds=(1e-6, 1e-3))
    row = [0.0, 1e-9, 1e-6, 0.5, math.inf, math.nan]
    told = texts(heat_map("t", ["a"], list("012345"), [row], scale))
    assert "0: equal; 1: below 1e-6; 2: 1e-6 to 0.001; 3 to 5: 0.001 or more" in told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (3, "3"),
        (12345, "12345"),
        (1234567, "1.23e6"),
        (0.1 + 0.2, "0.3"),
        (1.0000001, "1"),
        (1234.5678, "1234.57"),
        (1e-7, "1e-7"),
        (-2.5e-12, "-2.5e-12"),
        (math.nan, "NaN"),
        (-math.inf, "-infinite"),
    ],
)
def test_numbers_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_coordinates_are_short_and_never_minus_zero() -> None:
    assert [spot(v) for v in (0, -0.01, 1.25, 3.0, 1e3)] == ["0", "0", "1.2", "3", "1000"]


def test_names_keep_what_tells_them_apart() -> None:
    long = "transformer.h.11.mlp.c_fc.weight"
    assert shortened_name(long, 500) == long
    assert shortened_name(long, 160) == "t.h.11.mlp.c_fc.weight"
    assert shortened("a" * 90 + "bcd", 40).endswith("bcd")
    assert all(width(shortened("\u6f22" * 50, room), 12) <= room for room in (20, 60, 200))


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("place", "page"), [(0, "#ffffff"), (1, "#0d1117")])
def test_what_is_drawn_stands_out_from_the_page(place: int, page: str) -> None:
    theme = CHART_STYLE.split("@media")[place]
    colours = dict(re.findall(r"(--c-[\w-]+): (#\w{6})", theme))
    assert len(colours) == 16
    for name, colour in colours.items():
        if name == "--c-grid":  # a help, nothing that tells
            continue
        light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, name
