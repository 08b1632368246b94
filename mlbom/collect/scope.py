"""The scope of an inspection: all that collectors may read, and how they say what they found.

Collectors read only through a `Scope`, so that bounds hold and links are not followed; and they
speak only through its `Witness`, so that every descriptive text has passed the guard.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from mlbom import guard
from mlbom.digest.tree import Entry, EntryKind, file_at
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import Node, Pair
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method, Origin, Visibility
from mlbom.openfile import read_regular

DOCUMENT_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTree:
    """The model of a release and where its files lie (chain.md section 1).

    Args:
        name: how the user can choose it with --model: its path, or a name from its metadata.
        root: model root relative to PATH, POSIX, `.` for PATH itself.
        is_directory: whether it is a model directory; else one weight file, or an index and shards.
        weights: root-relative paths of the weight files and indexes.
        files: every file of the tree, in bytewise path order of `path` relative to the root.
    """

    name: str
    root: str
    is_directory: bool
    weights: tuple[str, ...]
    files: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What one inspection looks at.

    Args:
        path: PATH, absolute, links resolved.
        project_root: the folder that `.mlbom/` lies in; PATH or one of its parents.
        entries: all entries below PATH outside ignored folders, in bytewise path order.
        model: the chosen model.
        python: the interpreter whose environment is inspected, or None to look for one.
        publish_names: whether names of dataset files may be published.
        output: the output directory; it is never an input.
    """

    path: Path
    project_root: Path
    entries: tuple[Entry, ...]
    model: ModelTree
    python: Path | None = None
    publish_names: bool = False
    output: Path | None = None

    def files(self) -> Iterator[Entry]:
        """Yield the regular files below PATH."""
        return (entry for entry in self.entries if entry.kind is EntryKind.FILE)

    def has_file(self, path: str) -> bool:
        """Return whether PATH holds a regular file of that relative POSIX path."""
        place = os.path.join(self.path, path)
        return os.path.isfile(place) and not os.path.islink(place)

    def in_model(self, path: str) -> str:
        """Return a path relative to PATH for one relative to the model root."""
        return path if self.model.root == "." else f"{self.model.root}/{path}"

    def read_model_file(self, name: str) -> bytes | None:
        """Return a document of the model root, or None when no regular file of that name is there.

        Files of the release, such as README.md, are found too; in a hub cache the blob is read.

        Raises:
            UnreadableError, LimitError: as `read_bytes`.
        """
        root = self.path / self.model.root
        entry = file_at(root, name)
        return read_below(root, entry.location, DOCUMENT_LIMIT) if entry else None

    def read_bytes(self, path: str, limit: int = DOCUMENT_LIMIT) -> bytes:
        """Return the content of a file below PATH.

        Args:
            path: POSIX path relative to PATH.
            limit: most bytes accepted.

        Raises:
            UnreadableError: missing, a link, no regular file, or not readable.
            LimitError: larger than the limit.
        """
        return read_below(self.path, path, limit)

    def read_text(self, path: str, limit: int = DOCUMENT_LIMIT) -> str:
        """Return the content of a UTF-8 text file below PATH; wrong bytes become U+FFFD."""
        return self.read_bytes(path, limit).decode("utf-8-sig", errors="replace")


def read_below(root: Path, path: str, limit: int) -> bytes:
    """Return the content of a regular file below a directory.

    Args:
        root: the directory.
        path: POSIX path relative to it.
        limit: most bytes accepted.

    Raises:
        UnreadableError: missing, a link, no regular file, or not readable.
        LimitError: larger than the limit.
    """
    try:
        return read_regular(root / path, limit, path)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise UnreadableError(message) from error


@dataclass(frozen=True, slots=True)
class Witness:
    """A collector's voice: makes observations and gaps that carry its name and place.

    Args:
        collector: name of the collector.
        method: how it knows, unless said otherwise.
        path: project-relative POSIX path of the file being read, if any.
    """

    collector: str
    method: Method = Method.DECLARED
    path: str = ""

    def at(self, path: str) -> "Witness":
        """Return the same witness, reading a file."""
        return replace(self, path=guard.unicode_path(path))

    def by(self, method: Method) -> "Witness":
        """Return the same witness, knowing by another method."""
        return replace(self, method=method)

    def observes(
        self, node: Node, *, line: int = 0, key: str = "", private: bool = False
    ) -> Observation:
        """Return an observation of a node whose descriptive texts have passed the guard."""
        visibility = Visibility.PRIVATE if private else Visibility.PUBLIC
        origin = self.origin(line=line, key=key)
        return Observation(node=_guarded(node), origin=origin, visibility=visibility)

    def misses(
        self,
        subject: str,
        reason: str,
        *,
        field: str = "",
        kind: GapKind = GapKind.ABSENT,
        line: int = 0,
    ) -> Gap:
        """Return a gap: looked for and not known."""
        return Gap(
            subject=guard.unicode_path(subject),
            field=field,
            kind=kind,
            reason=guard.clean_text(reason),
            origin=self.origin(line=line),
        )

    def cannot_read(self, subject: str, error: Exception) -> Gap:
        """Return the gap for bytes that were here and failed to be read or parsed."""
        return self.misses(subject, str(error), kind=GapKind.UNREADABLE)

    def origin(self, *, line: int = 0, key: str = "") -> Origin:
        """Return this witness's origin at a place in the file being read."""
        return Origin(
            collector=self.collector, method=self.method, path=self.path, line=line, key=key
        )


class Collector(Protocol):
    """Inspects one corner of the world; listed in `mlbom.collect.registry.COLLECTORS`."""

    name: str

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield what is there and what is missing; read only through the scope."""
        ...


def _guarded(node: Node) -> Node:
    changes: dict[str, Any] = {}
    for f in fields(node):
        if f.metadata.get("exact"):
            continue
        value = getattr(node, f.name)
        cleaned = clean_value(value)
        if cleaned != value:
            changes[f.name] = cleaned
    return replace(node, **changes) if changes else node


def clean_value(value: Any) -> Any:  # noqa: ANN401 - a Value, recursively
    """Return the value of a descriptive field with every text in it passed through the guard."""
    match value:
        case str():
            return guard.clean_text(value)
        case Pair(name, text):
            return Pair(name, guard.clean_text(text))
        case tuple():
            return tuple(clean_value(item) for item in value)
        case _:
            return value


def shortened(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, cut with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def texts(value: object) -> tuple[str, ...]:
    """Return the non-empty texts of a YAML or JSON value that is a text or a list of texts."""
    match value:
        case str():
            found: Sequence[object] = (value,)
        case list() | tuple():
            found = value
        case _:
            found = ()
    return tuple(item.strip() for item in found if isinstance(item, str) and item.strip())
