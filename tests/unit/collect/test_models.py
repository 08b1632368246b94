"""Which directories and files are a model."""

import json
from pathlib import Path

import pytest

from mlbom.collect.inspect import list_models
from mlbom.errors import NoWeightsError, PathNotFoundError, SeveralModelsError
from tests.fixtures.projects import inspected, model_directory, plan_for, safetensors, write

W: bytes | str = safetensors({"w": [1]})
HF = json.dumps({"model_type": "bert"})


def found(path: Path) -> dict[str, tuple[str, ...]]:
    return {m.name: m.weights for m in list_models(plan_for(path))}


@pytest.mark.parametrize(
    ("files", "models"),
    [
        ({"a.safetensors": W, "b.pt": W}, {"a.safetensors": 1, "b.pt": 1}),
        ({"m/config.json": "{}", "m/a.safetensors": W, "m/a.onnx": W}, {"m": 2}),
        ({"m/config.json": "{}", "m/onnx/a.onnx": W}, {"m/onnx/a.onnx": 1}),
        ({"m/config.json": HF, "m/onnx/a.onnx": W}, {"m": 1}),
        ({"modules.json": "[]", "0/pytorch_model.bin": W}, {".": 1}),
        ({"model_index.json": "{}", "unet/config.json": HF, "unet/x.safetensors": W}, {".": 1}),
        ({"config.json": "not json", "w/a.safetensors": W}, {"w/a.safetensors": 1}),
        ({"a/optimizer.pt": W, "a/training_args.bin": W, "a/data.bin": W}, {}),
        ({"x.npz": W, "x.pkl": W, "x.h5": W}, {}),
        ({".venv/x.safetensors": W, ".git/x.pt": W, "mlbom-out/x.pt": W}, {}),
    ],
)
def test_models_are_found(
    tmp_path: Path, files: dict[str, bytes | str], models: dict[str, int]
) -> None:
    assert {n: len(w) for n, w in found(write(tmp_path, files)).items()} == models


def test_an_index_and_its_shards_are_one_model(tmp_path: Path) -> None:
    shards = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"]
    index = json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}})
    files = {"w/m.safetensors.index.json": index, **{f"w/{s}": W for s in shards}}
    (model,) = list_models(plan_for(write(tmp_path, files)))
    assert model.weights == ("w/m.safetensors.index.json",)
    assert [e.path for e in model.files] == sorted(files)
    write(tmp_path, {"w/config.json": HF})
    assert found(tmp_path) == {"w": ("m.safetensors.index.json",)}


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    write(tmp_path, {"w/a.safetensors": W, "w/b.safetensors": W})
    with pytest.raises(SeveralModelsError, match="2 models") as caught:
        inspected(tmp_path)
    assert caught.value.looked == ("w/a.safetensors", "w/b.safetensors")
    for wanted in ("w/a.safetensors", "a.safetensors", "a"):
        assert inspected(tmp_path, model=wanted).scope.model.name == "w/a.safetensors"
    with pytest.raises(SeveralModelsError, match="'c' names 0"):
        inspected(tmp_path, model="c")


def test_no_weights_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoWeightsError, match="no weights found") as none:
        inspected(tmp_path)
    assert none.value.code == "E0103"
    assert any("config.json" in place for place in none.value.looked)
    with pytest.raises(PathNotFoundError):
        inspected(tmp_path / "gone")
    with pytest.raises(NoWeightsError, match="models/a.safetensors"):
        inspected(tmp_path, weights=("models/a.safetensors",))


def test_named_weights_are_one_model_of_any_format(tmp_path: Path) -> None:
    write(tmp_path, {"x.npz": W, "y.weird": W, "other.safetensors": W})
    model = inspected(tmp_path, weights=("y.weird", "x.npz")).scope.model
    assert [e.path for e in model.files] == ["x.npz", "y.weird"]


def test_a_model_directory_holds_all_files_but_the_ignored(tmp_path: Path) -> None:
    model_directory(tmp_path)
    extra = {".hidden": "x", "sub/.git/y": "z", "__pycache__/c.pyc": "p", "img/i.svg": "s"}
    inspection = inspected(write(tmp_path, extra))
    assert [e.path for e in inspection.scope.model.files] == [
        ".hidden",
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "sub/.git/y",
        "tokenizer.json",
    ]
    assert "__pycache__" in inspection.ignored
    assert "README.md" in inspection.ignored
