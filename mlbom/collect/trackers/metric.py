"""A number that a run reported, and what a reader of such numbers is."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from mlbom.errors import LimitError
from mlbom.evidence.canonical import MAX_INTEGER
from mlbom.guard import clean_text, printable
from mlbom.openfile import open_regular

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMetric:
    """The last value of one metric in one source.

    Args:
        name: as the source gives it; levels of a document are joined by dots.
        value: a finite number.
        step: step or epoch that the source gives with it, or None.
        source: project-relative path, or `stdout`.
        line: where in the source, counted from 1 (a record, in a file of records); 0 when the
            source has no lines or the number appears on several.
    """

    name: str
    value: float
    step: int | None
    source: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricReading:
    """Every number found, and what could not be read as sentences."""

    metrics: tuple[MeasuredMetric, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """One number as a reader found it; it need not be finite."""

    name: str
    value: float
    step: int | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a run wrote: where it lies, and its path for people."""

    path: Path
    shown: str

    def open(self, limit: int) -> BinaryIO:
        """Return the file, open for reading.

        Raises:
            OSError: it cannot be read.
            LimitError: it is larger than the limit, in bytes.
        """
        stream = os.fdopen(open_regular(self.path), "rb")
        if os.fstat(stream.fileno()).st_size > limit:
            stream.close()
            message = f"{self.shown} is larger than {limit} bytes"
            raise LimitError(message)
        return stream


class TrackerReader(Protocol):
    """Reads one kind of file."""

    name: str

    def matches(self, path: str) -> bool:
        """Return whether a project-relative POSIX path has the name of such a file."""
        ...

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield numbers, a later one of a name replacing an earlier one, and gaps as sentences.

        Raises:
            OSError: the file cannot be read.
            MlbomError: the file is too large or malformed.
        """
        ...


def measured(found: Reported, source: str) -> MeasuredMetric | str:
    """Return a metric fit for a record, or a sentence why it is none."""
    name = printable(clean_text(found.name))
    if len(name) > _LONGEST_NAME:
        return f"{source}: a metric has a name of {len(name)} characters"
    if not math.isfinite(found.value):
        shown = "NaN" if math.isnan(found.value) else "infinite"
        return f"{source}: {name} is {shown}"
    return MeasuredMetric(
        name=name, value=found.value, step=whole(found.step), source=source, line=found.line
    )


def number(value: object) -> float | None:
    """Return a number of a document, not always finite; None for what is no number.

    True and false are none; an integer too large for a float is infinite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def whole(value: object) -> int | None:
    """Return a step as an integer that JSON can hold, or None when it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def project_path(path: Path, base: Path) -> str:
    """Return a path relative to the project; of a file outside only its name."""
    relative = os.path.relpath(path, base)
    return path.name if relative.startswith("..") else Path(relative).as_posix()
