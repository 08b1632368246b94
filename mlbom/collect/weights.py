"""What the weight files say about themselves: tensors, formats, metadata, and code they can run.

Headers and pickles are read by `mlbom.formats`, bounded and without running anything.
"""

import os
import posixpath
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, TypeVar

from mlbom.collect.scope import Scope, Witness, shortened
from mlbom.collect.weight_totals import Measured, counted_files, dtype_totals
from mlbom.digest.tree import EntryKind
from mlbom.errors import UnknownFormatError, UnreadableError
from mlbom.evidence.nodes import CodeSurface, Model, Pair, Weights
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method
from mlbom.formats.sharded import (
    INDEX_SUFFIX,
    MAX_INDEX_BYTES,
    disagreements,
    join_shards,
    read_index,
)
from mlbom.formats.weights import WeightFacts, read_weights
from mlbom.openfile import open_regular

# Folders below these files are parts of one pipeline, each with weights of its own.
_PIPELINE_FILES = ("model_index.json", "modules.json")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_METADATA = 500
_MAX_METADATA_TEXT = 2000
_MAX_SHAPES = 1000
_ReturnT = TypeVar("_ReturnT")
_Telling = Generator[Observation | Gap, None, _ReturnT]


class WeightsCollector:
    """Reads every weight file of the model."""

    name = "weights"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield `Weights` for each file or index, `CodeSurface` for what can run code, `Model`."""
        witness = Witness(self.name, Method.MEASURED)
        measured: list[Measured] = []
        shards: set[str] = set()
        # Indexes first: the shards that they name are no weights of their own.
        for path in sorted(scope.model.weights, key=lambda p: (not p.endswith(INDEX_SUFFIX), p)):
            if path in shards:
                continue
            here = witness.at(scope.in_model(path))
            if path.endswith(INDEX_SUFFIX):
                facts, names = yield from _index(scope, path, here)
                shards.update(names)
            else:
                facts = yield from _single(scope, path, here)
            measured.append(Measured(path, facts))
        yield from _model(scope, measured, witness)


def _single(scope: Scope, path: str, here: Witness) -> _Telling[WeightFacts | None]:
    """Yield what one file says, and return its facts."""
    weights = Weights(id=f"weights:{path}", path=path)
    try:
        facts = _read(scope, path)
    except UnreadableError as error:
        yield here.observes(weights)
        yield _gap(here, weights.id, path, error)
        return None
    yield from _told(facts, weights, here)
    yield from _code(facts, here)
    return facts


def _index(
    scope: Scope, path: str, here: Witness
) -> _Telling[tuple[WeightFacts | None, tuple[str, ...]]]:
    """Yield what an index and its shards say, and return the joined facts and the shards' paths."""
    weights = Weights(id=f"weights:{path}", path=path)
    try:
        with _opened(scope, path) as (stream, _):
            index = read_index(stream.read(MAX_INDEX_BYTES + 1), path)
    except UnreadableError as error:
        yield here.observes(weights)
        yield _gap(here, weights.id, path, error)
        return None, ()
    folder = posixpath.dirname(path)
    paths = {name: posixpath.join(folder, name) for name in index.shards}
    weights = replace(weights, shards=tuple(paths.values()))
    facts = {}
    for name, shard in paths.items():
        try:
            facts[name] = _read(scope, shard)
        except UnreadableError as error:
            yield _gap(here, weights.id, shard, error)
            continue
        yield from _code(facts[name], here.at(scope.in_model(shard)))
    if len(facts) < len(paths):
        yield here.observes(weights)
        return None, weights.shards
    joined = join_shards(facts)
    yield from _told(joined, weights, here)
    for sentence in disagreements(index, facts) if joined.has_table else ():
        yield here.misses(weights.id, f"index and shards contradict each other: {sentence}")
    return joined, weights.shards


