"""Seeds the generators of torch: the global ones of each device, and private ones."""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import functools

from _mlbom_reseed import reseeder, stand_in
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def after_import(module: "ModuleType") -> None:
    """Seed what torch draws from, under each name that it has."""
    torch: Any = module
    set_seed = torch.random.manual_seed
    set_seed(reseeder().seed)

    def seed() -> int:
        value: int = reseeder().derive()
        set_seed(value)
        return value

    seed.__doc__ = torch.random.seed.__doc__
    torch.random.seed = torch.seed = seed
    torch.random.manual_seed = torch.manual_seed = _picking(set_seed)
    cuda = torch.cuda.random
    for name, setter in (("", "manual_seed"), ("_all", "manual_seed_all")):
        original = getattr(cuda, setter)
        _put(torch.cuda, setter, _picking(original))
        _put(torch.cuda, "seed" + name, _seeding(original))
    stand = stand_in(torch.Generator, _seeded_class(torch.Generator))
    stand.__module__ = "torch"  # where pickle finds it, also for a generator that was there before
    torch.Generator = stand


def _put(cuda: "Any", name: str, function: "Any") -> None:
    """Set a function of `torch.cuda.random`, which `torch.cuda` has too."""
    setattr(cuda.random, name, function)
    setattr(cuda, name, function)


def _picking(original: "Any") -> "Any":
    """Return a setter that takes the program's seed, or what stands in its place."""

    @functools.wraps(original)
    def manual_seed(seed: "Any") -> "Any":
        with GUARD:
            seed = reseeder().pick(int(seed))
        return original(seed)

    return manual_seed


def _seeding(set_seed: "Any") -> "Any":
    """Return a function that sets a seed nobody gave."""

    def seed() -> None:
        set_seed(reseeder().derive())

    return seed


def _seeded_class(native: "Any") -> "Any":
    """Return the class of a private generator that takes its entropy, and its seed, from here."""

    class Generator(native):  # type: ignore[misc]
        def seed(self) -> int:
            value: int = reseeder().derive()
            native.manual_seed(self, value)
            return value

        def manual_seed(self, seed: "Any") -> "Any":
            with GUARD:
                seed = reseeder().pick(int(seed))
            return native.manual_seed(self, seed)

    Generator.__module__, Generator.__qualname__ = native.__module__, native.__name__
    return Generator
