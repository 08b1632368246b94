"""Strict JSON: what two readers could understand differently is refused."""

import json
from collections import Counter
from typing import Any

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.canonical import MAX_INTEGER

MAX_DEPTH = 64
MAX_BYTES = 64 * 1024 * 1024
_SAFE_DIGITS = 19
_CONTAINERS = (dict, list)


def parse_json(
    data: bytes, what: str, *, max_bytes: int = MAX_BYTES, safe_integers: bool = False
) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON from untrusted bytes (RFC 8259; the I-JSON profile of RFC 7493 for objects).

    Args:
        data: UTF-8 bytes, without a byte order mark.
        what: how messages name these bytes, for example `config.json`.
        max_bytes: most bytes accepted.
        safe_integers: refuse integers beyond 2^53, as signed payloads must.

    Raises:
        LimitError: more bytes, or deeper than 64 levels.
        MalformedError: no JSON, not UTF-8, a lone surrogate, NaN or Infinity, a number that
            overflows, an object with the same key twice.
    """
    if len(data) > max_bytes:
        message = f"{what} has {len(data)} bytes, more than the limit of {max_bytes}"
        raise LimitError(message)
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_no_repeats,
            parse_constant=_refuse,
            parse_int=_safe_int if safe_integers else int,
            parse_float=_finite,
        )
    except RecursionError as error:
        message = f"{what} nests deeper than {MAX_DEPTH} levels"
        raise LimitError(message) from error
    except ValueError as error:
        message = f"{what} is not valid JSON: {error}"
        raise MalformedError(message) from error
    _check_depth(value, what)
    if "\\ud" in text.lower():
        _check_surrogates(value, what)
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        message = f"the key {repeated!r} appears twice in one object"
        raise ValueError(message)
    return value


def _refuse(constant: str) -> Any:  # noqa: ANN401 - never returns
    message = f"{constant} is not a JSON number"
    raise ValueError(message)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        message = f"the number {digits[:24]} overflows"
        raise ValueError(message)
    return value


def _safe_int(digits: str) -> int:
    value = int(digits) if len(digits) <= _SAFE_DIGITS else MAX_INTEGER + 1
    if abs(value) > MAX_INTEGER:
        message = f"the integer {digits[:24]} is beyond 2^53"
        raise ValueError(message)
    return value


def _check_depth(value: Any, what: str) -> None:  # noqa: ANN401 - any JSON value
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) in _CONTAINERS
        ]
    if level:
        message = f"{what} nests deeper than {MAX_DEPTH} levels"
        raise LimitError(message)


def _check_surrogates(value: Any, what: str) -> None:  # noqa: ANN401 - any JSON value
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        message = f"{what} holds a lone surrogate, which is no Unicode text"
        raise MalformedError(message) from error
