"""Every weight format, opened in place: names, parts, bytes and packaging, as its library wrote it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbom.errors import (
    ChangedWhileReadingError,
    LimitError,
    MalformedError,
    UnknownFormatError,
    UnreadableError,
)
from mlbom.formats.tensors.file import Fact, TensorFile
from mlbom.formats.tensors.opening import open_tensors
from mlbom.formats.tensors.rows import Part
from tests.fixtures import weights as w

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


def written(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def raw(tensor: Any) -> bytes:
    if tensor.numel() == 0:
        return b""
    flat: bytes = (
        tensor.detach().resolve_conj().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    )
    return flat


def contents(opened: TensorFile) -> dict[str, bytes]:
    return {
        row.name: b"".join(data for _, data in opened.chunks(row, 64))
        for row in opened.rows
        if row.has_data
    }


def views() -> dict[str, Any]:
    torch.manual_seed(0)
    big = torch.randn(50, 40, 7)
    return {
        "plain": torch.randn(4, 5),
        "turned": torch.randn(30, 20).t(),
        "slice": big[3:9, ::2, 1:5],
        "permuted": big.permute(2, 0, 1),
        "expanded": torch.randn(1, 3).expand(5, 3),
        "complex": torch.randn(6, 5, dtype=torch.complex128).t(),
        "half": torch.randn(7, 3).bfloat16().t(),
        "counts": torch.arange(24).view(2, 3, 4).permute(1, 2, 0),
        "eight": torch.randn(5, 6).to(torch.float8_e4m3fn).t(),
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3.0),
    }


@pytest.mark.parametrize("new_layout", [True, False])
def test_torch_gives_row_major_bytes_of_every_view(tmp_path: Path, new_layout: bool) -> None:
    path = written(tmp_path / "m.pt", views(), _use_new_zipfile_serialization=new_layout)
    with open_tensors(path) as opened:
        assert opened.format == ("torch-zip" if new_layout else "torch-legacy")
        assert contents(opened) == {name: raw(tensor) for name, tensor in views().items()}
        assert [row.name for row in opened.rows] == list(views())
        opened.check_unchanged()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint16", "bool", "complex64"])
def test_safetensors_gives_its_bytes(tmp_path: Path, dtype: str) -> None:
    library = pytest.importorskip("safetensors.torch")
    state = {"b": torch.ones(3, 4).to(getattr(torch, dtype)), "a": torch.zeros(2)}
    library.save_file(state, tmp_path / "m.safetensors", {"format": "pt"})
    with open_tensors(tmp_path / "m.safetensors") as opened:
        assert contents(opened) == {name: raw(tensor) for name, tensor in state.items()}
        assert opened.packaging[Fact("metadata", "format")] == "pt"


def net() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def test_a_checkpoint_names_optimizer_state_apart(tmp_path: Path) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    value = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    with open_tensors(written(tmp_path / "c.pt", value)) as opened:
        parts = {row.name: row.part for row in opened.rows}
        values = {f.name: text for f, text in opened.packaging.items() if f.kind == "value"}
        assert contents(opened)["optimizer.state.0.exp_avg"] == raw(
            optimizer.state_dict()["state"][0]["exp_avg"]
        )
    assert parts["model.0.weight"] is Part.MODEL
    assert parts["model.1.running_mean"] is Part.BUFFER
    assert parts["model.1.num_batches_tracked"] is Part.BUFFER
    assert parts["optimizer.state.0.exp_avg_sq"] is Part.OPTIMIZER
    assert parts["optimizer.state.3.step"] is Part.OPTIMIZER
    assert values["epoch"] == "3"
    assert values["optimizer.param_groups.0.lr"] == "0.001"


def test_what_lies_beside_a_state_dict_is_of_another_part(tmp_path: Path) -> None:
    value = {
        "state_dict": net().state_dict(),
        "rng": torch.get_rng_state(),
        "optimizer_states": [{"state": {0: {"m": torch.ones(2)}}, "param_groups": []}],
    }
    with open_tensors(written(tmp_path / "c.pt", value)) as opened:
        parts = {row.name: row.part for row in opened.rows}
    assert parts["rng"] is Part.OTHER
    assert parts["optimizer_states.0.state.0.m"] is Part.OPTIMIZER
    assert parts["state_dict.0.weight"] is Part.MODEL


def test_a_whole_module_tells_its_buffers(tmp_path: Path) -> None:
    model = net()
    model.register_buffer("table", torch.ones(2))
    with open_tensors(written(tmp_path / "m.pt", model)) as opened:
        parts = {row.name: row.part for row in opened.rows}
        imports = [f.name for f in opened.packaging if f.kind == "import"]
    assert parts["table"] is Part.BUFFER
    assert parts["0.weight"] is Part.MODEL
    assert "torch.nn.modules.linear.Linear" in imports


def test_aliases_strides_and_spare_bytes_are_packaging(tmp_path: Path) -> None:
    base = torch.randn(1000)
    value = {"w": base[:10], "tied": base[:10], "t": torch.ones(2, 3).t()}
    with open_tensors(written(tmp_path / "m.pt", value)) as opened:
        rows = {row.name: row for row in opened.rows}
        facts = opened.packaging
    assert rows["tied"].alias_of == "w"
    assert facts[Fact("shared storage", "tied")] == "the storage of w"
    assert facts[Fact("strides", "t")] == "1,3"
    assert facts[Fact("bytes of no tensor")] == "3960"
    assert facts[Fact("archive prefix")] == "m"
    assert facts[Fact("alignment")] == "64 bytes"


def test_lazy_conjugation_and_quantisers_are_traits(tmp_path: Path) -> None:
    value = {
        "c": torch.ones(2, dtype=torch.complex64).conj(),
        "q": torch.quantize_per_tensor(torch.ones(2), 0.5, 3, torch.qint8),
        "ch": torch.quantize_per_channel(
            torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, torch.qint8
        ),
        "coo": torch.eye(3).to_sparse(),
        "meta": torch.empty(7, device="meta"),
    }
    with open_tensors(written(tmp_path / "m.pt", value)) as opened:
        rows = {row.name: row for row in opened.rows}
    assert rows["c"].traits == "conj"
    assert rows["q"].traits == "torch.per_tensor_affine 0.5 3"
    assert rows["ch"].problem == "quantised by channel: its scales are not read"
    assert rows["coo.values"].traits == "part of a sparse tensor of 3x3"
    assert (rows["meta"].has_data, rows["meta"].nbytes) == (False, 0)


def test_a_script_module_brings_code_and_constants(tmp_path: Path) -> None:
    torch.jit.script(net()).save(str(tmp_path / "s.pt"))
    with open_tensors(tmp_path / "s.pt") as opened:
        assert opened.format == "torchscript"
        assert {"0.weight", "1.running_var"} <= {row.name for row in opened.rows}
        assert any(f.kind == "code" and f.name.startswith("code/") for f in opened.packaging)


def test_arrays_of_numpy(tmp_path: Path) -> None:
    turned = np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3))
    arrays = {"a": np.arange(4, dtype="<i2"), "t": turned, "o": np.array([{}], object),
              "s": np.array(["x"]), "big": np.arange(3, dtype=">f8")}  # fmt: skip
    np.savez(tmp_path / "m.npz", **arrays)  # type: ignore[arg-type]
    np.savez_compressed(tmp_path / "p.npz", a=arrays["a"], t=turned)
    np.save(tmp_path / "m.npy", turned)
    with open_tensors(tmp_path / "m.npz") as opened:
        assert contents(opened) == {"a": arrays["a"].tobytes(), "t": turned.tobytes("C")}
        problems = {row.name for row in opened.rows if row.problem}
        assert problems == {"o", "s", "big"}
    with open_tensors(tmp_path / "p.npz") as opened:
        assert contents(opened) == {"a": arrays["a"].tobytes(), "t": turned.tobytes("C")}
        assert opened.packaging[Fact("compression")] == "2 of 2 arrays"
    with open_tensors(tmp_path / "m.npy") as opened:
        assert contents(opened) == {"array": turned.tobytes("C")}


def shards(folder: Path, weight_map: dict[str, str]) -> Path:
    for number in (1, 2):
        names = {f"t{number}": ("F32", [2]), f"u{number}": ("F32", [3])}
        (folder / f"m-{number}.safetensors").write_bytes(w.safetensors_file(names))
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return index


WHOLE = {"t1": "m-1.safetensors", "u1": "m-1.safetensors", "t2": "m-2.safetensors",
         "u2": "m-2.safetensors"}  # fmt: skip


def test_an_index_stands_for_its_shards(tmp_path: Path) -> None:
    with open_tensors(shards(tmp_path, WHOLE)) as opened:
        assert {row.name for row in opened.rows} == set(WHOLE)
        assert opened.nbytes == sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
        assert contents(opened)["u2"] == bytes(12)
        assert opened.packaging[Fact("shard", "t2")] == "m-2.safetensors"


@pytest.mark.parametrize(
    "change",
    [
        {"t1": "m-2.safetensors"},
        {"more": "m-1.safetensors"},
        {"u2": None},
    ],
)
def test_an_index_that_its_shards_contradict(tmp_path: Path, change: dict[str, Any]) -> None:
    told = {name: shard for name, shard in (WHOLE | change).items() if shard}
    with pytest.raises(MalformedError, match=r"disagree|no shard holds"):
        open_tensors(shards(tmp_path, told))


def test_an_index_that_names_itself(tmp_path: Path) -> None:
    index = tmp_path / "m.index.json"
    index.write_text(json.dumps({"weight_map": {"a": index.name}}))
    with pytest.raises(UnreadableError):
        open_tensors(index)


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(w.safetensors_file({"a": ("F32", [2])}))
    (tmp_path / "m.safetensors").symlink_to(tmp_path / "blob")
    with open_tensors(tmp_path / "m.safetensors") as opened:
        assert (opened.name, len(opened.rows)) == ("m.safetensors", 1)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(OSError, match="not a regular file"):
        open_tensors(tmp_path / "m.safetensors")


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(w.safetensors_file({"a": ("F32", [1000])}))
    with open_tensors(path) as opened:
        os.truncate(path, 200)
        with pytest.raises(ChangedWhileReadingError, match="shorter"):
            contents(opened)
        with pytest.raises(ChangedWhileReadingError, match="changed"):
            opened.check_unchanged()


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt", "m.onnx", "m.npy", "m.npz", "m.pkl"])
def test_other_formats_are_said_to_be_unknown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing that anybody knows")
    with pytest.raises(UnreadableError, match=name):
        open_tensors(tmp_path / name)


def test_a_pickle_that_torch_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(w.pickle_of(w.system("id")))
    with pytest.raises(UnknownFormatError, match="a pickle that torch did not write"):
        open_tensors(tmp_path / "m.pkl")


def zipped(tmp_path: Path, body: bytes, storages: dict[str, int], **more: bytes) -> Path:
    members = w.torch_members(w.pickle_of(body), storages)
    members = [(n, more.get(n.rpartition("/")[2], data)) for n, data in members]
    path = tmp_path / "h.pt"
    path.write_bytes(w.zip_of(members))
    return path


def test_a_view_that_unfolds_without_end(tmp_path: Path) -> None:
    body = w.dict_of({"a": w.tensor(w.storage("0", 1), [2**30, 2**9], strides=[0, 0])})
    with pytest.raises(LimitError, match="unfold 4|unfold"):
        open_tensors(zipped(tmp_path, body, {"0": 4}))


def test_a_storage_that_is_missing_or_too_small(tmp_path: Path) -> None:
    body = w.dict_of({"a": w.tensor(w.storage("0", 6), [2, 3])})
    for storages in ({}, {"0": 20}):
        with pytest.raises(MalformedError, match="storage '0' has"):
            open_tensors(zipped(tmp_path, body, storages))


def test_big_endian_numbers_are_not_guessed_at(tmp_path: Path) -> None:
    body = w.dict_of({"a": w.tensor(w.storage("0", 6), [2, 3])})
    with pytest.raises(MalformedError, match="'big' order"):
        open_tensors(zipped(tmp_path, body, {"0": 24}, byteorder=b"big"))


def test_a_storage_that_is_a_window_of_another(tmp_path: Path) -> None:
    told = w.storage("0", 6)[:-2] + w.tuple_of([w.text("1"), w.number(0), w.number(6)]) + b"tQ"
    with pytest.raises(MalformedError, match="not built as"):
        open_tensors(zipped(tmp_path, w.dict_of({"a": w.tensor(told, [2, 3])}), {"0": 24}))


def test_a_legacy_file_must_say_its_byte_order(tmp_path: Path) -> None:
    body = w.tensor(w.storage("0", 6, legacy=True), [2, 3])
    good = w.torch_legacy(body, {"0": (6, 4)})
    (tmp_path / "l.pt").write_bytes(good)
    with open_tensors(tmp_path / "l.pt") as opened:
        assert contents(opened) == {"tensor": bytes(24)}
    (tmp_path / "l.pt").write_bytes(
        good.replace(w.text("little_endian") + b"\x88", w.text("little_endian") + b"\x89")
    )
    with pytest.raises(MalformedError, match="little-endian"):
        open_tensors(tmp_path / "l.pt")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os')}",
        "(" * 3000,
    ],
)
def test_hostile_headers_of_npy(tmp_path: Path, header: str) -> None:
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    (tmp_path / "m.npy").write_bytes(data)
    with pytest.raises(MalformedError):
        open_tensors(tmp_path / "m.npy")
