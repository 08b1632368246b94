"""Read the numbers that a run reported, from its output and from the files that it wrote."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from mlbom.collect.trackers.metric import (
    MeasuredMetric,
    MetricReading,
    Reported,
    SourceFile,
    TrackerReader,
    measured,
    project_path,
)
from mlbom.collect.trackers.printed import read_printed
from mlbom.errors import MlbomError
from mlbom.guard import printable

READERS = (
    "mlbom.collect.trackers.result_files:ResultFileReader",
    "mlbom.collect.trackers.trainer_state:TrainerStateReader",
    "mlbom.collect.trackers.mlflow:MlflowReader",
    "mlbom.collect.trackers.wandb:WandbReader",
    "mlbom.collect.trackers.tensorboard:TensorBoardReader",
)
STDOUT = "stdout"
_MOST_FILES = 2000
_MOST_METRICS = 5000


def read_metrics(stdout: Path | None, files: Iterable[Path], base: Path) -> MetricReading:
    """Read every number that a run reported; of each name in each source the last one.

    Args:
        stdout: log of its standard output, or None.
        files: absolute paths of the files that it wrote.
        base: root of the project, absolute.
    """
    readers = [_reader(entry) for entry in READERS]
    sources = sorted((project_path(path, base), path) for path in files)
    matching = [
        (reader, SourceFile(path, printable(shown)))
        for shown, path in sources
        for reader in readers
        if reader.matches(shown)
    ]
    metrics: list[MeasuredMetric] = []
    gaps: list[str] = []
    if stdout is not None:
        _settle(STDOUT, _guarded(read_printed(stdout), STDOUT), metrics, gaps)
    for reader, source in matching[:_MOST_FILES]:
        _settle(source.shown, _guarded(reader.read(source), source.shown), metrics, gaps)
    if len(matching) > _MOST_FILES:
        gaps.append(f"{len(matching) - _MOST_FILES} more files of trackers were not read")
    if len(metrics) > _MOST_METRICS:
        gaps.append(f"{len(metrics) - _MOST_METRICS} more metrics were left out")
    return MetricReading(metrics=tuple(metrics[:_MOST_METRICS]), gaps=tuple(gaps))


def _reader(entry: str) -> TrackerReader:
    module, _, name = entry.partition(":")
    reader: TrackerReader = getattr(import_module(module), name)()
    return reader


def _guarded(found: Iterator[Reported | str], source: str) -> Iterator[Reported | str]:
    """Yield what a reader finds; what stops it is told as a sentence."""
    try:
        yield from found
    except OSError as error:
        yield f"{source} could not be read: {error.strerror or error}"
    except MlbomError as error:
        yield f"{source} was not read: {error.message}"


def _settle(
    source: str,
    found: Iterator[Reported | str],
    metrics: list[MeasuredMetric],
    gaps: list[str],
) -> None:
    """Sort out the last number of each name of one source."""
    last: dict[str, Reported] = {}
    for item in found:
        if isinstance(item, str):
            gaps.append(item)
        else:
            last[item.name] = item
    for name in sorted(last):
        settled = measured(last[name], source)
        if isinstance(settled, str):
            gaps.append(settled)
        else:
            metrics.append(settled)
