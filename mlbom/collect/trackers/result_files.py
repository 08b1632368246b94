"""Documents of results: metrics.json and its like, as evaluation scripts write them."""

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from mlbom.collect.trackers.metric import Reported, SourceFile, number
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

_NAMES = frozenset(
    f"{part}_results.json" for part in ("all", "eval", "train", "test", "predict")
) | frozenset(f"{name}.json" for name in ("metrics", "eval", "evaluation", "results", "scores"))
_SUFFIX = "_metrics.json"
# What scripts write beside their results, and what measures nothing.
_SETTINGS = frozenset(
    "seed steps epochs batch_size parameters characters tokens samples examples rows".split()
)
_LIMIT = 8 * 1024 * 1024
# A token of JSON: a text, or one of the three names that Python writes and JSON does not know.
_TEXT_OR_CONSTANT = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', re.DOTALL)
_CONSTANTS = {text: float(text) for text in ("NaN", "Infinity", "-Infinity")}


class ResultFileReader:
    """Every number of the document; objects inside objects give dotted names."""

    name = "result file"

    def matches(self, path: str) -> bool:
        """Return whether this is a document of results by its name."""
        name = posixpath.basename(path)
        return name in _NAMES or name.endswith(_SUFFIX)

    def read(self, source: SourceFile) -> Iterator[Reported | str]:
        """Yield the numbers of the document."""
        data = read_regular(source.path, _LIMIT, source.shown)
        document = parse_results(data, source.shown)
        yield from flatten(document, "", data)


def parse_results(data: bytes, what: str, limit: int = _LIMIT) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON as Python writes it: NaN and Infinity, which JSON does not know, become floats.

    Raises:
        LimitError: too large, or too deep.
        MalformedError: not JSON.
    """
    text = _TEXT_OR_CONSTANT.sub(_quoted, data)
    return _restored(parse_json(text, what, max_bytes=limit + limit // 8))


def flatten(value: Any, name: str, data: bytes) -> Iterator[Reported]:  # noqa: ANN401 - JSON
    """Yield the numbers of a document with dotted names; lists hold no metrics.

    Args:
        value: the document, or a part of it.
        name: of the part; empty for the document.
        data: the bytes of the document, to find lines in.
    """
    if (found := number(value)) is not None:
        if name.rpartition(".")[2].lower() in _SETTINGS:
            return
        yield Reported(name, found, line=line_of(data, name.rpartition(".")[2]))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}" if name else str(key), data)


def line_of(data: bytes, key: str) -> int:
    """Return the line of a key that appears once, else 0."""
    quoted = b'"' + key.encode("utf-8", "replace") + b'"'
    if data.count(quoted) != 1:
        return 0
    return data.count(b"\n", 0, data.index(quoted)) + 1


def _quoted(match: re.Match[bytes]) -> bytes:
    token = match.group()
    return token if token.startswith(b'"') else b'"' + token + b'"'


def _restored(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _restored(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restored(inner) for inner in value]
    return _CONSTANTS.get(value, value) if isinstance(value, str) else value
