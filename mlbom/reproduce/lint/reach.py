"""Which files of a project a training can reach: from its script by imports, else all of them."""

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mlbom.reproduce.lint.source import UnreadableSourceError, read_source

MOST_FILES = 2000
_DEEPEST = 12
# Folders that hold other people's code, or none.
_FOREIGN = frozenset(
    """__pycache__ node_modules site-packages venv env build dist mlbom-out tests test""".split()
)
_SUFFIXES = (".py", ".ipynb")


def entry_script(command: Sequence[str], root: Path, folder: str = ".") -> str:
    """Return the script of a command, POSIX, relative to the project, or an empty text.

    Args:
        command: argv: `python train.py`, `torchrun --nproc-per-node 2 train.py`,
            `python -m package.train`, `./train.py`.
        root: of the project, absolute.
        folder: where it runs, relative to the project.
    """
    for place, word in enumerate(command):
        if word.endswith(_SUFFIXES):
            found = _inside(root, folder, word)
        elif place and command[place - 1] == "-m":
            path = word.replace(".", "/")
            found = _inside(root, folder, f"{path}.py") or _inside(
                root, folder, f"{path}/__main__.py"
            )
        else:
            found = ""
        if found:
            return found
    return ""


def _inside(root: Path, folder: str, name: str) -> str:
    path = os.path.normpath(os.path.join(root, folder, name))
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    return relative if os.path.isfile(path) and not relative.startswith("../") else ""


def reachable(root: Path, entry: str) -> tuple[str, ...]:
    """Return the files of a project that a script imports, directly or not, and itself.

    Args:
        root: of the project, absolute.
        entry: of `entry_script`; an empty text stands for an unknown one, and gives all files.

    Returns:
        Paths, POSIX, relative to the project, sorted; at most 2000. Files that cannot be parsed are
        among them: `lint_project` says so.
    """
    if not entry:
        return project_files(root)
    bases = _bases(entry)
    found = {entry}
    waiting = [entry]
    while waiting and len(found) < MOST_FILES:
        path = waiting.pop()
        for module in _imports(root, path):
            for target in _resolve(root, module, (str(PurePosixPath(path).parent), *bases)):
                if target not in found:
                    found.add(target)
                    waiting.append(target)
    return tuple(sorted(found))


def project_files(root: Path) -> tuple[str, ...]:
    """Return the Python files of a project but for tests, hidden and foreign folders; sorted."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        depth = relative.count("/") + 1
        is_venv = "pyvenv.cfg" in names
        folders[:] = (
            []
            if depth >= _DEEPEST or is_venv
            else sorted(n for n in folders if n not in _FOREIGN and not n.startswith("."))
        )
        if is_venv:
            continue
        prefix = "" if relative == "." else f"{relative}/"
        found += [prefix + name for name in names if name.endswith(".py")]
        if len(found) >= MOST_FILES:
            break
    return tuple(sorted(found)[:MOST_FILES])


def _bases(entry: str) -> tuple[str, ...]:
    """Return the folders that imports are looked up in: the script's, the project's, and src."""
    return tuple(dict.fromkeys((str(PurePosixPath(entry).parent), ".", "src")))


def _imports(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """Yield (level, dotted name) of each import of a file; nothing when it cannot be read."""
    try:
        tree = read_source(root, path).tree
    except UnreadableSourceError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield node.level, base
            for alias in node.names:
                yield node.level, f"{base}.{alias.name}" if base else alias.name


def _resolve(root: Path, module: tuple[int, str], folders: tuple[str, ...]) -> Iterator[str]:
    """Yield the files that an import runs: the module, and each package above it."""
    level, name = module
    here, *bases = folders
    if level:
        parents = (PurePosixPath(here), *PurePosixPath(here).parents)
        if level > len(parents):
            return
        bases = [str(parents[level - 1])]
    parts = [part for part in name.split(".") if part]
    for base in bases:
        found = list(_files(root, base, parts))
        if found:
            yield from found
            return


def _files(root: Path, base: str, parts: list[str]) -> Iterator[str]:
    for count in range(len(parts) + 1):
        path = PurePosixPath(base, *parts[:count])
        candidates = [path / "__init__.py"]
        if count == len(parts) and count:
            candidates.append(path.parent / f"{path.name}.py")
        for candidate in candidates:
            is_base = count == 0
            if not is_base and (root / candidate).is_file():
                yield str(candidate)
