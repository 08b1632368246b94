"""Where the files of a training come from: a commit, or the present files with recorded digests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.resource import Resource
from mlbom.attest.statement import unsafe_name
from mlbom.collect.runs.record import Record
from mlbom.config import find_repository
from mlbom.errors import PathNotFoundError, RepositoryError, UsageError
from mlbom.git import GitRepository, open_repository
from mlbom.pipeline.reproduction.records import private_names, sha256_of
from mlbom.pipeline.reproduction.request import ReproduceRequest

_OUTSIDE = "outside/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """Where the files of a training come from.

    Args:
        repository: what is cloned, or None when the present files are used.
        commit: of the clone.
        inputs: name relative to the project -> present file to copy in.
        is_dirty, doubts, limits: as in `Prepared`.
    """

    repository: GitRepository | None
    commit: str
    inputs: Mapping[str, Path]
    is_dirty: bool | None = None
    doubts: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


def recorded_source(request: ReproduceRequest, record: Record) -> TrainingSource:
    """Return where the files of a recorded training come from, and what is in doubt about them."""
    root = request.project_root
    source = next((r for r in record.claim.materials if "gitCommit" in r.digests and r.name), None)
    commit = source.digests["gitCommit"] if source else ""
    repository = _holding(root, commit)
    tracked = _tracked(repository, commit, root) if repository else frozenset()
    inputs = _inputs(request, record, tracked)
    limits = []
    if repository is None:
        where = f"the recorded commit {commit[:12]} is not here" if commit else "no commit"
        limits.append(f"{where}: the present files are used, each with its recorded digest")
    return TrainingSource(
        repository=repository,
        commit=commit if repository else "",
        inputs=inputs.found,
        is_dirty=source.annotations.get("mlbom_dirty") if source else None,
        doubts=(*_dirt(source), *inputs.doubts),
        limits=tuple(limits),
    )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Present files to copy in by name, and why some could not be found."""

    found: Mapping[str, Path]
    doubts: tuple[str, ...]


def _inputs(request: ReproduceRequest, record: Record, tracked: frozenset[str]) -> _Inputs:
    """Find what a recorded training read beside the files of its commit."""
    root, declared = request.project_root, declared_inputs(request)
    public = {name: sha256 for name, sha256 in record.inputs() if name}
    named = {**public, **private_names(record, root)}
    known = {*named.values(), *map(sha256_of, declared.values())}
    nameless = {sha256 for name, sha256 in record.inputs() if not name} - known
    doubts = []
    if nameless:
        doubts.append(
            f"{len(nameless)} inputs are known by their digest alone: name them with --input"
        )
    found, missing = _find(root, {n: d for n, d in named.items() if n not in tracked})
    if missing:
        # What is private in the record stays so here.
        told = [name if name in public else "a private one" for name in missing]
        doubts.append(f"recorded inputs are not here as they were: {some(told)}")
    return _Inputs({**found, **declared}, tuple(doubts))


def _dirt(source: Resource | None) -> Iterable[str]:
    """Yield why the recorded training may not be that of its commit."""
    if source is None:
        return
    dirty = source.annotations.get("mlbom_dirty")
    if dirty is True:
        changed = source.annotations.get("mlbom_changed") or ["untracked code was imported"]
        yield f"the recorded tree was dirty: {some(map(str, changed))}"
    elif dirty is not False:
        yield "the record does not tell whether its tree was that of its commit"


def _holding(root: Path, commit: str) -> GitRepository | None:
    """Return the repository around the project when it has the commit."""
    top = find_repository(root)
    if top is None or not commit:
        return None
    repository = open_repository(top)
    try:
        repository.read("cat-file", "-e", f"{commit}^{{commit}}")
    except RepositoryError:
        return None
    return repository


def _tracked(repository: GitRepository, commit: str, root: Path) -> frozenset[str]:
    """Return the files of a commit below the project, relative to it."""
    below = root.relative_to(repository.top).as_posix()
    prefix = "" if below == "." else f"{below}/"
    listed = repository.read("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    names = listed.decode("utf-8", "surrogateescape").split("\0")
    return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _find(root: Path, wanted: Mapping[str, str]) -> tuple[dict[str, Path], list[str]]:
    """Return present files to copy in by name, and the names of what is not here as it was."""
    found, missing = {}, []
    for name, sha256 in sorted(wanted.items()):
        inside, elsewhere = root / name, Path("/", name)
        if unsafe_name(name):
            missing.append(name)
        elif not name.startswith(_OUTSIDE) and sha256_of(inside) == sha256:
            found[name] = inside
        elif name.startswith(_OUTSIDE) or sha256_of(elsewhere) != sha256:
            missing.append(name)
    return found, missing


def some(names: Iterable[str]) -> str:
    """Return the first three names of many, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""  # noqa: PLR2004 - a glance
    return ", ".join(listed[:3]) + more


def declared_inputs(request: ReproduceRequest) -> dict[str, Path]:
    """Return the files that the caller declares as inputs, by name relative to the project."""
    root = request.project_root
    places = (*request.inputs, *((request.checkpoint,) if request.checkpoint else ()))
    declared: dict[str, Path] = {}
    for place in places:
        if not place.exists():
            message = f"no such input: {place}"
            raise PathNotFoundError(message, looked=[str(place)])
        real = place.resolve()
        if not real.is_relative_to(root):
            message = f"{place} lies outside the project: a training reads it where it lies"
            raise UsageError(message, hint="only files inside the project are copied in")
        declared[real.relative_to(root).as_posix()] = real
    return declared
