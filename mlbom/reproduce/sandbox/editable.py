"""Packages that an environment imports from the user's own work tree (`pip install -e .`).

A training that runs again must import them from its copy, or it would run code of another commit.
Sources: site module (`.pth` files), PEP 660; setuptools writes `__editable___NAME_finder.py`.
"""

import ast
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from mlbom.errors import LimitError
from mlbom.openfile import read_regular
from mlbom.reproduce.sandbox.plan import SandboxPlan

_LARGEST = 1024 * 1024
_PYTHONS = ("python", "python3")


def find_editable(plan: SandboxPlan, variables: Mapping[str, str], old: Path) -> list[str]:
    """Return the folders below a work tree that the command's environment imports from.

    Args:
        plan: what is run.
        variables: of the command, its PATH above all.
        old: the work tree.
    """
    found: dict[str, None] = {}
    for site in _sites(plan, variables):
        for path in sorted(site.glob("*.pth")):
            found |= dict.fromkeys(_lines(path))
        for path in sorted(site.glob("__editable__*_finder.py")):
            found |= dict.fromkeys(_mapped(path))
    inside = [os.path.realpath(path) for path in found if os.path.isabs(path)]
    return [path for path in inside if Path(path).is_relative_to(old) and os.path.isdir(path)]


def _sites(plan: SandboxPlan, variables: Mapping[str, str]) -> Iterator[Path]:
    """Yield the site-packages of the interpreters that the command may start."""
    search = variables.get("PATH", os.defpath)
    started = (os.fspath(plan.python or plan.command[0]),)
    programs = [shutil.which(name, path=search) for name in (*started, *_PYTHONS)]
    prefixes = dict.fromkeys(Path(program).parent.parent for program in programs if program)
    for prefix in prefixes:
        yield from sorted(prefix.glob("lib/python3*/site-packages"))


def _lines(path: Path) -> Iterator[str]:
    for line in _read(path).splitlines():
        if line.strip() and not line.startswith(("#", "import ", "import\t")):
            yield os.path.join(path.parent, line.strip())


def _mapped(path: Path) -> Iterator[str]:
    """Yield the folders that hold the packages of a finder: `MAPPING = {'name': '/path/name'}`."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.parse(_read(path)).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id == "MAPPING" for t in targets):
                    places = ast.literal_eval(node.value).values()
                    yield from (os.path.dirname(place) for place in places)


def _read(path: Path) -> str:
    try:
        return read_regular(path, _LARGEST, path.name).decode("utf-8", "replace")
    except (OSError, LimitError):
        return ""
