"""The variables of a training that runs again: few, none that opens anything, fresh folders."""

import os
import runpy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlbom import guard
from mlbom.record.launcher import SHIM
from mlbom.reproduce.sandbox.editable import find_editable
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.sandbox.plan import SandboxPlan

# What programs need to be found and to speak, compilers and drivers included.
_PLAIN = frozenset(
    (
        "C_INCLUDE_PATH CC CPATH CPLUS_INCLUDE_PATH CXX CUDA_DEVICE_ORDER CUDA_HOME CUDA_PATH"
        " CUDA_VISIBLE_DEVICES CONDA_DEFAULT_ENV CONDA_PREFIX HIP_VISIBLE_DEVICES LANG LANGUAGE"
        " LD_LIBRARY_PATH LD_PRELOAD LIBRARY_PATH LOGNAME MPLBACKEND NVIDIA_DRIVER_CAPABILITIES"
        " NVIDIA_VISIBLE_DEVICES PATH PYTHONDONTWRITEBYTECODE PYTHONIOENCODING PYTHONNOUSERSITE"
        " PYTHONOPTIMIZE PYTHONPATH PYTHONSAFEPATH PYTHONUNBUFFERED PYTHONUSERBASE PYTHONUTF8"
        " PYTHONWARNINGS ROCM_HOME ROCM_PATH ROCR_VISIBLE_DEVICES SHELL TERM TZ USER VIRTUAL_ENV"
    ).split()
)
# Beside those that the recorder notes as numeric (mlbom/record/shim/_mlbom_trace.py).
_NUMERIC = (
    *("BLIS_", "CUDA_", "CUDNN_", "GOMP_", "HIP_", "HSA_", "MIOPEN_", "NUMEXPR_", "PYTORCH_"),
    *("TOKENIZERS_", "TORCHDYNAMO_", "TORCHINDUCTOR_", "TRITON_", "VECLIB_", "XLA_"),
)
_LOCALE = "LC_"
# A cache of the user cannot be written, and a name like these is no number.
_NEVER = ("CACHE", "TOKEN_", "SECRET", "PASSW", "CREDENTIAL", "API_KEY", "AUTH_")
_LISTS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_FRESH = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_RUNTIME_DIR": ".runtime",
    "HF_HOME": ".cache/huggingface",
}
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """Where the files of a project lie now.

    Args:
        old: folder that was copied, absolute.
        new: its copy.
    """

    old: Path
    new: Path

    def move(self, path: str) -> str:
        """Return the same place in the copy, when it is there, else the path as it is."""
        if not os.path.isabs(path) or not Path(path).is_relative_to(self.old):
            return path
        moved = self.new / Path(path).relative_to(self.old)
        return os.fspath(moved) if os.path.lexists(moved) else path

    def move_text(self, text: str) -> str:
        """Return an argument in which the copy takes the place of the folder."""
        old, new = os.fspath(self.old), os.fspath(self.new)
        parts = text.split(old)
        moved = parts[0]
        for part in parts[1:]:
            is_whole = part[:1] in ("", "/", ":", ",", "'", '"', " ")
            is_start = not moved or moved[-1] in "=:, '\"@"
            moved += (new if is_whole and is_start else old) + part
        return moved


