"""Says why runs that agree with each other are not the recorded one: what is set otherwise now."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mlbom.attest.run_claim import RunClaim
from mlbom.record.recording import Recording
from mlbom.reproduce.original import Original
from mlbom.reproduce.surroundings.environment import mismatches
from mlbom.reproduce.surroundings.pins import CHANGED, recorded_texts
from mlbom.reproduce.traces.divergence import compare_traces
from mlbom.reproduce.traces.places import NOWHERE, Line, program_line
from mlbom.reproduce.values import CauseKind, Culprit, Divergence, Mismatch, Rerun

_ENTROPY = "entropy"
# How a record tells a seed that is a text: its length is no seed to compare.
_HIDDEN = "a text of "
_THREADS = "num_threads"


def explain_difference(original: Original, rerun: Rerun) -> Culprit:
    """Return what differs between a recorded training and one that repeats itself.

    Every difference of seeds, libraries, accelerators and numeric settings is evidence; the culprit
    is the one that comes first in that order. Nothing has been varied, so it is never sure.

    Args:
        original: the recorded training.
        rerun: one of those that agree with each other.
    """
    found = tuple(_differences(original, rerun))
    traces = compare_traces(rerun.trace, original.trace) if original.trace else None
    divergence = traces.divergence if traces else None
    if not found:
        return _placed(_unexplained(original), divergence)
    first = found[0]
    others = tuple(f"also: {culprit.what}" for culprit in found[1:5])
    return _placed(replace(first, evidence=(*first.evidence, *others)), divergence)


def _placed(culprit: Culprit, divergence: Divergence | None) -> Culprit:
    if divergence is None:
        return replace(culprit, step=-1)
    told = f"the traces part at step {divergence.step} ({divergence.field})"
    return replace(
        culprit,
        step=divergence.step,
        rank=divergence.rank,
        evidence=(*culprit.evidence, told),
    )


def _differences(original: Original, rerun: Rerun) -> Iterator[Culprit]:
    recorded, found = original.claim, _claim(original.claim, rerun.recording)
    yield from _seeds(recorded_texts(recorded, "seeds"), rerun)
    # What the program sets on its way counts too: it may follow from what was not recorded.
    told = (*mismatches(recorded, found), *mismatches(_at_end(recorded), _at_end(found)))
    first: dict[str, Mismatch] = {}
    for mismatch in told:
        first.setdefault(mismatch.name, mismatch)
    yield from (_setting(mismatch, rerun) for mismatch in first.values())


def _claim(recorded: RunClaim, recording: Recording) -> RunClaim:
    """Return what a record of a run would tell of its settings; packages are compared elsewhere."""
    told = {
        "determinism": dict(recording.flags),
        "libraries": dict(recording.loaded),
        "accelerators": dict(recording.devices),
    }
    return replace(recorded, parameters=told, materials=(), byproducts=())


def _at_end(claim: RunClaim) -> RunClaim:
    """Return a claim whose settings have the value that they ended with."""
    flags = recorded_texts(claim, "determinism")
    last = {name: value.rpartition(CHANGED)[2] for name, value in flags.items()}
    return replace(claim, parameters={**claim.parameters, "determinism": last})


def _seeds(recorded: Mapping[str, str], rerun: Rerun) -> Iterator[Culprit]:
    """Yield generators that were given another seed, with the line that gives it now."""
    present = rerun.recording.seeds
    for name in sorted({**recorded, **present}):
        one, other = recorded.get(name, "none"), present.get(name, "none")
        if one == other or one.startswith(_HIDDEN):
            continue
        line = _line_of(rerun, ("seed", _ENTROPY), name, other)
        told = "the system's entropy" if other == _ENTROPY else other
        yield Culprit(
            kind=CauseKind.SEED,
            what=f"{name} was seeded with {one} in the recorded run and with {told} now",
            path=line.path,
            line=line.number,
            fix=f"seed {name} with {one}" if one not in ("none", _ENTROPY) else "set a fixed seed",
            evidence=(f"seed of {name}: recorded {one}, now {other}",),
        )


def _setting(mismatch: Mismatch, rerun: Rerun) -> Culprit:
    """Return what is not as it was, with the line of the program that sets it, if one does."""
    name, one, other = mismatch.name, mismatch.recorded, mismatch.found
    kinds = ("threads",) if name.endswith(_THREADS) else ("flag",)
    line = _line_of(rerun, kinds, name.rpartition(".")[2], other)
    return Culprit(
        kind=CauseKind.ENVIRONMENT,
        what=f"{name} was {one} in the recorded run and is {other} now",
        path=line.path,
        line=line.number,
        fix=f"run with {name} {one}",
        evidence=(f"{name}: recorded {one}, now {other}",),
    )


def _line_of(rerun: Rerun, kinds: tuple[str, ...], name: str, value: str) -> Line:
    """Return the last line of the program that set something, with that value if one did."""
    events = [
        (event, line)
        for event in rerun.trace.events
        if event.kind in kinds and name in event.what and not event.worker
        if (line := program_line(event.at, rerun.root)).is_known
    ]
    exact = [line for event, line in events if event.value == value]
    return (exact or [line for _, line in events] or [NOWHERE])[-1]


def _unexplained(original: Original) -> Culprit:
    has_trace = original.trace is not None
    what = (
        "seeds, numeric settings, libraries and variables are the recorded ones; "
        "code, data or the machine are not compared here"
    )
    evidence = () if has_trace else ("the trace of the recorded run is not here",)
    return Culprit(kind=CauseKind.UNKNOWN, what=what, evidence=evidence)
