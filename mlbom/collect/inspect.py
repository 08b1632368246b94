"""The inspection: from PATH to one evidence graph and the manifests that bind the bytes.

Hashing starts first and runs in the background while the collectors read headers and documents.
"""

import fnmatch
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlbom.attest.bundle import FOLDER
from mlbom.collect.datasets import DataTree, dataset_manifest, find_datasets, observe_dataset
from mlbom.collect.files import observe_files
from mlbom.collect.identity import ReleaseFacts, observe_identity
from mlbom.collect.models import choose_model, find_models, given_name, named_model
from mlbom.collect.registry import collect_all
from mlbom.collect.runs import Hashed, runs_folder, training_not_recorded
from mlbom.collect.scope import DOCUMENT_LIMIT, ModelTree, Scope, read_below
from mlbom.digest.hashing import DigestCache, FileDigest, Hashing
from mlbom.digest.ignore import CACHE_FOLDER, ignore_list
from mlbom.digest.manifest import dir_hash, manifest_bytes
from mlbom.digest.tree import Entry, EntryKind, walk_files
from mlbom.errors import FileNameError, PathNotFoundError, UsageError
from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.observation import Gap, Observation
from mlbom.guard import unicode_path

if TYPE_CHECKING:
    from mlbom.collect.reproductions import KeptReproductions
    from mlbom.collect.runs.inspection import RecordedRuns

