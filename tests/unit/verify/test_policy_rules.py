"""Attribute and artefact rules: patterns, pointers, and that the first fitting rule decides."""

import itertools
import re
import time
from typing import Any

import pytest

from mlbom.verify.policy.artifacts import Artifact, check_materials, check_products, parse_rule
from mlbom.verify.policy.attributes import (
    OPERATORS,
    attribute_rule,
    check_attributes,
    is_pointer,
    resolve,
)
from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import StepRule

A, B, C = "a" * 64, "b" * 64, "c" * 64
STATEMENT: dict[str, Any] = {
    "_type": "x",
    "subject": [{"name": "m.bin", "digest": {"sha256": A}}],
    "predicate": {
        "n": 3,
        "f": 3.0,
        "t": "3",
        "yes": True,
        "none": None,
        "a/b": {"m~n": [10, 20]},
        "": {"": "empty"},
        "big": 0.97,
    },
}


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("a*", "a/b/c", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a?c", "a/c", True),
        ("a", "ab", False),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a**b", "ab", True),
        ("https://x/*@refs/tags/*", "https://x/y@refs/tags/v1", True),
        ("https://x/*@refs/tags/*", "https://x/y@refs/heads/main", False),
    ],
)
def test_patterns(pattern: str, text: str, *, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_patterns_agree_with_the_slow_and_simple_way() -> None:
    """Every pattern of up to four signs against every text of up to four."""
    for signs in (p for n in range(5) for p in itertools.product("ab?*", repeat=n)):
        simple = re.compile("".join({"?": ".", "*": ".*"}.get(s, s) for s in signs))
        for letters in (t for n in range(5) for t in itertools.product("ab", repeat=n)):
            text = "".join(letters)
            assert matches("".join(signs), text) is bool(simple.fullmatch(text)), (signs, text)


def test_a_hostile_text_takes_no_time() -> None:
    start = time.perf_counter()
    for pattern in ("*" * 500 + "b", "*a" * 30 + "b", "*?" * 30 + "b"):
        assert not matches(pattern, "a" * 5000)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", STATEMENT),
        ("/predicate/n", 3),
        ("/subject/0/digest/sha256", A),
        ("/subject/00/name", None),
        ("/subject/1/name", None),
        ("/subject/-", None),
        ("/subject/-1", None),
        ("/predicate/a~1b/m~0n/1", 20),
        ("/predicate//", "empty"),
        ("/predicate/n/x", None),
        ("/predicate/t/0", None),
        ("/none", None),
    ],
)
def test_pointers_follow_rfc_6901(pointer: str, value: object) -> None:
    assert resolve(STATEMENT, pointer) == value


def test_escapes_are_undone_in_the_order_of_the_rfc() -> None:
    """`~01` is the key `~1`, not `/`."""
    assert resolve({"~1": 1, "/": 2}, "/~01") == 1
    assert [is_pointer(text) for text in ("", "/", "/~0~1", "x", "/~2", "/~")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("pointer", "operator", "wanted", "holds"),
    [
        ("/predicate/n", "equals", 3, True),
        ("/predicate/n", "equals", 3.0, True),
        ("/predicate/f", "equals", 3, True),
        ("/predicate/n", "equals", "3", False),
        ("/predicate/t", "equals", 3, False),
        ("/predicate/yes", "equals", 1, False),
        ("/predicate/yes", "equals", True, True),
        ("/predicate/n", "equals", True, False),
        ("/predicate/a~1b", "equals", {"m~n": [10, 20]}, True),
        ("/predicate/a~1b", "equals", {"m~n": [20, 10]}, False),
        ("/predicate/a~1b", "equals", {"m~n": [10, 20, 30]}, False),
        ("/predicate/a~1b", "equals", {}, False),
        ("/predicate/n", "one-of", ["3", 3], True),
        ("/predicate/n", "one-of", ["3", True], False),
        ("/predicate/t", "matches", "?", True),
        ("/predicate/n", "matches", "*", False),
        ("/predicate/big", "at-least", 0.9, True),
        ("/predicate/big", "at-least", 0.98, False),
        ("/predicate/big", "at-most", 0.97, True),
        ("/predicate/t", "at-least", 0, False),
        ("/predicate/yes", "at-least", 0, False),
        ("/predicate/n", "present", None, True),
        ("/predicate/none", "present", None, False),
        ("/predicate/gone", "present", None, False),
        ("/predicate/gone", "absent", None, True),
        ("/predicate/none", "absent", None, True),
        ("/predicate/n", "absent", None, False),
        ("/predicate/gone", "equals", 3, False),
        ("/predicate/gone", "at-most", 3, False),
        ("/predicate/gone", "matches", "*", False),
    ],
)
def test_demands(pointer: str, operator: str, wanted: object, *, holds: bool) -> None:
    rule = StepRule(name="train", attributes=(attribute_rule(pointer, operator, wanted),))
    told = list(check_attributes(rule, STATEMENT))
    assert (not told) is holds
    for message in told:
        assert message.startswith(f"train: {pointer}")


