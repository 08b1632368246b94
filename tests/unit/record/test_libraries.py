"""The recorder and the real libraries: readers that open files by themselves, torch, a hub."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.record.hub_server import hub_server
from tests.unit.record.step import Project

torch = pytest.importorskip("torch")

INPUTS = """
import os, sqlite3
import h5py, numpy, pandas, pyarrow, pyarrow.parquet, torch
from safetensors.torch import save_file
os.makedirs("data/parts"); os.chdir("data")
for i in range(2): open(f"worker{i}.txt", "w").write("1")
torch.save({"a": torch.ones(3)}, "t.pt"); torch.save({"a": torch.ones(3)}, "m.pt")
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), "j.pt")
save_file({"a": torch.ones(3)}, "s.safetensors")
for name in ("a.parquet", "b.parquet", "parts/1.parquet", "parts/2.parquet"):
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), name)
open("map.bin", "wb").write(b"abcd"); open("c.csv", "w").write("a\\n1\\n")
h5py.File("h.h5", "w")["x"] = [1, 2]
connection = sqlite3.connect("q.db"); connection.execute("create table t (a)")
connection.commit(); numpy.ones(9, "u1").tofile("mem.bin")
"""
STEP = """
import os, sqlite3
import h5py, numpy, pandas, pyarrow, pyarrow.dataset, pyarrow.parquet, torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset
class Texts(Dataset):
    def __len__(self): return 2
    def __getitem__(self, i): return float(open(f"worker{i}.txt").read())
os.chdir("data")
if __name__ == "__main__":
    for _ in DataLoader(Texts(), num_workers=2, batch_size=1): pass
    torch.load("t.pt"); torch.load("m.pt", mmap=True); torch.jit.load("j.pt")
    torch.from_file("map.bin", size=1)
    weights = load_file("s.safetensors")
    pyarrow.parquet.read_table("a.parquet"); pandas.read_parquet("b.parquet")
    pyarrow.dataset.dataset("parts").to_table()
    h5py.File("h.h5")["x"][:]
    sqlite3.connect("q.db").execute("select * from t").fetchall()
    numpy.memmap("mem.bin", dtype="u1", mode="r")[:3]; pandas.read_csv("c.csv")
    save_file(weights, "../out.safetensors"); torch.save(weights, "../out.pt")
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), "../out.parquet")
    load_file("../out.safetensors"); torch.load("../out.pt")
    pyarrow.parquet.read_table("../out.parquet")
"""


@pytest.mark.parametrize("observe", ["hook", "auto"])
def test_every_reader_is_seen_and_what_was_written_is_no_input(
    project: Project, observe: str
) -> None:
    for name in ("safetensors", "pyarrow", "pandas", "h5py"):
        pytest.importorskip(name)
    assert project.run(INPUTS).succeeded
    made = {p.relative_to(project.root).as_posix() for p in project.root.glob("data/**/*.*")}
    recording = project.run(STEP, observe=observe)
    assert recording.succeeded
    assert project.names(recording.reads) == {*made, "step.py"}
    assert len(made) == 15
    assert project.names(recording.writes) == {"out.safetensors", "out.pt", "out.parquet"}
    assert recording.overwritten == ()
    assert recording.seeds == {}
    assert not [text for text in recording.unseen if "failed" in text]


OPTIONAL = {
    "cv2": (
        "import cv2, numpy\ncv2.imwrite('f.png', numpy.zeros((4, 4, 3), 'u1'))",
        "cv2.imread('f.png')",
    ),
    "polars": (
        "import polars\npolars.DataFrame({'a': [1]}).write_parquet('f')",
        "polars.read_parquet('f')",
    ),
    "soundfile": (
        "import numpy, soundfile\nsoundfile.write('f.wav', numpy.zeros(9), 8000)",
        "soundfile.read('f.wav')",
    ),
    "tables": (
        "import tables\ntables.open_file('f', 'w').close()",
        "tables.open_file('f').close()",
    ),
    "tokenizers": (
        "import tokenizers\ntokenizers.Tokenizer(tokenizers.models.BPE()).save('f')",
        "tokenizers.Tokenizer.from_file('f')",
    ),
    "pyarrow.feather": (
        "import pyarrow, pyarrow.feather\npyarrow.feather.write_feather(pyarrow.table({'a': [1]}), 'f')",
        "pyarrow.feather.read_table('f')",
    ),
    "pyarrow.csv": (
        "import pyarrow.csv\nopen('f', 'w').write('a\\n1\\n')",
        "pyarrow.csv.read_csv('f')",
    ),
    "pyarrow.json": (
        "import pyarrow.json\nopen('f', 'w').write('{\"a\": 1}')",
        "pyarrow.json.read_json('f')",
    ),
    "pyarrow.orc": (
        "import pyarrow, pyarrow.orc\npyarrow.orc.write_table(pyarrow.table({'a': [1]}), 'f')",
        "pyarrow.orc.ORCFile('f').read()",
    ),
    "pyarrow.ipc": (
        """import pyarrow, pyarrow.ipc
