"""The source of a step before it runs: its commit, what was changed, which files are tracked."""

from dataclasses import dataclass
from pathlib import Path

from mlbom.collect.repository import RepositoryCollector
from mlbom.collect.repository.inspection import tracked_paths
from mlbom.collect.scope import ModelTree, Scope
from mlbom.config import find_repository
from mlbom.errors import MlbomError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Repository

_NO_MODEL = ModelTree(name="", root=".", is_directory=False, weights=(), files=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the repository tells of a project.

    Args:
        repository: commit, remotes and whether tracked files differ, or None without a repository.
        tracked: tracked files by path relative to the project root.
        gaps: what could not be told, each one sentence.
    """

    repository: Repository | None
    tracked: frozenset[str]
    gaps: tuple[str, ...]


def read_source(root: Path) -> Source:
    """Ask the repository around a project root, whose links are resolved; nothing of it runs."""
    scope = Scope(path=root, project_root=root, entries=(), model=_NO_MODEL)
    graph = Graph.of(RepositoryCollector().collect(scope))
    gaps = tuple(f"{gap.about}: {gap.reason}" for gap in graph.gaps)
    top = find_repository(root)
    tracked: frozenset[str] = frozenset()
    if top is not None:
        try:
            tracked = tracked_paths(top, root)
        except MlbomError as error:
            gaps += (f"which files are tracked is not known: {error}",)
    return Source(repository=graph.node(Repository, "git:"), tracked=tracked, gaps=gaps)
