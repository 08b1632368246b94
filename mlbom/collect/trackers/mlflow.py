"""Metrics of an MLflow file store: `mlruns/EXPERIMENT/RUN/metrics/NAME`.

Source: mlflow.store.tracking.file_store; a line is `TIMESTAMP VALUE STEP`, in old stores without
the step. A name may hold slashes, which are folders.
"""

import re
from collections.abc import Iterator

from mlbom.collect.trackers.metric import Reported, SourceFile

_METRIC = re.compile(r"(?:.*/)?mlruns/[^/]+/[^/]+/metrics/(.+)")
_DATABASE = re.compile(r"(?:.*/)?mlflow\.db")
_LIMIT = 64 * 1024 * 1024
_LONGEST_LINE = 4096
_FIELDS = (2, 3)


class MlflowReader:
    """The value of the highest step of a metric, as MLflow itself shows it."""

    name = "MLflow"

    def matches(self, path: str) -> bool:
        """Return whether this is a metric of a file store by its path, or a database."""
        return bool(_METRIC.fullmatch(path) or _DATABASE.fullmatch(path))

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield the latest value, and a sentence for lines that are none."""
        metric = _METRIC.fullmatch(source.shown)
        if metric is None:
            yield f"{source.shown} is a database of MLflow, which is not read"
            return
        latest: tuple[int, int] | None = None
        found: Reported | None = None
        malformed = 0
        for number, line in enumerate(_lines(source), start=1):
            parsed = _parse(line)
            if parsed is None:
                malformed += 1
                continue
            moment, value, step = parsed
            if latest is None or (step, moment) >= latest:
                latest, found = (step, moment), Reported(metric[1], value, step, number)
        if found is not None:
            yield found
        if malformed:
            yield f"{source.shown}: {malformed} lines are no values of a metric"


def _lines(source: SourceFile) -> Iterator[bytes]:
    with source.open(_LIMIT) as stream:
        while line := stream.readline(_LONGEST_LINE):
            yield line


def _parse(line: bytes) -> tuple[int, float, int] | None:
    fields = line.split()
    if len(fields) not in _FIELDS:
        return None
    try:
        step = int(fields[2]) if len(fields) == max(_FIELDS) else 0
        return int(fields[0]), float(fields[1]), step
    except (ValueError, OverflowError):
        return None
