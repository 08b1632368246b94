"""Compares the runs of a reproduction with the recorded one and with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlbom.errors import MissingExtraError, MlbomError, UnreadableError
from mlbom.pipeline.reproduction.records import sha256_of
from mlbom.pipeline.reproduction.request import ReproduceRequest
from mlbom.record.steps.merkle import trace_root
from mlbom.reproduce.details import Pair, RunFacts
from mlbom.reproduce.original import Original
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.reproduce.tolerance import WeightFacts, by_digest, compared
from mlbom.reproduce.traces.divergence import compare_traces, root_divergence
from mlbom.reproduce.traces.segments import DATA, SegmentComparison, compare_segment
from mlbom.reproduce.values import CauseKind, Culprit, Divergence
from mlbom.reproduce.verdict import ORIGINAL, PairFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two trainings compared: for the verdict, and for the document.

    Args:
        facts: what the verdict needs.
        pair: what the document tells.
        notes: what the comparison could not tell, each one sentence.
        culprit: what made them differ, where the comparison itself says so.
    """

    facts: PairFacts
    pair: Pair
    notes: tuple[str, ...] = ()
    culprit: Culprit | None = None

    @property
    def differs(self) -> bool:
        """Return whether traces or weights are known to differ."""
        weights = self.facts.weights.values()
        differ = any(found.bits_equal is False for found in weights) or bool(self.facts.missing)
        return self.pair.divergence is not None or differ

    @property
    def lacks_numbers(self) -> bool:
        """Return whether weights differ, and nobody could measure how far."""
        comparisons = (found.comparison for found in self.facts.weights.values())
        return any(c and c.differing and not c.has_numbers for c in comparisons)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    facts: Mapping[str, WeightFacts] = field(default_factory=dict)
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lone_metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traces:
    """Whether two traces were compared, their first difference, and what is to be noted.

    `untold` says why traces without a difference cannot be called equal.
    """

    # A segment that stops before the whole training does has other weights at its end.
    reaches_end: bool = True

    were_compared: bool = False
    divergence: Divergence | None = None
    untold: str = ""
    culprit: Culprit | None = None
    notes: tuple[str, ...] = ()


def compare_runs(a: RunFacts, b: RunFacts) -> Compared:
    """Compare two runs that were made here."""
    names = sorted({*a.weights, *b.weights})
    missing = tuple(n for n in names if n not in a.weights or n not in b.weights)
    told = {
        name: _compared_files(a.rerun.outputs[name], b.rerun.outputs[name])
        for name in names
        if name not in missing
    }
    weights = _Weights(
        facts={name: one for name, (one, _) in told.items()},
        documents={name: document for name, (_, document) in told.items() if document},
        missing=missing,
        metrics=_metrics(a.metrics, b.metrics),
        lone_metrics=_lone(a.metrics, b.metrics),
    )
    found = compare_traces(a.rerun.trace, b.rerun.trace, a.rerun.root)
    traces = _Traces(
        were_compared=not (a.rerun.trace.is_empty or b.rerun.trace.is_empty),
        divergence=found.divergence,
        untold=found.untold,
    )
    return _compared((a.rerun.label, b.rerun.label), traces, weights)


def compare_with_original(original: Original, run: RunFacts, request: ReproduceRequest) -> Compared:
    """Compare the recorded training with a run that was made here.

    Args:
        original: the recorded one.
        run: the other.
        request: whether it is the whole training, its first steps, or a segment from a checkpoint.
    """
    if request.checkpoint is not None:
        traces = _segment(original, run)
    else:
        traces = _whole(original, run, request.steps)
    has_end = not request.steps and (request.checkpoint is None or traces.reaches_end)
    weights = _original_weights(original, run) if has_end else _Weights()
    if request.checkpoint is not None:
        # What the whole training wrote before the checkpoint, a segment does not write again.
        weights = replace(weights, missing=())
    return _compared((ORIGINAL, run.rerun.label), traces, weights)


def _compared(labels: tuple[str, str], traces: _Traces, weights: _Weights) -> Compared:
    a, b = labels
    facts = PairFacts(
        a=a,
        b=b,
        has_traces=traces.were_compared,
        divergence=traces.divergence,
        untold=traces.untold,
        weights=weights.facts,
        missing=weights.missing,
        metrics=weights.metrics,
        lone_metrics=weights.lone_metrics,
    )
    pair = Pair(
        a=a,
        b=b,
        divergence=traces.divergence,
        traces=traces.were_compared,
        weights=weights.documents,
    )
    return Compared(facts=facts, pair=pair, notes=traces.notes, culprit=traces.culprit)


