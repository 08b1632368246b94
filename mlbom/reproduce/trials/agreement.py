"""Whether two runs that were made here agree exactly: step by step, and in their weights."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.errors import UnreadableError
from mlbom.formats.weight_names import is_weight_name
from mlbom.record.steps.values import StepTrace
from mlbom.reproduce.tensors.digests import canonical_digest
from mlbom.reproduce.traces.divergence import compare_traces
from mlbom.reproduce.values import Divergence, Rerun


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What two runs have in common.

    Args:
        has_traces: whether their traces can be called equal or different: both are there, and no
            part that would tell was lost.
        divergence: the first difference of their traces, or None.
        are_weights_equal: whether every file of weights holds the same tensors, or, when no file
            was written, whether the parameters at the end are equal; None when that cannot be told.
    """

    has_traces: bool
    divergence: Divergence | None
    are_weights_equal: bool | None


def agreement(a: Rerun, b: Rerun) -> Agreement:
    """Compare two runs exactly."""
    traces = compare_traces(a.trace, b.trace, a.root)
    return Agreement(
        has_traces=not traces.untold,
        divergence=traces.divergence,
        are_weights_equal=_are_weights_equal(a, b),
    )


def without_flags(rerun: Rerun) -> Rerun:
    """Return a run whose trace tells no settings: where those were changed on purpose."""
    processes = tuple(
        replace(process, steps=tuple(replace(step, flags={}) for step in process.steps))
        for process in rerun.trace.processes
    )
    return replace(rerun, trace=replace(rerun.trace, processes=processes))


def _are_weights_equal(a: Rerun, b: Rerun) -> bool | None:
    ours, theirs = _weights(a), _weights(b)
    if not ours and not theirs:
        return _are_ends_equal(a.trace, b.trace)
    if ours.keys() != theirs.keys():
        return False
    told = [_are_equal(ours[name], theirs[name]) for name in sorted(ours)]
    return False if False in told else None if None in told else True


def _weights(rerun: Rerun) -> dict[str, Path]:
    return {name: path for name, path in rerun.outputs.items() if is_weight_name(name)}


def _are_equal(a: Path, b: Path) -> bool | None:
    if _sha256(a) == _sha256(b):
        return True
    try:
        return canonical_digest(a) == canonical_digest(b)
    except UnreadableError:
        return None  # other bytes, and nobody knows which of them are weights


def _sha256(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _are_ends_equal(a: StepTrace, b: StepTrace) -> bool | None:
    """Return whether the parameters at the end are equal, from the traces alone."""
    ends = [_ends(trace) for trace in (a, b)]
    return ends[0] == ends[1] if all(ends) else None


def _ends(trace: StepTrace) -> tuple[str, ...]:
    found = []
    for process in trace.processes:
        last = process.steps[-1].params if process.steps else ""
        found.append((process.final.params if process.final else "") or last)
    return tuple(filter(None, found))
