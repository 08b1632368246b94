"""The state of the Hugging Face Trainer: trainer_state.json, written with each checkpoint.

Source: transformers.TrainerState (`log_history`, `best_metric`, `best_global_step`).
"""

import posixpath
from collections.abc import Iterator
from typing import Any

from mlbom.collect.trackers.metric import Reported, SourceFile, number, whole
from mlbom.collect.trackers.result_files import line_of, parse_results
from mlbom.errors import MalformedError
from mlbom.openfile import read_regular

_LIMIT = 64 * 1024 * 1024
# What counts the entries of the history is no metric.
_COUNTERS = frozenset({"epoch", "step"})


class TrainerStateReader:
    """The last value of every metric of the history, and the best one."""

    name = "trainer state"

    def matches(self, path: str) -> bool:
        """Return whether this is a trainer's state by its name."""
        return posixpath.basename(path) == "trainer_state.json"

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield what the history holds, in its order."""
        data = read_regular(source.path, _LIMIT, source.shown)
        state = parse_results(data, source.shown, _LIMIT)
        history = state.get("log_history", []) if isinstance(state, dict) else None
        if not isinstance(history, list):
            message = f"{source.shown} has no history of a trainer"
            raise MalformedError(message)
        for entry in history:
            yield from _entry(entry)
        best = number(state.get("best_metric"))
        if best is not None:
            step = whole(state.get("best_global_step"))
            yield Reported("best_metric", best, step, line_of(data, "best_metric"))


def _entry(entry: Any) -> Iterator[Reported]:  # noqa: ANN401 - JSON
    if isinstance(entry, dict):
        step = whole(entry.get("step"))
        for name, value in entry.items():
            found = number(value)
            if found is not None and name not in _COUNTERS:
                yield Reported(name, found, step)
