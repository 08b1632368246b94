"""Compares a training that went on from a checkpoint with the whole one, where their steps meet.

What the recorder saw before the segment's first step must be the state of the whole training after
some step k. Weights tell where; everything else tells what the checkpoint brought back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom.record.steps.values import Entry, ProcessSteps, StepRecord, StepTrace
from mlbom.reproduce.traces.divergence import MISSING, final_signals, judged, moved, place_in_step
from mlbom.reproduce.traces.places import program_line
from mlbom.reproduce.values import Divergence

PARAMETERS, OPTIMIZER, BUFFERS, DATA = "parameters", "optimizer", "buffers", "data position"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentComparison:
    """A segment beside the steps of the whole training that it repeats.

    Args:
        offset: the segment's step 0 is this step of the whole; None when no step of the whole
            begins with the weights that the segment began with.
        compared: how many steps stand beside each other.
        restored: `parameters`, `optimizer`, `buffers`, `data position`, `rng:STREAM` -> whether the
            checkpoint brought it back; None when the traces do not tell.
        divergence: the first difference, numbered as in the whole training.
        untold: why a segment without a difference cannot be called equal, one sentence, or empty.
        reaches_end: whether the segment went to the end of the whole.
    """

    offset: int | None
    compared: int = 0
    restored: Mapping[str, bool | None] = field(default_factory=dict)
    divergence: Divergence | None = None
    untold: str = ""
    reaches_end: bool = False


def segment_offset(whole: StepTrace, segment: StepTrace) -> int | None:
    """Return the step of the whole training whose state the segment began with, or None.

    All processes must agree on it.
    """
    pairs = _pairs(whole, segment)
    if not pairs:
        return None
    common = set.intersection(*(set(_candidates(one, other)) for one, other in pairs))
    return min(common, default=None)


def compare_segment(
    whole: StepTrace, segment: StepTrace, root: Path | None = None
) -> SegmentComparison:
    """Compare a segment with the steps of the whole training that it repeats.

    Args:
        whole: a training from its beginning.
        segment: one from a checkpoint of it.
        root: the folder that the segment saw as its project.
    """
    offset = segment_offset(whole, segment)
    if offset is None:
        return SegmentComparison(offset=None)
    pairs = _pairs(whole, segment)
    found = [
        difference
        for place, (one, other) in enumerate(pairs)
        if (difference := _first(one, other, offset, place, root))
    ]
    found.sort(key=lambda d: (d.step, place_in_step(d.field), d.rank or 0))
    judgement = judged(whole, segment, found[0] if found else None)
    lengths = [(len(one.steps) - offset, len(other.steps)) for one, other in pairs]
    return SegmentComparison(
        offset=offset,
        compared=sum(min(pair) for pair in lengths),
        restored=_restored(*pairs[0], offset),
        divergence=judgement.divergence,
        untold=judgement.untold,
        reaches_end=all(left == steps for left, steps in lengths),
    )


def _pairs(whole: StepTrace, segment: StepTrace) -> list[tuple[ProcessSteps, ProcessSteps]]:
    """Return the processes that belong together; none when their numbers differ."""
    if [p.rank for p in whole.processes] != [p.rank for p in segment.processes]:
        return []
    return list(zip(whole.processes, segment.processes, strict=True))


def _candidates(whole: ProcessSteps, segment: ProcessSteps) -> Iterator[int]:
    """Yield each step of the whole that begins with the weights of the segment."""
    firsts: dict[int, int] = {}
    for number, step in enumerate(segment.steps):
        firsts.setdefault(step.optimizer, number)
    entries = {e.optimizer: e for e in segment.entries if e.optimizer in firsts}
    if not entries:
        return
    for offset in range(len(whole.steps) + 1):
        if all(
            entry.params == _params_before(whole, optimizer, offset + firsts[optimizer])
            and _steps_at(whole, optimizer, offset + firsts[optimizer])
            for optimizer, entry in entries.items()
        ):
            yield offset


def _steps_at(process: ProcessSteps, optimizer: int, number: int) -> bool:
    """Return whether an optimizer makes a step; beyond the last one any may."""
    return number >= len(process.steps) or process.steps[number].optimizer == optimizer


def _params_before(process: ProcessSteps, optimizer: int, number: int) -> str | None:
    """Return the digest of an optimizer's parameters before a step."""
    done = (s.params for s in reversed(process.steps[:number]) if s.optimizer == optimizer)
    entry = next((e for e in process.entries if e.optimizer == optimizer), None)
    return next(done, entry.params if entry else None)


