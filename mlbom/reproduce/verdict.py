"""How far a reproduction agrees: the ladder, its thresholds, and every reason not to say.

The strongest level that holds for every pair of trainings is told. Whatever could not be told makes
the verdict inconclusive, which is never green. Equal weights with an unequal trace are
`exact-weights` and the reasons say so: with a small learning rate a training that differs in every
step can end in equal bits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlbom.reproduce.quality import is_quality
from mlbom.reproduce.tolerance import (
    METRIC_TOLERANCE,
    WeightFacts,
    beyond,
    has_same_tensors,
    thresholds,
)
from mlbom.reproduce.traces.divergence import ROOT
from mlbom.reproduce.values import (
    LADDER,
    Divergence,
    Judgement,
    Level,
    Mismatch,
    Rerun,
)

ORIGINAL = "original"
_EXACT = (Level.EXACT_TRACE, Level.EXACT_WEIGHTS)
_WORST_FIRST = (Level.INCONCLUSIVE, Level.DIVERGED, *reversed(LADDER))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """Two trainings compared.

    Args:
        a, b: their labels; `original` is the recorded one.
        has_traces: whether both have a trace to compare.
        divergence: the first difference of the traces.
        untold: why traces without a difference cannot be called equal (`compare_traces`), or empty.
        weights: name -> comparison of the two files.
        missing: names of weights that only one of them wrote.
        metrics: name -> the two numbers, of metrics that both told.
        lone_metrics: names of metrics that only one of them told.
    """

    a: str
    b: str
    has_traces: bool
    divergence: Divergence | None = None
    untold: str = ""
    weights: Mapping[str, WeightFacts] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lone_metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a verdict stands on.

    Args:
        required: the level asked for.
        runs: the trainings made.
        asked: how many were asked for.
        pairs: every comparison that counts.
        doubts: reasons to say nothing that were known before (a dirty tree, missing inputs, ...).
        mismatches: between the recorded environment and this one.
        allows_mismatch: whether those may decide nothing.
        other_isa: whether the recorded training ran on another instruction set or class of CPU.
        is_partial: whether only the first steps or a segment were run, so that no end is compared.
        is_control_detected: whether a run that must be told apart was; None when none was made.
        metric_tolerance: largest relative difference of a metric.
    """

    required: Level
    runs: tuple[Rerun, ...]
    asked: int
    pairs: tuple[PairFacts, ...]
    doubts: tuple[str, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    allows_mismatch: bool = False
    other_isa: bool = False
    is_partial: bool = False
    is_control_detected: bool | None = None
    metric_tolerance: float = METRIC_TOLERANCE


def judge(facts: Facts) -> Judgement:
    """Return the verdict: the strongest level that holds for all pairs, or inconclusive."""
    judged = [(_level(pair, facts), pair) for pair in facts.pairs]
    doubts = list(_doubts(facts))
    level, reasons = _weakest(judged)
    if doubts:
        level, reasons = Level.INCONCLUSIVE, [*doubts, *reasons]
    elif facts.other_isa and (told := _across_isa(facts, judged)):
        level, reasons = Level.INCONCLUSIVE, [told, *reasons]
    return Judgement(
        level=level,
        required=facts.required,
        reasons=tuple(dict.fromkeys(reasons)),
        thresholds=thresholds(facts.metric_tolerance),
    )


_Judged = tuple[tuple[Level, tuple[str, ...]], PairFacts]


def _weakest(judged: list[_Judged]) -> tuple[Level, list[str]]:
    """Return the weakest level of all pairs with the reasons of the pairs at that level."""
    if not judged:
        return Level.INCONCLUSIVE, ["no two trainings could be compared"]
    level = min((found for (found, _), _ in judged), key=_WORST_FIRST.index)
    at_level = [reasons for (found, reasons), _ in judged if found is level]
    return level, [reason for reasons in at_level for reason in reasons]


def _across_isa(facts: Facts, judged: list[_Judged]) -> str:
    """Return why another instruction set leaves the verdict open, or an empty text.

    Equal bits are equal on any CPU. Where only the recorded run is not met exactly, an exact claim
    can be neither made nor refused; a claim within tolerance can.
    """
    ours = [level for (level, _), pair in judged if ORIGINAL not in (pair.a, pair.b)]
    theirs = [level for (level, _), pair in judged if ORIGINAL in (pair.a, pair.b)]
    is_open = all(level in _EXACT for level in ours) and any(
        level not in _EXACT for level in theirs
    )
    if not is_open or facts.required not in _EXACT:
        return ""
    within = all(level is not Level.DIVERGED for level in theirs)
    return (
        "different ISA: the recorded training ran on another class of CPU, where equal bits cannot "
        f"be expected; within tolerance: {'yes' if within else 'no'}"
    )


def _doubts(facts: Facts) -> Iterator[str]:
    """Yield every reason not to say anything."""
    yield from facts.doubts
    if facts.mismatches and not facts.allows_mismatch:
        told = "; ".join(f"{m.name} {m.recorded} -> {m.found}" for m in facts.mismatches[:4])
        more = len(facts.mismatches) - 4
        yield f"the environment is not the recorded one: {told}" + (
            f" and {more} more" if more > 0 else ""
        )
    for run in facts.runs:
        if not run.outcome.is_complete:
            detail = f" ({run.told_detail})" if run.detail else ""
            yield f"{run.label}: {run.outcome.value}{detail}"
        elif run.trace.is_empty:
            yield f"{run.label}: nothing of a training was seen: no step, no loss, no final weights"
    complete = sum(run.outcome.is_complete for run in facts.runs)
    if complete < facts.asked:
        yield f"{complete} of {facts.asked} runs came to their end"
    if facts.is_control_detected is False:
        yield "the control run, which must differ, was not told apart: the comparison sees nothing"


def _level(pair: PairFacts, facts: Facts) -> tuple[Level, tuple[str, ...]]:
    """Return the strongest level that holds for one pair, and why no higher one does."""
    names = f"{pair.a} and {pair.b}"
    if code := [f"{names}: {n}: {w.code}" for n, w in pair.weights.items() if w.code]:
        return Level.DIVERGED, tuple(code)
    untold = [f"{names}: {n}: {w.detail}" for n, w in pair.weights.items() if w.bits_equal is None]
    if untold:
        return Level.INCONCLUSIVE, tuple(untold)
    trace = _trace_reason(pair, names)
    if not pair.weights and not pair.missing:
        return _without_weights(pair, names, trace, facts)
    if not pair.missing and all(found.bits_equal for found in pair.weights.values()):
        level = Level.EXACT_WEIGHTS if trace else Level.EXACT_TRACE
        return level, (*filter(None, [trace]), *_repackaged(pair, names))
    reasons = [trace] if trace else []
    reasons += [f"{names}: only one of them wrote {name}" for name in pair.missing]
    outside = list(_outside(pair, names))
    if not outside and not pair.missing:
        count = sum(not found.bits_equal for found in pair.weights.values())
        reasons.append(f"{names}: {count} files of weights differ, within tolerance")
        return Level.TOLERANCE, tuple(reasons)
    return _by_metric(pair, facts, [*reasons, *outside])


def _repackaged(pair: PairFacts, names: str) -> Iterator[str]:
    for name, found in pair.weights.items():
        if found.is_repackaged:
            yield f"{names}: {name} is repackaged: the same tensors, and another SHA-256"


def _trace_reason(pair: PairFacts, names: str) -> str:
    """Return why the trace does not carry the strongest level, or an empty text."""
    if not pair.has_traces:
        return f"{names}: there is no trace to compare, only results"
    divergence = pair.divergence
    if divergence is None:
        return f"{names}: {pair.untold}" if pair.untold else ""
    where = f"from step {divergence.step} on ({divergence.field})"
    if divergence.field == ROOT:
        where = "somewhere: their roots are not equal"
    told = f"{names}: the traces differ {where}"
    if pair.weights and not pair.missing and all(w.bits_equal for w in pair.weights.values()):
        return (
            f"{told}, although the weights have equal bits: weights alone would not have shown it"
        )
    return told


def _without_weights(
    pair: PairFacts, names: str, trace: str, facts: Facts
) -> tuple[Level, tuple[str, ...]]:
    """Return what a trace alone says, where no weights were written (a few steps only)."""
    if not pair.has_traces:
        return Level.INCONCLUSIVE, (f"{names}: neither weights nor a trace to compare",)
    if pair.divergence is None and pair.untold:
        return Level.INCONCLUSIVE, (f"{names}: no weights to compare, and {pair.untold}",)
    if pair.divergence is None:
        told = f"{names}: every step agrees"
        if facts.is_partial:
            return Level.EXACT_TRACE, (f"{told} of those that were run",)
        return Level.INCONCLUSIVE, (f"no file of weights was written in the project; {told}",)
    return _by_metric(pair, facts, [trace])


def _outside(pair: PairFacts, names: str) -> Iterator[str]:
    """Yield what is beyond tolerance, with the furthest tensor of each file."""
    for name, found in pair.weights.items():
        comparison = found.comparison
        if found.bits_equal:
            continue
        if comparison is None or not has_same_tensors(comparison):
            yield f"{names}: {name} holds other tensors"
        elif far := beyond(comparison):
            worst = far[0]
            ulp = worst.ulp[1] if worst.ulp else "unknown"
            distance = f"{worst.rel_l2:.3g}" if worst.rel_l2 is not None else "unknown"
            yield (
                f"{names}: {name}: {len(far)} tensors beyond tolerance, {worst.name} the furthest: "
                f"relative L2 {distance}, p99 {ulp} ULP"
            )


def _by_metric(pair: PairFacts, facts: Facts, reasons: list[str]) -> tuple[Level, tuple[str, ...]]:
    """Return `metric` when every metric of quality is close enough, else `diverged`.

    A metric that only one of them told is close to nothing.
    """
    names = f"{pair.a} and {pair.b}"
    quality = {name: told for name, told in pair.metrics.items() if is_quality(name)}
    far = [
        f"{names}: {name}: {one:g} and {other:g}"
        for name, (one, other) in quality.items()
        if not _is_close(one, other, facts.metric_tolerance)
    ]
    lone = filter(is_quality, pair.lone_metrics)
    far += [f"{names}: only one of them told the metric {name}" for name in lone]
    if quality and not far and not pair.missing:
        return Level.METRIC, tuple(reasons)
    return Level.DIVERGED, (*reasons, *far)


def _is_close(one: float, other: float, tolerance: float) -> bool:
    """Return whether two numbers are within a relative difference; NaN is close to nothing."""
    return abs(one - other) <= tolerance * max(abs(one), abs(other))