def _whole(original: Original, run: RunFacts, steps: int) -> _Traces:
    """Compare a run from the beginning with the recorded one."""
    trace = run.rerun.trace
    if not original.trace_root:
        return _Traces()
    if original.trace is not None:
        found = compare_traces(original.trace, trace, run.rerun.root, steps=steps)
        return _Traces(were_compared=True, divergence=found.divergence, untold=found.untold)
    if steps:
        note = "the trace of the recorded run is not here: its first steps cannot be compared"
        return _Traces(notes=(note,))
    root = trace_root(trace)
    if root == original.trace_root:
        return _Traces(were_compared=True)
    if not root:
        return _Traces(were_compared=True, untold="the new trace is not whole, so it has no root")
    note = "the trace of the recorded run is not here: its root says that they differ, not where"
    return _Traces(were_compared=True, divergence=root_divergence(), notes=(note,))


def _segment(original: Original, run: RunFacts) -> _Traces:
    """Compare a run from a checkpoint with the steps that it repeats."""
    if original.trace is None:
        note = "the trace of the recorded run is not here: no segment of it can be compared"
        return _Traces(notes=(note,))
    found = compare_segment(original.trace, run.rerun.trace, run.rerun.root)
    if found.offset is None:
        note = "the checkpoint holds weights that no step of the recorded run begins with"
        return _Traces(notes=(note,))
    kept = [name for name, is_back in found.restored.items() if is_back]
    lost = [name for name, is_back in found.restored.items() if is_back is False]
    streams = [name for name in lost if name.startswith("rng:")]
    # Other random numbers make other batches: the position of the data follows from them.
    lost = [name for name in lost if name != DATA or not streams]
    told = f"segment: {found.compared} steps from step {found.offset} on; the checkpoint brought "
    told += f"back {', '.join(kept) or 'nothing'}"
    if lost:
        told += f", and not {', '.join(lost)}"
    return _Traces(
        were_compared=True,
        divergence=found.divergence and replace(found.divergence, of=found.offset + found.compared),
        untold=found.untold,
        notes=(told,),
        reaches_end=found.reaches_end,
        culprit=_not_restored(found, lost) if lost and found.divergence else None,
    )


def _not_restored(found: SegmentComparison, lost: Sequence[str]) -> Culprit:
    """Return that a checkpoint did not bring back the whole state."""
    is_stream = all(name.startswith("rng:") for name in lost)
    return Culprit(
        kind=CauseKind.RNG_STREAM if is_stream else CauseKind.CONTROL_FLOW,
        what=f"the checkpoint does not bring back {', '.join(lost)}",
        step=found.divergence.step if found.divergence else 0,
        fix="save and load the whole state: model, optimizer, scheduler, generators, data position",
        evidence=("the state before the segment's first step is not that of the whole training",),
        is_sure=True,
    )


def _original_weights(original: Original, run: RunFacts) -> _Weights:
    facts: dict[str, WeightFacts] = {}
    documents: dict[str, Mapping[str, Any]] = {}
    for name, sha256 in sorted(original.weights.items()):
        told = run.weights.get(name)
        if told is None:
            continue
        if told["sha256"] != sha256 and name in original.files:
            facts[name], document = _compared_files(original.files[name], run.rerun.outputs[name])
            documents |= {name: document} if document else {}
        else:
            facts[name] = by_digest(sha256, told["sha256"])
    missing = tuple(name for name in original.weights if name not in run.weights)
    return _Weights(
        facts=facts,
        documents=documents,
        missing=missing,
        metrics=_metrics(original.metrics, run.metrics),
        lone_metrics=_lone(original.metrics, run.metrics),
    )


def _compared_files(a: Path, b: Path) -> tuple[WeightFacts, Mapping[str, Any] | None]:
    """Return two weight files compared, for the verdict and for the document."""
    try:
        comparison = compare_files(a, b)
    except MissingExtraError:
        # Equal or not can be told without numpy, and how far apart cannot.
        comparison = compare_files(a, b, numbers=False)
    except UnreadableError as error:
        return _by_bytes(a, b, error), None
    return compared(comparison), comparison.document()


def _by_bytes(a: Path, b: Path, error: MlbomError) -> WeightFacts:
    """Return what can be said of files whose tensors cannot be read: equal bytes, or nothing."""
    if sha256_of(a) == sha256_of(b) != "":
        return WeightFacts(bits_equal=True)
    return WeightFacts(bits_equal=None, detail=f"its tensors cannot be read: {error}")


def _metrics(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    return {name: (a[name], b[name]) for name in sorted(a.keys() & b.keys())}


def _lone(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(a.keys() ^ b.keys()))
