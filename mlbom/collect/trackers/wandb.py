"""Summaries of W&B runs: `wandb/run-*/files/wandb-summary.json`, or, of an offline run, its log.

Source: the layout of the wandb client's run folder. A run that is offline, or was killed, leaves
only its log `run-ID.wandb` (see `wandb_log`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from mlbom.collect.trackers.metric import Reported, SourceFile, whole
from mlbom.collect.trackers.result_files import line_of, parse_results
from mlbom.collect.trackers.wandb_log import numbers, read_log
from mlbom.errors import MalformedError
from mlbom.openfile import read_regular

_RUN = r"(?:.*/)?wandb/(?:offline-)?run-[^/]+/"
_SUMMARY = re.compile(_RUN + r"files/wandb-summary\.json")
_LOG = re.compile(_RUN + r"run-[^/]+\.wandb")
_LIMIT = 8 * 1024 * 1024


class WandbReader:
    """The summary of a run: the last value of each metric."""

    name = "W&B"

    def matches(self, path: str) -> bool:
        """Return whether this is a run's summary by its path, or its log."""
        return bool(_SUMMARY.fullmatch(path) or _LOG.fullmatch(path))

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield the numbers of the summary; names that begin with `_` are W&B's own."""
        if _LOG.fullmatch(source.shown):
            if not (source.path.parent / "files" / "wandb-summary.json").exists():
                yield from read_log(source)
            return
        data = read_regular(source.path, _LIMIT, source.shown)
        summary = parse_results(data, source.shown)
        if not isinstance(summary, dict):
            message = f"{source.shown} is no summary of a W&B run"
            raise MalformedError(message)
        step = whole(summary.get("_step"))
        for name, value in summary.items():
            if not name.startswith("_"):
                for found in numbers(name, value):
                    yield replace(found, step=step, line=line_of(data, name))
