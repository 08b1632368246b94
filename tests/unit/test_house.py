"""The laws of the house that no other tool checks."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from mlbom.collect.registry import COLLECTORS
from mlbom.collect.trackers.reading import READERS as TRACKER_READERS
from mlbom.digest.engine import ENGINES
from mlbom.formats.weights import READERS
from mlbom.render.registry import RENDERERS
from mlbom.sign.signer import SIGNERS

PACKAGE = Path(__file__).parents[2] / "mlbom"
MODULES = sorted(PACKAGE.rglob("*.py"))
TABLES = (
    *COLLECTORS,
    *RENDERERS,
    *READERS,
    *TRACKER_READERS,
    *SIGNERS.values(),
    *ENGINES.values(),
)


@pytest.mark.parametrize("entry", TABLES)
def test_every_line_of_every_table_names_something(entry: str) -> None:
    module, _, name = entry.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("entry", COLLECTORS)
def test_a_collector_has_a_name_of_its_own(entry: str) -> None:
    module, _, name = entry.partition(":")
    names = [
        getattr(import_module(m), n).name for m, _, n in (e.partition(":") for e in COLLECTORS)
    ]
    assert names.count(getattr(import_module(module), name).name) == 1


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_modules_and_functions_stay_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert source.count("\n") <= 300
    assert ast.get_docstring(tree)
    assert source.startswith('"""')
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node) else None
            lines = (node.end_lineno or 0) - node.lineno + 1
            if docstring:
                lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
            assert lines <= 40, f"{node.name} has {lines} lines"


def test_collectors_speak_only_through_their_witness() -> None:
    for path in (PACKAGE / "collect").rglob("*.py"):
        if path.name == "scope.py":
            continue
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"Observation", "Gap", "open"}, path.name


def test_a_broad_except_stands_only_in_the_collector_loop() -> None:
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                name = node.type.id if isinstance(node.type, ast.Name) else ""
                if node.type is None or name in ("Exception", "BaseException"):
                    found.append(path.relative_to(PACKAGE).as_posix())
    assert found == ["collect/registry.py"]


def test_library_code_never_prints_exits_or_prompts() -> None:
    for path in MODULES:
        if "cli" in path.parts or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "input", "exit", "quit"), path.name