table = pyarrow.table({'a': [1]})
with pyarrow.OSFile('f', 'wb') as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
    writer.write_table(table)
""",
        "assert pyarrow.ipc.open_file('f').read_all().num_rows == 1",
    ),
    "pyarrow": (
        "import pyarrow\nopen('f', 'w').write('text')",
        "assert isinstance(pyarrow.OSFile('f'), pyarrow.OSFile); pyarrow.memory_map('f').read()",
    ),
}


@pytest.mark.parametrize("module", OPTIONAL)
def test_a_native_reader_is_followed(project: Project, module: str) -> None:
    pytest.importorskip(module)
    make, read = OPTIONAL[module]
    assert project.run(make).succeeded
    recording = project.run(make.partition("\n")[0] + "\n" + read + "\n")
    assert recording.succeeded
    assert {name.partition(".")[0] for name in project.names(recording.reads)} == {"f", "step"}
    assert not [text for text in recording.unseen if "failed" in text]


def test_new_workers_of_every_epoch_do_not_write_the_same_again(project: Project) -> None:
    for index in range(20):
        project.write(f"data/{index}.txt", "1")
    recording = project.run(
        "import torch\nfrom torch.utils.data import DataLoader, Dataset\n"
        "class Texts(Dataset):\n    def __len__(self): return 20\n"
        "    def __getitem__(self, i): return float(open(f'data/{i}.txt').read())\n"
        "loader = DataLoader(Texts(), num_workers=2)\n"
        "for epoch in range(3): assert len(list(loader)) == 20\n"
    )
    assert recording.succeeded
    assert len(project.names(recording.reads)) == 21
    trace = [p.read_text() for p in (recording.plan.folder / "trace").iterdir()]
    assert len(trace) == 7
    # Two workers may open the same file at the same moment; a loader never lets them.
    assert sum(text.count("data/") for text in trace) == 20


def test_torch_tells_its_seeds_and_its_flags_as_they_changed(project: Project) -> None:
    recording = project.run(
        "import numpy, os, random, torch\n"
        "random.seed(1); numpy.random.seed(2); torch.manual_seed(3); numpy.random.default_rng(4)\n"
        "torch.backends.cudnn.benchmark = True\n"
        "model = torch.nn.Linear(2, 2); optimizer = torch.optim.SGD(model.parameters(), 0.1)\n"
        "model(torch.ones(1, 2)).sum().backward(); optimizer.step()\n"
        "torch.use_deterministic_algorithms(True, warn_only=True)\n"
        "os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'\n"
        "torch.backends.cudnn.benchmark = False\n"
    )
    assert recording.succeeded
    assert recording.seeds == {"numpy": "2", "numpy.default_rng": "4", "random": "1", "torch": "3"}
    assert recording.flags["torch.cudnn.benchmark"] == "False -> True -> False"
    assert recording.flags["torch.deterministic_algorithms"] == "False -> warn_only"
    assert recording.flags["CUBLAS_WORKSPACE_CONFIG"] == "unset -> :4096:8"
    assert recording.flags["torch.default_dtype"] == "torch.float32"
    assert int(recording.flags["torch.num_threads"]) >= 1
    assert recording.loaded["torch"] == torch.__version__
    assert not [text for text in recording.unseen if "failed" in text]


def test_flags_survive_a_kill_after_the_first_step(project: Project) -> None:
    recording = project.run(
        "import os, torch\ntorch.backends.cudnn.deterministic = True\n"
        "weight = torch.nn.Parameter(torch.ones(1)); optimizer = torch.optim.AdamW([weight])\n"
        "weight.sum().backward(); optimizer.step(); os.kill(os.getpid(), 9)\n"
    )
    assert recording.signal == 9
    assert recording.flags["torch.cudnn.deterministic"] == "False -> True"
    assert "torch.num_threads" in recording.flags


def test_a_recorded_training_gives_the_same_bits(project: Project) -> None:
    code = (
        "import torch\ntorch.manual_seed(0)\nm = torch.nn.Linear(8, 8)\n"
        "o = torch.optim.Adam(m.parameters())\n"
        "for _ in range(20):\n    o.zero_grad(); m(torch.randn(4, 8)).square().sum().backward()\n"
        "    o.step()\n"
        "print([v.item().hex() for v in m.weight.flatten()[:4]], torch.get_num_threads())\n"
    )
    recorded = project.run(code).stdout
    assert recorded is not None
    plain = subprocess.run(
        [sys.executable, "step.py"], cwd=project.root, capture_output=True, text=True, check=True
    )
    assert recorded.read_text() == plain.stdout


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let the libraries take a server on the loopback address for the hub."""
    files = {"config.json": b'{"hidden_size": 4}', "data.csv": b"a,b\n1,2\n"}
    with hub_server(files, COMMIT) as address:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield


@pytest.mark.usefixtures("hub")
def test_a_download_from_a_hub_names_its_commit(project: Project) -> None:
    pytest.importorskip("huggingface_hub")
    recording = project.run(
        "from huggingface_hub import hf_hub_download, snapshot_download\n"
        "path = hf_hub_download('org/model', 'config.json', revision='v1'); open(path).read()\n"
        "hf_hub_download('org/model', 'config.json', local_dir='local')\n"
        "snapshot_download('org/model', revision='v1')\n"
        "hf_hub_download('org/data', 'config.json', repo_type='dataset')\n"
    )
    assert recording.succeeded
    data, model = recording.remote
    assert (model.kind, model.name, model.revision) == ("model", "org/model", COMMIT)
    assert model.requested == "v1"
    assert {Path(path).name for path in model.files} == {"config.json", "data.csv"}
    told = (data.kind, data.name, data.requested, data.revision)
    assert told == ("dataset", "org/data", "", COMMIT)
    assert project.names(recording.reads) == {"step.py"}
    assert project.names(recording.writes) >= {"local/config.json"}


@pytest.mark.usefixtures("hub")
def test_what_was_in_the_cache_before_is_an_input_and_names_its_commit(project: Project) -> None:
    pytest.importorskip("huggingface_hub")
    code = "from huggingface_hub import hf_hub_download as get\nopen(get('o/m', 'config.json')).read()\n"
    assert project.run(code).succeeded
    again = project.run(code)
    assert [one.revision for one in again.remote] == [COMMIT]
    blobs = [path for path in again.reads if f"{os.sep}blobs{os.sep}" in path]
    assert blobs == [os.path.realpath(again.remote[0].files[0])]


@pytest.mark.usefixtures("hub")
def test_load_dataset_names_the_commit_that_it_was_resolved_to(project: Project) -> None:
    pytest.importorskip("datasets")
    project.write("local.csv", "a\n1\n")
    recording = project.run(
        "from datasets import load_dataset\n"
        "load_dataset('org/data', revision='main', split='train')\n"
        "load_dataset('csv', data_files='local.csv')\n"
    )
    assert recording.succeeded
    (dataset,) = [one for one in recording.remote if one.split]
    assert (dataset.kind, dataset.name, dataset.split) == ("dataset", "org/data", "train")
    assert (dataset.requested, dataset.revision) == ("main", COMMIT)
    assert "local.csv" in project.names(
        [path for path in recording.reads if path.startswith(str(project.root))]
    )
