"""Strict YAML: plain data, no repeated key, no object, no bomb."""

import subprocess
import sys
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.strict_yaml import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, parse_yaml

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_it_reads_what_yaml_writes(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value).encode(), "x") == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"a: 2024-01-31\n2024-02-01: b", {"a": "2024-01-31", "2024-02-01": "b"}),
        (b"2: a\ntrue: b\nnull: c", {"2": "a", "True": "b", "None": "c"}),
        (b"!!set {b, a}", ["a", "b"]),
        (b"!!binary aGk=", "6869"),
        (b"&a {x: 1, y: *b, b: &b 2}".replace(b"*b", b"3"), {"x": 1, "y": 3, "b": 2}),
        (b"", None),
    ],
)
def test_everything_comes_back_as_plain_data(data: bytes, value: object) -> None:
    assert parse_yaml(data, "x") == value


@pytest.mark.parametrize(
    "data",
    [
        b"a: 1\na: 2",
        b"{a: 1, 'a': 2}",
        b"outer: {b: 1, c: 2, b: 3}",
        b"- - {k: 1, k: 1}",
        b"1: a\n0x1: b",
        b"true: 1\nyes: 2",
        b"2024-01-01: a\n2024-01-01: b",
        b"{<<: {a: 1}, <<: {b: 1}}",
        b"a: &x {k: 1, k: 2}\nb: {<<: *x}",
        b"=: 1\n=: 2",
    ],
)
def test_a_repeated_key_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="x.yaml is not valid YAML: the key .* appears twice"):
        parse_yaml(data, "x.yaml")


def test_keys_that_are_the_same_as_texts_are_refused() -> None:
    with pytest.raises(MalformedError, match="same as texts"):
        parse_yaml(b"1: a\n'1': b", "x")


def test_a_merge_key_gives_defaults_that_own_keys_override() -> None:
    data = b"base: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\nd: {<<: [*b, {z: 4}], y: 5}\ne: {<<: *b}"
    told = parse_yaml(data, "x")
    assert told["c"] == {"x": 3, "y": 2}
    assert told["d"] == {"x": 1, "y": 5, "z": 4}
    assert told["e"] == told["base"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "data",
    [
        b"!!python/object/apply:os.system [id]",
        b"!!python/name:os.system",
        b"!unknown {a: 1}",
        b"? [a, b]\n: 1",
        b"? {a: b}\n: 1",
        b"a: [",
        b"\xff\xfe\x00",
        b"a: 1\n--- \nb: 2",
        b"key: \x01",
    ],
)
def test_what_is_no_plain_data_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match="x.yaml "):
        parse_yaml(data, "x.yaml")


def test_aliases_are_limited() -> None:
    within = b"a: &a 1\nb: [" + b"*a, " * MAX_ALIASES + b"]"
    assert len(parse_yaml(within, "x")["b"]) == MAX_ALIASES
    with pytest.raises(LimitError, match="more than 256 aliases"):
        parse_yaml(within.replace(b"]", b"*a]"), "x")


def test_an_alias_bomb_ends_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    before = time.process_time()
    with pytest.raises(LimitError, match="expands without bound|nests deeper"):
        parse_yaml("\n".join(lines).encode(), "x")
    assert time.process_time() - before < 10


def test_the_size_is_limited() -> None:
    with pytest.raises(LimitError, match="more than the limit"):
        parse_yaml(b"#" * (MAX_BYTES + 1), "x")


def test_the_depth_is_limited() -> None:
    parse_yaml(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x")
    with pytest.raises(LimitError, match="nests deeper than 64 levels"):
        parse_yaml(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "x")


@pytest.mark.parametrize(
    "nest",
    ["b'[' * 200_000 + b']' * 200_000", "b'{a: ' * 200_000", "b'- ' * 200_000", "b'? ' * 200_000"],
)
def test_deep_nesting_does_not_end_the_process(nest: str) -> None:
    """The composer of libyaml's binding recurses in C until the stack overflows."""
    program = (
        "from mlbom.errors import LimitError\n"
        "from mlbom.formats.strict_yaml import parse_yaml\n"
        f"try:\n    parse_yaml({nest}, 'x')\nexcept LimitError:\n    print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused\n")
