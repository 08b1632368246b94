"""`mlbom reproduce` from end to end: real trainings in real sandboxes, and what is said of them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mlbom.cli.main import run as mlbom
from tests.fixtures.gitrepo import commit_all, make_repository, write_files

PYTHON = sys.executable
# A training of ten steps; SEED, THREADS and LATE stand for what a test changes.
TRAIN = """
import torch
SEED
m = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
optimizer = torch.optim.AdamW(m.parameters(), lr=RATE)
for step in range(10):
    x = torch.randn(4, 8)
    loss = torch.nn.functional.mse_loss(m(x), x.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(m.state_dict(), "model.pt")
print(f"loss {loss.item():.6f}")
LATE
"""
# A step that trains nothing, and writes a file of weights by hand.
BY_HAND = """
import json, struct, sys
body = struct.pack("<2f", 1.0, VALUE)
header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
open("w.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + body)
"""


class Project:
    """A repository with one script, in which `mlbom` runs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = make_repository(folder, {".gitignore": b"*.pt\n*.safetensors\n.mlbom/\n"})
        monkeypatch.chdir(self.root)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        self.monkeypatch = monkeypatch

    def train(self, seed: str = "torch.manual_seed(3)", late: str = "", rate: str = "1e-3") -> None:
        """Commit a training."""
        code = TRAIN.replace("SEED", seed).replace("LATE", late).replace("RATE", rate)
        self.commit(code)

    def commit(self, code: str) -> None:
        """Commit a script."""
        write_files(self.root, {"train.py": code.encode()})
        commit_all(self.root)

    def reproduce(self, *arguments: str, command: bool = True) -> int:
        """Run `mlbom reproduce` of the script, or of what the arguments say."""
        words = [*arguments, *(["--", PYTHON, "train.py"] if command else [])]
        return mlbom(["reproduce", "--yes", "--no-sign", *words])

    def details(self) -> dict[str, Any]:
        """Return the newest details document."""
        folder = self.root / ".mlbom" / "private" / "reproductions"
        newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        document: dict[str, Any] = json.loads((newest / "reproduction.json").read_text())
        return document


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path / "project", monkeypatch)


def test_two_runs_of_a_seeded_training_agree_in_every_step(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.train()
    report = project.root.parent / "report.html"
    assert project.reproduce("--control", "--report", str(report)) == 0
    told = capsys.readouterr().out
    assert told.startswith("reproduced: exact-trace (required exact-weights), 2 runs, 10 steps")
    details = project.details()
    assert details["control"]["detected"] is True
    assert details["repeats"]["bound"] == pytest.approx(0.7764, abs=1e-3)
    assert [run["steps"] for run in details["runs"]] == [10, 10]
    assert len({run["traceRoot"] for run in details["runs"]}) == 1
    assert b"exact-trace" in report.read_bytes()


def test_a_missing_seed_is_named_with_its_line(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.train(seed="")
    assert project.reproduce() == 1
    told = capsys.readouterr().out
    assert told.startswith("NOT REPRODUCIBLE at step 0 of 10")
    culprit = project.details()["culprit"]
    assert (culprit["kind"], culprit["path"], culprit["sure"]) == ("seed", "train.py", True)


def test_an_injected_seed_makes_an_unseeded_training_repeat_itself(project: Project) -> None:
    project.train(seed="")
    assert project.reproduce("--inject-seed", "11") == 0


def test_equal_weights_with_another_trace_are_no_exact_trace(project: Project) -> None:
    # With this rate no step moves a weight, and the data differ all the same.
    seed = "torch.manual_seed(3)\nimport time"
    project.commit(
        TRAIN.replace("SEED", seed)
        .replace("LATE", "")
        .replace("RATE", "0.0, weight_decay=0.0")
        .replace("torch.randn(4, 8)", "torch.full((4, 8), float(time.time_ns() % 997))")
    )
    assert project.reproduce("--require", "exact-trace") == 1
    verdict = project.details()["verdict"]
    assert verdict["level"] == "exact-weights"
    assert "weights alone would not have shown it" in verdict["reasons"][0]


def test_a_recorded_training_is_met_by_its_root_alone(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.train()
    words = ["run", "--name", "train", "--trace", "step", "--no-sign", "--", PYTHON, "train.py"]
    assert mlbom(words) == 0
    (runs,) = (project.root / ".mlbom" / "runs").iterdir()
    for trace in (runs / "trace").iterdir():
        trace.unlink()
    assert project.reproduce("train", "--require", "exact-trace", command=False) == 0
    assert "exact-trace" in capsys.readouterr().out
    details = project.details()
    assert details["original"]["traceRoot"] == details["runs"][0]["traceRoot"]


def test_other_settings_than_the_recorded_ones_decide_nothing(project: Project) -> None:
    project.train()
    words = ["run", "--name", "train", "--no-sign", "--", PYTHON, "train.py"]
    project.monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert mlbom(words) == 0
    project.monkeypatch.delenv("MKL_CBWR")
    assert project.reproduce("train", command=False) == 4
    (mismatch,) = project.details()["environment"]["mismatches"]
    assert mismatch["name"] == "MKL_CBWR"
    assert project.reproduce("train", "--mode", "pin-env", command=False) == 0


def test_a_dirty_tree_decides_nothing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.train()
    (project.root / "train.py").write_text("print('changed')")
    assert project.reproduce("--steps", "2") == 4
    assert "differs from the commit that is cloned: train.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no data')", "failed"),
        ("import os; os.kill(os.getpid(), 9)", "killed"),
        ("import time; time.sleep(60)", "timeout"),
        (BY_HAND.replace("VALUE", "2.0"), "nothing of a training was seen"),
        ("print('trains nothing')", "nothing of a training was seen"),
    ],
)
def test_what_never_comes_to_its_end_decides_nothing(
    project: Project, capsys: pytest.CaptureFixture[str], code: str, reason: str
) -> None:
    project.commit(code)
    assert project.reproduce("--timeout", "5") == 4
    told = capsys.readouterr().out
    assert told.startswith("inconclusive")
    assert reason in told
    assert project.details()["verdict"]["level"] == "inconclusive"


def test_the_first_steps_alone_are_attested_by_nobody(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.train()
    assert mlbom(["reproduce", "--yes", "--steps", "3", "--", PYTHON, "train.py"]) == 0
    captured = capsys.readouterr()
    assert "not signed: only the first 3 steps were compared" in captured.err
    assert [run["steps"] for run in project.details()["runs"]] == [3, 3]
    assert not (project.root / ".mlbom" / "attestations").exists()


def test_the_verdict_is_signed_and_travels_with_the_release(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.train()
    record = ["run", "--name", "train", "--trace", "step", "--", PYTHON, "train.py"]
    assert mlbom(record) == 0
    assert mlbom(["reproduce", "--yes", "train"]) == 0
    bundles = sorted(path.name for path in (project.root / ".mlbom" / "attestations").iterdir())
    labels = [name.split("-", 1)[1].rsplit("-", 1)[0] for name in bundles]
    assert labels == ["rebuild", "reproduction", "reproduction-result"]
    assert mlbom(["generate", ".", "-q", "--weights", "model.pt"]) == 0
    assert mlbom(["verify", "mlbom-out"]) == 0
    assert "exact-trace" in capsys.readouterr().out


def test_nobody_runs_code_without_consent(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit("open('ran', 'w')")
    words = ["reproduce", "--no-sign", "--", PYTHON, "train.py"]
    assert mlbom(words) == 2
    assert "error[E0112]" in capsys.readouterr().err
    (project.root / "mlbom.toml").write_text("yes = true\n")
    assert mlbom(words) == 2
    assert "no project consents to its own code" in capsys.readouterr().err
    assert not (project.root / ".mlbom").exists()


def test_a_run_that_is_not_there_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit("")
    assert project.reproduce("train", command=False) == 2
    assert "no recorded run train" in capsys.readouterr().err


def test_a_full_disk_decides_nothing(
    project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        project.commit("open('big', 'wb').write(bytes(8 << 20))")
        project.monkeypatch.setenv("TMPDIR", str(small))
        project.monkeypatch.setattr("tempfile.tempdir", str(small))
        assert project.reproduce() == 4
        assert "no space left" in capsys.readouterr().out
    finally:
        subprocess.run(["umount", str(small)], check=True)


# A training that keeps its whole state after five steps, and can go on from it.
RESUMING = """
import sys
import torch
torch.manual_seed(3)
m = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1))
optimizer = torch.optim.AdamW(m.parameters())
first = 0
if len(sys.argv) > 1:
    state = torch.load(sys.argv[1], weights_only=True)
    m.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
    if "whole" in sys.argv:
        torch.set_rng_state(state["rng"])
for step in range(first, 10):
    if step == 5 and not first:
        state = {"model": m.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        torch.save({**state, "rng": torch.get_rng_state()}, "checkpoint.pt")
    x = torch.randn(4, 8)
    loss = torch.nn.functional.mse_loss(m(x), x.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(m.state_dict(), "model.pt")
"""


def test_a_segment_is_held_against_the_steps_that_it_repeats(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit(RESUMING)
    words = ["run", "--name", "train", "--trace", "step", "--no-sign", "--", PYTHON, "train.py"]
    assert mlbom(words) == 0
    replay = ["train", "--from-checkpoint", "checkpoint.pt", "--", PYTHON, "train.py"]
    assert project.reproduce(*replay, "{checkpoint}", "whole", command=False) == 0
    assert "segment: 5 steps from step 5 on" in capsys.readouterr().out
    assert project.reproduce(*replay, "{checkpoint}", command=False) == 1
    culprit = project.details()["culprit"]
    assert culprit["kind"] == "RNG stream"
    assert culprit["what"] == "the checkpoint does not bring back rng:torch"
