"""Energy and memory of NVIDIA GPUs, asked through NVML while a step runs."""

from collections.abc import Callable
from typing import Any

_MILLI = 1e-3


class GpuMeter:
    """One GPU.

    A GPU counts its energy since its driver was loaded (Volta and newer: NVML reference,
    nvmlDeviceGetTotalEnergyConsumption); of an older one the power is sampled and summed up.

    Args:
        name: `gpu:N`.
        nvml: the module `pynvml`, initialised.
        handle: of the device.
    """

    def __init__(self, name: str, nvml: Any, handle: object) -> None:  # noqa: ANN401 - untyped
        self.name = name
        self.failure = ""
        self.max_nbytes: int | None = None
        self._nvml = nvml
        self._handle = handle
        self._refusal = ""
        self._first_mj = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
        self._last: tuple[float, float] | None = None
        self._used_j = 0.0

    @property
    def energy_j(self) -> float | None:
        """Return the joules between the first and the last sample; None after a failure."""
        return None if self.failure else self._used_j

    def sample(self, now_s: float) -> None:
        """Read the memory in use, and the energy or the power; a failure ends the energy.

        Args:
            now_s: time of a clock that never goes back, in seconds.
        """
        memory = self._ask(self._nvml.nvmlDeviceGetMemoryInfo)
        if memory is not None:
            self.max_nbytes = max(self.max_nbytes or 0, int(memory.used))
        if self.failure:
            return
        if self._first_mj is None:
            self._sample_power(now_s)
        else:
            self._sample_counter(self._first_mj)

    def _sample_counter(self, first_mj: int) -> None:
        now_mj = self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)
        if now_mj is None:
            self.failure = self._refusal
        elif (used_j := (now_mj - first_mj) * _MILLI) < self._used_j:
            self.failure = "its counter began anew"
        else:
            self._used_j = used_j

    def _sample_power(self, now_s: float) -> None:
        power_mw = self._ask(self._nvml.nvmlDeviceGetPowerUsage)
        if power_mw is None:
            self.failure = self._refusal
            return
        power_w = power_mw * _MILLI
        if self._last is not None:
            last_s, last_w = self._last
            self._used_j += (power_w + last_w) / 2 * (now_s - last_s)
        self._last = now_s, power_w

    def _ask(self, question: Callable[[object], Any]) -> Any:  # noqa: ANN401 - pynvml has no types
        try:
            return question(self._handle)
        except self._nvml.NVMLError as error:
            self._refusal = str(error)
            return None


def open_gpus() -> tuple[list[GpuMeter], list[str]]:
    """Return every GPU, and what the driver failed to tell as sentences.

    A machine without a driver has neither. Whoever gets a GPU calls `close_gpus` in the end.
    """
    try:
        import pynvml
    except ImportError:
        return [], ["nvidia-ml-py is not installed: the energy of GPUs, if any, was not measured"]
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        told = f"the energy of GPUs was not measured: {error}"
        return [], [] if error.value in absent else [told]
    gpus, failures = [], []
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            name = f"gpu:{index}"
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError as error:
                failures.append(f"the energy of {name} was not measured: {error}")
                continue
            gpus.append(GpuMeter(name, pynvml, handle))
    except pynvml.NVMLError as error:
        failures.append(f"the energy of GPUs was not measured: {error}")
    if not gpus:
        close_gpus()
    return gpus, failures


def close_gpus() -> None:
    """End the use of the driver."""
    import pynvml

    pynvml.nvmlShutdown()
