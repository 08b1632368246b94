"""Find the inspected Python environment and its site-packages; nothing of it is started.

A `.pth` file or `sitecustomize` of the inspected environment would run under every flag of its
interpreter except `-S`, so that interpreter is never asked: what `site.py` and `getpath.py` of
CPython would do is redone here from files alone (PEP 405 for virtual environments).
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.collect.environment.interpreter import check_interpreter, prefix_of
from mlbom.collect.environment.sitefiles import (
    host_platform,
    list_folder,
    read_bounded,
    wheel_platform,
)
from mlbom.collect.environment.sitepaths import import_paths
from mlbom.collect.scope import Scope
from mlbom.errors import InspectedPythonError, UnreadableError
from mlbom.evidence.observation import GapKind

# The role of the environment that is inspected now, as opposed to those of recorded runs.
RELEASE = "release"
# Folders in which environments of a project are kept by habit, the likeliest first.
_HABITUAL = (".venv", "venv", ".conda", "env")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_CONDA_PYTHON = re.compile(r"python-(\d+\.\d+\.\d+)-[^-]+\.json")
_LIBRARY = re.compile(r"(python|pypy)(3\.\d+)t?")
_PATCH_LEVEL = re.compile(rb'^#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An inspected environment, as far as its files tell.

    Args:
        prefix: its root folder.
        paths: folders that hold distributions, in import order.
        python_version: `3.11.7`, or `3.11` when no file tells the rest.
        implementation: `CPython` or `PyPy`.
        platform_tag: operating system and processor, for example `linux_x86_64`, `macosx_arm64`.
        found_by: `--python`, or the environment's path relative to the project root.
        remarks: what about it cannot be known from its files, each one sentence.
        role: what it is the environment of: release, train, eval, data or other.
    """

    prefix: Path
    paths: tuple[Path, ...]
    python_version: str
    implementation: str
    platform_tag: str
    found_by: str
    remarks: tuple[str, ...] = ()
    role: str = RELEASE

    @property
    def id(self) -> str:
        """Return the id of its `Environment`."""
        return environment_id(self.role)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSite:
    """No environment is inspected, and why: a gap for each collector that needed one."""

    reason: str
    kind: GapKind = GapKind.ABSENT


def environment_id(role: str) -> str:
    """Return the id of the environment of a role."""
    return f"env:{role}"


def find_site(scope: Scope) -> Site | NoSite:
    """Return the environment to inspect: the one named, else one in the project, else none.

    mlbom's own environment is read only when it is named.

    Raises:
        PathNotFoundError: the interpreter named by the user does not exist.
        InspectedPythonError: it is a script, or no environment lies around it.
    """
    if scope.python is not None:
        return _named(scope, scope.python)
    found = list(_habitual(scope))
    candidates = [prefix for prefix in found if not is_own(prefix)]
    if not candidates:
        if found:
            reason = f"{_relative(found[0], scope)} is the environment that mlbom itself runs in"
            return NoSite(reason=f"{reason}: name it with --python to have it inspected")
        places = ", ".join(_HABITUAL)
        return NoSite(reason=f"the project has no Python environment ({places}) and none was named")
    remarks = [
        f"the project has a further environment, {_relative(other, scope)}, which was not read"
        for other in candidates[1:]
    ]
    shown = _relative(candidates[0], scope)
    try:
        site = read_site(candidates[0], shown, remarks)
    except UnreadableError as error:
        return NoSite(reason=str(error), kind=GapKind.UNREADABLE)
    return site if site.paths else NoSite(reason=f"{shown} holds no site-packages")


def _named(scope: Scope, named: Path) -> Site | NoSite:
    check_interpreter(named, scope.project_root)
    prefix = named.absolute() if os.path.isdir(named) else prefix_of(named)
    remarks = []
    if is_own(prefix):
        remarks.append(
            "the environment named by --python is the one that mlbom itself runs in: which of its"
            " packages are there only for mlbom is not known"
        )
    try:
        site = read_site(prefix, "--python", remarks)
    except UnreadableError as error:
        return NoSite(reason=str(error), kind=GapKind.UNREADABLE)
    if not site.paths:
        message = f"no site-packages belong to {named}"
        raise InspectedPythonError(message, looked=[str(prefix / "lib"), str(prefix / "Lib")])
    return site


