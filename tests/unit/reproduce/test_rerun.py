"""A training runs again: where, with what, how it ends, and what is kept of it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.errors import RepositoryError
from mlbom.record.probe import Probe, TraceLevel
from mlbom.record.recording import Recording
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.values import Outcome
from tests.fixtures.gitrepo import COMMIT_TIME
from tests.fixtures.trainings import PYTHON, Workshop, told

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")

TRAINING = """
import torch
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(5):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
torch.save(model.state_dict(), 'w.pt')
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    made.environment["OMP_NUM_THREADS"] = "1"
    yield made
    assert not list(made.scratch.iterdir()), "a sandbox was left behind"


def test_two_runs_find_equal_surroundings_and_nothing_of_each_other(workshop: Workshop) -> None:
    code = (
        "import json, os, sys\nprint(json.dumps([os.getcwd(), sorted(os.listdir()), sys.argv,"
        " os.path.getmtime('train.py'), os.environ['HOME'], os.environ['TMPDIR'],"
        " os.listdir(os.environ['TMPDIR']), os.path.expanduser('~')]))\n"
        "open('out.txt', 'w').write('1')\n"
        "open(os.path.join(os.environ['TMPDIR'], 'x'), 'w').close()\n"
        "open(os.path.expanduser('~/x'), 'w').close()\n"
    )
    plan = workshop.plan(code)
    first = workshop.run(plan, Attempt(label="run-1"))
    second = workshop.run(plan, Attempt(label="run-2"))
    assert told(first) == told(second)
    cwd, names, argv, mtime, home, tmp, listed, user = json.loads(told(first))
    assert Path(cwd) == first.root == second.root
    assert Path(cwd).name == "project"
    assert names == [".git", "README.md", "train.py"]
    assert (argv, mtime, listed) == (["train.py"], COMMIT_TIME, [])
    assert user == home
    assert Path(tmp).parent == Path(home).parents[1]
    assert first.outcome is second.outcome is Outcome.FINISHED
    assert {name: path.read_text() for name, path in first.outputs.items()} == {"out.txt": "1"}
    assert first.outputs["out.txt"] == workshop.keep / "run-1" / "outputs" / "out.txt"
    assert not first.root.exists()


def test_uncommitted_changes_do_not_count_and_inputs_do(workshop: Workshop) -> None:
    plan = workshop.plan("print(open('README.md').read(), open('data/in.csv').read())")
    (workshop.top / "README.md").write_text("changed")
    (workshop.top / "untracked").write_text("1")
    data = workshop.folder / "given.csv"
    data.write_text("1,2")
    rerun = workshop.run(replace(plan, inputs={"data/in.csv": data}))
    assert told(rerun) == "x\n 1,2\n"
    reads = {Path(path).relative_to(rerun.root).as_posix() for path in rerun.recording.reads}
    assert reads == {"README.md", "data/in.csv", "train.py"}


def test_only_the_outputs_asked_for_are_kept(workshop: Workshop) -> None:
    code = (
        "import os\nos.makedirs('out/deep')\n"
        "for name in ('w.pt', 'out/deep/m.pt', 'log.txt'):\n    open(name, 'w').write(name)\n"
    )
    rerun = workshop.rerun(code, outputs=("w.pt", "out", "missing.pt"))
    assert set(rerun.outputs) == {"w.pt", "out/deep/m.pt"}
    assert all(path.read_text() == name for name, path in rerun.outputs.items())


def test_files_are_measured_while_they_are_there(workshop: Workshop) -> None:
    seen: list[str] = []

    def measure(recording: Recording) -> None:
        seen.extend(Path(path).read_text() for path in recording.writes)

    workshop.measure = measure
    rerun = workshop.rerun("open('w.pt', 'w').write('bytes')", outputs=("w.pt",))
    assert seen == ["bytes"]
    assert rerun.outputs["w.pt"].read_text() == "bytes"


