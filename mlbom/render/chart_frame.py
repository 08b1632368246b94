"""What every chart stands in: its title, its sentence for those who cannot see it, its data."""

from dataclasses import dataclass

from mlbom.render.svg import literal

WIDTH = 400.0

# A page that shows charts has this in its style. Nothing is told by colour alone: lines differ in
# dashes and marks, equal and unequal in shape, levels in lightness.
CHART_STYLE = """\
.chart { --c-line: #8b949e; --c-grid: #d8dee4; --c-0: #0b5cad; --c-1: #b04500; --c-2: #1a7f37;
--c-3: #8250df; --c-4: #57606a; --c-5: #a40e5c; --c-differs: #b04500; --c-equal: #1a7f37;
--c-h1: #7d92ad; --c-h2: #617ca1; --c-h3: #476592; --c-h4: #2e4f82; --c-h5: #193968;
--c-h6: #0a2145; margin: 0; min-width: 0; }
@media screen and (prefers-color-scheme: dark) { .chart { --c-line: #768390; --c-grid: #30363d;
--c-0: #79b8ff; --c-1: #f0a35e; --c-2: #56d364; --c-3: #d2a8ff; --c-4: #9da7b3; --c-5: #ff9bce;
--c-differs: #f0a35e; --c-equal: #56d364; --c-h1: #587299; --c-h2: #6f8cb5; --c-h3: #88a6cf;
--c-h4: #a3c0e6; --c-h5: #c1d9f7; --c-h6: #e6f2ff; } }
.chart figcaption { margin-bottom: .25rem; }
.chart figcaption strong { display: block; }
.chart figcaption span { font-size: .875rem; }
.chart .picture { overflow-x: auto; }
.chart svg { display: block; width: 100%; min-width: 20rem; max-width: 34rem; height: auto; }
.chart svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.chart svg .name { font: 11px ui-monospace, monospace; }
.chart svg .end { text-anchor: end; }
.chart svg .middle { text-anchor: middle; }
.chart svg .axis { stroke: var(--c-line); }
.chart svg .grid { stroke: var(--c-grid); }
.chart svg .mark { stroke: currentColor; stroke-dasharray: 2 2; }
.chart svg polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.chart svg .s0 { stroke: var(--c-0); stroke-width: 2.5; }
.chart svg .s1 { stroke: var(--c-1); stroke-dasharray: 6 4; }
.chart svg .s2 { stroke: var(--c-2); stroke-dasharray: 2 3; }
.chart svg .s3 { stroke: var(--c-3); stroke-dasharray: 9 3 2 3; }
.chart svg .s4 { stroke: var(--c-4); stroke-dasharray: 12 4; }
.chart svg .s5 { stroke: var(--c-5); stroke-dasharray: 4 2 1 2 1 2; }
.chart svg .dense { stroke-dasharray: none; stroke-width: 1; }
.chart svg .dots { stroke-dasharray: none; stroke-width: 1.5; fill: none; }
.chart svg .bar { fill: var(--c-0); }
.chart svg .empty { fill: none; stroke-dasharray: 2 2; }
.chart svg .differs { fill: var(--c-differs); }
.chart svg .equal { fill: var(--c-equal); }
.chart svg .h1 { fill: var(--c-h1); } .chart svg .h2 { fill: var(--c-h2); }
.chart svg .h3 { fill: var(--c-h3); } .chart svg .h4 { fill: var(--c-h4); }
.chart svg .h5 { fill: var(--c-h5); } .chart svg .h6 { fill: var(--c-h6); }
.chart details { font-size: .875rem; }
.chart details th { overflow-wrap: anywhere; min-width: 6rem; }
.chart details > div { overflow: auto; max-height: 20rem; }
@media print { .chart { break-inside: avoid; } .chart details { display: none; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What the two axes of a chart show.

    Args:
        x: what runs to the right, with its unit: `step`.
        y: what runs upward, with its unit: `loss`.
        is_log: whether upward is a logarithmic scale. A zero has a line of its own below it.
        mark: a place on the x axis that a dashed line marks, or None.
        mark_text: what is there: `first difference`.
        note: a sentence that stands under the title.
    """

    x: str
    y: str
    is_log: bool = False
    mark: float | None = None
    mark_text: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a cell of a heat map means: zero is `equal`, above zero differs, None is `unknown`.

    Args:
        label: what a value is: `relative L2 difference`; of a raster, `params differ`.
        x: what the columns are: `step`.
        bounds: lowest value of each level above the first, rising, at most five; without bounds
            every value above zero is one level, `differs`.
        differs: word for the one level of a raster.
        equal: word for zero.
        unknown: word for None.
        note: a sentence that stands under the title.
    """

    label: str
    x: str = "step"
    bounds: tuple[float, ...] = ()
    differs: str = "differs"
    equal: str = "equal"
    unknown: str = "not taken"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart that is laid out: what `framed` makes a figure of.

    Args:
        title: of the chart, as it came.
        description: what it shows, in words, for those who cannot see it.
        note: what stands under the title.
        height: in the unit of `WIDTH`.
        body: the markup inside the picture.
        table: the data as a table, markup.
    """

    title: str
    description: str
    note: str = ""
    height: float
    body: str
    table: str


def framed(drawing: Drawing) -> str:
    """Return a figure: caption, picture (SVG 1.1 in HTML) and the data as a table beside it.

    It is well-formed XML, asks for nothing and needs `CHART_STYLE` in the page.
    """
    title = literal(drawing.title)
    note = f"<span>{literal(drawing.note)}</span>" if drawing.note else ""
    return (
        f'<figure class="chart"><figcaption><strong>{title}</strong>{note}</figcaption>'
        f'<div class="picture" tabindex="0" role="region" aria-label="Picture: {title}">'
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH:.0f} {drawing.height:.0f}">'
        f"<title>{title}</title><desc>{literal(drawing.description)}</desc>"
        f"{drawing.body}</svg></div>"
        f"<details><summary>Data as a table</summary>"
        f'<div tabindex="0" role="region" aria-label="Data: {title}">{drawing.table}</div>'
        f"</details></figure>"
    )
