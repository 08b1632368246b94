"""What a rule is, what it reads, and what it yields."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.values import CauseKind


class Hit(NamedTuple):
    """A place that a rule does not like.

    Args:
        module: the file.
        node: the place in it.
        message: what is wrong there, one sentence without its full stop.
    """

    module: Module
    node: ast.expr | ast.stmt
    message: str


class Project:
    """The files that are linted together: a seed set in one of them counts in all.

    Args:
        modules: each file, indexed.
    """

    def __init__(self, modules: Sequence[Module]) -> None:
        self.modules = tuple(modules)

    def calls(self) -> Iterator[tuple[Module, str, ast.Call]]:
        """Yield every call: its file, its dotted name, the call."""
        for module in self.modules:
            for name, call in module.calls:
                yield module, name, call

    @cached_property
    def calls_by_tail(self) -> dict[str, list[tuple[Module, ast.Call]]]:
        """Return the calls by the last part of their names."""
        found: dict[str, list[tuple[Module, ast.Call]]] = {}
        for module, name, call in self.calls():
            found.setdefault(name.rpartition(".")[2], []).append((module, call))
        return found

    @cached_property
    def functions(self) -> frozenset[str]:
        """Return the names of all functions that the project defines."""
        return frozenset(name for module in self.modules for name in module.functions)

    @cached_property
    def called(self) -> frozenset[str]:
        """Return the dotted names of all calls."""
        return frozenset(name for _, name, _ in self.calls())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that makes, or can make, two trainings differ.

    Args:
        name: `set-order`.
        kind: what it would show as.
        fix: what to write instead.
        find: yields the places.
    """

    name: str
    kind: CauseKind
    fix: str
    find: Callable[[Project], Iterator[Hit]]


def tail(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument, or None; an explicit `None` counts as absent."""
    for given in call.keywords:
        if given.arg == name and not is_none(given.value):
            return given.value
    return None


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """Return an argument by its place or its name, or None; an explicit `None` counts as absent."""
    if place < len(call.args) and not is_none(call.args[place]):
        return call.args[place]
    return keyword(call, name)


def has_stars(call: ast.Call) -> bool:
    """Return whether a call passes `*args` or `**kwargs`, of which nothing can be told."""
    starred = any(isinstance(given, ast.Starred) for given in call.args)
    return starred or any(given.arg is None for given in call.keywords)


def is_none(node: ast.expr) -> bool:
    """Return whether an expression is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def constant(module: Module, node: ast.expr | None) -> object:
    """Return the value of a constant, also through a name that is assigned once, or None."""
    if isinstance(node, ast.Name):
        values = module.values_of(node)
        node = values[0] if len(values) == 1 else None
    return node.value if isinstance(node, ast.Constant) else None
