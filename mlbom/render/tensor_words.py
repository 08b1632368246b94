"""The words for a comparison of two weight files, the same in the terminal and in HTML.

Everything here reads the JSON document `urn:mlbom:tensor-diff/1` and nothing else. Names of tensors
come from files of others: they are shown literally, control characters as escapes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.guard import printable
from mlbom.render.svg import number

_LONG_NAME, _HEAD = 160, 40
_MODEL_PARTS = ("model", "buffer", "other")
Document = Mapping[str, Any]


def verdict_line(document: Document) -> str:
    """Return what came out, in one line."""
    total = max(document["a"]["tensors"], document["b"]["tensors"])
    match document["verdict"]:
        case "identical":
            return f"identical: the files are the same, byte for byte ({_tensors(total)})"
        case "packaging":
            return f"same tensors, different packaging: {_tensors(total)}, every bit equal"
        case "unknown":
            return f"could not tell: {_found(document)}; every bit of the others is equal"
        case _:
            return f"different: {_found(document)}"


def _found(document: Document) -> str:
    names = document["names"]
    compared = len(document["tensors"]) + len(document["equal"])
    counted = (
        (len(document["tensors"]), f"of {_tensors(compared)} in both files differ in their bits"),
        (len(document["kinds"]), "differ in dtype or shape"),
        (len(names["removed"]), "only in A"),
        (len(names["added"]), "only in B"),
        (len(names["renamed"]), "renamed"),
        (len(document["notCompared"]), "cannot be compared"),
    )
    return ", ".join(f"{count} {what}" for count, what in counted if count)


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count} tensors"


def shown_name(name: str) -> str:
    """Return a name literally: escapes for control characters, the middle left out when long."""
    told = printable(name)
    if len(told) <= _LONG_NAME:
        return told
    return f"{told[:_HEAD]}\u2026{told[_HEAD - _LONG_NAME :]}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as `768x3072`, or `scalar`."""
    return "x".join(map(str, shape)) or "scalar"


def kind_text(kind: Mapping[str, Any]) -> str:
    """Return dtype, shape and traits of one side."""
    told = f"{kind['dtype'] or 'unknown dtype'} {shape_text(kind['shape'])}"
    return f"{told} {printable(kind['traits'])}".rstrip()


def changed_text(entry: Mapping[str, Any]) -> str:
    """Return a tensor whose dtype or shape differs."""
    return f"{shown_name(entry['name'])}: {kind_text(entry['a'])} -> {kind_text(entry['b'])}"


def renamed_text(pair: Mapping[str, str]) -> str:
    """Return a tensor under its name in A and in B."""
    return f"{shown_name(pair['a'])} -> {shown_name(pair['b'])}"


def unread_text(entry: Mapping[str, str]) -> str:
    """Return a tensor that could not be compared, and why."""
    return f"{shown_name(entry['name'])}: {shown_name(entry['reason'])}"


def figure_text(value: float | None) -> str:
    """Return a measured number, or a dash where there is none."""
    return "\u2013" if value is None else number(value)


def share_text(tensor: Mapping[str, Any]) -> str:
    """Return how many elements differ: `12 of 600 (2 %)`."""
    if tensor["differing"] is None:
        return "not counted"
    share = 100 * tensor["differing"] / max(tensor["elements"], 1)
    return f"{tensor['differing']} of {tensor['elements']} ({number(share)} %)"


def ulp_text(told: Mapping[str, Any]) -> str:
    """Return the distances in ULP: p50, p99 and the largest."""
    ulp = told.get("ulp")
    if not ulp:
        return "\u2013"
    return " / ".join(number(ulp[name]) for name in ("p50", "p99", "max"))


def remarks(tensor: Mapping[str, Any]) -> str:
    """Return what the distances do not tell: NaN, infinities, zeros of two signs, flipped signs."""
    counts = tensor.get("counts")
    if not counts:
        return ""
    one_sided = [
        f"{what} {counts[key]['a']} in A, {counts[key]['b']} in B"
        for key, what in (("nan", "NaN:"), ("inf", "infinite:"))
        if counts[key]["a"] or counts[key]["b"]
    ]
    others = [
        f"{counts[key]} {what}"
        for key, what in (
            ("nanPayloads", "NaN of other bits"),
            ("zeroSigns", "zeros of another sign"),
            ("signFlips", "signs flipped"),
        )
        if counts[key]
    ]
    return "; ".join([*one_sided, *others])


def by_distance(document: Document, *, optimizer: bool) -> list[Mapping[str, Any]]:
    """Return the differing tensors of the model, or of optimizer state, the farthest apart first.

    What could not be told is farthest of all; equals keep the order of the file.
    """
    parts = ("optimizer",) if optimizer else _MODEL_PARTS
    chosen = [tensor for tensor in document["tensors"] if tensor["part"] in parts]

    def distance(tensor: Mapping[str, Any]) -> float:
        told = tensor["relL2"]
        return float("inf") if told is None else float(told)

    return sorted(chosen, key=distance, reverse=True)


def packaging_text(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what differs in the packaging, and how it is in A and in B."""
    what = entry["kind"] + (f" {shown_name(entry['name'])}" if entry["name"] else "")
    a, b = (
        "nothing" if told is None else shown_name(told) or "empty"
        for told in (entry["a"], entry["b"])
    )
    return what, a, b
