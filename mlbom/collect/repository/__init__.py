"""The git repository around PATH: commit, branch, tags, remotes, and whether PATH was changed.

This module only looks for a repository; what asks git is imported when there is one.
"""

from collections.abc import Iterator
from pathlib import Path

from mlbom.collect.scope import Scope, Witness
from mlbom.config import find_repository
from mlbom.evidence.nodes import Repository
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method

SUBJECT = "git:"


class RepositoryCollector:
    """Tells of the repository that PATH lies in; names no person.

    `state` is `ok`, or sorted words out of: bare, conflicted, corrupt, detached, linked-worktree,
    no-commits, shallow, sparse, unverified-owner, untracked. Paths are relative to PATH.
    """

    name = "repository"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield the `Repository` and what could not be told of it."""
        witness = Witness(self.name, Method.MEASURED)
        top = find_repository(scope.path)
        if top is None:
            yield from _no_work_tree(scope.path, witness)
            return
        from mlbom.collect.repository.inspection import observe_repository

        yield from observe_repository(scope, top, witness)


def _no_work_tree(path: Path, witness: Witness) -> Iterator[Observation | Gap]:
    for folder in (path, *path.parents):
        if (folder / "HEAD").is_file() and all((folder / n).is_dir() for n in ("objects", "refs")):
            yield witness.observes(Repository(state="bare"))
            reason = "PATH lies inside a bare repository, which holds no files of its commits"
            yield witness.misses(SUBJECT, reason, field="commit")
            return
    yield witness.misses(SUBJECT, "PATH lies in no git repository: its commit is unknown")
