"""A comparison of two weight files as one HTML file: no request, no script; light, dark, print."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.render.charts import CHART_STYLE, Axes, Scale, bar_chart, heat_map
from mlbom.render.templates import human_bytes, render_template
from mlbom.render.tensor_words import (
    Document,
    by_distance,
    changed_text,
    figure_text,
    packaging_text,
    remarks,
    renamed_text,
    shape_text,
    share_text,
    shown_name,
    ulp_text,
    unread_text,
    verdict_line,
)

_TEMPLATE = "tensors/diff.html.jinja"
MOST_ROWS = 500
# A map of more cells than this tells nobody anything.
_MOST_CELLS = 200_000
_BOUNDS = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)
# Differs by nothing that a norm sees: the sign of a zero.
_LEAST = 1e-300
_PART_TITLES = {
    "model": "parameters",
    "buffer": "buffers",
    "optimizer": "optimizer state",
    "other": "other tensors",
}


def tensor_diff_html(document: Document) -> bytes:
    """Return the page; equal documents give equal bytes."""
    weights = by_distance(document, optimizer=False)
    optimizer = by_distance(document, optimizer=True)
    text = render_template(
        _TEMPLATE,
        d=document,
        verdict=verdict_line(document),
        style=CHART_STYLE,
        sides=[(label.upper(), document[label]) for label in ("a", "b")],
        tables=[
            ("Tensors that differ", [_row(t) for t in weights[:MOST_ROWS]], len(weights)),
            ("Optimizer state that differs", [_row(t) for t in optimizer[:MOST_ROWS]],
             len(optimizer)),
        ],
        lists=_lists(document),
        packaging=[packaging_text(entry) for entry in document["packaging"][:MOST_ROWS]],
        parts=_parts(document),
        charts=[*_histograms(document), *_heat_maps(document)],
        nbytes=human_bytes,
        shown=shown_name,
    )  # fmt: skip
    return text.encode("utf-8", "backslashreplace")


def _row(tensor: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": shown_name(tensor["name"]),
        "part": tensor["part"],
        "dtype": tensor["dtype"],
        "shape": shape_text(tensor["shape"]),
        "share": share_text(tensor),
        "ulp": ulp_text(tensor),
        "max_abs": figure_text(tensor["maxAbs"]),
        "rel_l2": figure_text(tensor["relL2"]),
        "cosine": figure_text(tensor["cosine"]),
        "first": str(tensor["firstIndex"]),
        "remarks": remarks(tensor),
        "sha256_a": tensor["sha256"]["a"],
        "sha256_b": tensor["sha256"]["b"],
    }


def _lists(document: Document) -> list[tuple[str, list[str], int]]:
    """Return the levels above the bits: title, entries that are shown, how many there are."""
    names = document["names"]
    told = (
        ("Other dtype or shape", document["kinds"], changed_text),
        ("Only in A", names["removed"], shown_name),
        ("Only in B", names["added"], shown_name),
        ("Renamed", names["renamed"], renamed_text),
        ("Not compared", document["notCompared"], unread_text),
    )
    return [
        (title, [text(entry) for entry in entries[:MOST_ROWS]], len(entries))
        for title, entries, text in told
        if entries
    ]


def _parts(document: Document) -> list[dict[str, str]]:
    """Return one row of totals for each part of a training."""
    return [
        {
            "title": title,
            "tensors": f"{told['differingTensors']} of {told['tensors']}",
            "elements": share_text(told),
            "ulp": ulp_text(told),
            "max_abs": figure_text(told.get("maxAbs")),
            "rel_l2": figure_text(told.get("relL2")),
            "remarks": remarks(told),
        }
        for part, title in _PART_TITLES.items()
        if (told := document["parts"].get(part))
    ]


def _histograms(document: Document) -> list[str]:
    charts = []
    for part, title in _PART_TITLES.items():
        histogram = document["parts"].get(part, {}).get("ulpHistogram")
        if not histogram:
            continue
        counts = {
            int(entry["from"]).bit_length() - 1: entry["count"] for entry in histogram["octaves"]
        }
        bars = [("0", histogram["zero"])]
        bars += [(_power(k), counts.get(k, 0)) for k in range(max(counts, default=-1) + 1)]
        note = "Each bar but the first counts distances from its label to below the next one."
        axes = Axes(x="distance in ULP", y="numbers", is_log=True, note=note)
        charts.append(bar_chart(f"Distances in ULP: {title}", bars, axes))
    return charts


def _power(exponent: int) -> str:
    return str(2**exponent) if exponent < 10 else f"2^{exponent}"  # noqa: PLR2004 - four digits


def _heat_maps(document: Document) -> list[str]:
    model = _heat_map("Layers of the model", _cells(document, ("model", "buffer", "other")))
    optimizer = _heat_map("Optimizer state", _cells(document, ("optimizer",)))
    return [made for made in (model, optimizer) if made]


def _cells(document: Document, parts: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return the distance of each tensor by layer and by its name within it, in A's order."""
    cells = {}
    for tensor in sorted((*document["equal"], *document["tensors"]), key=_place):
        if tensor["part"] in parts:
            cells[_layer_and_name(tensor)] = _distance(tensor)
    return cells


def _place(tensor: Mapping[str, Any]) -> int:
    place: int = tensor["place"]
    return place


def _distance(tensor: Mapping[str, Any]) -> float:
    """Return zero for an equal tensor, NaN for one whose distance is no number."""
    if "relL2" not in tensor:
        return 0.0
    return math.nan if tensor["relL2"] is None else max(tensor["relL2"], _LEAST)


def _layer_and_name(tensor: Mapping[str, Any]) -> tuple[str, str]:
    layer, name = tensor["layer"], tensor["name"]
    return layer, name.removeprefix(layer).removeprefix(".") or name


def _heat_map(title: str, cells: Mapping[tuple[str, str], float]) -> str:
    rows = list(dict.fromkeys(layer for layer, _ in cells))
    columns = list(dict.fromkeys(name for _, name in cells))
    if not any(cells.values()) or len(rows) * len(columns) > _MOST_CELLS:
        return ""
    values = [[cells.get((row, column)) for column in columns] for row in rows]
    scale = Scale(
        label="relative L2 difference",
        x="tensor",
        bounds=_BOUNDS,
        unknown="absent",
        note="What holds a NaN, or could not be measured, counts as the highest level.",
    )
    return heat_map(f"{title}: relative L2 difference", rows, columns, values, scale)
