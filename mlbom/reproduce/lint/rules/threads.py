"""Rule about lists and dicts that several threads or processes fill as they happen to finish."""

import ast
from collections.abc import Iterable, Iterator, Sequence

from mlbom.reproduce.lint.module import COMPREHENSIONS, Module
from mlbom.reproduce.lint.order import OrderFlow
from mlbom.reproduce.lint.rule import Hit, Project, Rule, argument, tail
from mlbom.reproduce.lint.uses import is_sorted, is_told, uses_of
from mlbom.reproduce.values import CauseKind

_AS_DONE = frozenset({"as_completed", "imap_unordered"})
_GROWS = frozenset({"append", "extend", "appendleft", "insert", "setdefault"})
_DICTS = frozenset({"dict", "OrderedDict", "defaultdict"})
_VIEWS = frozenset({"keys", "values", "items"})
_TAKES = frozenset({"list", "tuple", "enumerate", "iter", "zip"})


def thread_order(project: Project) -> Iterator[Hit]:
    """Yield where results are kept in the order in which threads or processes finish."""
    flow = OrderFlow(project)
    started: set[tuple[str, str]] = set()
    for module, name, call in project.calls():
        if tail(name) in _AS_DONE:
            loop = module.parents.get(call)
            is_filled = isinstance(loop, ast.For | ast.AsyncFor) and _fills_dict(module, loop)
            if is_filled or flow.counts(module, call):
                message = f"{tail(name)} gives results as they finish, and this order is kept"
                yield Hit(module, call, message)
            continue
        target = _target(module, name, call)
        if target and (module.path, target) not in started:
            started.add((module.path, target))
            yield from _started(module, target)


def _fills_dict(module: Module, loop: ast.For | ast.AsyncFor) -> bool:
    """Return whether the body fills a dict whose order is used afterwards."""
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and _is_dict(module, node.value)
        and _is_taken(module, module.loads_of(node.value))
        for statement in loop.body
        for node in ast.walk(statement)
    )


def _is_taken(module: Module, uses: Iterable[ast.expr]) -> bool:
    """Return whether a dict is taken item by item somewhere, unsorted."""
    for use in uses:
        above = module.parents.get(use)
        node: ast.AST = use
        if isinstance(above, ast.Attribute) and above.attr in _VIEWS:
            node = module.parents[above]
            above = module.parents.get(node)
        is_taken = isinstance(above, ast.For | ast.comprehension) and above.iter is node
        is_given = isinstance(above, ast.Call) and tail(module.dotted(above.func)) in _TAKES
        if (is_taken or is_given) and not is_told(module, node):
            return True
    return False


def _started(module: Module, target: str) -> Iterator[Hit]:
    """Yield what the function that several threads run puts into a container of all of them."""
    functions = module.functions.get(target, ())
    if len(functions) != 1:
        return
    for node in ast.walk(functions[0]):
        holder = _filled(module, node)
        if holder is None or _is_own(module, holder, functions[0]):
            continue
        if _is_kept(module, node, _all_uses(module, holder)):
            message = f"several threads fill this, each when it happens to run ({target})"
            yield Hit(module, holder, message)


def _is_kept(module: Module, node: ast.AST, uses: Sequence[ast.expr]) -> bool:
    """Return whether the order in which a container was filled is still there when it is used."""
    if is_sorted(module, uses):
        return False
    if isinstance(node, ast.Call):
        return True
    above = module.parents.get(node)
    value = above.value if isinstance(above, ast.Assign) else None
    is_numbered = isinstance(value, ast.Call) and tail(module.dotted(value.func)) == "len"
    return is_numbered or _is_taken(module, uses)


def _target(module: Module, name: str, call: ast.Call) -> str:
    """Return the name of the function that several threads are given, or an empty text."""
    last = tail(name)
    if last in {"Thread", "Timer"}:
        given = argument(call, 1, "target" if last == "Thread" else "function")
    elif last == "submit" or (last == "map" and "." in name and _has_pool(module)):
        given = call.args[0] if call.args else None
    else:
        return ""
    is_many = last == "map" or any(
        isinstance(above, (ast.For, ast.While, *COMPREHENSIONS)) for above in module.ancestors(call)
    )
    return tail(module.dotted(given)) if given is not None and is_many else ""


def _has_pool(module: Module) -> bool:
    return bool(module.tails & {"ThreadPool", "ThreadPoolExecutor"})


def _filled(module: Module, node: ast.AST) -> ast.expr | None:
    """Return the container to which a node adds something in an order, or None."""
    match node:
        case ast.Call(func=ast.Attribute(value=holder, attr=method)) if method in _GROWS:
            return holder
        case ast.Subscript(value=holder, ctx=ast.Store()) if _is_dict(module, holder):
            return holder
        case _:
            return None


def _is_own(module: Module, holder: ast.expr, function: ast.AST) -> bool:
    """Return whether a container is made in the function itself, so that no other thread has it."""
    if isinstance(holder, ast.Name):
        return module.scope_of(holder) is function and None not in module.values_of(holder)
    return not (isinstance(holder, ast.Attribute) and isinstance(holder.value, ast.Name))


def _is_dict(module: Module, holder: ast.expr) -> bool:
    """Return whether the file makes a dict under that name."""
    key = ("dicts", module.source.tree)
    if key not in module.known:
        made = (_name(target) for target, value in module.assignments if _makes(module, value))
        module.known[key] = frozenset(filter(None, made))
    return _name(holder) in module.known[key]


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _makes(module: Module, value: ast.expr) -> bool:
    is_call = isinstance(value, ast.Call) and tail(module.dotted(value.func)) in _DICTS
    return is_call or isinstance(value, ast.Dict)


def _all_uses(module: Module, holder: ast.expr) -> list[ast.expr]:
    """Return the uses of a container in the whole file, whatever the scope: it is shared."""
    if isinstance(holder, ast.Name):
        return [name for name in module.names[holder.id] if isinstance(name.ctx, ast.Load)]
    return list(uses_of(module, holder))


RULES = (
    Rule(
        name="thread-order",
        kind=CauseKind.DATA_ORDER,
        fix="keep the order of what was asked for: executor.map, or sort by a key afterwards",
        find=thread_order,
    ),
)
