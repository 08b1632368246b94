"""Follows a sequence whose order is not fixed to the place where that order counts.

The files of a folder may be counted, sorted or searched; they may not become samples, a vocabulary
or a text as they come. The search stays within one project and gives up, silently, where it cannot
tell: a rule that cries wolf is switched off.
"""

import ast
from collections.abc import Callable, Iterable

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Project, tail
from mlbom.reproduce.lint.uses import SORTS, is_sorted, is_told, uses_of

_DEEPEST = 8
_MOST_CALLERS = 50
_Loop = ast.For | ast.AsyncFor
# A node with the one that holds it.
_At = tuple[ast.AST, ast.AST]
_Follow = Callable[[Module, _At, int], bool]
# Calls whose result does not hang on the order of what they are given.
_SAFE = SORTS | frozenset(
    """all any bool counter dict fromkeys frozenset intersection isdisjoint issubset issuperset
    len max min next set sum union update difference symmetric_difference difference_update
    intersection_update isinstance type id isin rmtree""".split()
)
_SAFE_PREFIXES = ("remove", "drop", "delete", "discard", "ignore", "exclude")
# Calls that hand the order on.
THROUGH = frozenset(
    """array asarray chain concatenate deque filter from_iterable iter islice list map reversed
    tensor tqdm track tuple cat stack product join""".split()
)
# Calls that make the order part of the values.
NUMBERS = frozenset({"enumerate", "zip"})
_COLLECTS = frozenset({"append", "appendleft", "extend", "insert"})
_WRITES = frozenset("write writelines writerow writerows put submit step backward".split())
_READS = frozenset({"read", "read_text", "read_bytes", "readlines", "load", "loads"})
_TAKES = frozenset({"pop", "popleft", "index"})


