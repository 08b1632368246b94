"""Which seeds, flags and libraries a step had, when several of its processes tell of them.

The processes that trained count first, then the ranks of a distributed job, then every process that
is no worker of another: a data loader reseeds its workers, and the launcher of a distributed job
imports torch only to start the ranks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlbom.record.trace import TracedProcess

_UNSET = "unset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a step ran with; the fields are those of `Recording`."""

    seeds: Mapping[str, str]
    flags: Mapping[str, str]
    loaded: Mapping[str, str]
    devices: Mapping[str, int]


def settle(processes: Sequence[TracedProcess]) -> Settings:
    """Return the settings of a step from what its processes told, oldest first."""
    in_use = {device for traced in processes for device in traced.devices}
    names = sorted(name for name, _ in in_use)
    return Settings(
        seeds=_settled(processes, lambda traced: traced.seeds),
        flags=_settled(processes, _histories),
        loaded=_settled(processes, lambda traced: traced.loaded),
        devices={name: names.count(name) for name in names},
    )


def _settled(
    processes: Sequence[TracedProcess], tell: Callable[[TracedProcess], Mapping[str, str]]
) -> dict[str, str]:
    """Return name -> what the most telling processes say; where they differ, all of it."""
    settled: dict[str, str] = {}
    for tier in _tiers(processes):
        told: dict[str, dict[str, None]] = {}
        for traced in tier:
            for name, value in tell(traced).items():
                told.setdefault(name, {})[value] = None
        for name, values in told.items():
            settled.setdefault(name, " | ".join(values))
    return dict(sorted(settled.items()))


def _tiers(processes: Sequence[TracedProcess]) -> Iterable[Iterable[TracedProcess]]:
    yield [traced for traced in processes if traced.has_stepped]
    yield [traced for traced in processes if traced.process.rank is not None]
    yield [traced for traced in processes if not traced.is_worker]
    yield processes


def _histories(traced: TracedProcess) -> dict[str, str]:
    """Return each flag with every value it had, in order; variables begin with their first."""
    histories = {name: [value] for name, value in traced.variables.items()}
    for name, values in traced.flags.items():
        first = [] if "." in name else histories.get(name, [_UNSET])
        histories[name] = _without_repeats([*first, *values])
    return {name: " -> ".join(values) for name, values in histories.items()}


def _without_repeats(values: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for value in values:
        if not kept or kept[-1] != value:
            kept.append(value)
    return kept
