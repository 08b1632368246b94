"""The committed record of examples/char-lm, trained again by another user in another place."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.fixtures.gitrepo import run_git

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
_NOBODY = "65534"


def _interpreter(folder: Path) -> tuple[str, list[str]]:
    """Return a Python that another user may start, and options for one of another version."""
    real = Path(sys.executable).resolve()
    if os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in real.parents):
        return sys.executable, []
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    system = shutil.which(name, path="/usr/local/bin:/usr/bin")
    if system is None:
        pytest.skip("this interpreter is closed to other users, and there is no second one")
    subprocess.run([system, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = sysconfig.get_path("purelib")
    target = folder / "lib" / name / "site-packages" / "others.pth"
    target.write_text(f"{packages}\n")
    # The same packages, and another patch release of Python.
    return str(folder / "bin" / "python"), ["--allow-env-mismatch"]


def test_the_committed_record_is_reproduced_step_by_step_by_another_user(tmp_path: Path) -> None:
    place = tmp_path / "somewhere" / "else"
    run_git(tmp_path, "clone", "--quiet", "--no-local", str(REPOSITORY), str(place))
    project = place / "examples" / "char-lm"
    python, allowed = _interpreter(tmp_path / "venv")
    command = [
        python, "-m", "mlbom", "reproduce", "train", "--mode", "pin-env", *allowed,
        "--require", "exact-trace", "--yes", "--no-sign", "--python", python,
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(REPOSITORY)
    (tmp_path / "home").mkdir()
    if os.geteuid() == 0:
        # Who owns the copy is another user than the one who recorded the training.
        for folder, _, names in os.walk(tmp_path):
            for name in (folder, *(os.path.join(folder, n) for n in names)):
                os.chown(name, int(_NOBODY), int(_NOBODY), follow_symlinks=False)
        for parent in tmp_path.parents:
            if parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        setpriv = shutil.which("setpriv")
        assert setpriv, "setpriv is needed to become another user"
        groups = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        command = [setpriv, *groups, *command]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()[0]
    assert told.startswith(
        "reproduced: exact-trace (required exact-trace), 2 runs against the record"
    )