class OrderFlow:
    """The search in one project.

    Args:
        project: the files.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._follow: dict[type[ast.AST], _Follow] = {
            ast.Call: self._call,
            ast.keyword: self._keyword,
            ast.Starred: self._on,
            ast.List: self._on,
            ast.BoolOp: self._on,
            ast.Await: self._on,
            ast.IfExp: self._choice,
            ast.BinOp: self._sum,
            ast.comprehension: self._comprehension,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.Return: self._return,
            ast.YieldFrom: self._return,
            ast.Tuple: self._item,
            ast.withitem: self._with,
            ast.Subscript: self._subscript,
            ast.Attribute: self._attribute,
            ast.Assign: self._assign,
            ast.AnnAssign: self._assign,
            ast.AugAssign: self._assign,
            ast.NamedExpr: self._assign,
        }

    def counts(self, module: Module, node: ast.AST, depth: int = 0) -> bool:
        """Return whether the order of a sequence counts for anything.

        Args:
            module: the file of the sequence.
            node: the expression that yields it.
            depth: of the search.
        """
        above = module.parents.get(node)
        follow = self._follow.get(type(above)) if above is not None else None
        if above is None or follow is None or depth > _DEEPEST:
            return False
        key = ("order", node)
        if key not in module.known:
            module.known[key] = False  # while it is being looked at
            kept = not is_told(module, node) and follow(module, (node, above), depth + 1)
            module.known[key] = kept
        return bool(module.known[key])

    def numbers(self, module: Module, call: ast.AST, depth: int = 0) -> bool:
        """Return whether the numbers that `enumerate` or `zip` give to unordered items are kept."""
        above = module.parents.get(call)
        if isinstance(above, ast.Call) and _last(module, above) in THROUGH and depth < _DEEPEST:
            return self.numbers(module, above, depth + 1)
        if isinstance(above, _Loop):
            return self.loop(module, above, depth, is_numbered=True)
        return not is_told(module, call)

    def loop(
        self, module: Module, loop: _Loop, depth: int = 0, *, is_numbered: bool = False
    ) -> bool:
        """Return whether the body of a `for` over unordered items keeps their order.

        Args:
            module: the file.
            loop: the statement.
            depth: of the search.
            is_numbered: whether each item comes with a number that stands for its place.
        """
        inside = [node for statement in loop.body for node in ast.walk(statement)]
        counters = {
            node.target.id
            for node in inside
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
        }
        own = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if is_numbered:
            counters |= {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
        return any(
            self._collects(module, node, own - counters, depth) or _places(node, counters)
            for node in inside
        )

    def _collects(self, module: Module, node: ast.AST, own: set[str], depth: int) -> bool:
        """Return whether a node in a loop hands its item on to something outside of the loop.

        Args:
            module: the file.
            node: in the body.
            own: variables that each turn of the loop makes anew.
            depth: of the search.
        """
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return self._callers(module, node, depth)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            return False
        holder, method = node.func.value, node.func.attr
        is_own = isinstance(holder, ast.Name) and holder.id in own
        if is_own or is_told(module, node):
            return False
        return method in _WRITES or (method in _COLLECTS and self._held(module, holder, depth))

    def _call(self, module: Module, at: _At, depth: int) -> bool:
        node, call = at
        if not isinstance(call, ast.Call) or node is call.func:
            return False
        name = _last(module, call)
        if name in _SAFE or name.startswith(_SAFE_PREFIXES):
            return False
        if name in NUMBERS:
            return self.numbers(module, call, depth)
        if name in _COLLECTS and isinstance(call.func, ast.Attribute):
            return self._held(module, call.func.value, depth)
        return name not in THROUGH or self.counts(module, call, depth)

    def _keyword(self, module: Module, at: _At, depth: int) -> bool:
        return self._call(module, (at[1], module.parents[at[1]]), depth)

    def _on(self, module: Module, at: _At, depth: int) -> bool:
        return self.counts(module, at[1], depth)

    def _choice(self, module: Module, at: _At, depth: int) -> bool:
        is_test = isinstance(at[1], ast.IfExp) and at[0] is at[1].test
        return not is_test and self.counts(module, at[1], depth)

    def _sum(self, module: Module, at: _At, depth: int) -> bool:
        joins = isinstance(at[1], ast.BinOp) and isinstance(at[1].op, ast.Add)
        return joins and self.counts(module, at[1], depth)

    def _comprehension(self, module: Module, at: _At, depth: int) -> bool:
        whole = module.parents[at[1]]
        is_iterated = isinstance(at[1], ast.comprehension) and at[0] is at[1].iter
        is_sequence = isinstance(whole, ast.ListComp | ast.GeneratorExp)
        return is_iterated and is_sequence and self.counts(module, whole, depth)

    def _for(self, module: Module, at: _At, depth: int) -> bool:
        is_iterated = isinstance(at[1], _Loop) and at[0] is at[1].iter
        return is_iterated and isinstance(at[1], _Loop) and self.loop(module, at[1], depth)

    def _callers(self, module: Module, node: ast.AST, depth: int) -> bool:
        """Return whether the order counts for a caller of the function that hands it out."""
        function = module.function_of(node)
        if function is None:
            return False
        callers = self._project.calls_by_tail.get(function.name, [])[:_MOST_CALLERS]
        if not callers:
            return True
        return any(self.counts(home, call, depth + 1) for home, call in callers)

    def _return(self, module: Module, at: _At, depth: int) -> bool:
        return self._callers(module, at[1], depth)

    def _item(self, module: Module, at: _At, depth: int) -> bool:
        """Follow a sequence that stands in a tuple: `return files, labels`."""
        above = module.parents.get(at[1])
        return isinstance(above, ast.Return) and self._callers(module, above, depth)

    def _subscript(self, _: Module, at: _At, __: int) -> bool:
        node, above = at
        is_read = isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Load)
        return is_read and isinstance(above, ast.Subscript) and above.value is node

    def _attribute(self, _: Module, at: _At, __: int) -> bool:
        return isinstance(at[1], ast.Attribute) and at[1].attr in _TAKES

    def _assign(self, module: Module, at: _At, depth: int) -> bool:
        above = at[1]
        targets: Iterable[ast.expr] = ()
        if isinstance(above, ast.Assign):
            targets = above.targets
        elif isinstance(above, ast.AnnAssign | ast.NamedExpr | ast.AugAssign):
            targets = (above.target,)
        return any(self._stored(module, target, depth) for target in targets)

    def _with(self, module: Module, at: _At, depth: int) -> bool:
        target = at[1].optional_vars if isinstance(at[1], ast.withitem) else None
        return target is not None and self._stored(module, target, depth)

    def _stored(self, module: Module, target: ast.expr, depth: int) -> bool:
        """Return whether the order counts for a variable that is given a sequence."""
        if isinstance(target, ast.Tuple):
            return any(self._stored(module, item, depth) for item in target.elts)
        return self._held(module, target, depth, target.lineno)

    def _held(self, module: Module, holder: ast.expr, depth: int, since: int = 0) -> bool:
        """Return whether the order counts for what holds a sequence, from some line on."""
        uses = uses_of(module, holder)
        if is_sorted(module, uses):
            return False
        if isinstance(holder, ast.Attribute):
            # Others may read it: an attribute of another object, or one that its class only sets.
            own = {"append", "extend", "insert"}
            read = [use for use in uses if getattr(module.parents[use], "attr", "") not in own]
            return not read or any(self.counts(module, use, depth) for use in read)
        return any(self.counts(module, use, depth) for use in uses if use.lineno >= since)


def _last(module: Module, call: ast.Call) -> str:
    return tail(module.dotted(call.func)).lower()


def _places(node: ast.AST, counters: set[str]) -> bool:
    """Return whether a node in a loop makes a place in the order a value, or joins texts."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        return _has_counter(node.value, counters)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return isinstance(node.value, ast.List | ast.JoinedStr) or _reads(node.value)
    return False


def _has_counter(value: ast.expr, counters: set[str]) -> bool:
    """Return whether a value is a place in an order: `len(vocab)`, or a counter of the loop."""
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and node.id in counters:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
            return True
    return False


def _reads(value: ast.expr) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _READS
        for node in ast.walk(value)
    )
