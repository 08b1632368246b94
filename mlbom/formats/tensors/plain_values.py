"""What a pickle holds beside its tensors: numbers and texts by their path, to compare two files."""

from typing import Any

from mlbom.formats.opcode_values import Blob, Call, GlobalRef, OpaqueKey
from mlbom.formats.torch_tensors import MAX_STEPS, named_parts
from mlbom.formats.torch_views import rebuilt_view

MAX_VALUES = 20_000
_MAX_TEXT = 200
_PLAIN = (str, int, float, bool, bytes, type(None), GlobalRef, Blob)


def plain_values(root: Any) -> dict[str, str]:  # noqa: ANN401 - any inert value
    """Return numbers, texts and the like of a pickle by their path, each as a short text.

    What the walk does not keep is told by its size only. Beyond 20,000 values one entry says that
    the others were not looked at.

    Args:
        root: the value of a walked pickle, of which `tensor_table` could tell the tensors.
    """
    told: dict[str, str] = {}
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("", root)]
    steps = 0
    while pending:
        path, value = pending.pop()
        steps += 1
        if len(told) >= MAX_VALUES or steps > MAX_STEPS:
            told["..."] = f"more than {MAX_VALUES} values, the others are not compared"
            break
        if isinstance(value, _PLAIN):
            told[_unique(path or "value", told)] = _text(value)
        elif isinstance(value, Call) and rebuilt_view(value, {}) is not None:
            continue
        elif id(value) not in seen and not isinstance(value, OpaqueKey):
            seen.add(id(value))
            parts = [
                (_joined(path, part), child)
                for part, child in named_parts(value)
                if part or child is not None  # what a call does not have
            ]
            pending.extend(reversed(parts))
    return told


def _joined(path: str, part: str) -> str:
    dot = "." if path and part else ""
    return path + dot + part[:_MAX_TEXT]


def _unique(path: str, told: dict[str, str]) -> str:
    number, name = 1, path
    while name in told:
        number += 1
        name = f"{path}~{number}"
    return name


def _text(value: Any) -> str:  # noqa: ANN401 - a plain value
    if isinstance(value, Blob):
        return f"{value.nbytes} bytes, not compared"
    text = str(value) if isinstance(value, GlobalRef) else repr(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
