"""Rules about orders that nobody fixes: of sets, and of the files of a folder."""

import ast
from collections.abc import Callable, Iterator
from functools import partial

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.order import NUMBERS, THROUGH, OrderFlow
from mlbom.reproduce.lint.rule import Hit, Project, Rule, tail
from mlbom.reproduce.lint.sets import is_set
from mlbom.reproduce.lint.uses import SORTS
from mlbom.reproduce.values import CauseKind

_FUNCTIONS = frozenset({"os.listdir", "os.scandir", "os.walk", "glob.glob", "glob.iglob"})
# Methods of a path, with the number of arguments that tells them from others of the name.
_METHODS = {"iterdir": 0, "glob": 1, "rglob": 1}
# A file system of fsspec sorts by itself.
_SORTED_BY_ITSELF = frozenset({"fs", "_fs"})


def set_order(project: Project) -> Iterator[Hit]:
    """Yield where a list, a text or a numbering is made from a set of strings."""
    flow = OrderFlow(project)
    message = "a set of strings has another order in each process, and this order is kept"
    for module in project.modules:
        for node, counts in _taken(flow, module):
            if is_set(module, node) and counts():
                yield Hit(module, node, message)


def _taken(flow: OrderFlow, module: Module) -> Iterator[tuple[ast.expr, Callable[[], bool]]]:
    """Yield each expression that is taken item by item, with whether the order is kept."""
    for name, call in module.calls:
        last = tail(name)
        if last in NUMBERS or last in THROUGH:
            follow = flow.numbers if last in NUMBERS else flow.counts
            yield from ((given, partial(follow, module, call)) for given in call.args)
    for loop in module.loops:
        yield loop.iter, partial(flow.loop, module, loop)
    for node, above in module.parents.items():
        if isinstance(node, ast.comprehension) and isinstance(
            above, ast.ListComp | ast.GeneratorExp
        ):
            yield node.iter, partial(flow.counts, module, above)
        elif isinstance(node, ast.Starred) and isinstance(above, ast.List):
            yield node.value, partial(flow.counts, module, above)


def listing_order(project: Project) -> Iterator[Hit]:
    """Yield where the files of a folder are used in the order in which the system lists them."""
    flow = OrderFlow(project)
    for module, name, call in project.calls():
        if (
            _is_listing(name, call)
            and not _sorts_inside(module, call)
            and flow.counts(module, call)
        ):
            told = name if name in _FUNCTIONS else tail(name)
            message = f"{told} gives files in the order of the file system, and this order is kept"
            yield Hit(module, call, message)


def _is_listing(name: str, call: ast.Call) -> bool:
    if name in _FUNCTIONS:
        return True
    before, _, last = name.rpartition(".")
    if not before or tail(before) in _SORTED_BY_ITSELF:
        return False
    return _METHODS.get(last) == len(call.args)


def _sorts_inside(module: Module, call: ast.Call) -> bool:
    """Return whether it is `for root, folders, files in os.walk(...)` with sorting in its body."""
    loop = module.parents.get(call)
    if not isinstance(loop, ast.For):
        return False
    return any(
        isinstance(node, ast.Call) and tail(module.dotted(node.func)) in SORTS
        for statement in loop.body
        for node in ast.walk(statement)
    )


RULES = (
    Rule(
        name="set-order",
        kind=CauseKind.DATA_ORDER,
        fix="write sorted(...) around the set, or keep the items in a list or a dict",
        find=set_order,
    ),
    Rule(
        name="listing-order",
        kind=CauseKind.DATA_ORDER,
        fix="write sorted(...) around the listing",
        find=listing_order,
    ),
)