def sandbox_variables(
    plan: SandboxPlan,
    place: Place,
    relocation: Relocation,
    home: Path,
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Return all variables of a training.

    Args:
        plan: what is run.
        place: how this run differs from others.
        relocation: where the project's files lie.
        home: the fresh home folder, `home/NAME` of the ground, where `tmp` lies too.
        environment: the caller's variables.
    """
    variables = {name: value for name, value in environment.items() if _passes(name, value, plan)}
    for name in _LISTS:
        if name in variables:
            entries = variables[name].split(os.pathsep)
            variables[name] = os.pathsep.join(map(relocation.move, entries))
    variables |= _fresh(home)
    variables |= _user_packages(environment)
    variables |= user_caches(environment)
    variables |= dict.fromkeys(_OFFLINE, "1")
    _put_python_first(variables, plan.python_prefix)
    _put_copy_first(variables, plan, relocation)
    variables |= plan.variables
    return _placed(variables, place)


def user_caches(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the folders of public models and data that the user has fetched before.

    Args:
        environment: the caller's variables.
    """
    home = environment.get("HOME") or os.path.expanduser("~")
    base = environment.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    hub_home = environment.get("HF_HOME") or os.path.join(base, "huggingface")
    hub = environment.get("HUGGINGFACE_HUB_CACHE") or os.path.join(hub_home, "hub")
    places = {
        "HF_HUB_CACHE": environment.get("HF_HUB_CACHE") or hub,
        "HF_DATASETS_CACHE": environment.get("HF_DATASETS_CACHE")
        or os.path.join(hub_home, "datasets"),
        "TORCH_HOME": environment.get("TORCH_HOME") or os.path.join(base, "torch"),
    }
    return {name: os.path.realpath(path) for name, path in places.items() if os.path.isdir(path)}


def _passes(name: str, value: str, plan: SandboxPlan) -> bool:
    is_numeric = plan.passes_numeric and _is_numeric(name)
    if name not in _PLAIN and not name.startswith(_LOCALE) and not is_numeric:
        return False
    if name not in _PLAIN and any(word in name for word in _NEVER):
        return False
    return not any(guard.find_secrets(f"{name}={value}".encode("utf-8", "surrogateescape")))


def _is_numeric(name: str) -> bool:
    names, prefixes = _recorded_names()
    return name in names or name.startswith((*prefixes, *_NUMERIC))


@cache
def _recorded_names() -> tuple[Iterable[str], Iterable[str]]:
    """Return the numeric variables as the recorder in the training knows them."""
    trace: dict[str, Any] = runpy.run_path(os.fspath(SHIM / "_mlbom_trace.py"))
    return trace["_VARIABLES"], trace["_PREFIXES"]


def _fresh(home: Path) -> dict[str, str]:
    folders = {name: os.fspath(home / below) for name, below in _FRESH.items()}
    return {"HOME": os.fspath(home), "TMPDIR": os.fspath(home.parents[1] / "tmp"), **folders}


def _user_packages(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where `pip install --user` put packages: they are not below the fresh home."""
    if environment.get("PYTHONUSERBASE") or environment.get("PYTHONNOUSERSITE"):
        return {}
    base = os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".local")
    return {"PYTHONUSERBASE": base} if os.path.isdir(os.path.join(base, "lib")) else {}


def _put_python_first(variables: dict[str, str], python: Path | None) -> None:
    if python is None:
        return
    folder = python.parent if not python.is_dir() else python / "bin"
    variables["PATH"] = os.pathsep.join(
        filter(None, (os.fspath(folder), variables.get("PATH", os.defpath)))
    )
    if (folder.parent / "pyvenv.cfg").is_file():
        variables["VIRTUAL_ENV"] = os.fspath(folder.parent)


def _put_copy_first(variables: dict[str, str], plan: SandboxPlan, relocation: Relocation) -> None:
    """Let what is installed from the work tree be imported from its copy."""
    editable = find_editable(plan, variables, relocation.old)
    moved = [new for old in editable if (new := relocation.move(old)) != old]
    given = variables.get("PYTHONPATH", "")
    if entries := [*moved, *filter(None, [given])]:
        variables["PYTHONPATH"] = os.pathsep.join(entries)


def _placed(variables: dict[str, str], place: Place) -> dict[str, str]:
    if place.locale:
        variables = {
            name: value
            for name, value in variables.items()
            if name != "LANGUAGE" and not name.startswith(_LOCALE)
        }
        variables |= {"LANG": place.locale, "LC_ALL": place.locale}
    if place.tz:
        variables["TZ"] = place.tz
    if place.hash_seed:
        variables["PYTHONHASHSEED"] = place.hash_seed
    if place.gpu is not None:
        variables["CUDA_VISIBLE_DEVICES"] = str(place.gpu)
    return variables | dict(place.variables)