# Folders of tools and environments: never part of a project's own code, data or weights.
_TOOL_FOLDERS = frozenset(
    ".git .mlbom .venv venv .conda node_modules .tox .nox .mypy_cache .ruff_cache .pytest_cache "
    ".hypothesis .ipynb_checkpoints".split()
) | {CACHE_FOLDER}
_FOREIGN_MARKS = ("pyvenv.cfg", "model.manifest")
# Above this much data the content of datasets is read only when that was asked for.
_DATA_LIMIT = 50 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionPlan:
    """What to inspect.

    Args:
        path: PATH, absolute, links resolved.
        project_root: the folder of `.mlbom/`.
        output: the output directory, absolute.
        model: a model's path or name, or empty.
        weights: weight files that are the model, or ().
        data: the datasets, or () to look for them.
        data_depth: `full`, `declared`, or `auto`: full up to 50 GiB.
        python: the interpreter named by the user, or None.
        hashes: digest algorithms for every file.
        exclude: patterns of paths below PATH that are left out.
        publish_names: whether names of dataset files may be published.
        runs: records, or folders of them, absolute; () for `.mlbom/runs` of the project root.
        grams_per_kwh: CO2 equivalent of the grid in grams, or None.
    """

    path: Path
    project_root: Path
    output: Path
    model: str = ""
    weights: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    data_depth: str = "auto"
    python: Path | None = None
    hashes: tuple[str, ...] = ("sha256",)
    exclude: tuple[str, ...] = ()
    publish_names: bool = False
    runs: tuple[Path, ...] = ()
    grams_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an inspection found.

    Args:
        scope: what was looked at.
        graph: the full evidence, private facts included.
        files: digests of the model's files by path relative to the model root.
        manifest: the bytes of model.manifest.
        ignored: the ignore list that the manifest was made with.
        data_manifests: manifest bytes by dataset path.
        runs: what the records of runs told, or None when there was no record to look at.
        reproductions: what was stated of training again, or None when nothing is kept.
    """

    scope: Scope
    graph: Graph
    files: Mapping[str, FileDigest]
    manifest: bytes
    ignored: tuple[str, ...]
    data_manifests: Mapping[str, bytes]
    runs: "RecordedRuns | None" = None
    reproductions: "KeptReproductions | None" = None


def inspect(
    plan: InspectionPlan, facts: ReleaseFacts, cache: DigestCache | None = None
) -> Inspection:
    """Inspect PATH: walk, start hashing, run the collectors, join what they say into one graph.

    Raises:
        PathNotFoundError: PATH is no directory, or a dataset named by the user is not there.
        NoWeightsError, SeveralModelsError: nothing, or too much, to describe.
    """
    scope, ignored = _open_scope(plan)
    facts = replace(facts, name=given_name(scope.model, plan.model))
    datasets = find_datasets(_outside_model(scope), plan.data)
    reading = datasets if _reads_data(plan, datasets) else ()
    with Hashing(plan.path, plan.hashes, cache).start(_to_hash(scope, reading)) as hashing:
        told = list(collect_all(scope))
        digests = hashing.result()
    in_model = {e.path: digests[k] for e, k in _located(scope) if k in digests}
    told.extend(observe_files(scope.model, in_model))
    for tree in datasets:
        told.extend(observe_dataset(scope, tree, digests if tree in reading else None))
    files = {path: d for path, d in in_model.items() if isinstance(d, FileDigest)}
    manifest = manifest_bytes((path, d.sha256) for path, d in files.items())
    data = {t.path: [digests[t.in_path(e)] for e in t.files] for t in reading}
    graph, runs = _with_runs(scope, plan, told, Hashed(files=files, datasets=data))
    kept = _reproductions(scope, plan, files)
    graph = graph.merge(kept.graph) if kept else graph
    digest = Digest("sha256", dir_hash(manifest))
    graph = graph.merge(Graph.of(observe_identity(scope, graph, facts, digest, ignored)))
    return Inspection(
        scope=scope,
        graph=graph,
        files=files,
        manifest=manifest,
        ignored=ignored,
        data_manifests={tree.path: dataset_manifest(tree, digests) for tree in reading},
        runs=runs,
        reproductions=kept,
    )


def _with_runs(
    scope: Scope, plan: InspectionPlan, told: list[Observation | Gap], hashed: Hashed
) -> "tuple[Graph, RecordedRuns | None]":
    """Return the evidence with that of the recorded runs, and what they told."""
    folder = runs_folder(plan.project_root)
    if not plan.runs and not folder.is_dir():
        return Graph.of([*told, training_not_recorded(f"model:{scope.model.root}")]), None
    from mlbom.collect.runs.inspection import inspect_runs, joined_model

    model = joined_model(scope, told, hashed, plan.grams_per_kwh)
    runs = inspect_runs(plan.runs, folder, model)
    return runs.merged(told, named=plan.python is not None), runs


def _reproductions(
    scope: Scope, plan: InspectionPlan, files: Mapping[str, FileDigest]
) -> "KeptReproductions | None":
    """Return what earlier commands kept of training this model again."""
    folder = plan.project_root / ".mlbom" / FOLDER
    if not folder.is_dir():
        return None
    from mlbom.collect.reproductions import inspect_reproductions

    return inspect_reproductions(folder, files, scope.model.weights)


def list_models(plan: InspectionPlan) -> tuple[ModelTree, ...]:
    """Return the models below PATH, before any file is hashed.

    Raises:
        PathNotFoundError: PATH is no directory.
        NoWeightsError: weights named by the user are not there.
    """
    return _models(plan, _project_entries(plan))


def _models(plan: InspectionPlan, entries: tuple[Entry, ...]) -> tuple[ModelTree, ...]:
    if plan.weights:
        return (named_model(plan.weights, entries, _reader(plan.path)),)
    return find_models(entries, _reader(plan.path))


def _open_scope(plan: InspectionPlan) -> tuple[Scope, tuple[str, ...]]:
    """Return the scope with its chosen model, and the ignore list of the model tree."""
    entries = _project_entries(plan)
    model = choose_model(_models(plan, entries), plan.model or None, plan.path.name)
    ignored: tuple[str, ...] = ()
    if model.is_directory:
        model, ignored = _whole_directory(plan, model)
    scope = Scope(
        path=plan.path,
        project_root=plan.project_root,
        entries=entries,
        model=model,
        python=plan.python,
        publish_names=plan.publish_names,
        output=plan.output,
    )
    return scope, ignored


def _whole_directory(plan: InspectionPlan, model: ModelTree) -> tuple[ModelTree, tuple[str, ...]]:
    """Return a model directory with all its files by the one ignore list that `verify` uses too."""
    root = plan.path / model.root
    covered = ignore_list(model_directory=True, extra=_inside(root, plan.output))
    entries = tuple(walk_files(root, covered.covers))
    skipped = {e.path for e in entries if e.kind is EntryKind.SKIPPED}
    files = tuple(e for e in entries if e.kind is not EntryKind.SKIPPED)
    for entry in files:
        if unicode_path(entry.path) != entry.path:
            message = f"a model file's name is not UTF-8: {unicode_path(entry.path)}"
            raise FileNameError(message)
        if _excluded(plan, model.root, entry.path):
            message = f"--exclude leaves {entry.path} out, which lies in a model directory"
            hint = "verify trusts a model directory as a whole: move the file out of it"
            raise UsageError(message, hint=hint)
    caches = {path for path in skipped if path.rsplit("/", 1)[-1] == CACHE_FOLDER}
    return replace(model, files=files), tuple(sorted({*covered.prefixes, *caches}))


def _inside(root: Path, output: Path) -> tuple[str, ...]:
    """Return the output directory relative to a root that it lies in, else nothing."""
    return (output.relative_to(root).as_posix(),) if output.is_relative_to(root) else ()


def _excluded(plan: InspectionPlan, root: str, path: str) -> bool:
    in_path = path if root == "." else f"{root}/{path}"
    return any(fnmatch.fnmatchcase(in_path, pattern) for pattern in plan.exclude)


def _project_entries(plan: InspectionPlan) -> tuple[Entry, ...]:
    """Return what lies below PATH, without tools' folders, outputs and what is excluded.

    Raises:
        PathNotFoundError: PATH is no directory.
    """
    if not plan.path.is_dir():
        message = f"not a directory: {plan.path.name}"
        raise PathNotFoundError(message, looked=[str(plan.path)])
    outputs = {"mlbom-out", *_inside(plan.path, plan.output)}

    def ignored(path: str) -> bool:
        name = path.rsplit("/", 1)[-1]
        return name in _TOOL_FOLDERS or path in outputs or _excluded(plan, ".", path)

    entries = [e for e in walk_files(plan.path, ignored) if e.kind is not EntryKind.SKIPPED]
    foreign = tuple(f"{folder}/" for folder in _foreign_folders(entries))
    return tuple(e for e in entries if not e.path.startswith(foreign))


def _foreign_folders(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the folders that are a Python environment or an earlier output, whatever their name."""
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        if folder and name in _FOREIGN_MARKS:
            yield folder
        elif folder.endswith("/conda-meta") and name == "history":
            yield folder.rpartition("/")[0]


