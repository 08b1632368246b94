"""What of this machine decides which variations can be tried on it."""

import os
import shutil
import subprocess
from dataclasses import dataclass

_GPUS = "/proc/driver/nvidia/gpus"
_CPUINFO = "/proc/cpuinfo"
_PATIENCE_S = 5
# The C locales are the same to Python, whatever they are called.
_PLAIN = frozenset({"C", "POSIX", "C.UTF-8", "C.UTF8"})
# Those that most often break programs first: the dotless i, the decimal comma.
_FAVOURITES = ("tr_TR", "de_DE", "fr_FR", "ja_JP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is here.

    Args:
        cpus: processors that this process may use.
        cpu_flags: what the processor can do, as Linux calls it: `avx2`, `avx512f`, ...
        locales: those that are installed, without the C locales.
        gpus: number of NVIDIA GPUs.
    """

    cpus: int
    cpu_flags: frozenset[str] = frozenset()
    locales: tuple[str, ...] = ()
    gpus: int = 0


def look_at_machine() -> Machine:
    """Return what is here; what cannot be asked counts as not there."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cpus = os.cpu_count() or 1
    return Machine(cpus=cpus, cpu_flags=_cpu_flags(), locales=_locales(), gpus=_gpus())


def _cpu_flags() -> frozenset[str]:
    try:
        with open(_CPUINFO, encoding="ascii", errors="replace") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name.strip() in {"flags", "Features"}:
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _locales() -> tuple[str, ...]:
    program = shutil.which("locale", path="/usr/bin:/bin")
    if program is None:
        return ()
    try:
        told = subprocess.run(
            [program, "-a"], capture_output=True, timeout=_PATIENCE_S, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    names = told.decode("ascii", "replace").split()
    found = [name for name in names if name.upper() not in _PLAIN and name.isprintable()]
    return tuple(sorted(found, key=_rank))


def _rank(name: str) -> tuple[int, bool, str]:
    """Return the order in which locales are tried: the odder the better, UTF-8 before others."""
    language = name.partition(".")[0]
    place = _FAVOURITES.index(language) if language in _FAVOURITES else len(_FAVOURITES)
    return place, "utf" not in name.lower(), name


def _gpus() -> int:
    try:
        return len(os.listdir(_GPUS))
    except OSError:
        return 0
