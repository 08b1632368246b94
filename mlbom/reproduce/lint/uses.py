"""How a value is used: only told in a message, sorted somewhere, read at which places."""

import ast
from collections.abc import Iterable, Sequence

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import tail

# More uses of one variable than this are not looked at: it is no variable of a training script.
_MOST_USES = 200
SORTS = frozenset({"sorted", "natsorted", "os_sorted", "humansorted", "sort", "unique"})
_TELLS = frozenset(
    """print pprint log debug info warn warning error exception critical fatal fail
    add_argument""".split()
)
_TELL_PREFIXES = ("log_", "_log", "print_", "rank_zero_", "warn_")


def is_told(module: Module, node: ast.AST) -> bool:
    """Return whether a value only goes into a message: print, a logger, an exception, a repr."""
    for above in module.ancestors(node):
        if isinstance(above, ast.Raise | ast.Assert | ast.JoinedStr):
            return True
        if isinstance(above, ast.Call):
            name = tail(module.dotted(above.func))
            if name in _TELLS or name.startswith(_TELL_PREFIXES):
                return True
        if isinstance(above, ast.stmt):
            break
    function = module.function_of(node)
    return function is not None and function.name in {"__str__", "__repr__", "extra_repr"}


def uses_of(module: Module, holder: ast.expr) -> Sequence[ast.expr]:
    """Return the places that read a variable, or an attribute of `self`; nothing for others."""
    if isinstance(holder, ast.Name):
        return module.loads_of(holder)[:_MOST_USES]
    if isinstance(holder, ast.Attribute):
        kin = module.kin_of(holder)[:_MOST_USES]
        return [use for use in kin if isinstance(use.ctx, ast.Load)]
    return ()


def is_sorted(module: Module, uses: Iterable[ast.expr]) -> bool:
    """Return whether one of the uses of a variable sorts it."""
    for use in uses:
        above = module.parents.get(use)
        if isinstance(above, ast.Attribute) and above.attr in SORTS:
            return True
        if isinstance(above, ast.Call) and tail(module.dotted(above.func)) in SORTS:
            return True
    return False
