"""What comparing two weight files found, as a sentence, a table and a histogram.

Reads the documents `urn:mlbom:tensor-diff/1` of a reproduction's comparisons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mlbom.render.charts import Axes, bar_chart
from mlbom.render.reproduction.document import Few, few, tame
from mlbom.render.reproduction.words import names_of, percent, plural
from mlbom.render.svg import number
from mlbom.render.tensor_words import (
    by_distance,
    figure_text,
    remarks,
    shape_text,
    share_text,
    shown_name,
    ulp_text,
    verdict_line,
)

Json = Mapping[str, Any]
Line = tuple[str, ...]

TENSOR_HEAD = (
    "Tensor",
    "Part, type",
    "Numbers that differ",
    "Relative L2",
    "ULP p50 / p99 / largest",
    "Largest",
    "Also",
)
_MOST_FILES, _MOST_TENSORS, _MOST_HISTOGRAMS, _MOST_NAMED = 4, 10, 4, 3
_EQUAL = ("identical", "packaging")
_PARTS = ("model", "buffer", "optimizer", "other")
# From here on a distance is told as a power of two.
_FOUR_DIGITS = 10


@dataclass(frozen=True, slots=True)
class FileView:
    """One weight file of two runs, compared.

    Args:
        name: of the file.
        told: what was found, one sentence.
        tensors: rows under `TENSOR_HEAD`, the worst first, optimizer state last.
    """

    name: str
    told: str
    tensors: Few


def files_of(pair: Json) -> Few:
    """Return the weight files of a comparison."""
    found = few(list(pair["weights"].items()), _MOST_FILES)
    views = [FileView(tame(name), comparison_text(d), _tensors(d)) for name, d in found.shown]
    return Few(tuple(views), found.more)


def comparison_text(document: Json) -> str:
    """Return what comparing two files found, in one sentence."""
    if document["verdict"] in _EQUAL:
        return verdict_line(document)
    found = [*_structure(document), *_numbers(document["parts"]), *_unread(document)]
    told: str = tame("; ".join(found) or verdict_line(document))
    return told


def histograms(comparisons: Sequence[Json]) -> list[str]:
    """Return a figure of the distances in ULP for each part of the first files that differ."""
    drawn = (
        _histogram(f"{part} of {tame(name)}, {names_of(pair)}", totals["ulpHistogram"])
        for pair in comparisons
        for name, document in pair["weights"].items()
        for part, totals in document["parts"].items()
        if (totals.get("ulpHistogram") or {}).get("octaves")
    )
    return list(islice(drawn, _MOST_HISTOGRAMS))


def _structure(document: Json) -> Iterator[str]:
    """Yield how names, dtypes and shapes differ."""
    names = document["names"]
    renamed = [f"{shown_name(p['a'])} to {shown_name(p['b'])}" for p in names["renamed"]]
    levels = (
        ("only in the first", [shown_name(name) for name in names["removed"]]),
        ("only in the second", [shown_name(name) for name in names["added"]]),
        ("renamed", renamed),
        ("other dtype or shape", [shown_name(kind["name"]) for kind in document["kinds"]]),
    )
    yield from (f"{what}: {_some(found)}" for what, found in levels if found)


def _unread(document: Json) -> Iterator[str]:
    unread = [f"{shown_name(t['name'])} ({t['reason']})" for t in document["notCompared"]]
    if unread:
        yield f"could not be compared: {_some(unread)}"


def _numbers(parts: Json) -> Iterator[str]:
    """Yield for each part how many tensors differ, and how far."""
    for part in (p for p in _PARTS if p in parts):
        totals = parts[part]
        if not totals["differingTensors"]:
            yield f"{part}: {plural(totals['tensors'], 'tensor')} equal"
            continue
        told = [f"{totals['differingTensors']} of {plural(totals['tensors'], 'tensor')} differ"]
        if totals.get("differing") is None:
            told.append("how far was not measured")
        else:
            told += [
                f"{percent(totals['differing'] / max(totals['elements'], 1))} of the numbers",
                f"relative L2 {figure_text(totals['relL2'])}",
                f"ULP p50 / p99 / largest {ulp_text(totals)}",
                f"largest difference {figure_text(totals['maxAbs'])}",
            ]
        told += [also] if (also := remarks(totals)) else []
        yield f"{part}: {', '.join(told)}"


def _some(names: Sequence[str]) -> str:
    found = few(names, _MOST_NAMED)
    return ", ".join(found.shown) + (f" {found.more}" if found.more else "")


def _tensors(document: Json) -> Few:
    worst = [t for is_last in (False, True) for t in by_distance(document, optimizer=is_last)]
    found = few(worst, _MOST_TENSORS)
    return Few(tuple(tame(_tensor(tensor)) for tensor in found.shown), found.more)


def _tensor(tensor: Json) -> Line:
    return (
        shown_name(tensor["name"]),
        f"{tensor['part']}, {tensor['dtype']} {shape_text(tensor['shape'])}",
        share_text(tensor),
        figure_text(tensor["relL2"]),
        ulp_text(tensor),
        figure_text(tensor["maxAbs"]),
        remarks(tensor),
    )


def _histogram(what: str, histogram: Json) -> str:
    """Return the distances as bars, each reaching to double its name."""
    counts = {int(o["from"]).bit_length() - 1: o["count"] for o in histogram["octaves"]}
    bars = [("0", float(histogram["zero"]))]
    bars += [(_power(place), float(counts.get(place, 0))) for place in range(max(counts) + 1)]
    axes = Axes(
        x="distance in ULP, from",
        y="numbers, log",
        is_log=True,
        note="How many units in the last place the numbers lie apart.",
    )
    return bar_chart(f"ULP histogram: {what}", bars, axes)


def _power(exponent: int) -> str:
    return number(2.0**exponent) if exponent < _FOUR_DIGITS else f"2^{exponent}"
