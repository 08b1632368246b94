"""The facts of a torch checkpoint from its walked pickle, for the zip and the old layout alike."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.nodes import Pair
from mlbom.formats.opcodes import PickleFacts
from mlbom.formats.torch_names import REBUILDING
from mlbom.formats.torch_tensors import TensorTable, tensor_table
from mlbom.formats.torch_views import Storages
from mlbom.formats.weights import WeightFacts

PICKLE_GLOBALS = "pickle-globals"
# What Lightning writes beside the weights, when it is plain data.
_TRAINING_KEYS = ("epoch", "global_step", "pytorch-lightning_version")
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as its container gives it.

    Args:
        format: name of the format.
        found: what the walk over its pickle found.
        value: the inert value that holds the tensors, None when the walk did not reach its end.
        stored: given the storages that the pickle announces, returns the bytes of each in the
            file, by key; may raise `MalformedError`.
        metadata: what the container says besides.
        problem: what is wrong with the container, empty when nothing is.
    """

    format: str
    found: PickleFacts
    value: Any
    stored: Callable[[Storages], Mapping[str, int]]
    metadata: tuple[Pair, ...] = ()
    problem: str = ""


def checkpoint_facts(checkpoint: Checkpoint) -> WeightFacts:
    """Return the facts of a checkpoint; what is wrong with it is told in `problem`."""
    found = checkpoint.found
    problem = checkpoint.problem or found.problem
    table: TensorTable | None = None
    if checkpoint.value is not None:
        try:
            table = tensor_table(checkpoint.value)
            problem = problem or _missing_storage(table, checkpoint.stored(table.storages))
        except (MalformedError, LimitError) as error:
            problem = problem or error.message
    return WeightFacts(
        format=checkpoint.format,
        tensors=tuple(table.tensors) if table else (),
        aliases=tuple(sorted(table.aliases)) if table else (),
        has_table=table is not None,
        metadata=(*checkpoint.metadata, *_training(checkpoint.value), *_apart(table)),
        globals=found.globals,
        code_kind="" if REBUILDING.issuperset(found.globals) else PICKLE_GLOBALS,
        problem=problem,
    )


def checkpoint_table(checkpoint: Checkpoint) -> TensorTable:
    """Return the tensors of a checkpoint of which everything can be told.

    Raises:
        MalformedError: anything is wrong with it.
        LimitError: as `tensor_table`.
    """
    problem = checkpoint.problem or checkpoint.found.problem
    if checkpoint.value is None or problem:
        raise MalformedError(problem or "the pickle has no value")
    table = tensor_table(checkpoint.value)
    problem = _missing_storage(table, checkpoint.stored(table.storages))
    if problem:
        raise MalformedError(problem)
    return table


def _missing_storage(table: TensorTable, stored: Mapping[str, int]) -> str:
    for key, storage in table.storages.items():
        if stored.get(key) != storage.nbytes:
            in_file = f"{stored[key]} bytes" if key in stored else "nothing"
            return f"storage {key[:80]!a} has {in_file} in the file, not {storage.nbytes} bytes"
    return ""


def _training(value: Any) -> Iterator[Pair]:  # noqa: ANN401 - any inert value
    for key in _TRAINING_KEYS:
        told = value.get(key) if isinstance(value, dict) else None
        if type(told) is int or (isinstance(told, str) and len(told) <= _MAX_TEXT):
            yield Pair(key, str(told))


def _apart(table: TensorTable | None) -> Iterator[Pair]:
    if table and table.apart_tensors:
        yield Pair("training-state.tensors", str(table.apart_tensors))
        yield Pair("training-state.elements", str(table.apart_elements))
