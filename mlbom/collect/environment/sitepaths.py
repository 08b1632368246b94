"""The import path of an inspected environment: site-packages, base installation, `.pth` lines."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbom.collect.environment.sitefiles import list_folder, read_bounded, refusal
from mlbom.errors import UnreadableError
from mlbom.guard import printable

# More paths than this are made to exhaust, not to import from.
_MAX_PATHS = 256
_MAX_PTH = 256 * 1024
_MAX_SHOWN = 8
_STARTUP = ("sitecustomize.py", "usercustomize.py")


@dataclass(frozen=True, slots=True)
class ImportPaths:
    """Existing folders in import order, and remarks about what else would have been added."""

    folders: tuple[Path, ...]
    remarks: tuple[str, ...]


def import_paths(prefix: Path, version: str, settings: Mapping[str, str]) -> ImportPaths:
    """Return where distributions of an environment lie, in the order that Python would look.

    A user's own site directory is not part of the environment and is not looked at.

    Args:
        prefix: root of the environment.
        version: of its Python; only the first two numbers count.
        settings: of its pyvenv.cfg; empty when it is no virtual environment.

    Raises:
        UnreadableError: a folder of packages is here and cannot be listed.
    """
    minor = ".".join(version.split(".")[:2])
    own = site_folders(prefix, minor) if settings else system_folders(prefix, minor)
    folders = list(own)
    remarks: list[str] = []
    if settings.get("include-system-site-packages", "").lower() == "true":
        base = list(system_folders(_base_prefix(settings.get("home", "")), minor))
        folders += base
        if not base:
            remarks.append(
                "the environment includes the packages of its base installation, which was not"
                " found"
            )
    for folder in folders:
        if reason := refusal(folder):
            message = f"cannot list {folder.parent.name}/{folder.name}: {reason}"
            raise UnreadableError(message)
    return _with_pth_lines(_unique(folders), remarks)


def site_folders(prefix: Path, minor: str) -> Iterator[Path]:
    """Yield the site-packages of a virtual environment (PEP 405), POSIX and Windows layouts."""
    wanted = (f"python{minor}", f"python{minor}t", f"pypy{minor}")
    for library in ("lib", "lib64"):
        present = [n for n in list_folder(prefix / library) if n.startswith(("python3", "pypy3"))]
        names = [name for name in present if name in wanted] or present
        folders = (prefix / library / name / "site-packages" for name in names)
        yield from (folder for folder in folders if os.path.isdir(folder))
    if os.path.isdir(prefix / "Lib" / "site-packages"):
        yield prefix / "Lib" / "site-packages"


def system_folders(prefix: Path, minor: str) -> Iterator[Path]:
    """Yield the site-packages of an installation, with those of Debian and Fedora."""
    local = prefix / "local"
    places = (
        local / "lib" / f"python{minor}" / "dist-packages",
        local / "lib64" / f"python{minor}" / "site-packages",
        local / "lib" / f"python{minor}" / "site-packages",
        prefix / "lib64" / f"python{minor}" / "site-packages",
        prefix / "lib" / f"python{minor}" / "site-packages",
        prefix / "lib" / f"python{minor}t" / "site-packages",
        prefix / "lib" / f"pypy{minor}" / "site-packages",
        prefix / "Lib" / "site-packages",
        prefix / "lib" / "python3" / "dist-packages",
        prefix / "lib" / f"python{minor}" / "dist-packages",
    )
    yield from (place for place in places if os.path.isdir(place))


def _base_prefix(home: str) -> Path:
    """Return the installation that `home` of a pyvenv.cfg names: the folder of its executable."""
    folder = Path(home)
    return folder.parent if folder.name.lower() in ("bin", "scripts") else folder


def _unique(folders: Sequence[Path]) -> list[Path]:
    """Drop folders that are the same one under another name (`lib64` is often a link)."""
    seen: dict[str, Path] = {}
    for folder in folders:
        seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())


def _with_pth_lines(folders: list[Path], remarks: list[str]) -> ImportPaths:
    """Add what plain lines of `.pth` files name; lines of code are reported, never run."""
    added: list[Path] = []
    starting: list[str] = []
    for folder in folders:
        names = list_folder(folder)
        starting += [name for name in names if name in _STARTUP]
        for name in (n for n in names if n.endswith(".pth") and not n.startswith(".")):
            try:
                data = read_bounded(folder / name, _MAX_PTH, printable(name)) or b""
            except UnreadableError as error:
                remarks.append(str(error))
                continue
            lines = data.decode("utf-8-sig", errors="surrogateescape").splitlines()
            if any(line.startswith(("import ", "import\t")) for line in lines):
                starting.append(name)
            added += _named_folders(folder, lines)
    unique = _unique([*folders, *added])
    if closed := [folder.name for folder in unique if refusal(folder)]:
        remarks.append(f".pth files name folders that cannot be listed: {_listed(closed)}")
    if len(unique) > _MAX_PATHS:
        remarks.append(f".pth files name more than {_MAX_PATHS} folders: the rest was not read")
    if starting:
        remarks.append(
            f"code runs whenever this Python starts, and what it changes is not known:"
            f" {_listed(starting)}"
        )
    return ImportPaths(tuple(unique[:_MAX_PATHS]), tuple(remarks))


def _named_folders(folder: Path, lines: Sequence[str]) -> Iterator[Path]:
    """Yield the existing folders that the lines of a `.pth` file name, relative to its folder."""
    for line in lines:
        plain = line.strip()
        if not plain or plain.startswith("#") or "\x00" in plain:
            continue
        if line.startswith(("import ", "import\t")):
            continue
        named = Path(os.path.normpath(folder / plain))
        if os.path.isdir(named):
            yield named


def _listed(names: Sequence[str]) -> str:
    unique = [printable(name) for name in dict.fromkeys(names)]
    rest = len(unique) - _MAX_SHOWN
    shown = ", ".join(unique[:_MAX_SHOWN])
    return f"{shown} and {rest} more" if rest > 0 else shown
