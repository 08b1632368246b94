"""A parsed file with what rules ask of it: who calls what, under which name, in which scope."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mlbom.reproduce.lint.source import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FRAMES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.Module,
    *COMPREHENSIONS,
)
# What `from x import *` of a project's own module usually brings along.
_USUAL = {
    "np": "numpy",
    "torch": "torch",
    "nn": "torch.nn",
    "F": "torch.nn.functional",
    "random": "random",
    "os": "os",
    "time": "time",
}
_DEEPEST = 12
_HIGHEST = 100


@dataclass(slots=True)
class Module:
    """One file, indexed in one walk over its tree.

    Args:
        source: the file.
        parents: node -> the node that holds it.
        frames: node -> the function, class, comprehension or file that it lies in.
        calls: every call with its dotted name, imports resolved: `numpy.random.seed`,
            `self.load`, `torch.Generator().manual_seed`.
        assignments: (target, value) of every assignment, in order of the walk.
        names: every use of a plain name, by name.
        attributes: every use of an attribute of `self`, by name.
        functions: every function, by name.
        classes: every class.
        loops: every `for`.
        aliases: name in this file -> dotted name that an import gave it.
        imports: (line, dotted name) of imports at the top level.
        tails: the last parts of the names of all calls.
        known: what rules found out and would else find out again and again.
    """

    source: Source
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    frames: dict[ast.AST, ast.AST] = field(default_factory=dict)
    calls: list[tuple[str, ast.Call]] = field(default_factory=list)
    assignments: list[tuple[ast.expr, ast.expr]] = field(default_factory=list)
    names: dict[str, list[ast.Name]] = field(default_factory=dict)
    attributes: dict[str, list[ast.Attribute]] = field(default_factory=dict)
    functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = field(default_factory=dict)
    classes: list[ast.ClassDef] = field(default_factory=list)
    loops: list[ast.For | ast.AsyncFor] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    imports: list[tuple[int, str]] = field(default_factory=list)
    tails: set[str] = field(default_factory=set)
    known: dict[tuple[str, ast.AST], Any] = field(default_factory=dict)
    _loads: dict[str, dict[ast.AST, list[ast.Name]]] = field(default_factory=dict)
    _bound: dict[tuple[ast.AST, str], list[ast.expr | None]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Return the path of the file, relative to the project."""
        return self.source.path

    def dotted(self, node: ast.AST, depth: int = 0) -> str:
        """Return the dotted name of an expression, imports resolved, or an empty text."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        if depth > _DEEPEST:
            return ""
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value, depth + 1)
            return f"{before}.{node.attr}" if before else f"?.{node.attr}"
        if isinstance(node, ast.Call):
            before = self.dotted(node.func, depth + 1)
            return f"{before}()" if before else ""
        return ""

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what holds a node, the innermost first, as far as 100 levels up."""
        above = self.parents.get(node)
        for _ in range(_HIGHEST):
            if above is None:
                return
            yield above
            above = self.parents.get(above)

    def frames_of(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the functions, classes and comprehensions that a node lies in, and the file."""
        frame = self.frames.get(node)
        while frame is not None:
            yield frame
            frame = self.frames.get(frame)

    def function_of(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """Return the function that a node lies in, or None at the top level."""
        for frame in self.frames_of(node):
            if isinstance(frame, ast.FunctionDef | ast.AsyncFunctionDef):
                return frame
        return None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the class that a node lies in, or None."""
        return next((up for up in self.frames_of(node) if isinstance(up, ast.ClassDef)), None)

    def scope_of(self, name: ast.Name) -> ast.AST:
        """Return the scope that binds a name where it is used; the file when none is seen."""
        for frame in self.frames_of(name):
            if (frame, name.id) in self._bound:
                return frame
        return self.source.tree

    def values_of(self, name: ast.Name) -> list[ast.expr | None]:
        """Return what is assigned to a name where it is used; None for what cannot be told."""
        return self._bound.get((self.scope_of(name), name.id), [None])

    def loads_of(self, name: ast.Name) -> list[ast.Name]:
        """Return the places that read the variable which a name stands for."""
        if name.id not in self._loads:
            by_scope: dict[ast.AST, list[ast.Name]] = {}
            for other in self.names.get(name.id, ()):
                if isinstance(other.ctx, ast.Load):
                    by_scope.setdefault(self.scope_of(other), []).append(other)
            self._loads[name.id] = by_scope
        return self._loads[name.id].get(self.scope_of(name), [])

    def kin_of(self, attribute: ast.Attribute) -> list[ast.Attribute]:
        """Return all uses of one attribute of `self` in the class of this one."""
        if not (isinstance(attribute.value, ast.Name) and attribute.value.id in {"self", "cls"}):
            return []
        home = self.class_of(attribute)
        return [
            other
            for other in self.attributes.get(attribute.attr, ())
            if self.class_of(other) is home
        ]

    def bind(self, scope: ast.AST, name: str, value: ast.expr | None) -> None:
        """Note that a scope gives a name a value."""
        self._bound.setdefault((scope, name), []).append(value)


def index(source: Source) -> Module:
    """Walk over a tree once and note what rules ask for."""
    module = Module(source)
    nodes = _walk(module)
    for node in nodes:
        _note_import(module, node)
    if any(name.endswith(".*") for name in module.aliases.values()):
        module.aliases = {**_USUAL, **module.aliases}
    for node in nodes:
        note = _NOTES.get(type(node))
        if note is not None:
            note(module, node)
    return module


def _walk(module: Module) -> list[ast.AST]:
    """Return all nodes in the order of the text and fill in who holds whom."""
    nodes: list[ast.AST] = []
    stack: list[ast.AST] = [module.source.tree]
    parents, frames = module.parents, module.frames
    while stack:
        node = stack.pop()
        nodes.append(node)
        held: list[ast.AST] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                if value._fields:  # no field: an operator or a context
                    held.append(value)
            elif isinstance(value, list):
                held += [item for item in value if isinstance(item, ast.AST)]
        frame = node if isinstance(node, _FRAMES) else frames[node]
        for item in held:
            parents[item] = node
            frames[item] = frame
        held.reverse()
        stack += held
    return nodes


def _note_import(module: Module, node: ast.AST) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            module.aliases[alias.asname or name] = name
            _note_top(module, node, alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        for alias in node.names:
            name = f"{base}.{alias.name}" if node.module else base + alias.name
            module.aliases[alias.asname or alias.name] = name
        _note_top(module, node, base)


def _note_top(module: Module, node: ast.stmt, name: str) -> None:
    if isinstance(module.parents.get(node), ast.Module):
        module.imports.append((node.lineno, name))


def _note_call(module: Module, node: ast.Call) -> None:
    name = module.dotted(node.func)
    module.calls.append((name, node))
    module.tails.add(name.rpartition(".")[2])


def _note_name(module: Module, node: ast.Name) -> None:
    module.names.setdefault(node.id, []).append(node)
    # `x += y` keeps what x is.
    if isinstance(node.ctx, ast.Store) and not isinstance(module.parents[node], ast.AugAssign):
        module.bind(_binder(module, node), node.id, _assigned(module, node))


def _note_attribute(module: Module, node: ast.Attribute) -> None:
    if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
        module.attributes.setdefault(node.attr, []).append(node)


def _note_function(module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    module.functions.setdefault(node.name, []).append(node)
    _note_arguments(module, node)


def _note_arguments(module: Module, node: Function) -> None:
    told = node.args
    for argument in (*told.posonlyargs, *told.args, *told.kwonlyargs, told.vararg, told.kwarg):
        if argument is not None:
            module.bind(node, argument.arg, None)


def _note_assign(module: Module, node: ast.Assign) -> None:
    module.assignments += [(target, node.value) for target in node.targets]


def _note_value(module: Module, node: ast.AnnAssign | ast.NamedExpr | ast.AugAssign) -> None:
    if node.value is not None:
        module.assignments.append((node.target, node.value))


_NOTES: dict[type[ast.AST], Callable[[Module, Any], None]] = {
    ast.Call: _note_call,
    ast.Name: _note_name,
    ast.Attribute: _note_attribute,
    ast.FunctionDef: _note_function,
    ast.AsyncFunctionDef: _note_function,
    ast.Lambda: _note_arguments,
    ast.Assign: _note_assign,
    ast.AnnAssign: _note_value,
    ast.NamedExpr: _note_value,
    ast.AugAssign: _note_value,
    ast.ClassDef: lambda module, node: module.classes.append(node),
    ast.For: lambda module, node: module.loops.append(node),
    ast.AsyncFor: lambda module, node: module.loops.append(node),
}


def _binder(module: Module, name: ast.Name) -> ast.AST:
    """Return the scope in which a stored name lives: a comprehension's own, a function, the file.

    `global` and `nonlocal` are taken as a variable of the function: rules then see less, never
    more. A class is a scope for its own body only, and its names are rarely read there.
    """
    is_target = _is_target(module, name)
    for frame in module.frames_of(name):
        if isinstance(frame, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return frame
        if is_target and isinstance(frame, COMPREHENSIONS):
            return frame
    return module.source.tree


def _is_target(module: Module, name: ast.Name) -> bool:
    """Return whether a stored name is the variable of a comprehension."""
    above = module.parents.get(name)
    while isinstance(above, ast.Tuple | ast.List | ast.Starred):
        above = module.parents.get(above)
    return isinstance(above, ast.comprehension)


def _assigned(module: Module, name: ast.Name) -> ast.expr | None:
    """Return the value that a stored name gets, None when it is not told by one expression."""
    above = module.parents.get(name)
    return above.value if isinstance(above, ast.Assign | ast.AnnAssign | ast.NamedExpr) else None
