"""Scalars of TensorBoard event files: the last value of each tag."""

import posixpath
from collections.abc import Iterator

from mlbom.collect.trackers.events import Record, Scalar, records, scalars
from mlbom.collect.trackers.metric import Reported, SourceFile
from mlbom.errors import LimitError, MalformedError

_LIMIT = 64 * 1024 * 1024
_MOST_TAGS = 5000


class TensorBoardReader:
    """Every tag with its last value, if the record that holds it has its checksum."""

    name = "TensorBoard"

    def matches(self, path: str) -> bool:
        """Return whether this is an event file by its name."""
        return ".tfevents." in posixpath.basename(path)

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield the last values; a file that a killed run left unfinished gives what it holds."""
        last: dict[str, tuple[Record, Scalar]] = {}
        for item in _scalars(source):
            if isinstance(item, str):
                yield item
            else:
                last[item[1].tag] = item
        for tag, (record, scalar) in last.items():
            if record.is_intact:
                yield Reported(tag, scalar.value, scalar.step, record.number)
            else:
                yield f"{source.shown} is damaged: record {record.number} has a wrong checksum"


def _scalars(source: SourceFile) -> Iterator[tuple[Record, Scalar] | str]:
    """Yield every scalar in order, and in the end why no more could be read."""
    tags: set[str] = set()
    with source.open(_LIMIT) as stream:
        try:
            for record in records(stream, source.shown):
                for scalar in scalars(record.data):
                    tags.add(scalar.tag)
                    if len(tags) > _MOST_TAGS:
                        message = f"{source.shown} has more than {_MOST_TAGS} tags"
                        raise LimitError(message)
                    yield record, scalar
        except MalformedError as error:
            yield error.message
