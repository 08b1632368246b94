"""Which variables a training gets, and where the paths of its command lead."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.reproduce.sandbox.keys import find_keys
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.sandbox.sandbox import build_sandbox
from mlbom.reproduce.sandbox.variables import Relocation, sandbox_variables, user_caches


@pytest.fixture
def relocation(tmp_path: Path) -> Relocation:
    base = tmp_path.resolve()
    for name in ("old/src/pack", "old/.venv/bin", "new/src/pack", "home"):
        (base / name).mkdir(parents=True)
    return Relocation(old=base / "old", new=base / "new")


def variables(
    relocation: Relocation,
    environment: dict[str, str],
    place: Place | None = None,
    **changes: object,
) -> dict[str, str]:
    plan = SandboxPlan(command=("python", "train.py"), project=relocation.old)
    plan = replace(plan, **changes)  # type: ignore[arg-type]
    home = relocation.new.parent / "ground" / "home" / "home"
    user = str(relocation.new.parent / "home")
    given = {"HOME": user, "PATH": "/usr/bin", **environment}
    return sandbox_variables(plan, place or Place(), relocation, home, given)


def test_numeric_variables_are_handed_on_unchanged_or_not_at_all(relocation: Relocation) -> None:
    given = {
        "OMP_NUM_THREADS": "3",
        "PYTHONHASHSEED": "7",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_CUDA_ALLOC_CONF": "x",
        "TORCHINDUCTOR_CACHE_DIR": "/cache",
    }
    told = variables(relocation, given)
    assert {name: told.get(name) for name in given} == {**given, "TORCHINDUCTOR_CACHE_DIR": None}
    none = variables(relocation, given, passes_numeric=False)
    assert not none.keys() & given.keys()
    pinned = variables(relocation, given, passes_numeric=False, variables={"OMP_NUM_THREADS": "1"})
    assert pinned["OMP_NUM_THREADS"] == "1"
    assert "PYTHONHASHSEED" not in pinned


def test_nothing_numeric_is_invented(relocation: Relocation) -> None:
    told = variables(relocation, {})
    assert not [name for name in told if name.startswith(("OMP", "MKL", "CUBLAS", "PYTHONHASH"))]


def test_folders_are_fresh_and_caches_the_users(relocation: Relocation) -> None:
    user = relocation.new.parent / "home"
    for name in ("huggingface/hub", "torch"):
        (user / ".cache" / name).mkdir(parents=True)
    told = variables(relocation, {"XDG_CONFIG_HOME": "/mine", "HF_HOME": ""})
    ground = relocation.new.parent / "ground"
    fresh = [*(name for name in told if name.startswith("XDG_")), "HOME", "TMPDIR", "HF_HOME"]
    assert len(fresh) == 8
    assert all(told[name].startswith(str(ground)) for name in fresh)
    assert told["HF_HUB_CACHE"] == str(user / ".cache" / "huggingface" / "hub")
    assert told["TORCH_HOME"] == str(user / ".cache" / "torch")
    assert "HF_DATASETS_CACHE" not in told
    assert told["HF_HUB_OFFLINE"] == "1"


def test_the_cache_of_another_variable_is_found(tmp_path: Path) -> None:
    (tmp_path / "hf" / "hub").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    told = user_caches({"HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_CACHE": f"{tmp_path}/data"})
    assert told["HF_HUB_CACHE"] == os.path.realpath(tmp_path / "hf" / "hub")
    assert told["HF_DATASETS_CACHE"] == os.path.realpath(tmp_path / "data")


def test_a_place_has_the_last_word(relocation: Relocation) -> None:
    place = Place(
        locale="C", tz="Asia/Tokyo", hash_seed="9", gpu=1, variables={"OMP_NUM_THREADS": "2"}
    )
    given = {"LC_NUMERIC": "de_DE", "LANGUAGE": "de", "LANG": "de_DE", "OMP_NUM_THREADS": "8"}
    told = variables(relocation, given, place, variables={"PYTHONHASHSEED": "1"})
    assert (told["LANG"], told["LC_ALL"], told["TZ"]) == ("C", "C", "Asia/Tokyo")
    assert not {"LC_NUMERIC", "LANGUAGE"} & told.keys()
    assert (told["PYTHONHASHSEED"], told["OMP_NUM_THREADS"]) == ("9", "2")
    assert told["CUDA_VISIBLE_DEVICES"] == "1"


def test_paths_of_the_work_tree_lead_to_the_copy_where_it_has_them(relocation: Relocation) -> None:
    old, new = relocation.old, relocation.new
    given = {
        "PATH": f"{old}/.venv/bin:{old}/src:/usr/bin",
        "PYTHONPATH": f"{old}/src:lib:{old}/gone",
        "VIRTUAL_ENV": f"{old}/.venv",
    }
    told = variables(relocation, given)
    assert told["PATH"] == f"{old}/.venv/bin:{new}/src:/usr/bin"
    assert told["PYTHONPATH"] == f"{new}/src:lib:{old}/gone"
    assert told["VIRTUAL_ENV"] == f"{old}/.venv"


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("OLD", "NEW"),
        ("OLD/data", "NEW/data"),
        ("--data=OLD/data", "--data=NEW/data"),
        ("a:OLD/x,OLD/y", "a:NEW/x,NEW/y"),
        ("OLDer/data", "OLDer/data"),
        ("/elsewhereOLD/data", "/elsewhereOLD/data"),
        ("train.py", "train.py"),
    ],
)
def test_arguments_lead_to_the_copy(relocation: Relocation, text: str, moved: str) -> None:
    def filled(pattern: str) -> str:
        return pattern.replace("OLD", str(relocation.old)).replace("NEW", str(relocation.new))

    assert relocation.move_text(filled(text)) == filled(moved)


def test_a_python_comes_first(relocation: Relocation) -> None:
    (relocation.old / ".venv" / "pyvenv.cfg").write_text("")
    prefix = relocation.old / ".venv"
    for python in (prefix, prefix / "bin" / "python"):
        told = variables(relocation, {}, python_prefix=python)
        assert told["PATH"] == f"{prefix}/bin:/usr/bin"
        assert told["VIRTUAL_ENV"] == str(prefix)


@pytest.mark.parametrize("kind", ["path", "finder"])
def test_what_is_installed_from_the_work_tree_is_imported_from_the_copy(
    relocation: Relocation, kind: str
) -> None:
    """`pip install -e .` would else run the user's present files."""
    prefix = relocation.old / ".venv"
    site = prefix / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    if kind == "path":
        (site / "_pack.pth").write_text(f"import os\n# comment\n{relocation.old}/src\n/gone\n")
    else:
        mapping = f"MAPPING: dict[str, str] = {{'pack': '{relocation.old}/src/pack'}}\n"
        (site / "__editable___pack_1_0_finder.py").write_text(f"import sys\n{mapping}")
    python = prefix / "bin" / "python"
    python.symlink_to(sys.executable)
    told = variables(relocation, {"PYTHONPATH": "lib"}, python_prefix=prefix)
    assert told["PYTHONPATH"] == f"{relocation.new}/src:lib"


