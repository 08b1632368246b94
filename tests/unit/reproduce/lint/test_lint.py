"""Reading files: notebooks, encodings, hostile sources; and what a script reaches."""

import json
import os
import time
from pathlib import Path

import pytest

from mlbom.reproduce.lint.lint import UNREADABLE, lint_project
from mlbom.reproduce.lint.reach import entry_script, project_files, reachable
from mlbom.reproduce.lint.source import MOST_BYTES
from tests.unit.reproduce.lint.conftest import Lint

EXAMPLE = Path(__file__).parents[4] / "examples" / "char-lm"
UNSEEDED = "import random\nrandom.shuffle(items)\n"


def test_the_example_is_clean() -> None:
    assert lint_project(EXAMPLE, project_files(EXAMPLE)) == ()
    reached = reachable(EXAMPLE, "train.py")
    assert reached == ("dataset.py", "evaluate.py", "model.py", "train.py")
    assert lint_project(EXAMPLE, reached) == ()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"def f(:\n", "SyntaxError"),
        (b"x = 1\x00\n", "Error"),
        (b"(" * 5000, "Error"),
        (b"x = " + b"-" * 50_000 + b"1\n", "Error"),
        (b"x = [" * 3000 + b"]" * 3000, "Error"),
        (b"# -*- coding: no-such -*-\n", "encoding"),
        (b"# -*- coding: ascii -*-\nx = '\xff'\n", "ascii"),
        (b"x = '\xff\xfe'\n", "encoding"),
        (b"x = 0x" + b"f" * MOST_BYTES, "larger"),
        (b"\n" * (MOST_BYTES + 1), "larger"),
    ],
)
def test_a_source_that_cannot_be_read_is_told_and_others_are_still_read(
    tmp_path: Path, data: bytes, word: str
) -> None:
    (tmp_path / "bad.py").write_bytes(data)
    (tmp_path / "train.py").write_text(UNSEEDED)
    found = lint_project(tmp_path, project_files(tmp_path))
    assert [(f.path, f.rule) for f in found] == [
        ("bad.py", UNREADABLE),
        ("train.py", "unseeded-random"),
    ]
    assert word in found[0].message


def test_a_number_with_too_many_digits_is_told(lint: Lint) -> None:
    assert [f.rule for f in lint("x = " + "9" * 5000)] == [UNREADABLE]


@pytest.mark.parametrize(
    "data",
    [
        "# -*- coding: latin-1 -*-\n# \xe9\n".encode("latin-1") + UNSEEDED.encode(),
        b"\xef\xbb\xbf" + UNSEEDED.encode(),
        UNSEEDED.encode("utf-16"),
        UNSEEDED.replace("\n", "\r\n").encode(),
    ],
)
def test_other_encodings_are_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train.py").write_bytes(data)
    assert "unseeded-random" in {f.rule for f in lint_project(tmp_path, ["train.py"])}


def test_what_is_no_regular_file_of_the_project_is_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.py").write_text(UNSEEDED)
    os.mkfifo(root / "pipe.py")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    names = ["pipe.py", "link.py", "../outside.py", "missing.py"]
    found = lint_project(root, names)
    assert sorted(f.path for f in found) == sorted(names)
    assert {f.rule for f in found} == {UNREADABLE}


