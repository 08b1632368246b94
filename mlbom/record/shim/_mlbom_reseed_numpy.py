"""Seeds the generators of numpy: the global one, and those that nobody seeds."""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import functools
import sys

from _mlbom_opfile import OPS
from _mlbom_reseed import reseeder, stand_in
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_LEGACY_BITS = 32
_ENTROPY_BITS = 128
_SEEDED = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence")


def after_numpy(module: "ModuleType") -> None:
    """Seed what `numpy.random` makes."""
    numpy: Any = module
    numpy.seed(reseeder().seed % (1 << _LEGACY_BITS))
    bits: Any = sys.modules.get("numpy.random.bit_generator")
    if hasattr(bits, "randbits"):
        # What a SeedSequence asks that got no entropy: every generator without a seed ends there.
        bits.randbits = reseeder().derive
    else:
        OPS.unseen("this numpy takes the system's entropy where it cannot be replaced")
    if reseeder().overrides:
        numpy.seed = _overridden(numpy.seed, _LEGACY_BITS)
        numpy.default_rng = _overridden(numpy.default_rng, _ENTROPY_BITS)
        numpy.RandomState = stand_in(
            numpy.RandomState, _overridden(numpy.RandomState, _LEGACY_BITS)
        )
        for name in _SEEDED:
            if hasattr(numpy, name):
                native = getattr(numpy, name)
                setattr(numpy, name, stand_in(native, _overridden(native, _ENTROPY_BITS)))


def _overridden(original: "Any", bits: int) -> "Any":
    """Return a function that gives another seed to the one it stands for.

    A generator that is handed on, or an explicit None, is no seed.
    """

    def replaced(given: "Any") -> "Any":
        is_seed = given is not None and not type(given).__module__.startswith("numpy.random")
        return reseeder().pick(given, bits) if is_seed else given

    def seeded(*args: "Any", **kwargs: "Any") -> "Any":
        with GUARD:
            args = tuple(map(replaced, args[:1])) + args[1:]
            for name in ("seed", "entropy"):
                if name in kwargs:
                    kwargs[name] = replaced(kwargs[name])
        return original(*args, **kwargs)

    return seeded if isinstance(original, type) else functools.wraps(original)(seeded)
