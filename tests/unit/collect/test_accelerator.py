"""Tests of mlbom.collect.accelerator against a simulated driver behind the real NVML bindings."""

import ctypes
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import pytest

from mlbom.collect import accelerator
from mlbom.evidence.nodes import Accelerator, Pair, Runtime
from mlbom.evidence.observation import GapKind
from tests.fixtures.environment import collected, reasons, write_venv

GIB = 1024**3
_UINT, _INT, _POINTER = ctypes.c_uint, ctypes.c_int, ctypes.c_void_p


@dataclass(frozen=True)
class Gpu:
    """What the simulated driver tells of one GPU; a status other than 0 is a failure."""

    name: bytes
    nbytes: int
    capability: tuple[int, int]
    status: int = 0
    memory_status: int = 0


@dataclass
class SimulatedDriver:
    """The C functions of libnvidia-ml that mlbom calls, as the bindings see them."""

    gpus: Sequence[Gpu] = ()
    version: bytes = b"580.82.07"
    cuda: int = 13000
    init_status: int = 0
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Return a C function pointer, as a loaded library does."""
        if not name.startswith("nvml"):
            raise AttributeError(name)
        self.calls.append(name)
        types: dict[str, tuple[Any, ...]] = {
            "nvmlInitWithFlags": (self._init, _UINT),
            "nvmlShutdown": (lambda: 0,),
            "nvmlSystemGetDriverVersion": (self._version, _POINTER, _UINT),
            "nvmlSystemGetCudaDriverVersion_v2": (self._cuda, _POINTER),
            "nvmlDeviceGetCount_v2": (self._count, _POINTER),
            "nvmlDeviceGetHandleByIndex_v2": (self._handle, _UINT, _POINTER),
            "nvmlDeviceGetName": (self._name, _POINTER, _POINTER, _UINT),
            "nvmlDeviceGetMemoryInfo": (self._memory, _POINTER, _POINTER),
            "nvmlDeviceGetCudaComputeCapability": (self._capability, *(_POINTER,) * 3),
        }
        function, *arguments = types[name]
        pointer: Callable[..., int] = ctypes.CFUNCTYPE(_INT, *arguments)(function)
        setattr(self, name, pointer)
        return pointer

    def _init(self, _flags: int) -> int:
        return self.init_status

    def _version(self, buffer: int, size: int) -> int:
        ctypes.memmove(buffer, self.version + b"\0", min(size, len(self.version) + 1))
        return 0

    def _cuda(self, out: int) -> int:
        _INT.from_address(out).value = self.cuda
        return 0

    def _count(self, out: int) -> int:
        _UINT.from_address(out).value = len(self.gpus)
        return 0

    def _handle(self, index: int, out: int) -> int:
        _POINTER.from_address(out).value = index + 1
        return self.gpus[index].status

    def _name(self, handle: int, buffer: int, size: int) -> int:
        name = self.gpus[handle - 1].name
        ctypes.memmove(buffer, name + b"\0", min(size, len(name) + 1))
        return 0

    def _memory(self, handle: int, out: int) -> int:
        # struct nvmlMemory_t begins with the total.
        ctypes.c_ulonglong.from_address(out).value = self.gpus[handle - 1].nbytes
        return self.gpus[handle - 1].memory_status

    def _capability(self, handle: int, major: int, minor: int) -> int:
        _INT.from_address(major).value, _INT.from_address(minor).value = self.gpus[
            handle - 1
        ].capability
        return 0


H200 = Gpu(b"NVIDIA H200", 141 * GIB, (9, 0))
L4 = Gpu(b"NVIDIA L4", 23 * GIB, (8, 9))


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimulatedDriver]:
    """Put a simulated driver behind pynvml, and an environment into the project."""
    write_venv(tmp_path / ".venv")
    mark = tmp_path / "nvidiactl"
    mark.touch()

    def install(*gpus: Gpu, **settings: Any) -> SimulatedDriver:
        driver = SimulatedDriver(gpus, **settings)
        monkeypatch.setattr(accelerator, "DRIVER_MARKS", (mark,))
        monkeypatch.setattr(pynvml, "nvmlLib", driver)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return driver

    return install


def test_equal_devices_are_one_node_with_a_count(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(H200, H200, L4)
    graph = collected("accelerator", tmp_path)
    h200, l4 = graph.nodes(Accelerator)
    assert h200 == Accelerator(
        id="accelerator:NVIDIA H200",
        name="NVIDIA H200",
        vendor="NVIDIA",
        device_count=2,
        nbytes=141 * GIB,
        compute_capability="9.0",
        driver_version="580.82.07",
        environments=("env:release",),
    )
    assert (l4.name, l4.device_count, l4.compute_capability) == ("NVIDIA L4", 1, "8.9")
    assert not graph.gaps


def test_driver_is_a_runtime(tmp_path: Path, simulate: Callable[..., SimulatedDriver]) -> None:
    simulate(L4, cuda=12080)
    (driver,) = collected("accelerator", tmp_path).nodes(Runtime)
    assert (driver.id, driver.version, driver.kind) == (
        "runtime:nvidia-driver",
        "580.82.07",
        "driver",
    )
    assert driver.build == (Pair("cuda", "12.8"),)


def test_only_lasting_facts_are_asked_for(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    driver = simulate(H200)
    collected("accelerator", tmp_path)
    assert set(driver.calls) == {
        "nvmlInitWithFlags",
        "nvmlShutdown",
        "nvmlSystemGetDriverVersion",
        "nvmlSystemGetCudaDriverVersion_v2",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetName",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetCudaComputeCapability",
    }


def test_devices_of_one_name_with_different_memory(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(Gpu(b"NVIDIA X", 40 * GIB, (8, 0)), Gpu(b"NVIDIA X", 80 * GIB, (8, 0)))
    graph = collected("accelerator", tmp_path)
    (node,) = graph.nodes(Accelerator)
    assert (node.device_count, node.nbytes, node.compute_capability) == (2, None, "8.0")
    assert reasons(graph, "accelerator:NVIDIA X", "nbytes")


def test_device_that_does_not_answer_is_a_gap_and_the_others_are_told(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(Gpu(b"", 0, (0, 0), status=pynvml.NVML_ERROR_GPU_IS_LOST), H200)
    graph = collected("accelerator", tmp_path)
    assert [node.device_count for node in graph.nodes(Accelerator)] == [1]
    (gap,) = graph.gaps
    assert gap.kind is GapKind.UNREADABLE
    assert "GPU 0" in gap.reason


def test_device_without_memory_of_its_own(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(Gpu(b"NVIDIA GB10", 0, (12, 1), memory_status=pynvml.NVML_ERROR_NOT_SUPPORTED))
    graph = collected("accelerator", tmp_path)
    assert [(n.name, n.nbytes) for n in graph.nodes(Accelerator)] == [("NVIDIA GB10", None)]
    assert [(g.field, g.kind) for g in graph.gaps] == [("nbytes", GapKind.ABSENT)]


@pytest.mark.parametrize(
    "status", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_driver_that_is_not_loaded_is_no_driver(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver], status: int
) -> None:
    simulate(H200, init_status=status)
    assert reasons(collected("accelerator", tmp_path)) == ["no NVIDIA driver"]


def test_driver_that_does_not_answer_is_unreadable(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    simulate(H200, init_status=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    (gap,) = collected("accelerator", tmp_path).gaps
    assert gap.kind is GapKind.UNREADABLE


def test_driver_without_a_device(tmp_path: Path, simulate: Callable[..., SimulatedDriver]) -> None:
    simulate()
    assert reasons(collected("accelerator", tmp_path)) == ["the NVIDIA driver is here, but no GPU"]


def test_no_driver_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_venv(tmp_path / ".venv")
    monkeypatch.setattr(accelerator, "DRIVER_MARKS", (tmp_path / "missing",))
    (gap,) = collected("accelerator", tmp_path).gaps
    assert (gap.subject, gap.kind, gap.reason) == (
        "accelerator:",
        GapKind.ABSENT,
        "no NVIDIA driver",
    )


def test_host_is_not_asked_without_an_environment(
    tmp_path: Path, simulate: Callable[..., SimulatedDriver]
) -> None:
    driver = simulate(H200)
    (tmp_path / "empty").mkdir()
    graph = collected("accelerator", tmp_path / "empty")
    assert driver.calls == []
    assert not graph.facts
    assert not graph.gaps


def test_bindings_are_not_imported_without_a_driver(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    code = (
        "import sys; from pathlib import Path; from mlbom.collect import accelerator;"
        "from tests.fixtures.environment import collected;"
        "accelerator.DRIVER_MARKS = ();"
        "collected('accelerator', Path(sys.argv[1]));"
        "sys.exit('pynvml' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


@pytest.mark.gpu
def test_real_driver_answers(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    graph = collected("accelerator", tmp_path)
    assert graph == collected("accelerator", tmp_path)
    for node in graph.nodes(Accelerator):
        assert node.device_count
        assert node.compute_capability
    assert graph.nodes(Accelerator)
    assert not graph.gaps