def test_every_broken_demand_is_told() -> None:
    rules = [attribute_rule("/predicate/n", "equals", n) for n in (1, 3, 5)]
    told = list(check_attributes(StepRule(name="s", attributes=tuple(rules)), STATEMENT))
    assert told == [
        "s: /predicate/n is 3, demanded: equals 1",
        "s: /predicate/n is 3, demanded: equals 5",
    ]


def test_an_attribute_rule_is_a_known_one() -> None:
    for pointer, operator in (("x", "equals"), ("/x", "is")):
        with pytest.raises(ValueError, match="is not"):
            attribute_rule(pointer, operator, 1)
    assert set(OPERATORS) >= {"equals", "one-of", "at-least"}


def materials(rules: tuple[str, ...], read: list[Artifact], **made: list[Artifact]) -> list[str]:
    return list(check_materials(StepRule(name="train", materials=rules), read, made))


def products(
    rules: tuple[str, ...],
    wrote: list[Artifact],
    read: list[Artifact] | None = None,
    model: list[Artifact] | None = None,
) -> list[str]:
    rule = StepRule(name="train", products=rules)
    return list(check_products(rule, wrote, read or [], model or []))


MATERIALS = ("match prepared/* from data", "allow *.py", "disallow *")


def test_materials_that_hold() -> None:
    read = [("prepared/x", A), ("train.py", C)]
    assert not materials(MATERIALS, read, data=[("out/x", A), ("y", B)])


def test_a_step_without_rules_accepts_everything() -> None:
    assert not materials((), [("anything", A)])
    assert not products((), [("anything", A)])


def test_a_changed_input_does_not_fall_through_to_a_later_allow() -> None:
    """The classic rules have this hole: an unmatched file is still allowed by `ALLOW *`."""
    told = materials(
        ("match prepared/* from data", "allow *"), [("prepared/x", B)], data=[("x", A)]
    )
    assert told == ["train read prepared/x, which data did not make: match prepared/* from data"]


def test_two_inputs_that_changed_places_are_refused() -> None:
    made = [("prepared/train", A), ("prepared/test", B), ("other", C)]
    rules = ("match prepared/* from data",)
    assert not materials(rules, [("prepared/train", A), ("prepared/renamed", B)], data=made)
    swapped = [("prepared/train", B), ("prepared/test", A)]
    assert len(materials(rules, swapped, data=made)) == 2


def test_a_match_with_a_step_that_is_not_there_holds_nothing() -> None:
    assert materials(("match * from data",), [("x", A)])
    assert materials(("match * from data",), [("x", A)], other=[("x", A)])


def test_what_no_rule_fits_is_refused() -> None:
    (told,) = materials(("allow *.py",), [("a.py", A), ("evil.bin", B)])
    assert "evil.bin, which no rule for its materials fits" in told


def test_an_input_of_private_name_is_found_by_its_digest() -> None:
    made = [("prepared/x", A), ("logs/y", B)]
    assert not materials(MATERIALS, [("", A)], data=made)
    for digest in (B, C):
        (told,) = materials(MATERIALS, [("", digest)], data=made)
        assert f"a file of private name, sha256 {digest}: disallow *" in told
    (told,) = materials(("allow *.py",), [("", C)])
    assert "no rule" in told


def test_products_that_hold() -> None:
    rules = ("match models/* in model", "create logs/*", "allow cache/*", "disallow *")
    wrote = [("models/m.bin", A), ("logs/l", B), ("cache/x", C)]
    assert not products(rules, wrote, read=[("train.py", C)], model=[("m.bin", A)])


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (("match * in model",), "which is not in the model"),
        (("create *",), "had read m.bin before it wrote it"),
        (("disallow *", "allow *"), "train wrote m.bin: disallow *"),
        (("create x",), "which no rule for its products fits"),
    ],
)
def test_products_that_do_not_hold(rules: tuple[str, ...], told: str) -> None:
    wrote = [("m.bin", A)]
    for read in ([("m.bin", B)], [("", A)], [("copy", A)]):
        (message,) = products(rules, wrote, read=read, model=[("m.bin", B)])
        assert told in message


def test_rules_tell_themselves() -> None:
    for text in ("match a b from s", "allow a", "disallow a from b"):
        assert parse_rule(text, products=False).told == text
    for text in ("match a from b in model", "create *", "allow x in model"):
        assert parse_rule(text, products=True).told == text
