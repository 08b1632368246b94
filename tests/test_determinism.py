"""The determinism law: another path, user, time zone, locale and hash seed give the same bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlbom.sign.newkey import KeyPaths, make_key
from tests.fixtures.projects import model_directory, training_project
from tests.fixtures.records import recorded_project

WORLDS: tuple[dict[str, str], ...] = (
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "LANG": "de_DE"},
)


@pytest.mark.parametrize("make", [model_directory, training_project, recorded_project])
def test_another_world_gives_the_same_bytes(tmp_path: Path, make: object) -> None:
    key = KeyPaths.of(tmp_path / "keys" / "k.pem")
    make_key(key)
    made = []
    for number, world in enumerate(WORLDS):
        # The model directory is named by its README; the folders above it may differ.
        project = tmp_path / f"world-{number}" / ("deeper/" * number) / f"p{number}"
        make(project)  # type: ignore[operator]
        os.utime(
            project / "LICENSE" if (project / "LICENSE").exists() else project, (number, number)
        )
        home = tmp_path / f"home-{number}"
        environment = {**os.environ, **world, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-m", "mlbom", "generate", str(project), "--key", str(key.private)],
            env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        out = project / "mlbom-out"
        made.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
        shutil.rmtree(project)
    # The bundles are equal too: the default key signs deterministically (RFC 6979).
    assert made[0] == made[1]
