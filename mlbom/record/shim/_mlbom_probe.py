"""What `mlbom reproduce` asks the recorder to do inside a training; `mlbom run` never does.

The probe comes as one variable, written by `mlbom.record.probe`. Each part of it stands in a module
of its own and is loaded only where it is asked for.
"""
# ruff: noqa: INP001
# mypy: disable-error-code="import-not-found"

import json

from _mlbom_start import recorder
from _mlbom_trace import GUARD, PROBE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# On a machine with more work than cores 8 missed an atomic addition in 2 of 8 runs, 16 in 1 of 8.
_REPETITIONS = 16


class Probe:
    """The probe of this process.

    Args:
        text: JSON, as of `mlbom.record.probe.Probe.variable`.

    Attributes:
        stop_after: number of steps, 0 for no end before the program's own.
        seed: of every generator that would start from the system's entropy, or None.
        overrides_seeds: whether it also replaces the seeds of the program.
        determinism: empty, warn or strict.
        listing: empty, sorted or reversed.
        ops: first and last step whose ops are written down; (-1, -1) for none.
        double_step: the step whose ops are repeated, -1 for none.
        double_times: how often they are repeated.
    """

    def __init__(self, text: str) -> None:
        given = json.loads(text)
        self.stop_after = int(given.get("stop_after", 0))
        self.seed: int | None = given.get("seed")
        self.overrides_seeds = bool(given.get("overrides_seeds", False))
        self.determinism = str(given.get("determinism", ""))
        self.listing = str(given.get("listing", ""))
        first = int(given.get("ops_from", -1))
        self.ops = (first, max(first, int(given.get("ops_to", -1))))
        self.double_step = int(given.get("double_step", -1))
        self.double_times = int(given.get("double_times", 0)) or _REPETITIONS


_PROBES: "list[Probe]" = []


def probe() -> "Probe":
    """Return the probe of this process."""
    if not _PROBES:
        _PROBES.append(Probe(PROBE))
    return _PROBES[0]


def begin() -> None:
    """Begin what does not need torch, before the program starts."""
    asked, load = probe(), recorder().load
    if asked.listing:
        with GUARD:
            load("_mlbom_listing").follow(asked.listing == "reversed")
    if asked.seed is not None:
        with GUARD:
            load("_mlbom_reseed").begin(asked.seed, asked.overrides_seeds)


def after_torch(module: "ModuleType") -> None:
    """Begin what follows the steps of a training."""
    torch: Any = module
    asked, load = probe(), recorder().load
    steps = load("_mlbom_steps").STEPS
    clock = load("_mlbom_clock").StepClock(torch)
    if asked.determinism:
        with GUARD:
            load("_mlbom_sweep").follow(torch, clock, asked.determinism == "strict")
    if asked.ops[0] >= 0:
        with GUARD:
            load("_mlbom_ops").follow(torch, clock, asked.ops)
    if asked.double_step >= 0:
        with GUARD:
            load("_mlbom_double").follow(torch, clock, asked.double_step, asked.double_times)
    if asked.stop_after > 0:
        with GUARD:
            load("_mlbom_stop").follow(clock, asked.stop_after)
    steps.listeners.append(clock)
