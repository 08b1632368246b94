"""Observers outside the child: who sees which files a tree of processes opens, and how well."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What an observer saw of a tree of processes.

    Args:
        reads: absolute paths of regular files opened for reading.
        writes: absolute paths of regular files written.
        written_inodes: inodes of files opened for writing, also under names given up since.
        unseen: what it could not see or not attribute, each one sentence.
    """

    reads: frozenset[str] = field(default_factory=frozenset)
    writes: frozenset[str] = field(default_factory=frozenset)
    written_inodes: frozenset[int] = field(default_factory=frozenset)
    unseen: tuple[str, ...] = ()


class Observer(Protocol):
    """Watches the files of a process and its descendants; one life for one step."""

    name: str

    def start(self) -> None:
        """Begin to watch, before the child exists.

        Raises:
            EnvironmentFailureError: this system or user cannot use the observer.
        """
        ...

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command that is really started; the same unless a tracer runs it."""
        ...

    def follow(self, pid: int) -> None:
        """Take the root of the tree, right after it was started."""
        ...

    def stop(self) -> Observed:
        """End watching, after the child and its children have ended."""
        ...
