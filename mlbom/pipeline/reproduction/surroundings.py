"""The environment and inputs of a recorded training against those that it had when it ran again."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.attest.run_claim import EMPTY, RunClaim
from mlbom.render.records import step_claim
from mlbom.render.step import StepFacts
from mlbom.reproduce.original import Original
from mlbom.reproduce.surroundings.environment import (
    is_other_isa,
    mismatches,
    set_by_program,
    untold,
)
from mlbom.reproduce.values import Mismatch, Rerun

_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What differs.

    Args:
        mismatches: of libraries, numeric settings, packages and inputs.
        is_other_isa: whether the instruction set or class of CPU is another.
        notes: what could not be compared, each one sentence.
    """

    mismatches: tuple[Mismatch, ...] = ()
    is_other_isa: bool = False
    notes: tuple[str, ...] = ()


def compare_surroundings(original: Original, rerun: Rerun, facts: StepFacts) -> Surroundings:
    """Compare what a training ran on and read.

    Args:
        original: the recorded training.
        rerun: the one that was made here.
        facts: what was measured of it.
    """
    recorded, found = original.claim, step_claim(facts)
    return Surroundings(
        mismatches=(
            *mismatches(recorded, found, set_by_program(rerun.trace)),
            *_inputs(recorded, found),
        ),
        is_other_isa=is_other_isa(recorded, found),
        notes=untold(recorded, found),
    )


def _inputs(recorded: RunClaim, found: RunClaim) -> Iterator[Mismatch]:
    """Yield named files that were read with other bytes."""
    then, now = (
        {r.name: r.sha256 for r in claim.materials if r.is_file and r.name and r.sha256 != EMPTY}
        for claim in (recorded, found)
    )
    names = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    for name in names[:_SHOWN]:
        yield Mismatch(name=f"input {name}", recorded=then[name][:12], found=now[name][:12])
