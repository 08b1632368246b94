"""Energy that the machine used while a step ran: processors by RAPL, GPUs by NVML.

Both count the whole machine, other programs included; nobody can tell the share of one step.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.record.energy.gpu import GpuMeter, close_gpus, open_gpus
from mlbom.record.energy.rapl import POWERCAP, RaplZone, find_zones

_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """What was measured between start and stop.

    Args:
        energy_j: joules by domain: `cpu:package-0`, `memory:package-0`, `gpu:0`. The domains do
            not overlap, so they may be added.
        gpu_max_nbytes: most memory in use on each GPU, in bytes, by `gpu:N`, of one sample a
            second; whoever used it.
        unseen: what is there but could not be measured, each one sentence.
    """

    energy_j: Mapping[str, float] = field(default_factory=dict)
    gpu_max_nbytes: Mapping[str, int] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


class EnergyMeter:
    """Reads every meter of this machine, from `start` to `stop`, once a second.

    Args:
        powercap: folder of the kernel's power meters.
        interval_s: seconds between two samples; the counters of processors wrap around within
            minutes, and memory is only known at the samples.
    """

    def __init__(self, powercap: Path = POWERCAP, interval_s: float = _INTERVAL_S) -> None:
        self._powercap = powercap
        self._interval_s = interval_s
        self._zones: list[RaplZone] = []
        self._gpus: list[GpuMeter] = []
        self._unseen: list[str] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Find the meters and begin to sample them; a machine without any is no error."""
        self._zones = find_zones(self._powercap)
        self._gpus, failures = open_gpus()
        self._unseen += failures
        self._sample()
        if self._zones or self._gpus:
            self._thread = threading.Thread(target=self._run, name="energy", daemon=True)
            self._thread.start()

    def stop(self) -> EnergyReading:
        """Take the last sample and return what was measured."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._sample()
        meters: list[RaplZone | GpuMeter] = [*self._zones, *self._gpus]
        energy_j = {meter.name: meter.energy_j for meter in meters if meter.energy_j is not None}
        memory = {gpu.name: gpu.max_nbytes for gpu in self._gpus if gpu.max_nbytes is not None}
        failed = (
            f"the energy of {meter.name} was not measured: {meter.failure}"
            for meter in meters
            if meter.failure
        )
        if self._gpus:
            close_gpus()
        return EnergyReading(
            energy_j=energy_j, gpu_max_nbytes=memory, unseen=(*self._unseen, *failed)
        )

    def _run(self) -> None:
        while not self._over.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        for zone in self._zones:
            zone.sample()
        now = time.monotonic()
        for gpu in self._gpus:
            gpu.sample(now)
