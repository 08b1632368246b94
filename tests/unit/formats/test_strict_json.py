"""Strict JSON: what it reads, and everything that it refuses."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.strict_json import MAX_DEPTH, parse_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_it_reads_what_json_writes(value: object) -> None:
    assert parse_json(json.dumps(value).encode(), "x") == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b'[{"b": {"k": 1, "k": 1}}]', "the key 'k' appears twice"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"1e400", "overflows"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'"\\ud800"', "lone surrogate"),
        (b"1" * 5000, "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_it_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_json(data, "x.json")


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"', "x") == "\U0001f600"


@pytest.mark.parametrize("digits", ["9007199254740993", "-9007199254740993", "9" * 30])
def test_signed_payloads_hold_safe_integers_only(digits: str) -> None:
    assert parse_json(digits.encode(), "x") == int(digits)
    with pytest.raises(MalformedError, match="beyond 2\\^53"):
        parse_json(digits.encode(), "x", safe_integers=True)
    assert parse_json(b"9007199254740992", "x", safe_integers=True) == 2**53


@pytest.mark.parametrize("inner", [b"", b"1"])
def test_the_depth_is_limited(inner: bytes) -> None:
    parse_json(b"[" * MAX_DEPTH + inner + b"]" * MAX_DEPTH, "x")
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(LimitError, match="x nests deeper than 64 levels"):
            parse_json(b"[" * depth + inner + b"]" * depth, "x")


def test_the_size_is_limited() -> None:
    with pytest.raises(LimitError, match="has 5 bytes, more than the limit of 4"):
        parse_json(b"[1,2]", "x", max_bytes=4)


def test_a_large_flat_document_is_fast() -> None:
    data = json.dumps({f"key{i}": [i, [i]] for i in range(100_000)}).encode()
    before = time.process_time()
    parse_json(data, "x")
    assert time.process_time() - before < 5
