"""Rule about generators of one's own that start from the system's entropy."""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Hit, Project, Rule, argument, has_stars, tail
from mlbom.reproduce.values import CauseKind

# Generators that take the system's entropy unless they are given a seed: name -> its argument.
_MADE = {
    "numpy.random.default_rng": "seed",
    "numpy.random.RandomState": "seed",
    "numpy.random.SeedSequence": "entropy",
    "numpy.random.PCG64": "seed",
    "numpy.random.PCG64DXSM": "seed",
    "numpy.random.MT19937": "seed",
    "numpy.random.Philox": "seed",
    "numpy.random.SFC64": "seed",
    "random.Random": "x",
}
_NEVER = frozenset({"random.SystemRandom", "secrets.SystemRandom"})


def unseeded_generator(project: Project) -> Iterator[Hit]:
    """Yield private generators without a seed."""
    for module, name, call in project.calls():
        if name in _MADE and not has_stars(call) and argument(call, 0, _MADE[name]) is None:
            yield Hit(module, call, f"{tail(name)}() without a seed starts from entropy")
        elif name in _NEVER:
            yield Hit(module, call, f"{tail(name)} cannot be seeded")
        elif tail(name) == "seed" and not call.args and _is_torch_generator(module, call):
            yield Hit(module, call, "seed() gives this generator a seed from the system's entropy")


def _is_torch_generator(module: Module, call: ast.Call) -> bool:
    """Return whether the method is called on a `torch.Generator`."""
    if not isinstance(call.func, ast.Attribute):
        return False
    holder = call.func.value
    values = module.values_of(holder) if isinstance(holder, ast.Name) else [holder]
    return any(
        value is not None and module.dotted(value) == "torch.Generator()" for value in values
    )


RULES = (
    Rule(
        name="unseeded-generator",
        kind=CauseKind.RNG_STREAM,
        fix="give the generator a seed, for example one made from the seed of the run",
        find=unseeded_generator,
    ),
)
