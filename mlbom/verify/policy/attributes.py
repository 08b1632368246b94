"""Attribute rules of a policy: one demand each on a value inside a statement.

Pointers are RFC 6901. Texts, numbers, booleans and containers are never equal to one another: the
text "1" is not the number 1, and true is not 1. A value of null counts as absent.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import AttributeRule, StepRule

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE = re.compile(r"~(?![01])")
_MOST_SHOWN = 80


def is_pointer(text: str) -> bool:
    """Return whether a text is a JSON pointer (RFC 6901 section 3)."""
    return (not text or text.startswith("/")) and not _ESCAPE.search(text)


def check_attributes(rule: StepRule, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a statement is refused; nothing when every demand holds.

    Args:
        rule: of the step; its pointers and operators must be known ones.
        document: the whole statement as JSON: `_type`, `subject`, `predicateType`, `predicate`.
    """
    for demand in rule.attributes:
        value = resolve(document, demand.pointer)
        if value is None:
            if demand.operator != "absent":
                yield f"{rule.name}: {demand.pointer} is missing"
        elif not OPERATORS[demand.operator](value, demand.value):
            wanted = "" if demand.operator in ("present", "absent") else f" {demand.value!r}"
            shown = repr(value)[:_MOST_SHOWN]
            yield f"{rule.name}: {demand.pointer} is {shown}, demanded: {demand.operator}{wanted}"


def resolve(document: Any, pointer: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that a pointer leads to, or None (RFC 6901 section 4)."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _equal(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether two JSON values are the same; 1 and 1.0 are."""
    if _is_number(value) and _is_number(wanted):
        return bool(value == wanted)
    if type(value) is not type(wanted):
        return False
    if isinstance(value, dict):
        return value.keys() == wanted.keys() and all(_equal(v, wanted[k]) for k, v in value.items())
    if isinstance(value, list):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    return bool(value == wanted)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": _equal,
    "one-of": lambda value, wanted: any(_equal(value, item) for item in wanted),
    "matches": lambda value, wanted: isinstance(value, str) and matches(wanted, value),
    "at-least": lambda value, wanted: _is_number(value) and value >= wanted,
    "at-most": lambda value, wanted: _is_number(value) and value <= wanted,
    "present": lambda _value, _wanted: True,
    "absent": lambda _value, _wanted: False,
}


def attribute_rule(pointer: str, operator: str, value: Any = None) -> AttributeRule:  # noqa: ANN401 - any JSON value
    """Return a rule whose pointer and operator are known ones.

    Raises:
        ValueError: they are not.
    """
    if not is_pointer(pointer):
        message = f"{pointer!r} is not a JSON pointer, such as /predicate/buildDefinition/buildType"
        raise ValueError(message)
    if operator not in OPERATORS:
        message = f"{operator!r} is not one of {', '.join(OPERATORS)}"
        raise ValueError(message)
    return AttributeRule(pointer=pointer, operator=operator, value=value)