def _told(facts: WeightFacts, weights: Weights, here: Witness) -> Iterator[Observation | Gap]:
    """Yield the observation of a file that was read, and what it does not say."""
    pairs = [Pair(p.name, shortened(p.text, _MAX_METADATA_TEXT)) for p in facts.metadata]
    weights = replace(weights, format=facts.format, metadata=tuple(pairs[:_MAX_METADATA]))
    if facts.has_table:
        shapes = facts.shapes
        weights = replace(
            weights,
            parameters=facts.parameters,
            tensor_count=len(facts.tensors),
            dtypes=facts.dtypes,
            shapes=shapes if len(shapes) <= _MAX_SHAPES else (),
            tensors=facts.digest,
        )
        if len(shapes) > _MAX_SHAPES:
            reason = f"{len(shapes)} different shapes, more than {_MAX_SHAPES} are not listed"
            yield here.misses(weights.id, reason, field="shapes")
    elif not facts.problem:
        reason = f"the tensors of a {facts.format} file are not known without loading it"
        yield here.misses(weights.id, reason, field="parameters")
    yield here.observes(weights)
    if facts.problem:
        reason = f"{weights.path}: {facts.problem}"
        yield here.misses(weights.id, reason, kind=GapKind.UNREADABLE)


def _code(facts: WeightFacts, here: Witness) -> Iterator[Observation]:
    """Yield the code that loading the file can run."""
    if facts.code_kind:
        surface = CodeSurface(
            id=f"code:{here.path}", path=here.path, kind=facts.code_kind, names=facts.globals
        )
        yield here.observes(surface)


def _model(scope: Scope, files: list[Measured], witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the totals over the files that count, unless one of them is not known."""
    subject = f"model:{scope.model.root}"
    has_parts = any(entry.path in _PIPELINE_FILES for entry in scope.model.files)
    chosen = counted_files(files, has_parts=has_parts)
    formats = sorted({f for file in files if file.facts for f in file.facts.format.split("+")})
    model = Model(id=subject, formats=tuple(formats))
    unknown = [file.path for file in chosen if not file.is_complete]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        reason = f"the parameters of {unknown[0]}{more} are not known"
        yield witness.misses(subject, reason, field="parameters")
    elif chosen:
        total = sum(file.facts.parameters for file in chosen if file.facts)
        model = replace(model, parameters=total, dtypes=dtype_totals(chosen))
    if formats:
        yield witness.observes(model)


def _read(scope: Scope, path: str) -> WeightFacts:
    """Return the facts of a file of the model.

    Raises:
        UnknownFormatError: no reader knows it, or it is only a pointer to the weights.
        UnreadableError: missing, no regular file, malformed, or beyond a limit.
    """
    with _opened(scope, path) as (stream, nbytes):
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            message = "a git-lfs pointer: the weights themselves are not here"
            raise UnknownFormatError(message, hint="git lfs pull fetches them")
        stream.seek(0)
        return read_weights(stream, nbytes, path)


@contextmanager
def _opened(scope: Scope, path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file of the model for reading; the value is the stream and its size in bytes."""
    # Only what the walk took for a file may be a link (into the blobs of a hub cache).
    files = (e for e in scope.model.files if e.kind is EntryKind.FILE)
    location = next((e.location for e in files if e.path == path), path)
    try:
        descriptor = open_regular(scope.path / scope.in_model(location))
        with os.fdopen(descriptor, "rb") as stream:
            yield stream, os.fstat(descriptor).st_size
    except FileNotFoundError as error:
        message = "the file is not here"
        raise UnreadableError(message) from error
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise UnreadableError(message) from error


def _gap(here: Witness, subject: str, path: str, error: UnreadableError) -> Gap:
    """Return the gap for a file that says nothing: absent when nobody could read it here."""
    if isinstance(error, UnknownFormatError):
        return here.misses(subject, f"{path}: {error.message}", field="parameters")
    return here.misses(subject, f"{path}: {error.message}", kind=GapKind.UNREADABLE)
