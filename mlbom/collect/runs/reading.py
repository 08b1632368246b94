"""What a recorded step read of datasets and model hubs, joined to the datasets that are known."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlbom.attest.run_claim import EMPTY, StepKind
from mlbom.collect.runs.record import Record
from mlbom.collect.scope import Witness
from mlbom.evidence.nodes import HUB_DATASET_URL, Dataset, Model, Pair
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method

_NAME = r"[\w.-]{1,96}(?:/[\w.-]{1,96})?"
_REVISION = re.compile(r"[0-9a-f]{40}")
_HUB_DATASET = re.compile(rf"{re.escape(HUB_DATASET_URL)}({_NAME})(?:/tree/([\w.-]+))?", re.ASCII)
_HUB_MODEL = re.compile(rf"pkg:huggingface/({_NAME})(?:@([\w.-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBy:
    """One run and what it can have read.

    Args:
        record: of the run.
        model: id of the model.
        datasets: ids of the local datasets by SHA-256 of their files.
    """

    record: Record
    model: str
    datasets: Mapping[str, tuple[str, ...]]

    def local(self) -> tuple[str, ...]:
        """Return the ids of the local datasets of which the run read a file."""
        read = {sha256 for _, sha256 in self.record.inputs()} - {EMPTY}
        return tuple(sorted({d for sha256 in read for d in self.datasets.get(sha256, ())}))


def observe_reading(read_by: ReadBy, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield the datasets and base models that a run read, and those that nothing pins."""
    record = read_by.record
    for dataset in read_by.local():
        yield witness.observes(Dataset(id=dataset, read_by=(record.id,)))
    for resource in record.claim.materials:
        if found := _HUB_DATASET.fullmatch(resource.uri):
            yield from _hub_dataset(read_by, found[1], found[2] or "", witness)
        elif found := _HUB_MODEL.fullmatch(resource.uri):
            yield from _hub_model(read_by, found[1], found[2] or "", witness)


def _hub_dataset(
    read_by: ReadBy, name: str, revision: str, witness: Witness
) -> Iterator[Observation | Gap]:
    pinned = bool(_REVISION.fullmatch(revision))
    subject = f"data:{name}"
    node = Dataset(
        id=subject,
        name=name,
        url=HUB_DATASET_URL + name,
        revision=revision if pinned else None,
        read_by=(read_by.record.id,),
    )
    yield witness.observes(node, key="materials")
    yield witness.observes(Model(id=read_by.model, datasets=(subject,)), key="materials")
    if not pinned:
        yield witness.misses(subject, "the run does not tell which commit it read", field="version")


def _hub_model(
    read_by: ReadBy, name: str, revision: str, witness: Witness
) -> Iterator[Observation | Gap]:
    """Yield a model of a hub that training began from; what an evaluation loads is no ancestor."""
    if read_by.record.claim.kind is StepKind.EVAL:
        return
    pinned = bool(_REVISION.fullmatch(revision))
    node = Model(
        id=read_by.model,
        base_models=(name,),
        base_pins=(Pair(name, revision),) if pinned else (),
    )
    yield witness.by(Method.INFERRED).observes(node, key="materials")
    if not pinned:
        reason = f"the run does not tell which commit of {name} it read"
        yield witness.misses(read_by.model, reason, field="base_models")
