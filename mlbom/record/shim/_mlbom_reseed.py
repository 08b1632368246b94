"""Seeds every generator that would start from the system's entropy, or every generator at all.

What a generator gets follows from the seed of the probe, the rank, which fork of which process this
is, and how many generators were seeded here before: it is the same in each run.
"""
# ruff: noqa: INP001, ANN401, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import hashlib
import os
import sys

from _mlbom_imports import AfterImport
from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_WIDE, _NARROW = 63, 32
_TABLE = {
    "random": "_mlbom_reseed:after_random",
    "numpy.random": "_mlbom_reseed_numpy:after_numpy",
    "torch": "_mlbom_reseed_torch:after_import",
}
# Their seeds follow from one that the program or the probe has set.
_DERIVING = (
    os.path.join("torch", "utils", "data", "_utils", "worker.py"),
    os.path.join("torch", "random.py"),
    os.path.join("torch", "cuda", "random.py"),
)
# Names of temporary files are no part of a training.
_APART = ("tempfile.py",)


class Reseeder:
    """Says which seed a generator gets.

    Args:
        seed: of the probe.
        overrides: whether it also replaces the seeds of the program.
    """

    def __init__(self, seed: int, overrides: bool) -> None:  # noqa: FBT001 - one call
        self.seed = seed
        self.overrides = overrides
        self._count = 0
        self._forks = 0
        self._lineage: tuple[int, ...] = ()

    def pick(self, given: "Any", bits: int = _WIDE) -> "Any":
        """Return what to seed with instead of a value, which is None for the system's entropy."""
        caller = _caller()
        if given is None:
            return None if caller.endswith(_APART) else self.derive(bits)
        if not self.overrides or caller.endswith(_DERIVING):
            return given
        return self._hash("given", repr(given), bits)

    def derive(self, bits: int = _WIDE) -> int:
        """Return the next seed for a generator that nobody seeds."""
        self._count += 1
        process = sys.modules.get("multiprocessing.process")
        current: Any = getattr(process, "current_process", lambda: None)()
        place = (os.environ.get("RANK", ""), self._lineage, getattr(current, "_identity", ()))
        return self._hash("own", "%r %d" % (place, self._count), bits)

    def before_fork(self) -> None:
        """Count the processes that this one makes."""
        self._forks += 1

    def after_fork(self) -> None:
        """Give a new process generators of its own, as the system's entropy would."""
        self._lineage += (self._forks,)
        self._count = self._forks = 0
        # The module `random` has just given its generator new entropy.
        module: Any = sys.modules.get("random")
        if module is not None:
            with GUARD:
                module._inst.seed(self.derive())

    def _hash(self, kind: str, what: str, bits: int) -> int:
        text = ("%d %s %s" % (self.seed, kind, what)).encode("utf-8", "backslashreplace")
        return int(hashlib.shake_128(text).hexdigest((bits + 7) // 8), 16) >> (-bits % 8)


_RESEEDERS: "list[Reseeder]" = []


def begin(seed: int, overrides: bool) -> None:  # noqa: FBT001 - one call
    """Seed the generators of each library as soon as it is imported."""
    _RESEEDERS.append(Reseeder(seed, overrides))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=reseeder().before_fork)
    finder = AfterImport(_HERE, dict(_TABLE))
    finder.install()
    # Behind the finder of the recorder: what that one wraps is what was put in place here, so that
    # it notes what the program asked for.
    sys.meta_path.remove(finder)
    is_second = isinstance(sys.meta_path[0], AfterImport)
    sys.meta_path.insert(1 if is_second else 0, finder)


def reseeder() -> Reseeder:
    """Return the one of this process."""
    return _RESEEDERS[0]


def after_random(module: "ModuleType") -> None:
    """Seed the module `random` and every `random.Random`."""
    random: Any = module
    owner, original, is_noted = reseeder(), random.Random.seed, hasattr(random.seed, "_original")

    def seed(self: "Any", a: "Any" = None, version: int = 2) -> None:
        with GUARD:
            a = owner.pick(a)
        original(self, a, version)

    seed.__doc__, seed.__wrapped__ = original.__doc__, original  # type: ignore[attr-defined]
    random.Random.seed = seed
    if is_noted:
        random.seed._original = random._inst.seed
    else:
        random.seed = random._inst.seed
    original(random._inst, owner.seed)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=owner.after_fork)


def stand_in(original: "Any", make: "Any") -> "Any":
    """Return a class to put in the place of a native one whose constructor cannot be replaced.

    Its instances are those of the original; `isinstance` holds for all of them, and a class of the
    program may still derive from it.

    Args:
        original: the native class.
        make: gets the arguments and keywords of the constructor, returns an instance.
    """

    class Meta(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: "Any") -> bool:
            asked = original if cls is stand else cls
            return type.__instancecheck__(asked, instance)

        def __subclasscheck__(cls, subclass: type) -> bool:
            asked = original if cls is stand else cls
            return type.__subclasscheck__(asked, subclass)

    def new(cls: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        return make(*args, **kwargs) if cls is stand else original.__new__(cls, *args, **kwargs)

    members = {"__new__": new, "__module__": original.__module__, "__doc__": original.__doc__}
    stand = Meta(original.__name__, (original,), members)
    return stand


def _caller() -> str:
    """Return the file that asked for a generator: neither the recorder nor `random` itself."""
    own = getattr(sys.modules.get("random"), "__file__", "")
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_code.co_filename)
        if name != own and os.path.dirname(name) != _HERE:
            return name
        frame = frame.f_back
    return ""
