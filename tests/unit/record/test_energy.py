"""Tests of mlbom.record.energy.meter: a folder of counters, and a simulated driver behind real NVML."""

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import pytest

from mlbom.record.energy.gpu import GpuMeter, close_gpus, open_gpus
from mlbom.record.energy.meter import EnergyMeter, EnergyReading
from mlbom.record.energy.rapl import RaplZone, find_zones

GIB = 1024**3
_UINT, _INT, _POINTER = ctypes.c_uint, ctypes.c_int, ctypes.c_void_p
_ULL = ctypes.c_ulonglong


@dataclass
class Gpu:
    """What the simulated driver tells of one GPU; the last reading of a list is repeated."""

    energy_mj: Sequence[int] = ()
    power_mw: Sequence[int] = ()
    used_nbytes: Sequence[int] = (0,)
    lost: bool = False
    asked: dict[str, int] = field(default_factory=dict)

    def next(self, name: str) -> int | None:
        """Return the next reading of a meter, or None where there is none."""
        readings: Sequence[int] = getattr(self, name)
        if self.lost or not readings:
            return None
        at = self.asked.get(name, 0)
        self.asked[name] = at + 1
        return readings[min(at, len(readings) - 1)]


@dataclass
class SimulatedDriver:
    """The C functions of libnvidia-ml that the meter calls, as the bindings see them."""

    gpus: Sequence[Gpu] = ()
    init_status: int = 0
    users: int = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Return a C function pointer, as a loaded library does."""
        types: dict[str, tuple[Any, ...]] = {
            "nvmlInitWithFlags": (self._init, _UINT),
            "nvmlShutdown": (self._shutdown,),
            "nvmlDeviceGetCount_v2": (self._count, _POINTER),
            "nvmlDeviceGetHandleByIndex_v2": (self._handle, _UINT, _POINTER),
            "nvmlDeviceGetTotalEnergyConsumption": (self._energy, _POINTER, _POINTER),
            "nvmlDeviceGetPowerUsage": (self._power, _POINTER, _POINTER),
            "nvmlDeviceGetMemoryInfo": (self._memory, _POINTER, _POINTER),
        }
        if name not in types:
            raise AttributeError(name)
        function, *arguments = types[name]
        pointer: Callable[..., int] = ctypes.CFUNCTYPE(_INT, *arguments)(function)
        setattr(self, name, pointer)
        return pointer

    def _init(self, _flags: int) -> int:
        self.users += not self.init_status
        return self.init_status

    def _shutdown(self) -> int:
        self.users -= 1
        return 0

    def _count(self, out: int) -> int:
        _UINT.from_address(out).value = len(self.gpus)
        return 0

    def _handle(self, index: int, out: int) -> int:
        _POINTER.from_address(out).value = index + 1
        return pynvml.NVML_ERROR_GPU_IS_LOST if self.gpus[index].lost else 0

    def _answer(self, handle: int, name: str, out: Any) -> int:
        gpu = self.gpus[handle - 1]
        value = gpu.next(name)
        if value is None:
            lost, unsupported = pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_NOT_SUPPORTED
            return int(lost if gpu.lost else unsupported)
        out.value = value
        return 0

    def _energy(self, handle: int, out: int) -> int:
        return self._answer(handle, "energy_mj", _ULL.from_address(out))

    def _power(self, handle: int, out: int) -> int:
        return self._answer(handle, "power_mw", _UINT.from_address(out))

    def _memory(self, handle: int, out: int) -> int:
        # struct nvmlMemory_t is total, free, used.
        return self._answer(handle, "used_nbytes", _ULL.from_address(out + 16))


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimulatedDriver]:
    """Put a simulated driver behind pynvml."""

    def install(*gpus: Gpu, **settings: Any) -> SimulatedDriver:
        driver = SimulatedDriver(gpus, **settings)
        monkeypatch.setattr(pynvml, "nvmlLib", driver)
        monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0, raising=False)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return driver

    return install


def zone(powercap: Path, name: str, label: str, energy_uj: int, wrap_uj: int = 1000) -> Path:
    """Write one zone as the kernel shows it, and return its folder."""
    folder = powercap / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap_uj}\n")
    return folder


def test_only_domains_that_do_not_overlap_are_counted(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl:0:0", "core", 0)
    zone(tmp_path, "intel-rapl:0:1", "uncore", 0)
    zone(tmp_path, "intel-rapl:0:2", "dram", 0)
    zone(tmp_path, "intel-rapl:1", "psys", 0)
    zone(tmp_path, "intel-rapl:2", "package-1", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    zone(tmp_path, "dtpm", "dtpm", 0)
    found = [found.name for found in find_zones(tmp_path)]
    assert found == ["cpu:package-0", "memory:package-0", "cpu:package-1"]


def test_counter_that_wraps_around_several_times(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, wrap_uj=1_000_000)
    meter = RaplZone("cpu:package-0", folder)
    for energy_uj in (900_000, 100_000, 600_000, 50_000):  # +0.2, +0.5, +0.45
        (folder / "energy_uj").write_text(str(energy_uj))
        meter.sample()
    assert meter.energy_j == pytest.approx(1.15)
    assert meter.failure == ""


def test_meter_adds_up_what_was_used(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(init_status=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000, wrap_uj=10_000_000)
    meter = EnergyMeter(tmp_path, interval_s=60)
    meter.start()
    (folder / "energy_uj").write_text("4500000")
    assert meter.stop() == EnergyReading(energy_j={"cpu:package-0": 3.5})


def test_counter_that_may_not_be_read_is_told(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(init_status=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl:1", "package-1", 5)
    (folder / "energy_uj").unlink()
    (folder / "energy_uj").mkdir()  # Unreadable for root too.
    meter = EnergyMeter(tmp_path, interval_s=60)
    meter.start()
    reading = meter.stop()
    assert reading.energy_j == {"cpu:package-1": 0.0}
    assert reading.unseen == ("the energy of cpu:package-0 was not measured: is a directory",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counter_for_root_alone(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (folder / "energy_uj").chmod(0)
    meter = RaplZone("cpu:package-0", folder)
    meter.sample()
    assert (meter.energy_j, meter.failure) == (None, "permission denied")


def test_counter_that_holds_no_number(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (folder / "energy_uj").write_text("many")
    meter = RaplZone("cpu:package-0", folder)
    meter.sample()
    assert (meter.energy_j, meter.failure) == (None, "the counter holds no number")


def test_machine_without_meters_says_nothing(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(init_status=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    meter = EnergyMeter(tmp_path / "missing")
    meter.start()
    assert meter.stop() == EnergyReading()


def test_gpus_that_count_their_energy(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    driver = simulate(
        Gpu(energy_mj=(1_000_000, 1_000_500, 1_003_500), used_nbytes=(GIB, 5 * GIB)),
        Gpu(energy_mj=(7, 7), used_nbytes=(2 * GIB, GIB)),
    )
    meter = EnergyMeter(tmp_path, interval_s=60)
    meter.start()
    reading = meter.stop()
    assert reading == EnergyReading(
        energy_j={"gpu:0": 3.5, "gpu:1": 0.0},
        gpu_max_nbytes={"gpu:0": 5 * GIB, "gpu:1": 2 * GIB},
    )
    assert driver.users == 0


def test_power_of_an_older_gpu_is_summed_up(simulate: Callable[..., SimulatedDriver]) -> None:
    simulate(Gpu(power_mw=(100_000, 200_000, 200_000)))
    (gpu,), failures = open_gpus()
    for now_s in (10.0, 12.0, 13.0):
        gpu.sample(now_s)
    close_gpus()
    assert gpu.energy_j == pytest.approx(150 * 2 + 200 * 1)
    assert failures == []


def test_samples_are_taken_while_the_step_runs(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    gpu = Gpu(energy_mj=(0,), used_nbytes=(0, 0, 0, 9 * GIB, 0))
    simulate(gpu)
    meter = EnergyMeter(tmp_path, interval_s=0.001)
    meter.start()
    deadline = time.monotonic() + 10
    while gpu.asked["used_nbytes"] < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert meter.stop().gpu_max_nbytes == {"gpu:0": 9 * GIB}


def test_gpu_that_tells_no_energy(tmp_path: Path, simulate: Callable[..., SimulatedDriver]) -> None:
    simulate(Gpu(used_nbytes=(GIB,)))
    meter = EnergyMeter(tmp_path, interval_s=60)
    meter.start()
    reading = meter.stop()
    assert reading.energy_j == {}
    assert reading.gpu_max_nbytes == {"gpu:0": GIB}
    assert reading.unseen == ("the energy of gpu:0 was not measured: Not Supported",)


def test_gpu_that_fell_off_while_it_was_measured(simulate: Callable[..., SimulatedDriver]) -> None:
    state = Gpu(energy_mj=(0, 1000, 2000))
    simulate(state)
    (gpu,), _ = open_gpus()
    gpu.sample(0.0)
    assert gpu.energy_j == 1.0
    state.lost = True
    gpu.sample(1.0)
    close_gpus()
    assert gpu.energy_j is None
    assert gpu.failure == "GPU is lost"


def test_counter_of_a_gpu_that_was_reset(simulate: Callable[..., SimulatedDriver]) -> None:
    simulate(Gpu(energy_mj=(5000, 9000, 100)))
    (gpu,), _ = open_gpus()
    gpu.sample(0.0)
    gpu.sample(1.0)
    close_gpus()
    assert (gpu.energy_j, gpu.failure) == (None, "its counter began anew")


def test_gpu_that_does_not_answer_and_a_driver_that_does_not(
    simulate: Callable[..., SimulatedDriver],
) -> None:
    driver = simulate(Gpu(lost=True))
    assert open_gpus() == ([], ["the energy of gpu:0 was not measured: GPU is lost"])
    assert driver.users == 0
    simulate(init_status=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    gpus, (failure,) = open_gpus()
    assert gpus == []
    assert failure.startswith("the energy of GPUs was not measured: ")


@pytest.mark.gpu
def test_real_gpus_use_energy(tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path, interval_s=0.1)
    meter.start()
    assert all(isinstance(gpu, GpuMeter) for gpu in meter._gpus)
    reading = meter.stop()
    assert reading.energy_j.keys() == reading.gpu_max_nbytes.keys() != set()
