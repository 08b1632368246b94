"""The modules that hold what is trained: names of parameters, and buffers.

The program hands its modules to nobody, so they are looked for among all objects, once for each
optimizer and at the end. Objects are asked for their type alone: to ask for their class would wake
up lazy ones.
"""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import gc
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def root_modules() -> "list[Any]":
    """Return the modules that are part of no other module."""
    base = sys.modules["torch"].nn.Module
    kinds: dict[type, bool] = {}
    found = []
    for thing in gc.get_objects():
        kind = type(thing)
        is_module = kinds.get(kind)
        if is_module is None:
            is_module = kinds[kind] = base in kind.__mro__
        if is_module and "_modules" in thing.__dict__:
            found.append(thing)
    parts = {id(part) for module in found for part in module._modules.values()}
    # A module that is part of itself, in a circle, is no root; that is an error of the program.
    return [module for module in found if id(module) not in parts]


def _inside(root: "Any") -> "Iterator[tuple[str, Any]]":
    """Yield each module below a root with its name, once."""
    seen: set[int] = set()
    waiting = [("", root)]
    while waiting:
        name, module = waiting.pop()
        if id(module) in seen or module is None:
            continue
        seen.add(id(module))
        yield name, module
        for part, below in reversed(list(module._modules.items())):
            waiting.append((name + "." + part if name else part, below))


def parameters(root: "Any") -> "Iterator[tuple[str, Any]]":
    """Yield the parameters below a root with their names, one that is shared under each."""
    for name, module in _inside(root):
        for part, parameter in _own(module, "parameters").items():
            if parameter is not None:
                yield (name + "." + part if name else part), parameter


def _own(module: "Any", kind: str) -> "dict[str, Any]":
    """Return the parameters or the buffers of one module, without those below it."""
    found = module.__dict__.get("_" + kind)
    if isinstance(found, dict):
        return found
    # A scripted module keeps them elsewhere, and hands out new tensors for them each time.
    named = getattr(module, "named_" + kind)
    return dict(named(recurse=False))


class Buffers:
    """The buffers of the modules below one root, looked up again at each step."""

    def __init__(self, root: "Any") -> None:
        self._places = [
            (weakref.ref(module), part)
            for _, module in _inside(root)
            for part in sorted(_own(module, "buffers"))
        ]

    def tensors(self) -> "list[Any]":
        """Return the buffers as they are now, None for one that is gone."""
        found = []
        for reference, part in self._places:
            module = reference()
            found.append(None if module is None else _own(module, "buffers").get(part))
        return found

    def __bool__(self) -> bool:
        return bool(self._places)


class Holders:
    """The root modules that hold the parameters of one optimizer.

    Args:
        trained: those parameters.

    Attributes:
        names: one for each of them; `param.N` for one that no module holds. Of several names that
            a parameter has the shortest, so that it does not hang on the order of the objects.
        buffers: of each root that has any.
    """

    def __init__(self, trained: "list[Any]") -> None:
        wanted = {id(parameter) for parameter in trained}
        names: dict[int, tuple[int, str]] = {}
        self.buffers: list[Buffers] = []
        for root in root_modules():
            held = [(id(one), name) for name, one in parameters(root) if id(one) in wanted]
            for key, name in held:
                names[key] = min(names.get(key, (len(name), name)), (len(name), name))
            found = Buffers(root) if held else None
            if found:
                self.buffers.append(found)
        self.names = [
            names[id(parameter)][1] if id(parameter) in names else "param." + str(number)
            for number, parameter in enumerate(trained)
        ]
