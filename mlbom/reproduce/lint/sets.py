"""Which expressions are sets whose order can differ from one process to the next.

Strings hash differently in each process (PYTHONHASHSEED), numbers do not: a set of numbers keeps
its order and is left alone.
"""

import ast
from collections.abc import Callable
from typing import Any

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import tail

_DEEPEST = 8
_ALGEBRA = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
# Calls that yield numbers, whose hash is fixed.
_NUMBERS = frozenset({"int", "len", "ord", "range", "float", "round", "randint", "arange", "item"})


def is_set(module: Module, node: ast.expr | None, depth: int = 0) -> bool:
    """Return whether an expression is a set of other things than numbers, as far as can be told."""
    known = _KINDS.get(type(node))
    if node is None or known is None or depth > _DEEPEST:
        return False
    key = ("set", node)
    if key not in module.known:
        module.known[key] = False  # while it is being looked at
        module.known[key] = known(module, node, depth + 1)
    return bool(module.known[key])


def _display(_: Module, node: ast.Set, __: int) -> bool:
    return not all(_is_number(item) for item in node.elts)


def _comprehension(_: Module, node: ast.SetComp, __: int) -> bool:
    return not _is_number(node.elt)


def _call(module: Module, node: ast.Call, depth: int) -> bool:
    name = module.dotted(node.func)
    if name in {"set", "frozenset"}:
        return not (node.args and _holds_numbers(node.args[0]))
    if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
        is_class = name.startswith(("set.", "frozenset."))
        return is_class or is_set(module, node.func.value, depth)
    return _returns_set(module, name, depth)


def _returns_set(module: Module, name: str, depth: int) -> bool:
    """Return whether a function of this file returns nothing but sets."""
    functions = module.functions.get(name.removeprefix("self."), ())
    if len(functions) != 1:
        return False
    key = ("returns set", functions[0])
    if key not in module.known:
        module.known[key] = False
        returns = [
            node
            for node in ast.walk(functions[0])
            if isinstance(node, ast.Return) and module.function_of(node) is functions[0]
        ]
        are_sets = (is_set(module, node.value, depth) for node in returns)
        module.known[key] = bool(returns) and all(are_sets)
    return bool(module.known[key])


def _algebra(module: Module, node: ast.BinOp, depth: int) -> bool:
    if not isinstance(node.op, _ALGEBRA):
        return False
    return any(_is_keys(module, side) or is_set(module, side, depth) for side in _sides(node))


def _sides(node: ast.BinOp) -> tuple[ast.expr, ...]:
    return (node.left,) if isinstance(node.op, ast.Sub) else (node.left, node.right)


def _is_keys(module: Module, node: ast.expr) -> bool:
    """Return whether it is `d.keys()`, with which set algebra gives a set."""
    return isinstance(node, ast.Call) and tail(module.dotted(node.func)) == "keys"


def _name(module: Module, node: ast.Name, depth: int) -> bool:
    values = module.values_of(node)
    return bool(values) and all(is_set(module, value, depth) for value in values)


def _attribute(module: Module, node: ast.Attribute, depth: int) -> bool:
    """Return whether every value that `self.x` gets in its class is a set."""
    if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
        return False
    values = []
    for kin in module.kin_of(node):
        above = module.parents.get(kin)
        if isinstance(kin.ctx, ast.Store) and not isinstance(above, ast.AugAssign):
            values.append(above.value if isinstance(above, ast.Assign | ast.AnnAssign) else None)
    return bool(values) and all(is_set(module, value, depth) for value in values)


def _choice(module: Module, node: ast.IfExp, depth: int) -> bool:
    return is_set(module, node.body, depth) or is_set(module, node.orelse, depth)


def _either(module: Module, node: ast.BoolOp, depth: int) -> bool:
    return any(is_set(module, value, depth) for value in node.values)


_KINDS: dict[type[ast.AST] | type[None], Callable[[Module, Any, int], bool]] = {
    ast.Set: _display,
    ast.SetComp: _comprehension,
    ast.Call: _call,
    ast.BinOp: _algebra,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.IfExp: _choice,
    ast.BoolOp: _either,
}


def _holds_numbers(node: ast.expr) -> bool:
    """Return whether an iterable holds nothing but numbers, as far as can be told."""
    match node:
        case ast.List() | ast.Tuple() | ast.Set():
            return all(_is_number(item) for item in node.elts)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
            return _is_number(node.elt)
        case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id=function), *_]):
            return function in _NUMBERS
        case _:
            return _is_number(node)


def _is_number(node: ast.expr, depth: int = 0) -> bool:
    match node:
        case _ if depth > _DEEPEST:
            known = False
        case ast.Constant(value=value):
            known = isinstance(value, int | float)
        case ast.UnaryOp(operand=operand):
            known = _is_number(operand, depth + 1)
        case ast.BinOp(left=left, right=right):
            known = _is_number(left, depth + 1) or _is_number(right, depth + 1)
        case ast.Tuple(elts=items):
            known = all(_is_number(item, depth + 1) for item in items)
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            known = name in _NUMBERS
        case _:
            known = False
    return known