@pytest.mark.parametrize("label", ["vary: threads / 2", "../../x", "run-1", "..."])
def test_a_label_is_a_folder_of_its_own(workshop: Workshop, label: str) -> None:
    plan = workshop.plan("print(1)")
    runs = [workshop.run(plan, Attempt(label=label)) for _ in range(2)]
    folders = {rerun.recording.plan.folder for rerun in runs}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {workshop.keep}
    assert [rerun.label for rerun in runs] == [label, label]


class TestOutcome:
    """How it ended, in one sentence that names no path of ours."""

    def test_a_failure_has_its_last_words(self, workshop: Workshop) -> None:
        code = "import os\nprint(os.getcwd())\nraise ValueError('loss is ' + os.getcwd() + '/x')\n"
        rerun = workshop.rerun(code)
        assert rerun.outcome is Outcome.FAILED
        assert rerun.detail.startswith("exit status 1: ")
        assert rerun.detail.endswith("ValueError: loss is x")
        assert str(workshop.folder) not in rerun.detail

    def test_a_secret_in_the_last_words_is_not_told(self, workshop: Workshop) -> None:
        token = "ghp_" + "aB3dE6gH9kL2nP5rS8uV" * 2
        rerun = workshop.rerun(f"import sys; sys.exit('no access with {token}')")
        assert token not in rerun.detail
        assert rerun.detail.startswith("exit status 1: no access with")

    def test_a_program_that_is_not_there(self, workshop: Workshop) -> None:
        rerun = workshop.rerun("", command=("./train.sh", "-x"))
        assert rerun.outcome is Outcome.FAILED
        assert rerun.detail.startswith("cannot start ./train.sh")
        assert rerun.trace.is_empty
        assert not rerun.isolated

    def test_a_script_without_an_interpreter(self, workshop: Workshop) -> None:
        (workshop.top / "train.sh").write_text("echo 1\n")
        (workshop.top / "train.sh").chmod(0o755)
        rerun = workshop.rerun("", command=("./train.sh",))
        assert rerun.outcome is Outcome.FAILED
        assert "exec format error" in rerun.detail.lower()

    def test_a_status_of_the_programs_own_is_no_stop(self, workshop: Workshop) -> None:
        plan = workshop.plan("raise SystemExit(75)")
        rerun = workshop.run(plan, Attempt(label="run-1", probe=Probe(stop_after=2)))
        assert rerun.outcome is Outcome.FAILED
        assert rerun.detail.startswith("exit status 75")

    def test_a_commit_that_is_not_there(self, workshop: Workshop) -> None:
        with pytest.raises(RepositoryError, match="not in this repository"):
            workshop.rerun("", commit="0" * 40)


class TestTraining:
    """With torch: the trace, and a training that is stopped on the way."""

    @pytest.fixture(autouse=True)
    def torch(self) -> None:
        pytest.importorskip("torch")

    def test_steps_are_traced(self, workshop: Workshop) -> None:
        rerun = workshop.rerun(TRAINING, outputs=("w.pt",))
        assert rerun.outcome is Outcome.FINISHED, rerun.detail
        assert rerun.trace.count == 5
        assert rerun.trace.processes[0].steps[0].tensors
        assert set(rerun.outputs) == {"w.pt"}

    def test_it_stops_after_the_steps_asked_for(self, workshop: Workshop) -> None:
        attempt = Attempt(label="short", probe=Probe(stop_after=2), trace=TraceLevel.STEP)
        rerun = workshop.run(workshop.plan(TRAINING), attempt)
        assert rerun.outcome is Outcome.STOPPED, rerun.detail
        assert rerun.trace.count == 2
        assert rerun.outputs == {}


