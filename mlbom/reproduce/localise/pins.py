"""What a search can hold still in a training that it runs again."""

from dataclasses import replace
from typing import Any

from mlbom.record.probe import Listing
from mlbom.reproduce.localise.values import Pin
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.surroundings.pins import THREAD_VARIABLES

_SEED = 20030


def _probe(attempt: Attempt, **changes: Any) -> Attempt:  # noqa: ANN401 - fields of Probe
    return replace(attempt, probe=replace(attempt.probe, **changes))


def _seeded(attempt: Attempt) -> Attempt:
    return _probe(attempt, seed=_SEED)


def _overridden(attempt: Attempt) -> Attempt:
    return _probe(attempt, seed=_SEED, overrides_seeds=True)


def _listed(attempt: Attempt) -> Attempt:
    return _probe(attempt, listing=Listing.SORTED)


def _hashed(attempt: Attempt) -> Attempt:
    return replace(attempt, place=replace(attempt.place, hash_seed="0"))


def _single(attempt: Attempt) -> Attempt:
    variables = {**attempt.place.variables, **dict.fromkeys(THREAD_VARIABLES, "1")}
    return replace(attempt, place=replace(attempt.place, variables=variables))


SEED = Pin(
    name="seed", told="with one seed given to every generator that nobody seeds", change=_seeded
)
ALL_SEEDS = Pin(
    name="all-seeds",
    told="with one seed given to every generator, in place of the program's own",
    change=_overridden,
)
LISTING = Pin(name="listing", told="with every folder listed by name", change=_listed)
HASH_SEED = Pin(name="hash-seed", told="with PYTHONHASHSEED=0", change=_hashed)
ONE_THREAD = Pin(name="one-thread", told="with one thread", change=_single)
