"""Where an installed distribution came from: direct_url.json, and who made it, without e-mails.

Source: PyPA "Recording the direct URL origin of installed distributions" (PEP 610).
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlbom import guard
from mlbom.collect.environment.distribution import Distribution
from mlbom.errors import MalformedError
from mlbom.evidence.digest import Digest
from mlbom.formats.strict_json import parse_json

_MAX_DIRECT_URL = 64 * 1024
_NAMED_ADDRESS = re.compile(r'(?:"([^"<>]*)"|([^,"<>]*))\s*<[^<>]*>')
_ADDRESS = re.compile(r"\S*@\S*|\S+\s+(?:\(at\)|\[at\])\s+\S+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_VCS = re.compile(r"[a-z]{2,10}")
_DRIVE = re.compile(r"/[a-zA-Z]:/")
_HOME_LABELS = ("homepage", "home", "repository", "source", "sourcecode", "github", "code")


@dataclass(frozen=True, slots=True)
class DirectUrl:
    """Where a distribution was installed from when it was not an index.

    Args:
        source: the URL without credentials; for a local file its path relative to the project, or
            only its last part; for a repository with `@` and the commit.
        wheel: digest of the wheel, when one was installed and its digest recorded.
    """

    source: str
    wheel: Digest | None = None


def direct_url(distribution: Distribution, project_root: Path) -> DirectUrl | None:
    """Return where a distribution came from, or None when that was an index (or is not recorded).

    Raises:
        UnreadableError: direct_url.json is there and cannot be read.
        MalformedError: it is no such document.
    """
    data = distribution.read("direct_url.json", _MAX_DIRECT_URL)
    if data is None:
        return None
    shown = f"{distribution.shown}/direct_url.json"
    told = parse_json(data, shown)
    url = told.get("url") if isinstance(told, Mapping) else None
    if not isinstance(url, str) or not url:
        message = f"{shown} names no url"
        raise MalformedError(message)
    try:
        path = urlsplit(url).path
        source = _local(path, project_root) if url.startswith("file:") else guard.clean_url(url)
        wheel = _archive_digest(told) if path.endswith(".whl") else None
    except ValueError as error:
        message = f"{shown} is malformed: {error}"
        raise MalformedError(message) from error
    return DirectUrl(_with_commit(source, told.get("vcs_info")), wheel)


def _local(quoted: str, project_root: Path) -> str:
    """Return a local path relative to the project, else its last part: more tells of a home."""
    plain = unquote(quoted)
    if _DRIVE.match(plain):
        plain = plain[1:]
    path = os.path.normpath(plain)
    if Path(path).is_relative_to(project_root):
        return Path(path).relative_to(project_root).as_posix()
    return Path(path).name


def _archive_digest(told: Mapping[str, Any]) -> Digest | None:
    info = told.get("archive_info")
    if not isinstance(info, Mapping):
        return None
    hashes = info.get("hashes")
    value = hashes.get("sha256") if isinstance(hashes, Mapping) else None
    legacy = info.get("hash")
    if value is None and isinstance(legacy, str) and legacy.startswith("sha256="):
        value = legacy.removeprefix("sha256=")
    return Digest("sha256", value.lower()) if isinstance(value, str) else None


def _with_commit(source: str, info: object) -> str:
    if not isinstance(info, Mapping):
        return source
    vcs, commit = info.get("vcs"), info.get("commit_id")
    if isinstance(vcs, str) and _VCS.fullmatch(vcs) and not source.startswith(f"{vcs}+"):
        source = f"{vcs}+{source}"
    if isinstance(commit, str) and _COMMIT.fullmatch(commit):
        source = f"{source}@{commit}"
    return source


def author(distribution: Distribution) -> str:
    """Return the names of the authors, else of the maintainers, without e-mail addresses."""
    for role in ("author", "maintainer"):
        names = [n for told in distribution.many(role) for n in _without_address(told)]
        names = names or [n for t in distribution.many(f"{role}-email") for n in _named(t)]
        if names:
            return ", ".join(dict.fromkeys(names))[:500]
    return ""


def _without_address(text: str) -> Iterator[str]:
    plain = " ".join(_ADDRESS.sub(" ", text.replace("\n", " ")).split()).strip(" ,;<>()\"'")
    if plain and plain != "UNKNOWN":
        yield plain


def _named(text: str) -> Iterator[str]:
    """Yield the display names of an address list (RFC 5322)."""
    for quoted, plain in _NAMED_ADDRESS.findall(text):
        yield from _without_address(quoted or plain)


def homepage(distribution: Distribution) -> str:
    """Return the home page, else the repository, as an http(s) URL without credentials."""
    labelled: dict[str, str] = {}
    for told in distribution.many("project-url"):
        label, _, url = told.partition(",")
        labelled.setdefault(re.sub(r"[^a-z]", "", label.lower()), url.strip())
    labelled.setdefault("homepage", distribution.one("home-page"))
    for label in _HOME_LABELS:
        url = labelled.get(label, "")
        if url.lower().startswith(("http://", "https://")) and not re.search(r"\s", url):
            return guard.clean_url(url)
    return ""