def _outside_model(scope: Scope) -> tuple[Entry, ...]:
    """Return the entries that can be data: none of the model's own files."""
    own = {scope.in_model(e.path) for e in scope.model.files}
    return tuple(e for e in scope.entries if e.path not in own)


def _reads_data(plan: InspectionPlan, datasets: Iterable[DataTree]) -> bool:
    nbytes = sum(e.nbytes for tree in datasets for e in tree.files)
    return plan.data_depth == "full" or (plan.data_depth == "auto" and nbytes <= _DATA_LIMIT)


def _located(scope: Scope) -> Iterator[tuple[Entry, str]]:
    """Yield the model's files, each with the place of its bytes relative to PATH."""
    for entry in scope.model.files:
        if entry.kind is EntryKind.FILE:
            yield entry, posixpath.normpath(scope.in_model(entry.location))


def _to_hash(scope: Scope, datasets: Iterable[DataTree]) -> Iterable[tuple[str, int]]:
    wanted = {place: entry.nbytes for entry, place in _located(scope)}
    for tree in datasets:
        wanted.update({tree.in_path(entry): entry.nbytes for entry in tree.files})
    return wanted.items()


def _reader(path: Path) -> Callable[[str], bytes]:
    return partial(read_below, path, limit=DOCUMENT_LIMIT)
