"""The smallest parts of a hand-laid SVG: numbers, texts and tables that are the same everywhere."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from mlbom.guard import printable

# Width of one character in its own font size: the mean of a wide sans-serif, so that a text that
# is measured to fit does fit, whatever font the reader has.
_NARROW, _WIDE = 0.62, 1.05
_LAST_NARROW = "\u2e7f"
_GROUPED = 1e6
_SMALL = 1e-3
_LONGEST = 500


def spot(value: float) -> str:
    """Return a coordinate: at most one decimal, never `-0`."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def number(value: float) -> str:
    """Return a number for a reader: four digits that matter, the same in every locale."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < _GROUPED:
        return str(int(value))
    if _SMALL <= abs(value) < _GROUPED:
        return f"{value:.4g}" if abs(value) < 1 / _SMALL else f"{value:.6g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def literal(text: object) -> str:
    """Return text as markup that shows it literally, control characters as escapes."""
    return escape(printable(str(text)), quote=True)


def width(text: str, size: float = 12) -> float:
    """Return how much room a text needs at most, in the unit of its font size."""
    return size * sum(_NARROW if char <= _LAST_NARROW else _WIDE for char in text)


def shortened(text: str, room: float, size: float = 12) -> str:
    """Return text that fits the room: its end stays, which is what tells layers apart."""
    text = printable(text)
    # No text longer than this fits, so the rest of a very long one is never measured.
    text_end = text[-int(room / (size * _NARROW)) - 1 :]
    if text_end == text and width(text, size) <= room:
        return text
    while text_end and width("\u2026" + text_end, size) > room:
        text_end = text_end[1:]
    return "\u2026" + text_end


def shortened_name(name: str, room: float, size: float = 11) -> str:
    """Return a dotted name that fits the room, its leading parts cut to one letter each.

    `transformer.h.11.mlp.c_fc.weight` becomes `t.h.11.mlp.c_fc.weight`: numbers stay whole.
    """
    parts = printable(name[-_LONGEST:]).split(".")
    for place in range(len(parts) - 1):
        if width(".".join(parts), size) <= room:
            break
        parts[place] = parts[place] if parts[place].isdecimal() else parts[place][:1]
    return shortened(".".join(parts), room, size)


def text_at(x: float, y: float, text: str, kind: str = "") -> str:
    """Return one line of text; kind is its CSS class: `end` or `middle` anchors it there."""
    told = f' class="{kind}"' if kind else ""
    return f'<text x="{spot(x)}" y="{spot(y)}"{told}>{literal(text)}</text>'


def line_between(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """Return a straight line of a CSS class."""
    (x1, y1), (x2, y2) = start, end
    places = f'x1="{spot(x1)}" y1="{spot(y1)}" x2="{spot(x2)}" y2="{spot(y2)}"'
    return f'<line class="{kind}" {places}/>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column names the rows."""
    titles = "".join(f'<th scope="col">{literal(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{literal(first)}</th>'
        + "".join(f"<td>{literal(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"
