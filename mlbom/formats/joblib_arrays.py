"""How many raw bytes joblib puts inside a pickle, behind the object that describes an array.

Source: joblib 1.5, `numpy_pickle.py` (`NumpyArrayWrapper.write_array`): a byte that counts the
padding, the padding, the elements; an array of objects is a pickle of its own instead.
"""

import re
from math import prod
from typing import Any, BinaryIO

from mlbom.errors import MalformedError
from mlbom.formats.opcode_machine import NESTED
from mlbom.formats.opcode_values import Call
from mlbom.formats.weights import MAX_ELEMENTS

_WRAPPER = re.compile(r"(?:\w+\.)*joblib\.numpy_pickle\.NumpyArrayWrapper")
_CODE = re.compile(r"[<>=|]?([biufcmMSVUO])(\d{1,9})(?:\[\w+\])?")
_MAX_DIMENSIONS = 64
_CODE_POINT = 4


def array_payload(built: Call, stream: BinaryIO) -> int:
    """Return how many raw bytes follow an object inside the pickle, or `NESTED` for a pickle.

    Raises:
        MalformedError: an array whose size cannot be told.
    """
    if not _WRAPPER.fullmatch(built.name):
        return 0
    state = built.state
    if not isinstance(state, dict):
        message = "an array of joblib does not describe itself"
        raise MalformedError(message)
    itemsize = _itemsize(state.get("dtype"))
    if itemsize is None:
        return NESTED
    elements = prod(_shape(state.get("shape")))
    padding = 0
    if state.get("numpy_array_alignment_bytes") is not None:
        count = stream.read(1)
        padding = count[0] if count else 0
    return padding + elements * itemsize


def _shape(told: Any) -> tuple[int, ...]:  # noqa: ANN401 - any inert value
    if isinstance(told, tuple) and len(told) <= _MAX_DIMENSIONS:
        sizes = [n for n in told if type(n) is int and 0 <= n <= MAX_ELEMENTS]
        if len(sizes) == len(told):
            return tuple(sizes)
    message = "an array of joblib has no shape that can be read"
    raise MalformedError(message)


def _itemsize(dtype: Any) -> int | None:  # noqa: ANN401 - any inert value
    """Return the bytes of one element, None when the elements are objects.

    A dtype is pickled as `numpy.dtype("f8", False, True)` with a state whose sixth item is the
    size of a structured element, and -1 otherwise.
    """
    code = dtype.args[0] if isinstance(dtype, Call) and isinstance(dtype.args, tuple) else None
    match = _CODE.fullmatch(code) if isinstance(code, str) else None
    state = dtype.state if isinstance(dtype, Call) else None
    if match is None or not isinstance(state, tuple):
        message = "an array of joblib has a dtype that mlbom does not know"
        raise MalformedError(message)
    kind, size = match[1], int(match[2])
    if kind == "O" or _has_objects(state):
        return None
    return size * _CODE_POINT if kind == "U" else size


def _has_objects(state: tuple[Any, ...]) -> bool:
    """Return whether a structured dtype holds objects: bit 0x01 of its flags, the eighth item."""
    flags = state[7] if len(state) > 7 else 0  # noqa: PLR2004 - the eighth item
    return type(flags) is int and bool(flags & 1)
