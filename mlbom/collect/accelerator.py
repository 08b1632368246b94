"""The host's NVIDIA GPUs, asked through NVML; only what stays the same from run to run.

Serial numbers, UUIDs, clocks, temperatures and free memory are never asked for.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mlbom.collect.environment.site import NoSite, find_site
from mlbom.collect.scope import Scope, Witness
from mlbom.evidence.nodes import Accelerator, Pair, Runtime
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method
from mlbom.guard import printable

SUBJECT = "accelerator:"
# Files that exist only where a driver is: Linux, containers, WSL, Windows.
DRIVER_MARKS = (
    Path("/proc/driver/nvidia/version"),
    Path("/dev/nvidiactl"),
    Path("/usr/lib/wsl/lib/libnvidia-ml.so.1"),
    Path(os.environ.get("WINDIR", "C:/Windows")) / "System32" / "nvml.dll",
)
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU: product name, memory in bytes, compute capability such as `9.0`."""

    name: str
    nbytes: int | None
    compute_capability: str | None


@dataclass(slots=True)
class Driver:
    """What the NVIDIA driver tells.

    Args:
        version: of the driver.
        cuda: the newest CUDA release that the driver runs.
        devices: every GPU that answered.
        failures: what the driver failed to tell, each one sentence.
    """

    version: str | None = None
    cuda: str | None = None
    devices: list[Device] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class AcceleratorCollector:
    """Asks the NVIDIA driver of this host, if one is here and an environment is inspected."""

    name = "accelerator"

    def collect(self, scope: Scope) -> Iterator[Observation | Gap]:
        """Yield an `Accelerator` for each kind of GPU, and the driver as a `Runtime`.

        Raises:
            UsageError: the interpreter named by the user is none (see `find_site`).
        """
        site = find_site(scope)
        if isinstance(site, NoSite):
            return  # Nothing of this host is recorded without an environment (determinism).
        yield from observe_accelerators(site.id)


def observe_accelerators(environment: str) -> Iterator[Observation | Gap]:
    """Yield what the NVIDIA driver of this host tells.

    Args:
        environment: id of the environment that they belong to.
    """
    witness = Witness(AcceleratorCollector.name, Method.MEASURED)
    driver = read_driver() if any(os.path.exists(mark) for mark in DRIVER_MARKS) else None
    if driver is None:
        yield witness.misses(SUBJECT, "no NVIDIA driver")
        return
    for failure in driver.failures:
        yield witness.misses(SUBJECT, failure, kind=GapKind.UNREADABLE)
    if driver.version:
        yield witness.observes(_driver_node(driver, environment))
    yield from _accelerators(driver, environment, witness)


def read_driver() -> Driver | None:
    """Ask the driver through NVML; None when there is no driver to ask after all."""
    try:
        import pynvml
    except ImportError:
        return Driver(failures=["nvidia-ml-py, which asks the NVIDIA driver, is not installed"])
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in (
            pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
            pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        ):
            return None
        return Driver(failures=[f"the NVIDIA driver does not answer: {error}"])
    try:
        return _ask(pynvml)
    finally:
        pynvml.nvmlShutdown()


def _ask(nvml: Any) -> Driver:  # noqa: ANN401 - the module pynvml has no types
    driver = Driver()

    def answer(what: str, question: Callable[..., AnswerT], *about: object) -> AnswerT | None:
        try:
            return question(*about)
        except nvml.NVMLError as error:
            # A device that has no memory of its own, say, is not a device that failed.
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                driver.failures.append(f"the NVIDIA driver does not tell {what}: {error}")
        except ValueError:
            driver.failures.append(f"the NVIDIA driver tells {what} in no valid text")
        return None

    driver.version = answer("its version", nvml.nvmlSystemGetDriverVersion)
    cuda = answer("its CUDA version", nvml.nvmlSystemGetCudaDriverVersion_v2)
    # 13020 is CUDA 13.2 (NVML reference, nvmlSystemGetCudaDriverVersion).
    driver.cuda = f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None
    for index in range(answer("how many GPUs there are", nvml.nvmlDeviceGetCount) or 0):
        shown = f"GPU {index}"
        handle = answer(shown, nvml.nvmlDeviceGetHandleByIndex, index)
        name = answer(f"the name of {shown}", nvml.nvmlDeviceGetName, handle) if handle else None
        if name is None:
            continue
        memory = answer(f"the memory of {shown}", nvml.nvmlDeviceGetMemoryInfo, handle)
        capability = answer(
            f"the compute capability of {shown}", nvml.nvmlDeviceGetCudaComputeCapability, handle
        )
        driver.devices.append(
            Device(
                printable(name),
                int(memory.total) if memory else None,
                ".".join(map(str, capability)) if capability else None,
            )
        )
    return driver


def _driver_node(driver: Driver, environment: str) -> Runtime:
    return Runtime(
        id="runtime:nvidia-driver",
        name="nvidia-driver",
        version=driver.version,
        kind="driver",
        build=(Pair("cuda", driver.cuda),) if driver.cuda else (),
        environments=(environment,),
    )


def _accelerators(
    driver: Driver, environment: str, witness: Witness
) -> Iterator[Observation | Gap]:
    """Yield one node for each product name; devices of one name are counted."""
    if not driver.devices and not driver.failures:
        yield witness.misses(SUBJECT, "the NVIDIA driver is here, but no GPU")
    for name in sorted({device.name for device in driver.devices}):
        alike = [device for device in driver.devices if device.name == name]
        subject = f"{SUBJECT}{name}"
        nbytes = _common(device.nbytes for device in alike)
        yield witness.observes(
            Accelerator(
                id=subject,
                name=name,
                vendor="NVIDIA",
                device_count=len(alike),
                nbytes=nbytes,
                compute_capability=_common(device.compute_capability for device in alike),
                driver_version=driver.version,
                environments=(environment,),
            )
        )
        if nbytes is None:
            reason = "its memory is not told, or differs between devices of this name"
            yield witness.misses(subject, reason, field="nbytes")


def _common(values: Iterable[AnswerT | None]) -> AnswerT | None:
    """Return the value that all share, or None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
