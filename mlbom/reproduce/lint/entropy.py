"""What differs each time a program runs: clocks, process ids, the system's entropy, addresses."""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.module import Module

CLOCKS = frozenset(
    """time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic
    time.monotonic_ns time.process_time datetime.datetime.now datetime.datetime.utcnow
    datetime.datetime.today datetime.date.today datetime.now""".split()
)
ENTROPY = frozenset(
    """os.getpid os.getppid os.urandom os.times uuid.uuid1 uuid.uuid4 secrets.randbits
    secrets.randbelow secrets.token_bytes secrets.token_hex secrets.choice torch.seed
    torch.random.seed threading.get_ident random.SystemRandom().randint
    random.SystemRandom().random random.SystemRandom().getrandbits id""".split()
)
_DEEPEST = 4


def entropy_in(module: Module, node: ast.expr, depth: int = 0) -> str:
    """Return what in an expression differs each time, as `time.time`, or an empty text.

    A name is followed to its values when all of them differ. What stands in one branch of a choice
    (`seed or time.time()`) is left alone: which branch runs cannot be told.
    """
    key = ("entropy", node)
    if key not in module.known:
        module.known[key] = ""  # while it is being looked at
        module.known[key] = next(filter(None, _told_in(module, node, depth)), "")
    return str(module.known[key])


def _told_in(module: Module, whole: ast.expr, depth: int) -> Iterator[str]:
    """Yield what each part of an expression tells."""
    waiting: list[ast.AST] = [whole]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.IfExp | ast.BoolOp | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield _source(module, node)
        elif isinstance(node, ast.Name) and depth < _DEEPEST:
            values = module.values_of(node)
            found = [v is not None and entropy_in(module, v, depth + 1) for v in values]
            yield str(found[0]) if found and all(found) else ""
        waiting += ast.iter_child_nodes(node)


def _source(module: Module, call: ast.Call) -> str:
    name = module.dotted(call.func)
    if name in CLOCKS or name in ENTROPY:
        return name
    if name == "hash" and call.args and not is_fixed_hash(call.args[0]):
        return "hash() of a text"
    return ""


def is_fixed_hash(node: ast.expr) -> bool:
    """Return whether a value is surely made of numbers, whose hash never changes."""
    if isinstance(node, ast.Tuple):
        return all(is_fixed_hash(item) for item in node.elts)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"int", "float", "len"}