def _habitual(scope: Scope) -> Iterator[Path]:
    """Yield the environments in the project, those nearest to PATH first."""
    for folder in dict.fromkeys((scope.path, scope.project_root)):
        for name in _HABITUAL:
            prefix = folder / name
            if os.path.isfile(prefix / "pyvenv.cfg") or os.path.isdir(prefix / "conda-meta"):
                yield prefix


def is_own(prefix: Path) -> bool:
    """Return whether an environment is the one that mlbom itself runs in."""
    try:
        return os.path.samefile(prefix, sys.prefix)
    except OSError:
        return False


def _relative(prefix: Path, scope: Scope) -> str:
    root = scope.project_root if prefix.is_relative_to(scope.project_root) else prefix.parent
    return prefix.relative_to(root).as_posix()


def read_site(prefix: Path, found_by: str, remarks: list[str], role: str = RELEASE) -> Site:
    """Return the environment of a prefix, perhaps without any folder that holds distributions.

    Args:
        prefix: its root folder.
        found_by: how it was chosen; tells nothing of where it lies.
        remarks: what is already known to be unknown; it is added to.
        role: what it is the environment of.

    Raises:
        UnreadableError: pyvenv.cfg or a folder of packages is here and cannot be read.
    """
    settings = _settings(prefix)
    version, implementation = _version(prefix, settings)
    paths = import_paths(prefix, version, settings)
    platform = wheel_platform(paths.folders)
    if platform is None:
        platform = host_platform()
        remarks.append(
            "no installed wheel names the platform: markers were evaluated for the one of this host"
        )
    return Site(
        prefix=prefix,
        paths=paths.folders,
        python_version=version,
        implementation=implementation,
        platform_tag=platform,
        found_by=found_by,
        remarks=(*remarks, *paths.remarks),
        role=role,
    )


def _settings(prefix: Path) -> Mapping[str, str]:
    """Return the settings of pyvenv.cfg (PEP 405), or nothing for another kind of prefix.

    Raises:
        UnreadableError: the file is there and cannot be read.
    """
    data = read_bounded(prefix / "pyvenv.cfg", 64 * 1024, "pyvenv.cfg")
    lines = (data or b"").decode("utf-8", errors="replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _version(prefix: Path, settings: Mapping[str, str]) -> tuple[str, str]:
    """Return version and implementation of the environment's Python; 0 when no file tells.

    venv writes `version`, uv and virtualenv `version_info`; an installation is named by its library
    folder, and its headers or its conda record tell the patch level.
    """
    folders = [m for m in map(_LIBRARY.fullmatch, list_folder(prefix / "lib")) if m]
    stated = settings.get("version_info") or settings.get("version") or ""
    match = _VERSION.match(stated)
    version = match[0] if match else _installed_version(prefix, [m[2] for m in folders])
    implementation = settings.get("implementation", "").lower()
    pypy = implementation == "pypy" or (bool(folders) and all(m[1] == "pypy" for m in folders))
    return version, "PyPy" if pypy else "CPython"


def _installed_version(prefix: Path, versions: list[str]) -> str:
    for name in list_folder(prefix / "conda-meta"):
        match = _CONDA_PYTHON.fullmatch(name)
        if match:
            return match[1]
    linked = os.path.basename(os.path.realpath(prefix / "bin" / "python3"))
    named = re.fullmatch(r"(?:python|pypy)(3\.\d+)t?", linked)
    minor = named[1] if named else max(versions, key=_as_numbers, default="0")
    header = prefix / "include" / f"python{minor}" / "patchlevel.h"
    exact = _PATCH_LEVEL.search(read_bounded(header, 64 * 1024, "patchlevel.h") or b"")
    return exact[1].decode("ascii") if exact else minor


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