HOSTILE = {
    "many assignments to one name": "x = set(y)\n" * 20_000 + "for a in x:\n    b.append(a)\n",
    "names that follow each other": "".join(
        f"a{i} = set(a{i - 1}) | a{i - 2}\n" * 20 for i in range(2, 400)
    )
    + "c = list(a399)\n",
    "many listings": "import os\n" + "x = os.listdir(x)\n" * 10_000 + "use(x)\n",
    "two lists that feed each other": "import os\na = os.listdir('d')\n"
    + "for x in a:\n    b.append(x)\nfor x in b:\n    a.append(x)\n" * 500,
    "a long sum": "x = " + "+".join(["os.listdir('d')"] * 900) + "\n",
    "nested loops": "".join(" " * i + f"for x{i} in set(y{i}):\n" for i in range(90))
    + " " * 90
    + "z.append(1)\n",
    "clocks that follow each other": "import time\na0 = time.time()\n"
    + "".join(f"a{i} = a{i - 1} + a{i - 1}\n" * 10 for i in range(1, 300))
    + "import random\nrandom.seed(a299)\n",
    "functions that call each other": "".join(
        f"def f{i}():\n    return list(f{i + 1}())\n" for i in range(3000)
    ),
    "many threads": "def f():\n    out.append(1)\nfor i in x:\n" + "    pool.submit(f)\n" * 20_000,
    "many environments": "import torch, os\n" + "os.environ['PYTHONHASHSEED'] = '0'\n" * 10_000,
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_source_costs_little(lint: Lint, source: str) -> None:
    started = time.process_time()
    lint(source)
    assert time.process_time() - started < 5


def test_code_beyond_a_bound_is_told_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbom.reproduce.lint.lint._MOST_BYTES", 10)
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("x = 'longer than ten'\n")
    found = lint_project(tmp_path, ["a.py", "b.py"])
    assert [(f.path, f.rule) for f in found] == [("b.py", UNREADABLE)]


def test_a_notebook_is_read_by_its_code_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["random.shuffle(x)\n"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import random\n"]},
        {"cell_type": "code", "source": "if True:\n    !pip list\nrandom.shuffle(x)"},
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    (found,) = lint_project(tmp_path, ["n.ipynb"])
    assert (found.rule, found.path, found.line) == ("unseeded-random", "n.ipynb", 3)
    assert found.message.startswith("cell 2: ")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"cells": [1, {"cell_type": "code"}]}'])
def test_a_broken_notebook_is_no_accident(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "n.ipynb").write_bytes(data)
    assert {f.rule for f in lint_project(tmp_path, ["n.ipynb"])} <= {UNREADABLE}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with a package, a folder of scripts, tests, and an environment."""
    files = {
        "scripts/train.py": "import helper\nfrom app.models import net\nimport torch\n",
        "scripts/helper.py": "from app import data as d\n",
        "scripts/other.py": "x = 1\n",
        "src/app/__init__.py": "",
        "src/app/data.py": "from . import words\nfrom .models.net import Net\n",
        "src/app/words.py": "from ...... import far\n",
        "src/app/models/__init__.py": "from ..shared import a\n",
        "src/app/models/net.py": "def f(:\n",
        "src/app/shared.py": "import app.data\n",
        "src/app/unused.py": "",
        "tests/test_a.py": "",
        ".hidden/a.py": "",
        "mine/pyvenv.cfg": "",
        "mine/lib/site.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_script_reaches_what_it_imports(project: Path) -> None:
    assert reachable(project, "scripts/train.py") == (
        "scripts/helper.py",
        "scripts/train.py",
        "src/app/__init__.py",
        "src/app/data.py",
        "src/app/models/__init__.py",
        "src/app/models/net.py",
        "src/app/shared.py",
        "src/app/words.py",
    )


def test_without_a_script_all_files_count_but_for_tests_and_environments(project: Path) -> None:
    found = reachable(project, "")
    assert found == project_files(project)
    assert "src/app/unused.py" in found
    assert not [name for name in found if name.startswith(("tests/", ".hidden/", "mine/"))]


@pytest.mark.parametrize(
    ("command", "folder", "entry"),
    [
        (("python", "scripts/train.py", "--lr", "1"), ".", "scripts/train.py"),
        (("python", "-u", "train.py"), "scripts", "scripts/train.py"),
        (("python", "-m", "app.data"), "src", "src/app/data.py"),
        (("torchrun", "--nproc-per-node", "2", "scripts/train.py"), ".", "scripts/train.py"),
        (("python", "-m", "torch.distributed.run", "scripts/train.py"), ".", "scripts/train.py"),
        (("python", "missing.py"), ".", ""),
        (("make", "train"), ".", ""),
        (("python", "../train.py"), ".", ""),
    ],
)
def test_the_script_of_a_command(
    project: Path, command: tuple[str, ...], folder: str, entry: str
) -> None:
    assert entry_script(command, project, folder) == entry


def test_two_hundred_files_take_less_than_a_second(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"part_{number}").mkdir()
        for name in ("train", "model", "dataset", "evaluate", "prepare"):
            source = (EXAMPLE / f"{name}.py").read_text(encoding="utf-8")
            (tmp_path / f"part_{number}" / f"{name}.py").write_text(source, encoding="utf-8")
    started = time.process_time()
    assert lint_project(tmp_path, project_files(tmp_path)) == ()
    assert time.process_time() - started < 1
