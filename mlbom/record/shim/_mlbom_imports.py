"""Runs a function of the recorder once a certain module has been imported.

The spec and its loader stay the ones that Python found; only `exec_module` of that one loader is
replaced until it has run. So `__spec__`, `__loader__`, resources and sources are as they were.
"""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import sys

from _mlbom_trace import GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


class AfterImport:
    """A finder that finds nothing of its own.

    Args:
        folder: of the recorder's modules.
        table: name of a module -> "module:function" of the recorder.
    """

    def __init__(self, folder: str, table: "dict[str, str]") -> None:
        self._folder = folder
        self._table = table
        self._busy: set[str] = set()

    def install(self) -> None:
        """Stand before all other finders; see to what is there already."""
        sys.meta_path.insert(0, self)
        for name in [name for name in self._table if name in sys.modules]:
            self._run(name, sys.modules[name])

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Return what the other finders find, prepared, for the modules of the table."""
        if name not in self._table or name in self._busy:
            return None
        self._busy.add(name)
        spec = None
        with GUARD:
            spec = self._find(name, path, target)
        self._busy.discard(name)
        return spec

    def _find(self, name: str, path: "Any", target: "Any") -> "Any":
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._prepare(spec)
                return spec
        return None

    def _prepare(self, spec: "Any") -> None:
        loader, name = spec.loader, spec.name
        # A class as its own loader (built-in modules) serves every module: it is left alone.
        if isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return
        original = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            loader.__dict__.pop("exec_module", None)
            original(module)
            self._run(name, module)

        loader.exec_module = exec_module

    def _run(self, name: str, module: "ModuleType") -> None:
        with GUARD:
            # A package may import a native module of its own name first: that one was seen to.
            where, _, function = self._table.pop(name, "").partition(":")
            if where:
                getattr(load(self._folder, where), function)(module)


def load(folder: str, name: str) -> "Any":
    """Import a module of the recorder, also where a program has rebuilt sys.path.

    Args:
        folder: of the recorder's modules.
        name: of the module.
    """
    if folder in sys.path or name in sys.modules:
        return __import__(name)
    sys.path.insert(0, folder)
    try:
        return __import__(name)
    finally:
        sys.path.remove(folder)
