"""What is nobody's input."""

import os

import pytest

from mlbom.record.own_files import OwnFiles, skipped_folders

HOME = {"HOME": "/home/ada", "HF_HOME": "/scratch/hf"}
OWN = OwnFiles("/home/ada/project", ["/opt/conda", "/home/ada/project/.venv"], HOME)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/libc.so",
        "/proc/self/maps",
        "/.dockerenv",
        "/opt/conda/lib/python3.11/os.py",
        "/home/ada/project/.venv/pyvenv.cfg",
        "/home/ada/project/.git/HEAD",
        "/home/ada/project/.mlbom/runs/1/trace/1.jsonl",
        "/srv/env/lib/python3.11/site-packages/torch/__init__.py",
        "/home/ada/.netrc",
        "/home/ada/.ssh/id_ed25519",
        "/home/ada/.cache/huggingface/token",
    ],
)
def test_own_files(path: str) -> None:
    assert OWN.holds(path)


@pytest.mark.parametrize(
    "path",
    [
        "/home/ada/project/train.py",
        "/home/ada/project/.gitignore",
        "/home/ada/project/usr/lib/x",
        "/home/ada/data/x.csv",
        "/home/ada/.cache/huggingface/hub/models--a--b/snapshots/c/model.safetensors",
        "/home/ada/.keras/datasets/mnist.npz",
        "/opt/condata/x",
        "/mnt/usr/x",
        "/dev/shm/train.bin",  # noqa: S108 - a name, not opened
        "/run/user/1000/x",
        "/usr/local/share/data/x",
    ],
)
def test_files_of_the_step(path: str) -> None:
    assert not OWN.holds(path)


def test_a_project_inside_of_a_system_folder_or_a_prefix_has_files_all_the_same() -> None:
    own = OwnFiles("/usr/src/app", ["/usr", "/usr/lib/python3.11"], {})
    assert not own.holds("/usr/src/app/train.py")
    assert own.holds("/usr/lib/python3.11/os.py")


def test_the_recorder_passes_over_no_folder_with_data() -> None:
    skipped = skipped_folders("/home/ada/project")
    assert "/etc/" in skipped
    assert "/usr/lib/" in skipped or not os.path.isdir("/usr/lib")
    assert not "/run/media/ada/x".startswith(skipped)
    assert not "/usr/local/share/x".startswith(skipped)


def test_what_programs_keep_for_themselves_is_no_output() -> None:
    assert OWN.is_cached("/home/ada/.cache/x")
    assert OWN.is_cached("/scratch/hf/hub/x")
    assert OWN.is_cached("/var/torchinductor_ada/x.py")
    assert not OWN.is_cached("/home/ada/project/.cache/x")
    assert not OWN.is_cached("/home/ada/results/x")
