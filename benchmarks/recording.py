"""What `mlbom run` costs a training of more than a minute."""

import shutil
import subprocess
from pathlib import Path

from comparison import Row, compare

EXAMPLE = Path(__file__).parents[1] / "examples" / "char-lm"
# Steps of examples/char-lm that take more than a minute on one core.
STEPS = "2000"


def compare_all(mlbom: Path, python: Path, folder: Path, environment: dict[str, str]) -> list[bool]:
    """Compare a recorded training with the same training; return whether each goal is met."""
    project = folder / "char-lm"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("mlbom-out", ".mlbom"))
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    train = [
        str(python),
        str(project / "train.py"),
        "--steps",
        STEPS,
        "--out",
        str(project / "out"),
    ]
    record = [str(mlbom), "run", "--name", "train", "--no-sign", "--quiet", "--", *train]
    environment = {**environment, "OMP_NUM_THREADS": "1", "CI": "1"}
    row = Row("mlbom run of a training / the training", ["env", "-C", str(project), *record],
              ["env", "-C", str(project), *train], "wall", 1.03, rounds=3)  # fmt: skip

    def forget() -> None:
        shutil.rmtree(project / "out", ignore_errors=True)

    return [compare(row, environment, forget)]
