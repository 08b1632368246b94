"""Eleven inputs and three outputs through ten libraries: what each observer sees of them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlbom.errors import EnvironmentFailureError
from mlbom.record.observers.fanotify import FanotifyObserver
from mlbom.record.observers.strace import StraceObserver
from tests.fixtures.observed_run import INPUTS, NEIGHBOUR, OUTPUTS, ObservedRun, make_observed_run

pytestmark = pytest.mark.oracle
REPOSITORY = Path(__file__).parents[2]
LIBRARIES = ("torch", "safetensors", "pandas", "pyarrow", "h5py")
NOBODY = 65534
# Records the step of argv[1] (a folder) with the observer argv[2], and prints what was recorded.
DRIVER = """
import json, sys
from pathlib import Path
from mlbom.record.launcher import record_step
from mlbom.record.recording import StepPlan
folder, observe = Path(sys.argv[1]), sys.argv[2]
run = folder / ".mlbom" / "runs" / "1"
run.mkdir(parents=True)
plan = StepPlan(argv=(sys.executable, "run.py"), cwd=folder, project_root=folder, folder=run,
                observe=observe)
done = record_step(plan)
told = {name: getattr(done, name) for name in "exit_code reads writes observers unseen".split()}
print(json.dumps(told))
"""


@pytest.fixture
def step() -> Iterator[ObservedRun]:
    """Make the step in a folder that every user may enter."""
    for library in LIBRARIES:
        if "MLBOM_ORACLES_REQUIRED" not in os.environ:
            pytest.importorskip(library)
    with tempfile.TemporaryDirectory() as name:
        yield make_observed_run(Path(name).resolve())


def record(step: ObservedRun, observe: str, *, user: int | None = None) -> dict[str, Any]:
    """Record the step in a process of its own, as another user when asked."""
    python = sys.executable if user is None else _python_of(user)
    done = subprocess.run(
        [python, "-c", DRIVER, str(step.folder), observe],
        env=_environment(),
        cwd=step.folder,
        capture_output=True,
        check=False,
        text=True,
        **_as(user),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["exit_code"] == 0, (step.folder / ".mlbom/runs/1/stderr.log").read_text()
    return told


def below(step: ObservedRun, paths: list[str]) -> set[str]:
    """Return the names of the paths that lie in the step's folder."""
    return {
        os.path.relpath(path, step.folder) for path in paths if path.startswith(str(step.folder))
    }


def check(step: ObservedRun, told: dict[str, Any]) -> None:
    """Check that all eleven and all three were seen, and nothing else was taken for one."""
    reads, writes = below(step, told["reads"]), below(step, told["writes"])
    assert reads - {step.script} == INPUTS
    assert NEIGHBOUR not in reads
    assert writes == OUTPUTS


@pytest.mark.parametrize("observer", [FanotifyObserver, StraceObserver])
def test_observer_by_itself(
    step: ObservedRun, observer: type[FanotifyObserver | StraceObserver]
) -> None:
    run = step.folder / ".mlbom"
    run.mkdir()
    time.sleep(0.05)  # The stamps of files tick: what was made just now would seem changed.
    watcher = observer(run)
    try:
        watcher.start()
    except EnvironmentFailureError as error:
        pytest.skip(error.message)
    child = subprocess.Popen(
        watcher.wrap([sys.executable, step.script]), cwd=step.folder, stdout=subprocess.DEVNULL
    )
    watcher.follow(child.pid)
    assert child.wait() == 0
    seen = watcher.stop()
    assert below(step, sorted(seen.reads)) - {step.script} == INPUTS
    assert below(step, sorted(seen.writes)) == OUTPUTS
    assert seen.unseen == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="fanotify is for root")
def test_fanotify_sees_eleven_inputs_and_three_outputs(step: ObservedRun) -> None:
    told = record(step, "fanotify")
    check(step, told)
    assert "fanotify" in told["observers"]


def test_wrappers_in_the_hook_see_eleven_inputs_and_three_outputs(step: ObservedRun) -> None:
    told = record(step, "hook")
    check(step, told)
    assert "fanotify" not in told["observers"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_sees_eleven_inputs_and_three_outputs(step: ObservedRun) -> None:
    told = record(step, "strace")
    check(step, told)
    assert "strace" in told["observers"]


@pytest.mark.skipif(os.geteuid() != 0, reason="this user is no root anyway: see the hook")
def test_user_without_rights_has_the_wrappers(step: ObservedRun) -> None:
    for path in (step.folder, *step.folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    told = record(step, "auto", user=NOBODY)
    check(step, told)
    assert "fanotify" not in told["observers"]


def _as(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Return the variables by which another interpreter of this version finds the libraries."""
    import torch

    site = Path(torch.__file__).parents[1]
    path = os.pathsep.join((str(REPOSITORY), str(site)))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HOME": tempfile.gettempdir()}


def _python_of(user: int) -> str:
    """Return an interpreter of our version that a user may start; our own may lie in a home."""
    version = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        if python is None:
            continue
        try:
            subprocess.run(
                [python, "-c", "import torch, mlbom"],
                env=_environment(),
                cwd=tempfile.gettempdir(),
                capture_output=True,
                check=True,
                **_as(user),
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no interpreter that another user may start")