class TestPlace:
    """What one run may have that another has not."""

    CODE = (
        "import json, os\nprint(json.dumps([os.path.basename(os.getcwd()),"
        " os.path.basename(os.environ['HOME']), os.environ.get('TZ'), os.environ.get('LC_ALL'),"
        " os.environ.get('PYTHONHASHSEED'), os.environ.get('X_EXTRA'),"
        " len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1]))\n"
    )

    def test_every_part(self, workshop: Workshop) -> None:
        wrapper = ("taskset", "-c", "0") if shutil.which("taskset") else ("env",)
        place = Place(
            name="another name é",
            home="u",
            tz="Asia/Tokyo",
            locale="C.UTF-8",
            hash_seed="42",
            variables={"X_EXTRA": "1"},
            wrapper=wrapper,
        )
        rerun = workshop.run(workshop.plan(self.CODE), Attempt(label="varied", place=place))
        found = json.loads(told(rerun))
        assert found[:6] == ["another name é", "u", "Asia/Tokyo", "C.UTF-8", "42", "1"]
        if wrapper[0] == "taskset":
            assert found[6] == 1
        assert [process.pid for process in rerun.recording.processes]
        assert not any("without the recorder" in text for text in rerun.recording.unseen)

    def test_a_part_of_a_repository_and_a_folder_of_it(self, workshop: Workshop) -> None:
        inner = workshop.top / "examples" / "one"
        (inner / "sub").mkdir(parents=True)
        (inner / "sub" / "run.py").write_text("print(open('../config').read())")
        (inner / "config").write_text("lr")
        rerun = workshop.rerun("", project=inner, folder="sub", command=(PYTHON, "run.py"))
        assert told(rerun) == "lr\n"
        assert rerun.root.as_posix().endswith("/src/project/examples/one")

    def test_paths_of_the_work_tree_in_the_command(self, workshop: Workshop) -> None:
        code = "import sys\nopen(sys.argv[1], 'w').write(__file__)\n"
        top = workshop.top
        plan = replace(workshop.plan(code), command=(PYTHON, f"{top}/train.py", f"{top}/out.txt"))
        rerun = workshop.run(plan)
        assert rerun.outputs["out.txt"].read_text() == str(rerun.root / "train.py")
        assert not (top / "out.txt").exists()

    def test_an_environment_inside_of_the_project_stays_where_it_is(
        self, workshop: Workshop
    ) -> None:
        """It is not in the commit, so the copy has none."""
        plan = workshop.plan("import sys; print(sys.argv)")
        tool = workshop.top / ".venv" / "bin" / "python"
        tool.parent.mkdir(parents=True)
        tool.symlink_to(sys.executable)
        rerun = workshop.run(replace(plan, command=(".venv/bin/python", "train.py")))
        assert told(rerun) == "['train.py']\n", rerun.detail

    def test_files_without_a_commit(self, workshop: Workshop) -> None:
        plan = workshop.plan("import os; print(sorted(os.listdir()), os.path.getmtime('train.py'))")
        plan = replace(plan, repository=None, commit="")
        copied = workshop.run(replace(plan, source=workshop.top))
        assert told(copied) == "['README.md', 'train.py'] 315532800.0\n"
        given = {"train.py": workshop.top / "train.py"}
        assert told(workshop.run(replace(plan, inputs=given))) == "['train.py'] 315532800.0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="overlayfs is of Linux")
def test_a_cache_is_read_and_stays_as_it_is(workshop: Workshop) -> None:
    """A library may write into it, for a lock or an index: the user's own files never change."""
    user = workshop.folder / "user"
    cache = user / ".cache" / "huggingface" / "datasets"
    cache.mkdir(parents=True)
    (cache / "data").write_text("public")
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_DATASETS_CACHE"):
        workshop.environment.pop(name, None)
    workshop.environment["HOME"] = str(user)
    code = """
import os
place = os.environ['HF_DATASETS_CACHE']
print(open(place + '/data').read())
try:
    open(place + '/lock', 'w').close()
    open(place + '/data', 'w').write('changed')
    print('written')
except OSError:
    print('refused')
"""
    rerun = workshop.rerun(code)
    if not rerun.isolated:
        pytest.skip("this system allows no namespaces")
    can_only_be_read = any("can only be read" in text for text in rerun.recording.unseen)
    assert told(rerun) == f"public\n{'refused' if can_only_be_read else 'written'}\n"
    assert (cache / "data").read_text() == "public"
    assert not (cache / "lock").exists()
