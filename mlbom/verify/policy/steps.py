"""The steps of a policy file: who and how many must have signed, and what a step may touch."""

from collections.abc import Iterator

from mlbom.verify.policy.artifacts import parse_rule
from mlbom.verify.policy.attributes import OPERATORS, attribute_rule
from mlbom.verify.policy.field import Field, did_you_mean
from mlbom.verify.policy.values import (
    RECORD_ROLES,
    RECORD_STEPS,
    REPRODUCE,
    REPRODUCTION_LEVELS,
    STEP_ROLES,
    AttributeRule,
    StepRule,
)

MOST_SIGNERS = 1000
_OF_RECORDS = ("build-types", "materials", "products")
_OF_REPRODUCTIONS = ("level", "independent")
_KEYS = ("required", "threshold", "role", "attributes", *_OF_RECORDS, *_OF_REPRODUCTIONS)


def read_steps(field: Field) -> dict[str, StepRule]:
    """Return the rules of a policy by step.

    Raises:
        PolicyError: an unknown key, a rule that is none, or `from` a step that is not known.
    """
    fields = dict(field.named("steps"))
    known = tuple(dict.fromkeys((*RECORD_ROLES, *(n for n in fields if n not in STEP_ROLES))))
    return {name: _step(name, step, known) for name, step in fields.items()}


def _step(name: str, field: Field, known: tuple[str, ...]) -> StepRule:
    told = field.table(_KEYS)
    if name in STEP_ROLES and name not in RECORD_STEPS:
        for key in _OF_RECORDS:
            if key in told:
                told[key].refuse(f"only recorded steps have {key}, and {name} is none")
    if name in STEP_ROLES and "role" in told:
        told["role"].refuse(f"the step {name} has the role {STEP_ROLES[name]}")
    for key in _OF_REPRODUCTIONS if name != REPRODUCE else ():
        if key in told:
            told[key].refuse(f"only the step {REPRODUCE} has {key}")
    attributes = told["attributes"].items() if "attributes" in told else ()
    return StepRule(
        name=name,
        required=told["required"].flag() if "required" in told else True,
        threshold=told["threshold"].whole(1, MOST_SIGNERS) if "threshold" in told else 1,
        role=told["role"].choice(RECORD_ROLES) if "role" in told else "",
        level=told["level"].choice(REPRODUCTION_LEVELS) if "level" in told else "",
        independent=told["independent"].flag() if "independent" in told else False,
        build_types=told["build-types"].texts() if "build-types" in told else (),
        attributes=tuple(rule for item in attributes for rule in _attribute(item)),
        materials=_rules(told["materials"], known) if "materials" in told else (),
        products=_rules(told["products"], known, products=True) if "products" in told else (),
    )


def _rules(field: Field, known: tuple[str, ...], *, products: bool = False) -> tuple[str, ...]:
    for item in field.items():
        try:
            rule = parse_rule(item.text(), products=products)
        except ValueError as error:
            hint = "match PATTERN from STEP, allow PATTERN, disallow PATTERN"
            if products:
                hint = "create PATTERN, match PATTERN in model, allow PATTERN, disallow PATTERN"
            item.refuse(str(error), hint)
        if rule.step and rule.step not in known:
            item.refuse(f"there is no step {rule.step!r}", did_you_mean(rule.step, known))
    return field.texts()


def _attribute(field: Field) -> Iterator[AttributeRule]:
    """Yield the demands of one entry: a pointer under `at`, and one or more operators."""
    told = field.table(("at", *OPERATORS), required=("at",))
    pointer = told.pop("at")
    if not told:
        field.refuse(f"demands nothing: add one of {', '.join(OPERATORS)}")
    for operator, operand in told.items():
        try:
            yield attribute_rule(pointer.text(r"(/.*)?"), operator, _operand(operator, operand))
        except ValueError as error:
            pointer.refuse(str(error))


def _operand(operator: str, field: Field) -> object:
    match operator:
        case "present" | "absent":
            if not field.flag():
                field.refuse(f"takes true; to demand the contrary, see {', '.join(OPERATORS)}")
            return None
        case "at-least" | "at-most":
            return field.number()
        case "matches":
            return field.text()
        case "one-of":
            items = field.items()
            if not items or any(item.value is None for item in items):
                field.wrong("a list of values")
            return [item.value for item in items]
        case _:
            if field.value is None:
                field.wrong("a value", "absent: true demands that there is none")
            return field.value