def _first(
    whole: ProcessSteps, segment: ProcessSteps, offset: int, place: int, root: Path | None
) -> Divergence | None:
    """Return the first step of a segment that is not the one of the whole, or None."""

    def told(number: int, signals: tuple[str, ...], at: str = "") -> Divergence:
        return Divergence(
            step=offset + number,
            of=min(len(whole.steps) - offset, len(segment.steps)),
            rank=whole.rank,
            process=place,
            signals=signals,
            field=signals[0],
            at=str(program_line(at, root)),
        )

    for number, ours in enumerate(segment.steps):
        if offset + number >= len(whole.steps):
            return told(number, (MISSING,), ours.at)
        theirs = whole.steps[offset + number]
        if number == 0:
            theirs = _in_force(whole, ours, theirs)
        if signals := tuple(_signals(theirs, ours)):
            return told(number, signals, ours.at)
    is_to_end = len(whole.steps) == offset + len(segment.steps)
    signals = tuple(final_signals(whole, segment)) if is_to_end else ()
    return told(len(segment.steps), signals) if signals else None


def _in_force(whole: ProcessSteps, ours: StepRecord, theirs: StepRecord) -> StepRecord:
    """Return the step of the whole with all that is in force there, beside a segment's first step.

    The first record of a process holds every stream that moved and every flag; a later one only
    what changed since the step before.
    """
    rng: dict[str, str] = {}
    flags: dict[str, str] = {}
    for step in whole.steps[: theirs.number + 1]:
        rng.update(step.rng)
        flags.update(step.flags)
    used = {s: state for s, state in rng.items() if s in ours.rng or s in theirs.rng}
    return replace(theirs, rng=used, flags=flags)


def _signals(whole: StepRecord, segment: StepRecord) -> Iterator[str]:
    """Yield the fields that differ; the optimizer's state is compared where both took it."""
    if whole.optimizer != segment.optimizer:
        yield "optimizer"
    if whole.batches != segment.batches:
        yield "batches"
    yield from moved(whole.rng, segment.rng)
    for name in ("losses", "grads", "params", "state", "buffers"):
        ours, theirs = getattr(whole, name), getattr(segment, name)
        if ours != theirs and not (name == "state" and not (ours and theirs)):
            yield name
    if dict(whole.flags) != dict(segment.flags):
        yield "flags"


def _restored(whole: ProcessSteps, segment: ProcessSteps, offset: int) -> Mapping[str, bool | None]:
    """Return which parts of the state the checkpoint brought back.

    The entry is taken before the optimizer's first step, so after the batch was drawn and the model
    has run: buffers and generators are compared with those of that step.
    """
    restored: dict[str, bool | None] = {PARAMETERS: True}
    if not segment.steps or offset >= len(whole.steps):
        return restored
    ours = segment.steps[0]
    theirs = _in_force(whole, ours, whole.steps[offset])
    restored[OPTIMIZER] = _is_optimizer_restored(whole, segment, offset)
    if ours.buffers or theirs.buffers:
        restored[BUFFERS] = ours.buffers == theirs.buffers
    if ours.batches or theirs.batches:
        restored[DATA] = ours.batches == theirs.batches
    for stream in sorted({*ours.rng, *theirs.rng}):
        restored[f"rng:{stream}"] = ours.rng.get(stream) == theirs.rng.get(stream)
    return restored


def _is_optimizer_restored(whole: ProcessSteps, segment: ProcessSteps, offset: int) -> bool | None:
    """Return whether the optimizer went on with its state, as far as the traces tell."""
    ours, theirs = segment.steps[0], whole.steps[offset]
    entry: Entry | None = next((e for e in segment.entries if e.optimizer == ours.optimizer), None)
    before = whole.steps[offset - 1].state if offset else ""
    if entry and before and entry.state:
        return entry.state == before
    if ours.grads != theirs.grads:
        return None
    return ours.params == theirs.params
