"""Is this environment the recorded one? What is not, is named; what nobody told, too.

Compared are Python, packages, libraries as loaded, accelerators, numeric variables and flags. What
cannot change a number is left out: installers, linters, surplus packages, the index of a GPU. The
instruction set stands apart: on another one exact results cannot be expected (`is_other_isa`).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

from mlbom.attest.run_claim import RunClaim
from mlbom.errors import MlbomError
from mlbom.evidence.nodes import Environment
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.record.steps.values import StepTrace
from mlbom.reproduce.surroundings.pins import (
    PINS,
    THREAD_VARIABLES,
    UNSET,
    Pin,
    default_pins,
    first_value,
    recorded_texts,
    recorded_variables,
)
from mlbom.reproduce.values import Mismatch

__all__ = [
    "PINS",
    "Pin",
    "default_pins",
    "is_other_isa",
    "mismatches",
    "recorded_variables",
    "set_by_program",
    "untold",
]

ABSENT = "absent"
_PYPI = "pkg:pypi/"
# Distributions that no training computes with.
_NO_NUMBERS = frozenset(
    """black build coverage flake8 hatchling isort mypy mypy-extensions pip pipx
    pip-tools pluggy poetry poetry-core pre-commit pytest pytest-cov ruff setuptools twine uv
    virtualenv wheel""".split()
)
_CAPABILITY, _NUM_THREADS = "torch.cpu_capability", "torch.num_threads"
_HASH_SEED = "PYTHONHASHSEED"
# Of the variables that a record holds for their prefix: where things lie, and what is printed.
_QUIET = frozenset(
    """CUDA_VISIBLE_DEVICES HF_DATASETS_CACHE HF_DATASETS_OFFLINE HF_HOME HF_HUB_CACHE
    HF_HUB_OFFLINE HUGGINGFACE_HUB_CACHE KMP_DUPLICATE_LIB_OK KMP_INIT_AT_FORK
    KMP_WARNINGS MKL_VERBOSE
    NCCL_DEBUG NCCL_DEBUG_SUBSYS NCCL_SOCKET_IFNAME OMP_DISPLAY_ENV ONEDNN_VERBOSE
    PYTHONUSERBASE TORCH_CPP_LOG_LEVEL TORCH_EXTENSIONS_DIR TORCH_HOME TORCH_LOGS
    TORCH_SHOW_CPP_STACKTRACES TRANSFORMERS_OFFLINE""".split()
)
_QUIET_PREFIX = "XDG_"


def mismatches(
    recorded: RunClaim, found: RunClaim, program_sets: Collection[str] = ()
) -> tuple[Mismatch, ...]:
    """Return what of the environment is not as it was recorded; the instruction set stands apart.

    Args:
        recorded: the recorded training.
        found: the same training as it ran again, claimed in the same way.
        program_sets: flags that the program itself sets (`set_by_program`): what it sets is no
            part of its environment.
    """
    return (
        *_different("Python", _about(recorded).python, _about(found).python),
        *_packages(recorded, found),
        *_libraries(recorded, found),
        *_accelerators(recorded, found),
        *_settings(recorded, found, program_sets),
    )


def is_other_isa(recorded: RunClaim, found: RunClaim) -> bool:
    """Return whether two runs used different instruction sets, as far as they tell.

    They do when torch chose kernels for another one (`torch.cpu_capability`), or when the machines
    are of different kinds (x86_64, aarch64).
    """
    one, other = (_flags(claim).get(_CAPABILITY, "") for claim in (recorded, found))
    is_other = bool(one and other) and one != other
    machines = tuple(_about(claim).platform for claim in (recorded, found))
    return is_other or (all(machines) and machines[0] != machines[1])


def set_by_program(trace: StepTrace) -> frozenset[str]:
    """Return the flags that the program of a training sets by itself."""
    sets_threads = any(event.kind == "threads" and not event.worker for event in trace.events)
    return frozenset({_NUM_THREADS}) if sets_threads else frozenset()


def untold(recorded: RunClaim, found: RunClaim) -> tuple[str, ...]:
    """Return what of the two environments could not be compared, each one sentence."""
    told = []
    for claim, name in ((recorded, "the record"), (found, "the new run")):
        if not _about(claim).python:
            told.append(f"{name} does not tell its Python")
        if not _versions(claim):
            told.append(f"{name} does not tell its packages")
        if not recorded_texts(claim, "determinism"):
            told.append(f"{name} tells no numeric settings")
    return tuple(told)


class _About:
    """What the evidence of an environment tells of it; empty texts for what it does not."""

    def __init__(self, node: Environment | None) -> None:
        self.python = (node.python_version if node else None) or ""
        self.platform = (node.platform if node else None) or ""


def _about(claim: RunClaim) -> _About:
    data = claim.environment
    if not data:
        return _About(None)
    try:
        graph = load_graph(parse_json(data, "environment.json"))
    except MlbomError:
        return _About(None)
    return _About(next(iter(graph.nodes(Environment)), None))


def _different(name: str, recorded: str, found: str) -> Iterator[Mismatch]:
    """Yield a mismatch when both are told and differ."""
    if recorded and found and recorded != found:
        yield Mismatch(name=name, recorded=recorded, found=found)


def _versions(claim: RunClaim) -> dict[str, str]:
    """Return package -> version, names as PEP 503 compares them."""
    found = {}
    for material in claim.materials:
        if material.uri.startswith(_PYPI):
            name, _, version = material.uri.removeprefix(_PYPI).partition("@")
            plain = re.split(r"[?#]", version)[0]
            found[re.sub(r"[-_.]+", "-", unquote(name)).lower()] = unquote(plain)
    return found


def _packages(recorded: RunClaim, found: RunClaim) -> Iterator[Mismatch]:
    """Yield recorded packages of another version, or not there; further ones do no harm."""
    present = _versions(found)
    if not present:
        return
    for name, version in sorted(_versions(recorded).items()):
        now = present.get(name, ABSENT)
        if now != version and name not in _NO_NUMBERS and not name.startswith("types-"):
            yield Mismatch(name=name, recorded=version, found=now)


def _libraries(recorded: RunClaim, found: RunClaim) -> Iterator[Mismatch]:
    """Yield libraries that were loaded in another version, or not at all.

    torch itself is told among the packages when both know them.
    """
    present = recorded_texts(found, "libraries")
    packages = _versions(recorded).keys() & _versions(found).keys()
    for name, version in sorted(recorded_texts(recorded, "libraries").items()):
        now = present.get(name, ABSENT)
        if now != version and name not in packages:
            yield Mismatch(name=f"library {name}", recorded=version, found=now)


def _accelerators(recorded: RunClaim, found: RunClaim) -> Iterator[Mismatch]:
    then, now = (_counted(recorded_texts(c, "accelerators")) for c in (recorded, found))
    if then != now:
        yield Mismatch(name="accelerators", recorded=then or "none", found=now or "none")


def _counted(devices: Mapping[str, str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(devices.items()))


def _flags(claim: RunClaim) -> dict[str, str]:
    """Return flags and numeric variables with the value that each began with."""
    told = recorded_texts(claim, "determinism")
    return {
        name: first_value(value)
        for name, value in told.items()
        if name not in _QUIET and not name.startswith(_QUIET_PREFIX)
    }


def _settings(
    recorded: RunClaim, found: RunClaim, program_sets: Collection[str]
) -> Iterator[Mismatch]:
    then, now = _flags(recorded), _flags(found)
    if not then or not now:
        return
    has_equal_threads = then.get(_NUM_THREADS) == now.get(_NUM_THREADS) is not None
    for name in sorted(then.keys() | now.keys()):
        one, other = then.get(name, UNSET), now.get(name, UNSET)
        if one == other or name in program_sets or name == _CAPABILITY:
            continue
        is_missing = UNSET in (one, other)
        # Another version of torch has other flags; that is told already.
        if "." in name and is_missing:
            continue
        # Without a recorded hash seed it was drawn anew: every value is as good.
        if name == _HASH_SEED and one == UNSET:
            continue
        if name in THREAD_VARIABLES and is_missing and has_equal_threads:
            continue
        yield Mismatch(name=name, recorded=_shown(one), found=_shown(other))


def _shown(value: str) -> str:
    """Return a value; places on a machine are not told."""
    return "a path of that machine" if value.startswith(("/", "~")) else value
