"""Datasets that lie below PATH: which folders and files they are, their totals and their digest.

A dataset is what the user names, else a folder with a MANIFEST.yaml, else a folder named `data`,
`dataset` or `datasets`. Its digest is that of its manifest; the names of its files are private
unless `--publish-names` is given (chain.md section 5).
"""

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.collect.licences import licence_expression
from mlbom.collect.scope import Scope, Witness, texts
from mlbom.digest.hashing import FileDigest
from mlbom.digest.manifest import dir_hash, manifest_bytes
from mlbom.digest.tree import Entry, EntryKind
from mlbom.errors import PathNotFoundError, UnreadableError
from mlbom.evidence.digest import Digest
from mlbom.evidence.nodes import Count, Dataset, Model, Pair
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method
from mlbom.formats.strict_yaml import parse_yaml

MANIFEST_NAMES = ("MANIFEST.yaml", "MANIFEST.yml")
_FOLDERS = ("data", "dataset", "datasets")
_DECLARED = ("name", "version", "description", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTree:
    """A local dataset: a folder or one file, relative to PATH, and its files relative to it."""

    path: str
    files: tuple[Entry, ...]
    is_folder: bool
    named: bool = False

    def in_path(self, entry: Entry) -> str:
        """Return the path of one of its files relative to PATH."""
        return posixpath.join(self.path, entry.path) if self.is_folder else self.path


def find_datasets(entries: tuple[Entry, ...], named: tuple[str, ...]) -> tuple[DataTree, ...]:
    """Return the local datasets, ordered by path.

    Args:
        entries: all entries below PATH.
        named: the paths that the user named; conventions apply only when there are none.

    Raises:
        PathNotFoundError: a named path is not there.
    """
    files = [e for e in entries if e.kind is EntryKind.FILE]
    if named:
        trees = [_tree(posixpath.normpath(path), files, named=True) for path in named]
        return tuple(sorted(trees, key=lambda t: t.path))
    folders: list[str] = []
    for path in sorted(_conventional(files), key=lambda p: p.count("/")):
        if not any(path.startswith(f + "/") or path == f for f in folders):
            folders.append(path)
    return tuple(_tree(path, files, named=False) for path in sorted(folders))


def _conventional(files: list[Entry]) -> set[str]:
    found = {
        e.path.split("/")[0] for e in files if e.path.split("/")[0] in _FOLDERS and "/" in e.path
    }
    manifests = (e.path for e in files if posixpath.basename(e.path) in MANIFEST_NAMES)
    return found | {posixpath.dirname(path) for path in manifests if "/" in path}


def _tree(path: str, files: list[Entry], *, named: bool) -> DataTree:
    single = [e for e in files if e.path == path]
    if single:
        name = posixpath.basename(path)
        alone = Entry(name, EntryKind.FILE, single[0].nbytes)
        return DataTree(path=path, files=(alone,), is_folder=False, named=named)
    prefix = path + "/"
    below = tuple(
        Entry(e.path[len(prefix) :], e.kind, e.nbytes, e.target)
        for e in files
        if e.path.startswith(prefix)
    )
    if not below:
        message = f"dataset not found: {path}"
        raise PathNotFoundError(message, looked=[path])
    return DataTree(path=path, files=below, is_folder=True, named=named)


def observe_dataset(
    scope: Scope, tree: DataTree, digests: Mapping[str, FileDigest | UnreadableError] | None
) -> Iterator[Observation | Gap]:
    """Yield what is known of a local dataset.

    Args:
        scope: the inspection.
        tree: the dataset's files.
        digests: by path relative to PATH; None when its content was not to be read.
    """
    witness = Witness("datasets", Method.MEASURED, tree.path)
    declared = _declaration(scope, tree)
    told: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}
    name = (texts(told.get("name")) or (tree.path,))[0]
    subject = f"data:{name}"
    if isinstance(declared, Gap):
        yield declared
    else:
        yield from _declared_facts(subject, told, witness.by(Method.DECLARED))
    suffixes = Counter(posixpath.splitext(e.path)[1].lower() or "(none)" for e in tree.files)
    node = Dataset(
        id=subject,
        path=tree.path,
        file_count=len(tree.files),
        nbytes=sum(e.nbytes for e in tree.files),
        formats=tuple(Count(suffix, number) for suffix, number in suffixes.items()),
    )
    yield witness.observes(node)
    if not told.get("name"):
        inferred = Dataset(id=subject, name=posixpath.basename(tree.path))
        yield witness.by(Method.INFERRED).observes(inferred)
    linked = Model(id=f"model:{scope.model.root}", datasets=(subject,))
    yield witness.by(Method.DECLARED if tree.named or told else Method.INFERRED).observes(linked)
    yield from _content(subject, tree, digests, witness)


def _content(
    subject: str,
    tree: DataTree,
    digests: Mapping[str, FileDigest | UnreadableError] | None,
    witness: Witness,
) -> Iterator[Observation | Gap]:
    if digests is None:
        reason = "the content was not read: --data-depth full reads it"
        yield witness.misses(subject, reason, field="manifest", kind=GapKind.DECLINED)
        return
    found = [(e, digests[tree.in_path(e)]) for e in tree.files]
    failed = [outcome for _, outcome in found if isinstance(outcome, UnreadableError)]
    if failed:
        yield witness.cannot_read(subject, failed[0])
        return
    manifest = dataset_manifest(tree, digests)
    digest = Digest("sha256", dir_hash(manifest))
    yield witness.observes(Dataset(id=subject, manifest=digest))


def dataset_manifest(tree: DataTree, digests: Mapping[str, FileDigest | UnreadableError]) -> bytes:
    """Return the manifest of a dataset: `sha256sum` lines relative to its folder."""
    known = ((e.path, digests[tree.in_path(e)]) for e in tree.files)
    return manifest_bytes((p, d.sha256) for p, d in known if isinstance(d, FileDigest))


def _declaration(scope: Scope, tree: DataTree) -> Any:  # noqa: ANN401 - YAML value or Gap
    """Return the parsed MANIFEST.yaml of a dataset, {} without one, a Gap when it is unreadable."""
    names = [e.path for e in tree.files if e.path in MANIFEST_NAMES]
    if not names or not tree.is_folder:
        return {}
    path = posixpath.join(tree.path, names[0])
    try:
        return parse_yaml(scope.read_bytes(path), path)
    except UnreadableError as error:
        return Witness("datasets", path=path).cannot_read(f"doc:{path}", error)


def _declared_facts(
    subject: str, told: Mapping[str, Any], witness: Witness
) -> Iterator[Observation | Gap]:
    for key in _DECLARED:
        value = told.get(key)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            fields: dict[str, Any] = {key: str(value).strip()}
            yield witness.observes(Dataset(id=subject, **fields), key=key)
    languages = texts(told.get("language"))
    if languages:
        yield witness.observes(Dataset(id=subject, languages=languages), key="language")
    licence = licence_expression(str(told.get("license") or ""))
    if licence:
        yield witness.observes(Dataset(id=subject, licence=licence), key="license")
    sources = told.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, Mapping) and texts(source.get("system")):
            # A query tells how a team's data lie: private, as chain.md section 5 has it.
            pair = Pair(texts(source["system"])[0], " ".join(texts(source.get("query"))))
            node = Dataset(id=subject, sources=(pair,))
            yield witness.observes(node, key="sources", private=True)
