"""The details document as its readers here take it: whole, printable, of bounded size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlbom.guard import printable

LADDER = ("exact-trace", "exact-weights", "tolerance", "metric")
INCONCLUSIVE = "inconclusive"

# A text of the training's world (a name, a message) that is longer is cut, and says so.
_LONGEST = 600
_LONGEST_NAME = 200
_EMPTY: Mapping[str, Any] = {
    "verdict": {"level": INCONCLUSIVE, "required": "exact-weights", "met": False},
    "command": [],
    "original": None,
    "source": {},
    "mode": "",
    "device": "",
    "scope": {},
    "sandbox": {},
    "environment": {},
    "lint": [],
    "runs": [],
    "comparisons": [],
    "series": {},
    "culprit": None,
    "control": None,
    "variations": [],
    "repeats": {},
    "sweep": None,
    "limits": [],
}


def readable(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return a details document (`urn:mlbom:reproduction/1`) fit to be shown.

    Every text has control characters as escapes and is cut where nobody would read on; what is
    absent is empty. A document without a verdict is inconclusive. The `weights` of comparisons
    stay as they are: they tell of every tensor, and `mlbom.render.reproduction.weights` tames what
    it chooses of them.
    """
    told = {**_EMPTY, **{key: value for key, value in details.items() if value is not None}}
    pairs = told.pop("comparisons")
    tamed: dict[str, Any] = tame(told)
    tamed["comparisons"] = [
        {**tame({**pair, "weights": {}}), "weights": pair.get("weights") or {}} for pair in pairs
    ]
    return tamed


@dataclass(frozen=True, slots=True)
class Few:
    """The first of many.

    Args:
        shown: those that are shown.
        more: `and 3 more` of the rest, or an empty text.
    """

    shown: tuple[Any, ...]
    more: str = ""


def few(items: Sequence[Any], most: int) -> Few:
    """Return the first items, and how many are left out."""
    hidden = len(items) - most
    return Few(tuple(items[:most]), f"and {hidden} more" if hidden > 0 else "")


def divergence_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first difference that the culprit made, else the earliest of all, or None.

    Where nothing but the roots of two traces differs, no place is known: any other comes first.
    """
    found = [c["divergence"] for c in document["comparisons"] if c.get("divergence")]
    step = (document["culprit"] or {}).get("step")
    explained = [d for d in found if d.get("step") == step]
    return min(
        explained or found, key=lambda d: (d.get("field") == "root", d.get("step", 0)), default=None
    )


def tame(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value whose texts are printable and not too long."""
    match value:
        case str():
            return _cut(printable(value), _LONGEST)
        case Mapping():
            return {_cut(printable(str(k)), _LONGEST_NAME): tame(v) for k, v in value.items()}
        case list() if value and isinstance(value[0], int | float | None):
            return value  # a series of numbers; there can be millions
        case list() | tuple():
            return [tame(item) for item in value]
        case _:
            return value


def _cut(text: str, longest: int) -> str:
    hidden = len(text) - longest
    return text if hidden <= 0 else f"{text[:longest]}\u2026 ({hidden} more characters)"