def test_packages_of_the_user_are_found_although_the_home_is_fresh(relocation: Relocation) -> None:
    (relocation.new.parent / "home" / ".local" / "lib").mkdir(parents=True)
    assert variables(relocation, {})["PYTHONUSERBASE"].endswith("/home/.local")
    assert "PYTHONUSERBASE" not in variables(relocation, {"PYTHONNOUSERSITE": "1"})


def test_keys_are_found_once_where_they_really_lie(tmp_path: Path) -> None:
    base = tmp_path.resolve()
    (base / "vault").mkdir()
    (base / "home" / ".config" / "mlbom" / "keys").mkdir(parents=True)
    (base / "home" / ".ssh").symlink_to(base / "vault")
    (base / "kube").write_text("1")
    environment = {
        "HOME": str(base / "home"),
        "KUBECONFIG": f"{base}/kube:{base}/gone",
        "AWS_CONFIG_FILE": "relative",
    }
    inner = base / "home" / ".config" / "mlbom" / "keys"
    found = [path for path in find_keys(environment, [inner]) if path.startswith(str(base))]
    assert found == [str(base / "home" / ".config" / "mlbom"), str(base / "kube"), f"{base}/vault"]


@pytest.mark.parametrize("name", [".venv/bin/python", "python3", "/usr/bin/python3.12", "torchrun"])
def test_the_interpreter_asked_for_takes_the_place_of_the_commands(
    tmp_path: Path, name: str
) -> None:
    wanted = tmp_path / "bin" / "python3.12"
    wanted.parent.mkdir()
    wanted.touch()
    plan = SandboxPlan(
        command=(name, "train.py"), project=tmp_path / "project", python_prefix=wanted
    )
    ground = tmp_path / "ground"
    (ground / "home").parent.mkdir()
    sandbox = build_sandbox(plan, Place(), ground, tmp_path / "trace", {"PATH": "/usr/bin"})
    program = name if name == "torchrun" else str(wanted)
    assert sandbox.command == (program, "train.py")
