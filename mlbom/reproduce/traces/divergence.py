"""Finds the first thing in two traces that is not equal, in the order in which it happened.

The rules are those of the prototype (docs/reproduction.md): execution order of each rank and never
sorted keys; what only one trace has is a difference; losses are compared as the text of all their
bits (`float.hex`); a generator that neither training drew from has no say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from mlbom.record.steps.values import Entry, ProcessSteps, StepRecord, StepTrace
from mlbom.reproduce.traces.places import program_line
from mlbom.reproduce.values import Divergence

MISSING = "missing"
# All that is known of two traces of which one is not here: their roots differ.
ROOT = "root"
# The order in which the parts of a step come about. `entry` is the state that the optimizer found
# before its first step, `optimizer` that another optimizer made the step. Where a root differs is
# not known, so that everything known comes before it.
ORDER = (
    MISSING,
    "optimizer",
    "entry",
    "batches",
    "rng",
    "losses",
    "grads",
    "params",
    "state",
    "buffers",
    "flags",
    ROOT,
)
_GROUPS = ("grads", "params", "state", "buffers")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceComparison:
    """Two traces compared.

    Args:
        divergence: the first difference that was seen, or None.
        untold: why traces without a difference cannot be called equal, one sentence; empty when
            they are equal, or differ.
    """

    divergence: Divergence | None = None
    untold: str = ""

    @property
    def is_equal(self) -> bool:
        """Return whether both are whole, and everything in them agrees."""
        return self.divergence is None and not self.untold


def compare_traces(
    a: StepTrace, b: StepTrace, root: Path | None = None, *, steps: int = 0
) -> TraceComparison:
    """Compare two trainings; only traces that are whole can be equal.

    What only one of them has is no difference when the other is not whole: it may have been lost.

    Args:
        a: one training.
        b: another.
        root: as for `first_divergence`.
        steps: only so many steps of each process are compared; 0 for all, and the end.
    """
    if steps:
        a, b = cut(a, steps), cut(b, steps)
    if a.is_empty or b.is_empty:
        return TraceComparison(untold="nothing was seen of one of the trainings")
    return judged(a, b, first_divergence(a, b, root))


def judged(a: StepTrace, b: StepTrace, found: Divergence | None) -> TraceComparison:
    """Return what a first difference, or none, says of two traces that may not be whole."""
    if (found is None or found.field == MISSING) and not (a.is_whole and b.is_whole):
        return TraceComparison(untold="a trace is not whole: what was lost could differ")
    return TraceComparison(divergence=found)


def cut(trace: StepTrace, steps: int) -> StepTrace:
    """Return a trace of the first steps of each process, without what came after them.

    Args:
        trace: a training.
        steps: how many, at least 1.
    """
    processes = tuple(replace(p, steps=p.steps[:steps], final=None) for p in trace.processes)
    return replace(trace, processes=processes)


def root_divergence() -> Divergence:
    """Return the difference of two traces of which only the roots can be compared: no place."""
    return Divergence(step=0, of=0, signals=(ROOT,), field=ROOT)


def first_divergence(a: StepTrace, b: StepTrace, root: Path | None = None) -> Divergence | None:
    """Return the first difference of two trainings, or None when every record is equal.

    Ranks of one job run side by side: the earliest step counts, then the part of a step that comes
    about first, then the lower rank. Where a rank is missing, or comes twice (jobs one after the
    other), processes count in their order. None does not say that the traces are equal: they may
    not be whole (`compare_traces`).

    Args:
        a: one training.
        b: another.
        root: the folder that one of them saw as its project, to name lines relative to it.
    """
    is_parallel = _has_ranks(a) and _has_ranks(b)
    found = [d for d in _differences(a, b, root, is_parallel=is_parallel) if d]
    if not found:
        return None
    if not is_parallel:
        return found[0]
    return min(found, key=lambda d: (d.step, place_in_step(d.field), d.rank or 0))


def place_in_step(name: str) -> int:
    """Return when in a step a field comes about; `rng:torch` counts as `rng`."""
    return ORDER.index(name.partition(":")[0])


def _has_ranks(trace: StepTrace) -> bool:
    """Return whether each process has a rank of its own."""
    ranks = [process.rank for process in trace.processes]
    return None not in ranks and len(set(ranks)) == len(ranks)


def _differences(
    a: StepTrace, b: StepTrace, root: Path | None, *, is_parallel: bool
) -> Iterator[Divergence | None]:
    if is_parallel:
        ours, theirs = ({p.rank: p for p in t.processes} for t in (a, b))
        ranks = sorted({rank for rank in (*ours, *theirs) if rank is not None})
        pairs = [(ours.get(rank), theirs.get(rank)) for rank in ranks]
    else:
        pairs = list(zip_longest(a.processes, b.processes))
    for place, (one, other) in enumerate(pairs):
        if one and other:
            yield compare_processes(one, other, place=place, root=root)
        elif here := one or other:
            yield Divergence(
                step=0, of=0, rank=here.rank, process=place, signals=(MISSING,), field=MISSING
            )


def compare_processes(
    a: ProcessSteps, b: ProcessSteps, *, place: int = 0, root: Path | None = None
) -> Divergence | None:
    """Return the first difference of two processes that trained, or None.

    Args:
        a: one process.
        b: the other.
        place: its place among the processes of its run.
        root: the folder of the project of the first one.
    """
    shorter = min(len(a.steps), len(b.steps))
    entries = _first_steps(a, b)
    for number, (one, other) in enumerate(zip(a.steps, b.steps, strict=False)):
        has_entry = one.optimizer in entries.get(number, ())
        signals = tuple(_signals(a, b, one, other, has_entry=has_entry))
        if signals:
            return _divergence(a, (one, other), signals, (number, shorter, place), root)
    if len(a.steps) != len(b.steps):
        extra = (a if len(a.steps) > shorter else b).steps[shorter]
        return _divergence(a, (extra, extra), (MISSING,), (shorter, shorter, place), root)
    signals = tuple(final_signals(a, b))
    if not signals:
        return None
    index = _final_index(a, b, signals[0])
    return Divergence(
        step=shorter,
        of=shorter,
        rank=a.rank,
        process=place,
        signals=signals,
        field=signals[0],
        index=index,
    )


def _first_steps(a: ProcessSteps, b: ProcessSteps) -> Mapping[int, Sequence[int]]:
    """Return step -> optimizers that made their first step there, in either process."""
    firsts: dict[int, list[int]] = {}
    for process in (a, b):
        seen = set()
        for number, step in enumerate(process.steps):
            if step.optimizer not in seen:
                seen.add(step.optimizer)
                firsts.setdefault(number, []).append(step.optimizer)
    return firsts


def _signals(
    a: ProcessSteps, b: ProcessSteps, one: StepRecord, other: StepRecord, *, has_entry: bool
) -> Iterator[str]:
    """Yield the fields of a step that differ, in the order in which they come about."""
    if one.optimizer != other.optimizer:
        yield "optimizer"
    elif has_entry and _entry(a, one.optimizer) != _entry(b, one.optimizer):
        yield "entry"
    if one.batches != other.batches:
        yield "batches"
    yield from moved(one.rng, other.rng)
    if one.losses != other.losses:
        yield "losses"
    yield from (name for name in _GROUPS if getattr(one, name) != getattr(other, name))
    if dict(one.flags) != dict(other.flags):
        yield "flags"


def _entry(process: ProcessSteps, optimizer: int) -> object:
    """Return what of the state before an optimizer's first step must be equal.

    The generators are left out: one that nobody draws from starts from the system's entropy, and
    one that is used shows in the steps.
    """
    found: Entry | None = next((e for e in process.entries if e.optimizer == optimizer), None)
    return found and (found.params, found.state, found.buffers, found.names)


def moved(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    """Yield `rng:STREAM` for each stream whose state differs, or that only one of them used."""
    for stream in dict.fromkeys((*a, *b)):
        if a.get(stream) != b.get(stream):
            yield f"rng:{stream}"


def _divergence(
    process: ProcessSteps,
    steps: tuple[StepRecord, StepRecord],
    signals: tuple[str, ...],
    place: tuple[int, int, int],
    root: Path | None,
) -> Divergence:
    one, other = steps
    number, shorter, at_place = place
    return Divergence(
        step=number,
        of=shorter,
        rank=process.rank,
        process=at_place,
        signals=signals,
        field=signals[0],
        index=_index(getattr(one, signals[0], ()), getattr(other, signals[0], ())),
        tensor=_tensor(process, one, other),
        at=str(program_line(one.at, root)) or str(program_line(other.at, root)),
    )


def _index(a: object, b: object) -> int:
    """Return the first place at which two sequences of digests differ, or -1."""
    if not (isinstance(a, tuple) and isinstance(b, tuple)):
        return -1
    pairs = enumerate(zip_longest(a, b))
    return next((at for at, (one, other) in pairs if one != other), -1)


def _tensor(process: ProcessSteps, one: StepRecord, other: StepRecord) -> str:
    """Return the name of the first gradient, else parameter, that differs.

    A backward pass goes from the last parameter to the first, an optimizer the other way.
    """
    names = next((e.names for e in process.entries if e.optimizer == one.optimizer), ())
    for group, is_backwards in (("grads", True), ("params", False)):
        ours, theirs = one.tensors.get(group, ()), other.tensors.get(group, ())
        differing = [at for at, pair in enumerate(zip_longest(ours, theirs)) if pair[0] != pair[1]]
        if ours and theirs and differing:
            at = differing[-1 if is_backwards else 0]
            return names[at][0] if at < len(names) else f"param.{at}"
    return ""


def final_signals(a: ProcessSteps, b: ProcessSteps) -> Iterator[str]:
    """Yield what differs at the end; a killed process has none, and equals none that has one."""
    if a.final is None or b.final is None:
        if a.final != b.final:
            yield MISSING
        return
    for name in ("batches", "losses", "params", "state", "buffers"):
        if getattr(a.final, name) != getattr(b.final, name):
            yield name


def _final_index(a: ProcessSteps, b: ProcessSteps, name: str) -> int:
    return _index(getattr(a.final, name, ()), getattr(b.final, name, ()))
