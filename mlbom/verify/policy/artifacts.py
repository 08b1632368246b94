"""Artefact rules of a policy: what a step may have read, and what it may have written.

The grammar, each rule one text, the first whose pattern fits decides:

| rule | where | holds when |
|---|---|---|
| `match PATTERN from STEP` | materials | STEP made it: its digest is that of a product of STEP |
| `match PATTERN in model` | products | the digest is that of a file of the released model |
| `create PATTERN` | products | the step read no file of that name and none of that digest |
| `allow PATTERN` | both | always |
| `disallow PATTERN` | both | never |

A material with the name of a product of STEP must be that very product.

Unlike in a classic in-toto layout a failed `match` never falls through to a later `allow`, and what
no rule fits is refused. Steps without any rule accept everything.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlbom.verify.policy.pattern import matches
from mlbom.verify.policy.values import StepRule

# (name, SHA-256 in hexadecimal digits); the name is empty when the record keeps it private.
Artifact = tuple[str, str]

_RULE = re.compile(
    r"match (?P<matched>\S.*) (?:from (?P<step>[A-Za-z0-9._-]+)|in (?P<model>model))"
    r"|(?P<action>create|allow|disallow) (?P<pattern>\S.*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRule:
    """One rule, taken apart.

    Args:
        action: match, create, allow or disallow.
        pattern: of names.
        step: of `match … from STEP`, else empty; `match … in model` has none.
    """

    action: str
    pattern: str
    step: str = ""

    @property
    def told(self) -> str:
        """Return the rule as a policy writes it."""
        if self.action != "match":
            return f"{self.action} {self.pattern}"
        return f"match {self.pattern} " + (f"from {self.step}" if self.step else "in model")


def parse_rule(text: str, *, products: bool) -> ArtifactRule:
    """Read one rule.

    Args:
        text: as in the table above.
        products: whether it stands among the rules for products.

    Raises:
        ValueError: not a rule, or one that has no place there.
    """
    found = _RULE.fullmatch(text)
    if not found:
        message = f"{text[:80]!r} is not a rule"
        raise ValueError(message)
    if found["matched"]:
        rule = ArtifactRule(action="match", pattern=found["matched"], step=found["step"] or "")
    else:
        rule = ArtifactRule(action=found["action"], pattern=found["pattern"])
    at_home = (rule.action == "create" or (rule.action == "match" and not rule.step)) == products
    if rule.action in ("match", "create") and not at_home:
        message = f"{text[:80]!r} has no place among the {'products' if products else 'materials'}"
        raise ValueError(message)
    return rule


def check_materials(
    rule: StepRule, materials: Iterable[Artifact], products: Mapping[str, Collection[Artifact]]
) -> Iterator[str]:
    """Yield why the materials of a step are refused; nothing when they are accepted.

    A material whose name is private fits `match PATTERN from STEP` when a product of STEP whose
    name fits has its digest; every other pattern sees an empty name. A material without a digest
    could be anything, and fits no rule.

    Args:
        rule: of the step; the texts in `materials` must be rules (`parse_rule`).
        materials: what it read.
        products: what each other step wrote, by the step's name.
    """
    rules = [parse_rule(text, products=False) for text in rule.materials]
    if not rules:
        return
    for name, digest in materials:
        told = name or f"a file of private name, sha256 {digest}"
        if not digest:
            yield f"{rule.name} read {told}, and its record tells no SHA-256 of it"
            continue
        fitting = next((r for r in rules if _fits(r, name, digest, products)), None)
        if fitting is None:
            yield f"{rule.name} read {told}, which no rule for its materials fits"
        elif fitting.action == "disallow":
            yield f"{rule.name} read {told}: {fitting.told}"
        elif fitting.action == "match" and not _made_by(fitting, name, digest, products):
            yield f"{rule.name} read {told}, which {fitting.step} did not make: {fitting.told}"


def check_products(
    rule: StepRule,
    products: Iterable[Artifact],
    materials: Iterable[Artifact],
    model: Iterable[Artifact],
) -> Iterator[str]:
    """Yield why the products of a step are refused; nothing when they are accepted.

    Args:
        rule: of the step; the texts in `products` must be rules (`parse_rule`).
        products: what it wrote.
        materials: what it read.
        model: the files of the released model.
    """
    rules = [parse_rule(text, products=True) for text in rule.products]
    if not rules:
        return
    read = {item for pair in materials for item in pair if item}
    released = {digest for _, digest in model}
    for name, digest in products:
        fitting = next((r for r in rules if matches(r.pattern, name)), None)
        if fitting is None:
            yield f"{rule.name} wrote {name}, which no rule for its products fits"
        elif fitting.action == "disallow":
            yield f"{rule.name} wrote {name}: {fitting.told}"
        elif fitting.action == "match" and digest not in released:
            yield f"{rule.name} wrote {name}, which is not in the model: {fitting.told}"
        elif fitting.action == "create" and not read.isdisjoint((name, digest)):
            yield f"{rule.name} had read {name} before it wrote it: {fitting.told}"


def _fits(
    rule: ArtifactRule, name: str, digest: str, products: Mapping[str, Collection[Artifact]]
) -> bool:
    """Return whether a rule is about a material."""
    if name or rule.action != "match":
        return matches(rule.pattern, name)
    made = products.get(rule.step, ())
    return any(digest == d and matches(rule.pattern, n) for n, d in made)


def _made_by(
    rule: ArtifactRule, name: str, digest: str, products: Mapping[str, Collection[Artifact]]
) -> bool:
    """Return whether a step made a material; two products that changed places did not."""
    made = products.get(rule.step, ())
    of_that_name = {d for n, d in made if n == name}
    return digest in (of_that_name or {d for _, d in made})
