"""One installed distribution as its metadata folder tells it, read statically and bounded.

Sources: PyPA "Core metadata" and "Recording installed projects". `importlib.metadata` would read
the same files, but without bounds, and importing it costs more than reading them.
"""

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mlbom.collect.environment.sitefiles import list_folder, read_bounded, read_head
from mlbom.errors import LimitError, MalformedError, UnreadableError
from mlbom.evidence.digest import Digest
from mlbom.evidence.observation import GapKind
from mlbom.guard import printable

# The headers come first; the description below them may be as long as it likes, it is not read.
_MAX_HEADERS = 1024 * 1024
_MAX_RECORD = 64 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.IGNORECASE)
_VERSION = re.compile(r"[a-z0-9][a-z0-9.!+_~-]{0,127}", re.IGNORECASE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_PARENT = re.compile(r"(?:^|/)\.\.(?:/|$)")
_ABSOLUTE = re.compile(r"/|[a-zA-Z]:/")
# What differs between installers of the same wheel.
_INSTALLER_FILES = frozenset(
    {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution.

    Args:
        folder: its `*.dist-info` or `*.egg-info`.
        name: as declared.
        version: as declared.
        headers: values of the metadata headers by lower-case name, in order.
    """

    folder: Path
    name: str
    version: str
    headers: Mapping[str, Sequence[str]]

    @property
    def key(self) -> str:
        """Return the normalised name, which is equal for all spellings of one project."""
        return normal_name(self.name)

    @property
    def purl(self) -> str:
        """Return the package URL, for example `pkg:pypi/torch@2.13.0%2Bcpu`."""
        return package_url(self.name, self.version)

    @property
    def shown(self) -> str:
        """Return the folder's name, fit for an origin or a message."""
        return printable(self.folder.name)

    def one(self, header: str) -> str:
        """Return the stripped value of a header, empty when missing or `UNKNOWN`."""
        value = self.headers.get(header, ("",))[0].strip()
        return "" if value == "UNKNOWN" else value

    def many(self, header: str) -> Sequence[str]:
        """Return all values of a header."""
        return self.headers.get(header, ())

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the content of a file in the metadata folder, or None when there is none.

        Raises:
            UnreadableError: not regular, not readable, or larger than `limit` bytes.
        """
        return read_bounded(self.folder / name, limit, f"{self.shown}/{name}")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A metadata folder that does not tell what is installed: its name, and why not."""

    shown: str
    reason: str
    kind: GapKind


def normal_name(name: str) -> str:
    """Return a project name in its one form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_url(name: str, version: str) -> str:
    """Return the purl of a PyPI project's version (purl-spec, type `pypi`)."""
    return f"pkg:pypi/{normal_name(name)}@{quote(version, safe='~')}"


def metadata_folders(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the metadata folders of an import path, in the order in which Python meets them.

    Within one folder the order is bytewise, so that it is the same on every machine.
    """
    for path in paths:
        for name in list_folder(path):
            lowered = name.lower()
            if lowered.endswith((".dist-info", ".egg-info")) or (
                lowered == "egg-info" and path.suffix == ".egg"
            ):
                yield path / name


def installed(
    paths: Sequence[Path], wanted: Callable[[str], bool] = lambda _name: True
) -> Iterator[Distribution | Damaged]:
    """Yield what is installed, in import order, and the metadata folders that say nothing.

    What an interrupted installation left behind (`~name`) is skipped, as pip does.

    Args:
        paths: folders that hold distributions.
        wanted: chooses by the lower-case name of the metadata folder.
    """
    for folder in metadata_folders(paths):
        if folder.name.startswith("~") or not wanted(folder.name.lower()):
            continue
        try:
            found = read_distribution(folder)
        except UnreadableError as error:
            yield Damaged(printable(folder.name), str(error), GapKind.UNREADABLE)
            continue
        shown = printable(folder.name)
        yield found or Damaged(shown, f"{shown} holds no metadata", GapKind.ABSENT)


def read_distribution(folder: Path) -> Distribution | None:
    """Read the metadata headers of one metadata folder (or of a bare `*.egg-info` file).

    Returns None for a folder that holds none, as a broken uninstallation leaves it.

    Raises:
        UnreadableError: the metadata is not readable.
        LimitError: the headers are longer than 1 MiB.
        MalformedError: not UTF-8, or without a valid name and version.
    """
    shown = printable(folder.name)
    names = ("METADATA", "PKG-INFO") if os.path.isdir(folder) else ("",)
    for name in names:
        place = f"{shown}/{name}".rstrip("/")
        data = read_head(folder / name, _MAX_HEADERS + 1, place)
        if data is not None:
            return _parsed(folder, data, place)
    return None


def _parsed(folder: Path, data: bytes, shown: str) -> Distribution:
    end = _HEADERS_END.search(data)
    if end is None and len(data) > _MAX_HEADERS:
        message = f"the headers of {shown} are longer than {_MAX_HEADERS} bytes"
        raise LimitError(message)
    try:
        text = data[: end.start() if end else None].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{shown} is not UTF-8 text"
        raise MalformedError(message) from error
    headers = parse_headers(text)
    name, version = (headers.get(key, ("",))[0].strip() for key in ("name", "version"))
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        message = f"{shown} states no valid name and version"
        raise MalformedError(message)
    return Distribution(folder=folder, name=name, version=version, headers=headers)


def parse_headers(text: str) -> Mapping[str, Sequence[str]]:
    """Return header values by lower-case name; a line that begins with a blank continues one.

    Lines that are no header are ignored, as `email.parser` does with defects.
    """
    headers: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.split("\n"):
        line = line.rstrip("\r")  # noqa: PLW2901 - the same line without its ending
        if line[:1] in (" ", "\t"):
            if current:
                current[-1] += "\n" + line.strip()
            continue
        name, colon, value = line.partition(":")
        current = headers.setdefault(name.strip().lower(), []) if colon else None
        if current is not None:
            current.append(value.strip())
    return headers


def wheel_tag(distribution: Distribution) -> str:
    """Return the first tag of the wheel that was installed, empty when none is recorded.

    Raises:
        UnreadableError: the WHEEL file is there and cannot be read.
    """
    data = distribution.read("WHEEL", 64 * 1024) or b""
    tags = parse_headers(data.decode("utf-8", errors="replace")).get("tag", ())
    return tags[0] if tags else ""


def record_digest(distribution: Distribution) -> Digest | None:
    """Return a digest over what RECORD says was installed, equal for every installer and place.

    It is the SHA-256 of the lines `PATH,HASH` in bytewise order, without rows for files outside of
    site-packages (scripts hash their absolute first line), compiled caches, and the files in which
    installers differ. The files themselves are not opened.

    Raises:
        UnreadableError: RECORD is there and cannot be read.
        MalformedError: it is no CSV table in UTF-8.
    """
    data = distribution.read("RECORD", _MAX_RECORD)
    if data is None:
        return None
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"{distribution.shown}/RECORD is malformed: {error}"
        raise MalformedError(message) from error
    own = distribution.folder.name
    lines = [
        f"{row[0]},{row[1]}\n".encode()
        for row in rows
        if len(row) > 1 and _is_portable(row[0].replace("\\", "/"), own)
    ]
    digest = hashlib.sha256(b"".join(sorted(lines)))
    return Digest("sha256", digest.hexdigest())


def _is_portable(path: str, own: str) -> bool:
    if _ABSOLUTE.match(path) or _PARENT.search(path) or "/__pycache__/" in f"/{path}/":
        return False
    folder, _, name = path.rpartition("/")
    return not (folder == own and name in _INSTALLER_FILES)
