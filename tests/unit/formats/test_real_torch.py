"""The torch readers against what torch and safetensors really write; skipped without torch."""

import os
from pathlib import Path
from typing import Any

import pytest

from mlbom.evidence.nodes import Count
from mlbom.formats.torch_names import DTYPES, REBUILDING
from mlbom.formats.weights import WeightFacts, read_weights

torch = pytest.importorskip("torch", reason="torch is not installed")
# What torch says about its own deprecated dtypes and script modules, which files still hold.
pytestmark = pytest.mark.filterwarnings("ignore")


def saved(tmp_path: Path, value: Any, **options: Any) -> WeightFacts:
    path = tmp_path / "model.pt"
    torch.save(value, path, **options)
    return read(path)


def read(path: Path) -> WeightFacts:
    with path.open("rb") as stream:
        return read_weights(stream, os.path.getsize(path), path.name)


def net() -> Any:
    return torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)
    )


def rows(state: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(t.shape)) for name, t in state.items()]


def test_a_state_dict_in_both_layouts(tmp_path: Path) -> None:
    state = net().state_dict()
    for new_layout in (True, False):
        facts = saved(tmp_path, state, _use_new_zipfile_serialization=new_layout)
        assert [(t.name, t.shape) for t in facts.tensors] == rows(state)
        assert facts.parameters == sum(t.numel() for t in state.values() if t.is_floating_point())
        assert (facts.problem, facts.code_kind, facts.aliases) == ("", "", ())


def test_a_checkpoint_with_optimizer(tmp_path: Path) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 3,
        "global_step": 17,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
    }
    facts = saved(tmp_path, value)
    assert [(t.name, t.shape) for t in facts.tensors] == [
        (f"state_dict.{name}", shape) for name, shape in rows(model.state_dict())
    ]
    told = {p.name: p.text for p in facts.metadata}
    assert (told["epoch"], told["global_step"]) == ("3", "17")
    assert int(told["training-state.tensors"]) == 3 * len(list(model.parameters()))
    assert (facts.problem, facts.code_kind) == ("", "")


def test_tied_weights(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict(
        {"e": torch.nn.Embedding(10, 4), "h": torch.nn.Linear(4, 10, bias=False)}
    )
    model["h"].weight = model["e"].weight
    for value in (model.state_dict(), model):
        facts = saved(tmp_path, value)
        assert (facts.aliases, facts.parameters, facts.problem) == (("h.weight",), 40, "")


def test_a_whole_module_names_its_classes(tmp_path: Path) -> None:
    facts = saved(tmp_path, net())
    assert [(t.name, t.shape) for t in facts.tensors] == rows(net().state_dict())
    assert facts.code_kind == "pickle-globals"
    assert "torch.nn.modules.linear.Linear" in facts.globals


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_every_dtype(name: str, tmp_path: Path) -> None:
    dtype = getattr(torch, name)
    try:
        value = torch.empty(6, dtype=dtype) if not name.startswith("q") else quantised(dtype)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        pytest.skip(str(error))
    facts = saved(tmp_path, {"w": value})
    assert (facts.dtypes, facts.problem) == ((Count(DTYPES[name], 6),), "")


def quantised(dtype: Any) -> Any:
    return torch.quantize_per_tensor(torch.zeros(6), 0.1, 0, dtype)


def test_views_sparse_meta_and_subclasses(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    tagged = torch.ones(2)
    tagged.tag = "x"
    value = {
        "left": base[:6],
        "right": base[6:],
        "turned": base.view(3, 4).t(),
        "wide": torch.zeros(1).expand(5),
        "coo": torch.eye(3).to_sparse(),
        "meta": torch.empty(7, device="meta"),
        "tagged": tagged,
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "empty": torch.zeros(0, 3),
        "size": torch.Size([1]),
        "device": torch.device("cpu"),
    }
    facts = saved(tmp_path, value)
    shapes = {t.name: t.shape for t in facts.tensors}
    assert shapes == {
        "left": (6,), "right": (6,), "turned": (4, 3), "wide": (5,), "coo.indices": (2, 3),
        "coo.values": (3,), "meta": (7,), "tagged": (2,), "parameter": (2, 2), "empty": (0, 3),
    }  # fmt: skip
    assert (facts.problem, facts.code_kind) == ("", "")


def test_a_script_module(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.script(net()).save(str(path))
    facts = read(path)
    assert (facts.format, facts.problem, facts.code_kind) == ("torchscript", "", "torchscript")
    assert sorted((t.name, t.shape) for t in facts.tensors) == sorted(rows(net().state_dict()))


def test_what_torch_admits_is_what_counts_as_rebuilding() -> None:
    from torch import _weights_only_unpickler as unpickler

    admitted = set(unpickler._get_allowed_globals())
    assert {n for n in admitted - REBUILDING if ".sparse." not in n} == set()
    assert {n for n in REBUILDING - admitted if not n.startswith("__builtin__.")} == set()


def test_safetensors_of_its_own_library(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    state = {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "b": torch.zeros(4, dtype=torch.float8_e4m3fn),
        "s": torch.tensor(1.0),
    }
    path = tmp_path / "model.safetensors"
    library.save_file(state, path, metadata={"format": "pt"})
    facts = read(path)
    assert sorted((t.name, t.shape) for t in facts.tensors) == sorted(rows(state))
    assert facts.digest == saved(tmp_path, state).digest
