"""The interpreter named by --python: is it one, and around which environment does it lie?"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mlbom.collect.environment.sitefiles import read_head
from mlbom.errors import InspectedPythonError, PathNotFoundError, UnreadableError

_HEAD = 4096
_BINARY_FOLDERS = ("bin", "scripts")
_PYTHON_NAME = re.compile(r"(?:python|pypy)[0-9.]*t?(?:\.exe)?", re.IGNORECASE)
_VERSION_NAME = re.compile(r"[\w.+-]+")


def check_interpreter(named: Path, project_root: Path) -> None:
    """Refuse what is no interpreter and no environment. Nothing is started to find out.

    Args:
        named: what the user gave: an executable, or the root folder of an environment.
        project_root: where version files of pyenv are looked for.

    Raises:
        PathNotFoundError: there is no such file.
        InspectedPythonError: a script, or a folder that is no environment. The hint names the real
            binary when it can be told.
    """
    # A link whose target is gone still lies in an environment whose files can be read.
    if not os.path.lexists(named):
        hint = ""
        if named.name == str(named):
            import shutil

            elsewhere = shutil.which(named.name)
            hint = f"name it with its path: {elsewhere}" if elsewhere else ""
        message = f"there is no interpreter {named}"
        raise PathNotFoundError(message, hint=hint)
    if os.path.isdir(named):
        if not is_prefix(named):
            message = f"{named} is a folder, but not the root of a Python environment"
            raise InspectedPythonError(message)
        return
    try:
        head = read_head(named, _HEAD, named.name) or b""
    except UnreadableError as error:
        message = f"{named} is no Python executable: {error}"
        raise InspectedPythonError(message) from error
    if head.startswith(b"#!"):
        real = next(_real_binaries(named, head, project_root), None)
        message = f"{named} is a script, not the Python executable itself"
        hint = f"name the real binary: {real}" if real else ""
        raise InspectedPythonError(message, hint=hint)


def is_prefix(folder: Path) -> bool:
    """Return whether a folder is the root of a virtual, conda or plain installation."""
    if os.path.isfile(folder / "pyvenv.cfg") or os.path.isdir(folder / "conda-meta"):
        return True
    places = [*folder.glob("lib/py*3*/*-packages"), folder / "Lib" / "site-packages"]
    return any(os.path.isdir(place) for place in places)


def prefix_of(executable: Path) -> Path:
    """Return the root of the environment that an executable belongs to.

    A virtual environment is known by pyvenv.cfg beside the executable or one folder above, before
    any link is followed (PEP 405); only then is the executable's link resolved, as Python does.
    """
    executable = executable.absolute()
    for folder in (executable.parent, executable.parent.parent):
        if os.path.isfile(folder / "pyvenv.cfg"):
            return folder
    if os.path.isdir(executable.parent.parent / "conda-meta"):
        return executable.parent.parent
    real = Path(os.path.realpath(executable))
    return real.parent.parent if real.parent.name.lower() in _BINARY_FOLDERS else real.parent


def _real_binaries(script: Path, head: bytes, project_root: Path) -> Iterator[Path]:
    """Yield the interpreters that a launcher script may stand for, those that exist.

    A console script names its interpreter in the first line; a pyenv shim asks version files.
    """
    line = head[2:].split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    shebang = Path(line.split(" ")[0])
    if _PYTHON_NAME.fullmatch(shebang.name) and os.path.isfile(shebang):
        yield shebang
    if script.parent.name != "shims":
        return
    root = script.absolute().parent.parent
    for version_file in (project_root / ".python-version", root / "version"):
        for version in _named_versions(version_file):
            binary = root / "versions" / version / "bin" / script.name
            if os.path.isfile(binary):
                yield binary


def _named_versions(version_file: Path) -> list[str]:
    try:
        data = read_head(version_file, _HEAD, version_file.name) or b""
    except UnreadableError:
        return []
    words = data.decode("utf-8", errors="replace").split()
    return [w for w in words if _VERSION_NAME.fullmatch(w) and not w.startswith(".")]
