"""Chooses who watches a step from outside: the ladder of `--observe`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbom.errors import EnvironmentFailureError, MlbomError, UsageError
from mlbom.record.observers.observer import Observed, Observer

CHOICES = ("auto", "hook", "fanotify", "strace")


@dataclass(slots=True)
class Watch:
    """The outside observer of one step, if there is one.

    Args:
        observer: or None.
        unseen: sentences about what it could not do.
    """

    observer: Observer | None = None
    unseen: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the observer's name, empty without one."""
        return self.observer.name if self.observer else ""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command that is really started."""
        return self.observer.wrap(argv) if self.observer else list(argv)

    def follow(self, pid: int) -> None:
        """Tell the observer of the root of the tree."""
        if self.observer is None:
            return
        try:
            self.observer.follow(pid)
        except MlbomError as error:
            # The command runs by now: its record goes on without this observer.
            self.unseen = (f"{self.observer.name} could not follow the command: {error}",)

    def stop(self) -> Observed:
        """End watching and return what was seen."""
        observed = self.observer.stop() if self.observer else Observed()
        return Observed(
            reads=observed.reads,
            writes=observed.writes,
            written_inodes=observed.written_inodes,
            unseen=(*self.unseen, *observed.unseen),
        )


def begin_watch(observe: str, folder: Path) -> Watch:
    """Start the observer that was asked for.

    Args:
        observe: auto, hook, fanotify or strace.
        folder: of the run.

    Raises:
        UsageError: no such choice.
        EnvironmentFailureError: the one asked for cannot be used here.
    """
    if observe not in CHOICES:
        message = f"--observe takes {', '.join(CHOICES)}, not {observe}"
        raise UsageError(message)
    if observe == "hook" or (observe == "auto" and not _may_use_fanotify()):
        return Watch()
    observer = _observer(observe, folder)
    try:
        observer.start()
    except EnvironmentFailureError as error:
        if observe != "auto":
            raise
        return Watch(unseen=(f"fanotify was not used: {error}",))
    return Watch(observer)


def _observer(observe: str, folder: Path) -> Observer:
    if observe == "strace":
        from mlbom.record.observers.strace import StraceObserver

        return StraceObserver(folder)
    from mlbom.record.observers.fanotify import FanotifyObserver

    return FanotifyObserver(folder)


def _may_use_fanotify() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0
