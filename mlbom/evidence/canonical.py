"""Canonical JSON: the one way in which mlbom turns values into bytes that are hashed or signed.

Keys sorted by code point, no white space, UTF-8 without escapes beyond what JSON demands, finite
numbers, integers within 2^53 (RFC 8259 section 6: the range that every reader agrees on).
"""

import json
from typing import Any

MAX_INTEGER = 2**53


def canonical_json(value: object) -> bytes:
    """Return the canonical bytes of a JSON value.

    Raises:
        ValueError: a number that is not finite or an integer beyond 2^53, a lone surrogate.
        TypeError: a value that JSON does not have, or a key that is not a string.
    """
    _check(value)
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def _check(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse what two JSON readers could read differently."""
    match value:
        case bool() | None | str() | float():
            return
        case int():
            if abs(value) > MAX_INTEGER:
                message = f"integer {value} is beyond 2^53: carry it as a string"
                raise ValueError(message)
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    message = f"JSON object keys are strings, not {type(key).__name__}"
                    raise TypeError(message)
                _check(item)
        case _:
            message = f"{type(value).__name__} is not a JSON value"
            raise TypeError(message)
