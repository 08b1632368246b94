"""The numbers that a recorded step reported, as metrics of the model."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mlbom.collect.runs.reading import ReadBy
from mlbom.collect.scope import Witness
from mlbom.evidence.nodes import Metric
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method
from mlbom.guard import clean_text

_MOST_NAME = 120
# A curve of a long training is no table of results.
_MOST_METRICS = 200


def observe_metrics(read_by: ReadBy, witness: Witness) -> Iterator[Observation | Gap]:
    """Yield each metric at its last value, with dataset and split where they are known.

    Args:
        read_by: the run, and which datasets it read; an evaluation that read one only was made
            on that one.
        witness: the record.
    """
    record = read_by.record
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for metric in record.claim.metrics:
        told = tuple(_text(metric, key) for key in ("dataset", "split", "name"))
        if told[2]:
            last[told[0], told[1], told[2]] = metric
    local = read_by.local() if record.is_evaluation else ()
    inferred = local[0].removeprefix("data:") if len(local) == 1 else None
    for dataset, split, name in sorted(last)[:_MOST_METRICS]:
        metric = last[dataset, split, name]
        subject = f"metric:{record.id}/{dataset}/{split}/{name}"
        value = _finite(metric.get("value"))
        if value is None:
            yield witness.misses(subject, f"the value of {name} is no number", field="value")
            continue
        node = Metric(
            id=subject,
            name=name,
            value=value,
            dataset=dataset or None,
            split=split or None,
            run=record.id,
        )
        yield witness.observes(node, key=_place(metric))
        if inferred and not dataset:
            only = Metric(id=subject, dataset=inferred)
            yield witness.by(Method.INFERRED).observes(only, key="the one dataset that it read")
    if len(last) > _MOST_METRICS:
        reason = f"{len(last) - _MOST_METRICS} further metrics stand in the record only"
        yield witness.misses(record.id, reason, field="metrics")


def _text(metric: Mapping[str, Any], key: str) -> str:
    told = metric.get(key)
    return clean_text(" ".join(told.split())[:_MOST_NAME]) if isinstance(told, str) else ""


def _place(metric: Mapping[str, Any]) -> str:
    """Return where the step reported a number: a file, and the step of training."""
    step = metric.get("step")
    at = f"step {step}" if isinstance(step, int) and not isinstance(step, bool) else ""
    return " ".join(part for part in (_text(metric, "source"), at) if part)


def _finite(told: object) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if math.isfinite(told) else None
