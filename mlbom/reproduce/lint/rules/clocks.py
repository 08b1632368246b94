"""Rules about values that differ each time: the hash of a text, an address, the clock."""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.entropy import CLOCKS, ENTROPY, entropy_in, is_fixed_hash
from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Hit, Project, Rule, keyword, tail
from mlbom.reproduce.lint.uses import is_told
from mlbom.reproduce.values import CauseKind

_NUMBERS = (ast.Mod, ast.BitAnd, ast.FloorDiv, ast.RShift, ast.BitXor)
_TENSORS = frozenset(
    "torch." + name for name in "tensor as_tensor full full_like scalar_tensor Tensor".split()
) | frozenset("numpy." + name for name in "array asarray full full_like".split())
_TRAINS = frozenset("backward step fit train train_step train_one_epoch".split())
_ORDERS = frozenset({"sorted", "sort", "min", "max"})


def hash_value(project: Project) -> Iterator[Hit]:
    """Yield where `hash()` of a text, or `id()`, becomes a number that decides something."""
    for module, name, call in project.calls():
        if name in {"hash", "id"} and call.args and _decides(module, call):
            if name == "id" or not is_fixed_hash(call.args[0]):
                yield Hit(module, call, f"{name}() of the same thing differs in each process")
        elif tail(name) in _ORDERS:
            key = keyword(call, "key")
            if isinstance(key, ast.Name) and key.id in {"hash", "id"}:
                yield Hit(module, call, f"{key.id}() decides an order, and differs in each process")


def _decides(module: Module, call: ast.Call) -> bool:
    """Return whether a hash is taken modulo something, or goes into a tensor."""
    is_number = False
    for above in module.ancestors(call):
        if isinstance(above, ast.BinOp) and isinstance(above.op, _NUMBERS):
            is_number = True
        if isinstance(above, ast.Call) and module.dotted(above.func) in _TENSORS:
            return True
        if isinstance(above, ast.Call) and tail(module.dotted(above.func)) == "sleep":
            return False
        if isinstance(above, ast.stmt):
            break
    return is_number and not _in_dunder(module, call) and not is_told(module, call)


def _in_dunder(module: Module, node: ast.AST) -> bool:
    function = module.function_of(node)
    return function is not None and function.name in {"__hash__", "__repr__"}


def clock_value(project: Project) -> Iterator[Hit]:
    """Yield where the clock, a process id or entropy goes into a tensor or is taken modulo."""
    known = CLOCKS | ENTROPY - {"id"}
    for module, name, call in project.calls():
        if name in known and _decides(module, call) and not _goes_into_seed(module, call):
            yield Hit(
                module, call, f"{name} gives another value each time, and it is computed with"
            )


def _goes_into_seed(module: Module, node: ast.AST) -> bool:
    """Return whether a value is part of a seed: that is told by another rule."""
    for above in module.ancestors(node):
        match above:
            case ast.Call(func=function):
                name = tail(module.dotted(function))
            case ast.keyword(arg=str(name)) | ast.Assign(targets=[ast.Name(id=name), *_]):
                pass
            case ast.Assign(targets=[ast.Attribute(attr=name), *_]):
                pass
            case _:
                continue
        if "seed" in name.lower():
            return True
    return False


def clock_loop(project: Project) -> Iterator[Hit]:
    """Yield loops that end when a time is over: a faster machine makes more steps."""
    message = "the clock decides when this loop ends, so the number of steps differs"
    for module in project.modules:
        for node in module.parents:
            if isinstance(node, ast.While):
                if entropy_in(module, node.test) in CLOCKS and _works(module, node):
                    yield Hit(module, node, message)
            elif isinstance(node, ast.If) and _leaves_training(module, node):
                yield Hit(module, node, message)


def _leaves_training(module: Module, node: ast.If) -> bool:
    """Return whether a test of the clock ends a loop that trains."""
    leaves = any(isinstance(statement, ast.Break | ast.Return) for statement in node.body)
    if not leaves or entropy_in(module, node.test) not in CLOCKS:
        return False
    return _learns_around(module, node)


def _learns_around(module: Module, node: ast.AST) -> bool:
    for above in module.ancestors(node):
        if isinstance(above, ast.For | ast.While):
            return _works(module, above)
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
    return False


def _works(module: Module, loop: ast.AST) -> bool:
    """Return whether a loop trains, and does not only wait for something."""
    key = ("works", loop)
    if key not in module.known:
        module.known[key] = any(
            isinstance(node, ast.Call) and tail(module.dotted(node.func)) in _TRAINS
            for node in ast.walk(loop)
        )
    return bool(module.known[key])


RULES = (
    Rule(
        name="hash-value",
        kind=CauseKind.HOST_DATA,
        fix="use hashlib, or zlib.crc32, of the encoded text",
        find=hash_value,
    ),
    Rule(
        name="clock-value",
        kind=CauseKind.HOST_DATA,
        fix="take the value from a configuration file",
        find=clock_value,
    ),
    Rule(
        name="clock-loop",
        kind=CauseKind.CONTROL_FLOW,
        fix="count steps instead of seconds",
        find=clock_loop,
    ),
)
