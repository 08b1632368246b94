"""The weights collector: one node for each file or index, code, totals of the model, gaps."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlbom.collect.registry import load_collector
from mlbom.collect.scope import ModelTree, Scope
from mlbom.collect.weights import WeightsCollector
from mlbom.digest.tree import walk_files
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import CodeSurface, Count, Model, Pair, Weights
from mlbom.evidence.observation import Gap, GapKind
from mlbom.evidence.origin import Method
from tests.fixtures import weights as w

SMALL = w.safetensors_file({"a": ("F32", [2, 3]), "b": ("BF16", [4])}, {"format": "pt"})


def scope_of(folder: Path, weights: tuple[str, ...], root: str = ".") -> Scope:
    entries = tuple(walk_files(folder))
    base = folder if root == "." else folder / root
    tree = ModelTree(
        name=root, root=root, is_directory=True, weights=weights, files=tuple(walk_files(base))
    )
    return Scope(path=folder, project_root=folder, entries=entries, model=tree)


def collected(
    folder: Path, files: Mapping[str, bytes], *, root: str = ".", weights: tuple[str, ...] = ()
) -> Graph:
    base = folder if root == "." else folder / root
    for name, data in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(data)
    named = weights or tuple(
        sorted(n for n in files if n.rpartition("/")[2] not in ("model_index.json", "modules.json"))
    )
    return Graph.of(WeightsCollector().collect(scope_of(folder, named, root)))


def gaps(graph: Graph, kind: GapKind) -> list[Gap]:
    return [gap for gap in graph.gaps if gap.kind is kind]


def total(graph: Graph, root: str = ".") -> int | None:
    model = graph.node(Model, f"model:{root}")
    return model.parameters if model else None


def flat(count: int) -> bytes:
    """A safetensors file of so many parameters."""
    return w.safetensors_file({"w": ("U8", [count])})


def index_of(weight_map: Mapping[str, str], total_size: int | None = None) -> bytes:
    metadata = {} if total_size is None else {"total_size": total_size}
    return json.dumps({"metadata": metadata, "weight_map": weight_map}).encode()


def test_the_collector_is_in_the_table() -> None:
    assert load_collector("mlbom.collect.weights:WeightsCollector").name == "weights"


def test_a_safetensors_file(tmp_path: Path) -> None:
    graph = collected(tmp_path, {"model.safetensors": SMALL}, root="models/tiny")
    node = graph.node(Weights, "weights:model.safetensors")
    assert node is not None
    assert node.tensors is not None
    assert (node.path, node.format, node.parameters, node.tensor_count) == (
        "model.safetensors",
        "safetensors",
        10,
        2,
    )
    assert node.dtypes == (Count("BF16", 4), Count("F32", 6))
    assert node.shapes == (Count("2x3", 1), Count("4", 1))
    assert node.metadata == (Pair("format", "pt"),)
    (origin,) = graph.witnesses(node, "parameters")
    assert (origin.method, origin.path) == (Method.MEASURED, "models/tiny/model.safetensors")
    model = graph.node(Model, "model:models/tiny")
    assert model is not None
    assert (model.parameters, model.dtypes, model.formats) == (10, node.dtypes, ("safetensors",))
    assert graph.gaps == ()
    assert graph.nodes(CodeSurface) == ()


def test_metadata_is_guarded_and_shortened(tmp_path: Path) -> None:
    secret = "hf_" + "a" * 34
    data = w.safetensors_file(
        {"a": ("U8", [1])}, {"token": secret, "long": "x" * 100_000, "esc": "\x1b[31mred"}
    )
    told = {
        p.name: p.text
        for p in collected(tmp_path, {"m.safetensors": data}).nodes(Weights)[0].metadata
    }
    assert secret not in told["token"]
    assert len(told["long"]) == 2000
    assert told["esc"] == "red"


def test_pickles_that_run_code_are_a_surface(tmp_path: Path) -> None:
    body = w.dict_of({"a": w.tensor(w.storage("0", 1), [1]), "x": w.system("id")})
    graph = collected(
        tmp_path,
        {
            "bad.bin": w.torch_zip(body, {"0": 4}),
            "good.bin": w.state_dict_zip({"a": [1]}),
            "plain.pkl": w.pickle_of(w.system("id")),
        },
        root="m",
    )
    surfaces = {c.path: c for c in graph.nodes(CodeSurface)}
    assert set(surfaces) == {"m/bad.bin", "m/plain.pkl"}
    bad = surfaces["m/bad.bin"]
    assert (bad.id, bad.kind) == ("code:m/bad.bin", "pickle-globals")
    assert bad.names == (
        "collections.OrderedDict",
        "posix.system",
        "torch.FloatStorage",
        "torch._utils._rebuild_tensor_v2",
    )


def test_a_pickle_whose_tensors_are_unknown_is_a_gap(tmp_path: Path) -> None:
    graph = collected(
        tmp_path, {"model.pkl": w.pickle_of(w.name_of("sklearn.svm", "SVC") + b")\x81")}
    )
    node = graph.node(Weights, "weights:model.pkl")
    assert node is not None
    assert (node.format, node.parameters) == ("pickle", None)
    (gap, of_model) = graph.gaps if graph.gaps[0].subject != "model:." else graph.gaps[::-1]
    assert (gap.subject, gap.field, gap.kind) == ("weights:model.pkl", "parameters", GapKind.ABSENT)
    assert (of_model.subject, of_model.field, of_model.kind) == (
        "model:.",
        "parameters",
        GapKind.ABSENT,
    )


def test_an_unknown_format_is_absent_and_the_others_go_on(tmp_path: Path) -> None:
    graph = collected(tmp_path, {"model.onnx": b"text", "model.safetensors": SMALL})
    (gap,) = graph.gaps
    assert (gap.kind, gap.field, gap.subject) == (
        GapKind.ABSENT,
        "parameters",
        "weights:model.onnx",
    )
    assert gap.reason == "model.onnx: no reader for this format"
    assert total(graph) == 10


def test_a_pointer_of_git_lfs_is_absent(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"
    (gap, _) = collected(tmp_path, {"model.safetensors": pointer}).gaps[::-1]
    assert (gap.kind, gap.reason) == (
        GapKind.ABSENT,
        "model.safetensors: a git-lfs pointer: the weights themselves are not here",
    )


@pytest.mark.parametrize(
    "data", [SMALL[:-1], SMALL[:20], b"", w.safetensors_raw(b"{", length=2**63 - 1)]
)
def test_a_malformed_file_is_unreadable_by_name_and_the_others_go_on(
    data: bytes, tmp_path: Path
) -> None:
    graph = collected(
        tmp_path, {"model.safetensors": data, "other.bin": w.state_dict_zip({"a": [1]})}
    )
    (gap,) = gaps(graph, GapKind.UNREADABLE)
    assert gap.subject == "weights:model.safetensors"
    assert gap.reason.startswith("model.safetensors: ")
    assert [n.parameters for n in graph.nodes(Weights)] == [None, 1]


def test_a_total_is_not_stated_when_a_preferred_file_is_unreadable(tmp_path: Path) -> None:
    graph = collected(
        tmp_path,
        {
            "a.safetensors": SMALL,
            "b.safetensors": SMALL[:-1],
            "c.bin": w.state_dict_zip({"a": [1]}),
        },
    )
    assert total(graph) is None
    (gap,) = [g for g in graph.gaps if g.subject == "model:."]
    assert gap.reason == "the parameters of b.safetensors are not known"


def test_a_broken_pickle_lists_what_it_imports_and_is_unreadable(tmp_path: Path) -> None:
    graph = collected(tmp_path, {"m.pkl": b"\x80\x02" + w.system("id") + b"\xff"})
    assert graph.nodes(CodeSurface)[0].names == ("posix.system",)
    (gap,) = gaps(graph, GapKind.UNREADABLE)
    assert gap.reason == "m.pkl: b'\\xff' is no pickle opcode, before byte 27"


def test_a_missing_file_a_link_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "link.safetensors").symlink_to("model.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    graph = collected(
        tmp_path,
        {"model.safetensors": SMALL},
        weights=("model.safetensors", "link.safetensors", "gone.safetensors", "folder.safetensors"),
    )
    reasons = {g.subject: g.reason for g in gaps(graph, GapKind.UNREADABLE)}
    assert set(reasons) == {
        "weights:link.safetensors",
        "weights:gone.safetensors",
        "weights:folder.safetensors",
    }
    assert reasons["weights:gone.safetensors"] == "gone.safetensors: the file is not here"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    graph = collected(tmp_path, {}, weights=("model.safetensors",))
    assert (
        gaps(graph, GapKind.UNREADABLE)[0].reason
        == "model.safetensors: cannot be read: not a regular file"
    )


def test_files_of_a_hub_cache_are_read_through_their_links(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / ("a" * 40)
    blobs = tmp_path / "models--org--tiny" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_bytes(SMALL)
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    assert total(collected(snapshot, {}, weights=("model.safetensors",))) == 10


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
SHARDS = {
    ONE: w.safetensors_file({"a": ("F32", [2, 3])}),
    TWO: w.safetensors_file({"b": ("BF16", [4])}),
}


def test_an_index_is_one_node_and_its_shards_are_none(tmp_path: Path) -> None:
    files = {
        f"sub/{INDEX}": index_of({"a": ONE, "b": TWO}, 32),
        **{f"sub/{n}": d for n, d in SHARDS.items()},
    }
    graph = collected(tmp_path, files)
    (node,) = graph.nodes(Weights)
    assert (node.id, node.format, node.parameters, node.tensor_count) == (
        f"weights:sub/{INDEX}",
        "safetensors",
        10,
        2,
    )
    assert node.shards == (f"sub/{ONE}", f"sub/{TWO}")
    assert node.dtypes == (Count("BF16", 4), Count("F32", 6))
    assert (total(graph), graph.gaps) == (10, ())
    whole = collected(
        tmp_path / "whole",
        {"model.safetensors": w.safetensors_file({"a": ("F32", [2, 3]), "b": ("BF16", [4])})},
    )
    assert node.tensors == whole.nodes(Weights)[0].tensors


def test_shards_need_not_be_listed_as_weights(tmp_path: Path) -> None:
    graph = collected(tmp_path, {INDEX: index_of({"a": ONE, "b": TWO}), **SHARDS}, weights=(INDEX,))
    assert total(graph) == 10


def test_an_index_of_torch_shards(tmp_path: Path) -> None:
    body = w.dict_of({"b": w.tensor(w.storage("0", 4), [4]), "x": w.system("id")})
    files = {
        "pytorch_model.bin.index.json": index_of({"a": "p1.bin", "b": "p2.bin"}),
        "p1.bin": w.state_dict_zip({"a": [2]}),
        "p2.bin": w.torch_zip(body, {"0": 16}),
    }
    graph = collected(tmp_path, files)
    assert [(n.format, n.parameters) for n in graph.nodes(Weights)] == [("torch-zip", 6)]
    assert [c.path for c in graph.nodes(CodeSurface)] == ["p2.bin"]


def test_a_missing_shard_is_unreadable(tmp_path: Path) -> None:
    graph = collected(tmp_path, {INDEX: index_of({"a": ONE, "b": TWO}), ONE: SHARDS[ONE]})
    (gap,) = gaps(graph, GapKind.UNREADABLE)
    assert (gap.subject, gap.reason) == (f"weights:{INDEX}", f"{TWO}: the file is not here")
    (node,) = graph.nodes(Weights)
    assert (node.shards, node.parameters, total(graph)) == ((ONE, TWO), None, None)


def test_a_shard_outside_the_directory_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "outside.safetensors").write_bytes(SMALL)
    files = {INDEX: index_of({"a": "../outside.safetensors"}), ONE: SHARDS[ONE]}
    graph = collected(tmp_path, files, root="model")
    (gap,) = gaps(graph, GapKind.UNREADABLE)
    assert "'../outside.safetensors', which is no file name beside it" in gap.reason
    assert {n.path for n in graph.nodes(Weights)} == {INDEX, ONE}
    assert total(graph, "model") is None


@pytest.mark.parametrize(
    ("weight_map", "size", "said"),
    [
        ({"a": TWO, "b": ONE}, None, "2 tensors are in another shard than the index says"),
        ({"a": ONE, "b": TWO, "c": TWO}, None, "1 tensor is in the index but in no shard"),
        ({"a": ONE, "b": TWO}, 33, "the index says 33 bytes of tensors, the shards hold 32"),
    ],
)
def test_index_and_shards_that_disagree_are_shown(
    weight_map: dict[str, str], size: int | None, said: str, tmp_path: Path
) -> None:
    graph = collected(tmp_path, {INDEX: index_of(weight_map, size), **SHARDS})
    (gap,) = gaps(graph, GapKind.ABSENT)
    assert said in gap.reason
    assert gap.subject == f"weights:{INDEX}"
    assert total(graph) == 10


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "model.safetensors": flat(10),
                "pytorch_model.bin": w.state_dict_zip({"a": [7]}),
                "onnx/model.onnx": b"x",
            },
            10,
        ),
        (
            {
                "pytorch_model.bin": w.state_dict_zip({"a": [7]}),
                "model.h5": b"x",
                "other.pkl": w.pickle_of(b"N"),
            },
            7,
        ),
        ({"model.safetensors": flat(10), "model.fp16.safetensors": flat(11)}, 10),
        ({"model.fp16.safetensors": flat(11), "model.bf16.safetensors": flat(12)}, 12),
        (
            {
                "model-00001-of-00002.safetensors": flat(3),
                "model-00002-of-00002.safetensors": flat(4),
            },
            7,
        ),
        ({"model.safetensors": flat(10), "consolidated.safetensors": flat(10)}, 10),
        ({"consolidated.safetensors": flat(10)}, 10),
        (
            {
                "consolidated.00.pth": w.state_dict_zip({"a": [3]}),
                "consolidated.01.pth": w.state_dict_zip({"a": [3]}),
            },
            6,
        ),
        (
            {
                "model.safetensors": flat(10),
                "original/consolidated.00.pth": w.state_dict_zip({"a": [3]}),
            },
            10,
        ),
        ({"model.safetensors": flat(10), "checkpoint-500/model.safetensors": flat(10)}, 10),
        ({"checkpoint-500/model.safetensors": flat(10)}, 10),
        ({"a.safetensors": flat(1), "b.safetensors": flat(2)}, 3),
    ],
)
def test_the_same_parameters_count_once(
    files: dict[str, bytes], expected: int, tmp_path: Path
) -> None:
    assert total(collected(tmp_path, files)) == expected


@pytest.mark.parametrize("marker", ["model_index.json", "modules.json"])
def test_the_parts_of_a_pipeline_are_added_up(marker: str, tmp_path: Path) -> None:
    files = {
        marker: b"{}",
        "unet/diffusion_pytorch_model.safetensors": flat(100),
        "unet/diffusion_pytorch_model.fp16.safetensors": flat(100),
        "unet/diffusion_pytorch_model.bin": w.state_dict_zip({"a": [100]}),
        "vae/diffusion_pytorch_model.bin": w.state_dict_zip({"a": [7]}),
        "text_encoder/model.fp16.safetensors": flat(20),
        "onnx/model.onnx": b"x",
    }
    graph = collected(tmp_path, files)
    assert total(graph) == 127
    model = graph.node(Model, "model:.")
    assert model is not None
    assert model.formats == ("safetensors", "torch-zip")
    assert model.dtypes == (Count("F32", 7), Count("U8", 120))


def test_no_weights_no_statement(tmp_path: Path) -> None:
    assert Graph.of(WeightsCollector().collect(scope_of(tmp_path, ()))) == Graph()


def test_very_many_shapes_are_not_listed(tmp_path: Path) -> None:
    data = w.safetensors_file({f"t{i}": ("U8", [i]) for i in range(1100)})
    graph = collected(tmp_path, {"m.safetensors": data})
    assert graph.nodes(Weights)[0].shapes == ()
    assert [(g.field, g.kind) for g in graph.gaps] == [("shapes", GapKind.ABSENT)]


def test_equal_files_give_equal_evidence_in_any_order(tmp_path: Path) -> None:
    files = {
        INDEX: index_of({"a": ONE, "b": TWO}, 32),
        **SHARDS,
        "x.bin": w.state_dict_zip({"a": [1]}),
    }
    graph = collected(tmp_path, files)
    turned = Graph.of(
        WeightsCollector().collect(scope_of(tmp_path, tuple(sorted(files, reverse=True))))
    )
    assert graph == turned
