"""The recorder inside a Python: what it sees, and that the program does not notice it."""

import ast
import os
import sys
from pathlib import Path

import pytest

from mlbom.record.launcher import SHIM
from tests.unit.record.step import PYTHON, Project

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs fork")


@pytest.mark.parametrize("path", sorted(SHIM.glob("*.py")), ids=lambda path: path.name)
def test_the_shim_is_python_3_6(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 6))


def test_the_shim_loads_the_standard_library_alone() -> None:
    for path in SHIM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or (SHIM / f"{top}.py").exists(), name


def test_the_users_own_sitecustomize_runs_as_if_it_were_the_first(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("site/sitecustomize.py", "MINE = __file__\nopen('seen.txt').read()\n")
    project.write("seen.txt")
    monkeypatch.setenv("PYTHONPATH", "site")
    recording = project.run("import sitecustomize\nprint(sitecustomize.MINE)\n")
    assert recording.stdout is not None
    assert recording.stdout.read_text().strip().endswith(os.path.join("site", "sitecustomize.py"))
    assert project.names(recording.modules) == {"site/sitecustomize.py", "step.py"}
    assert "seen.txt" in project.names(recording.reads)


def test_a_broken_sitecustomize_fails_as_it_does_without_us(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write("site/sitecustomize.py", "raise RuntimeError('mine')\n")
    monkeypatch.setenv("PYTHONPATH", "site")
    recording = project.run("print('went on')")
    assert recording.succeeded
    assert "RuntimeError: mine" in capfd.readouterr().err


def test_a_programs_own_audit_hook_still_decides(project: Project) -> None:
    project.write("secret.txt")
    recording = project.run(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event == 'open' and 'secret' in str(args[0]): raise RuntimeError('no')\n"
        "sys.addaudithook(hook)\n"
        "try: open('secret.txt')\nexcept RuntimeError as error: print(error)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "no\n"
    assert not [text for text in recording.unseen if "failed" in text]


@posix_only
def test_a_recorder_that_cannot_write_breaks_nothing(project: Project) -> None:
    recording = project.run(
        "import os, shutil\nshutil.rmtree(os.environ['MLBOM_RECORD_DIR'])\nos.closerange(3, 128)\n"
        "for i in range(5): open('step.py').read(); open(f'out{i}', 'w').write('1')\n"
        "os.makedirs(os.environ['MLBOM_RECORD_DIR'])\nprint('done')\n"
    )
    assert recording.succeeded
    assert len(recording.writes) == 5
    assert [text for text in recording.unseen if "damaged" in text or "failed" in text]


@posix_only
def test_a_program_that_closes_every_descriptor_gets_no_line_of_ours(project: Project) -> None:
    project.write("in.txt")
    recording = project.run(
        "import os\nos.closerange(3, 128)\nkept = open('out.txt', 'w')\nfiles = [open(os.devnull)"
        " for _ in range(8)]\nopen('in.txt').read()\nkept.write('mine')\n"
    )
    assert (project.root / "out.txt").read_text() == "mine"
    assert "in.txt" in project.names(recording.reads)


def test_strange_opens_pass_and_are_told_where_they_are_files(project: Project) -> None:
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        project.write(name)
    recording = project.run(
        "import io, os, pathlib\n"
        "open(b'a.txt').close(); pathlib.Path('b.txt').read_text(); os.close(os.open(os.path.abspath('c.txt'), 0))\n"
        "io.FileIO('d.txt', 'r+').close()\n"
        "open(os.dup(0), closefd=True).close()\n"
        "for bad in ('no', '', 'a\\0b', 7777, 1.5, None):\n"
        "    try: open(bad)\n"
        "    except (OSError, ValueError, TypeError) as error: print(type(error).__name__)\n"
        "os.listdir('.')\n"
    )
    assert recording.stdout is not None
    kinds = recording.stdout.read_text().split()
    assert kinds == [
        "FileNotFoundError",
        "FileNotFoundError",
        "ValueError",
        "OSError",
        "TypeError",
        "TypeError",
    ]
    assert project.names(recording.reads) == {"a.txt", "b.txt", "c.txt", "d.txt", "step.py"}
    assert not [text for text in recording.unseen if "failed" in text]


def test_a_relative_path_is_resolved_when_it_is_opened(project: Project) -> None:
    project.write("deep/in.txt")
    recording = project.run("import os\nos.chdir('deep')\nopen('in.txt').read()\nos.chdir('/')\n")
    assert project.names(recording.reads) == {"deep/in.txt", "step.py"}


@posix_only
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes_are_seen(project: Project, method: str) -> None:
    for name in ("a.txt", "b.txt", "deep/c.txt"):
        project.write(name)
    recording = project.run(
        "import multiprocessing, os, sys\n"
        "def work(name):\n    os.chdir('deep'); return open('../' + name).read()\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context(sys.argv[1])\n"
        "    for name in ('a.txt', 'b.txt', 'deep/c.txt'):\n"
        "        worker = context.Process(target=work, args=(name,))\n"
        "        worker.start(); worker.join(); assert worker.exitcode == 0\n",
        method,
    )
    assert recording.succeeded
    assert project.names(recording.reads) == {"a.txt", "b.txt", "deep/c.txt", "step.py"}
    assert len(recording.processes) >= 4


@posix_only
def test_a_bare_fork_is_seen(project: Project) -> None:
    project.write("in.txt")
    recording = project.run(
        "import os\nif os.fork() == 0:\n    open('in.txt').read(); os._exit(0)\nos.wait()\n"
    )
    assert "in.txt" in project.names(recording.reads)
    parent, child = recording.processes
    assert child.parent == parent.pid
    assert (parent.finished, child.finished) == (True, False)


def test_a_python_started_by_a_python_is_seen(project: Project) -> None:
    project.write("in.txt")
    project.write("inner.py", "open('in.txt').read()")
    (project.root / "elsewhere").mkdir()
    recording = project.run(
        "import os, subprocess, sys\nos.chdir('elsewhere')\n"
        "subprocess.run([sys.executable, '../inner.py'], cwd='..', check=False)\n"
        "subprocess.run([sys.executable, '-c', 'open(\"../in.txt\").read()'], check=True)\n"
    )
    assert "in.txt" in project.names(recording.reads)
    assert len(recording.processes) == 3


def test_modules_run_by_m_and_by_runpy_are_modules(project: Project) -> None:
    project.write("pack/__init__.py", "")
    project.write("pack/__main__.py", "import runpy; runpy.run_path('other.py')\n")
    project.write("other.py", "open('plain.py').read()\n")
    project.write("plain.py", "")
    recording = project.record(PYTHON, "-m", "pack")
    expected = {"pack/__init__.py", "pack/__main__.py", "other.py"}
    assert project.names(recording.modules) == expected
    assert project.names(recording.reads) == {*expected, "plain.py"}


def test_ranks_are_told_apart(project: Project) -> None:
    project.write("rank.py", "import os, random; random.seed(int(os.environ['RANK']))")
    recording = project.run(
        "import os, random, subprocess, sys\nrandom.seed(99)\nfor rank in '01':\n"
        "    subprocess.run([sys.executable, 'rank.py'], env={**os.environ, 'RANK': rank})\n"
    )
    assert [process.rank for process in recording.processes] == [None, 0, 1]
    assert recording.seeds == {"random": "0 | 1"}


def test_seeds_are_told_as_they_were_last_set(project: Project) -> None:
    recording = project.run(
        "import random\nrandom.seed(1)\nfor i in range(500): random.seed(i)\nrandom.seed(a='text')\n"
    )
    assert recording.seeds == {"random": "text"}
    assert project.run("import random; random.seed()").seeds == {"random": "entropy"}
    assert project.run("import random; random.random()").seeds == {}


def test_variables_that_change_numbers_are_flags(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("UNRELATED", "1")
    flags = project.run("pass").flags
    assert flags["PYTHONHASHSEED"] == "7"
    assert "UNRELATED" not in flags


def test_sqlite_databases_are_inputs(project: Project) -> None:
    import sqlite3

    for name in ("a.db", "b c.db"):
        with sqlite3.connect(project.root / name) as connection:
            connection.execute("create table t (x)")
        connection.close()
    recording = project.run(
        "import sqlite3\nsqlite3.connect('a.db').execute('select * from t').fetchall()\n"
        "sqlite3.connect('file:b%20c.db?mode=ro', uri=True).execute('select * from t')\n"
        "sqlite3.connect(':memory:'); sqlite3.connect('new.db').execute('create table t (x)')\n"
    )
    assert project.names(recording.reads) == {"a.db", "b c.db", "step.py"}
    assert project.names(recording.writes) == {"new.db"}


def test_a_followed_module_keeps_its_loader_its_source_and_its_names(project: Project) -> None:
    project.write("safetensors.py", "def safe_open(filename, framework):\n    return filename\n")
    recording = project.run(
        "import inspect, safetensors, sys\n"
        "print(type(safetensors.__loader__).__name__, safetensors.__spec__.loader is"
        " safetensors.__loader__, 'exec_module' in vars(safetensors.__loader__),"
        " safetensors.safe_open.__name__, inspect.signature(safetensors.safe_open),"
        " safetensors.safe_open('step.py', framework='x'))\n"
        "try: safetensors.safe_open()\nexcept TypeError as error: print(error)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == (
        "SourceFileLoader True False safe_open (filename, framework) step.py\n"
        "safe_open() missing 2 required positional arguments: 'filename' and 'framework'\n"
    )


def test_a_module_that_fails_to_import_fails_as_it_does_without_us(project: Project) -> None:
    project.write("h5py/__init__.py", "import h5py._hl.files")
    project.write("h5py/_hl/__init__.py", "")
    project.write("h5py/_hl/files.py", "raise ImportError('broken build')")
    recording = project.run(
        "for _ in range(2):\n    try: import h5py\n    except ImportError as error: print(error)\n"
        "try: import safetensors.nothing\nexcept ImportError as error: print(error.name)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text().splitlines()[:2] == ["broken build", "broken build"]


def test_a_finder_that_raises_is_not_swallowed(project: Project) -> None:
    recording = project.run(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'polars': raise RuntimeError('refused')\n"
        "sys.meta_path.insert(1, Finder())\n"
        "try: import polars\nexcept RuntimeError as error: print(error)\n"
    )
    assert recording.stdout is not None
    assert recording.stdout.read_text() == "refused\n"
