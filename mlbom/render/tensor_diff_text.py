"""A comparison of two weight files for the terminal: the verdict first, then what matters most."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from mlbom.render.templates import human_bytes
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

_MOST_TENSORS, _MOST_NAMES, _MOST_OF_A_KIND = 12, 8, 4
_NAME_WIDTH, _TEXT_WIDTH = 44, 60
_HEAD = ("tensor", "dtype", "shape", "elements that differ", "ulp p50 / p99 / max", "max abs",
         "rel L2", "cosine")  # fmt: skip


def tensor_diff_lines(document: Document, *, quiet: bool = False) -> list[str]:
    """Return the lines to print; quiet, the verdict alone."""
    if quiet:
        return [verdict_line(document)]
    lines = [verdict_line(document), *_sides(document)]
    sections = (
        _table("tensors that differ most", by_distance(document, optimizer=False)),
        _table("optimizer state that differs most", by_distance(document, optimizer=True)),
        _listed("other dtype or shape", [changed_text(entry) for entry in document["kinds"]]),
        _listed("only in A", [shown_name(n) for n in document["names"]["removed"]]),
        _listed("only in B", [shown_name(n) for n in document["names"]["added"]]),
        _listed("renamed", [renamed_text(pair) for pair in document["names"]["renamed"]]),
        _listed("not compared", [unread_text(entry) for entry in document["notCompared"]]),
        _packaging(document),
    )
    for section in sections:
        told = list(section)
        if told:
            lines += ["", *told]
    return lines


def _sides(document: Document) -> Iterator[str]:
    for label in ("a", "b"):
        side = document[label]
        facts = f"{side['format']}, {human_bytes(side['nbytes'])}, {side['tensors']} tensors"
        yield f"{label.upper()}  {shown_name(side['name'])}: {facts}, {side['elements']} elements"
        yield f"   tensors sha256:{side['digest'] or ' unknown'}"


def _table(title: str, tensors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not tensors:
        return
    rows = [_HEAD, *(_cells(tensor) for tensor in tensors[:_MOST_TENSORS])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    yield title
    for row, tensor in zip(rows, [None, *tensors], strict=False):
        cells = (cell.ljust(w) for cell, w in zip(row, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()
        if tensor and remarks(tensor):
            yield f"      {remarks(tensor)}"
    if len(tensors) > _MOST_TENSORS:
        yield f"  and {len(tensors) - _MOST_TENSORS} more: --format json lists all"


def _cells(tensor: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _end_of(shown_name(tensor["name"]), _NAME_WIDTH),
        tensor["dtype"],
        shape_text(tensor["shape"]),
        share_text(tensor),
        ulp_text(tensor),
        figure_text(tensor["maxAbs"]),
        figure_text(tensor["relL2"]),
        figure_text(tensor["cosine"]),
    )


def _listed(title: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield f"{title} ({len(entries)})"
        yield from (f"  {entry}" for entry in entries[:_MOST_NAMES])
    if len(entries) > _MOST_NAMES:
        yield f"  and {len(entries) - _MOST_NAMES} more"


def _packaging(document: Document) -> Iterator[str]:
    entries = document["packaging"]
    if entries:
        yield "packaging, which changes no tensor (A -> B)"
    for kind, group in groupby(entries, key=lambda entry: entry["kind"]):
        of_kind = list(group)
        for entry in of_kind[:_MOST_OF_A_KIND]:
            what, a, b = packaging_text(entry)
            yield f"  {what}: {_end_of(a, _TEXT_WIDTH)} -> {_end_of(b, _TEXT_WIDTH)}"
        if len(of_kind) > _MOST_OF_A_KIND:
            yield f"  {kind}: {len(of_kind) - _MOST_OF_A_KIND} more"


def _end_of(text: str, width: int) -> str:
    """Return text of at most this width; what tells names of layers apart is their end."""
    return text if len(text) <= width else "\u2026" + text[1 - width :]
