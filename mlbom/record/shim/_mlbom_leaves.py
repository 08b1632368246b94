"""What a batch or the state of an optimizer is made of: tensors, and plain values between them."""
# ruff: noqa: INP001, ANN401, UP031
# mypy: disable-error-code="import-not-found"

import hashlib
import sys
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MOST_LEAVES = 65536
_MOST_DEPTH = 8
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None))


def leaves(value: "Any") -> "Iterator[Any]":
    """Yield the tensors in a value and, as short texts, its plain values and its form, in order.

    What is neither a container, a tensor, an array nor plain counts by its class alone, unless
    it keeps tensors among its attributes. Of a huge value only the beginning is looked at.

    Args:
        value: what a data loader yielded, what a module was called with, the state of an optimizer.
    """
    for count, leaf in enumerate(_walk(value, 0)):
        if count >= _MOST_LEAVES:
            yield "..."
            return
        yield leaf


def _walk(value: "Any", depth: int) -> "Iterator[Any]":
    torch = sys.modules["torch"]
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, _PLAIN):
        yield _text(value)
    elif depth >= _MOST_DEPTH:
        yield type(value).__name__
    elif isinstance(value, Mapping):
        yield "{"
        for key, item in value.items():
            yield from _walk(key, depth + 1)
            yield from _walk(item, depth + 1)
        yield "}"
    elif isinstance(value, (list, tuple)):
        yield "["
        for item in value:
            yield from _walk(item, depth + 1)
        yield "]"
    else:
        yield from _walk_object(value, depth)


def _walk_object(value: "Any", depth: int) -> "Iterator[Any]":
    yield type(value).__name__
    if type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
        yield "%s%s" % (value.dtype, value.shape) if hasattr(value, "shape") else ""
        yield "" if value.dtype.hasobject else _hexed(value.tobytes())
        return
    members = getattr(value, "__dict__", None)
    if type(members) is dict:
        yield from _walk(members, depth + 1)


def _text(value: "Any") -> str:
    if isinstance(value, (str, bytes, bytearray)):
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
        return "%s:%s" % (type(value).__name__, _hexed(data))
    return value.hex() if isinstance(value, float) else repr(value)


def _hexed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
