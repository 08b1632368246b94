"""Identity, cards, datasets, documents: what a real-looking project says about itself."""

import json
from pathlib import Path

import pytest

from mlbom.collect.cards import split_front_matter
from mlbom.collect.licences import licence_expression
from mlbom.collect.loaders import find_loader_calls
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import (
    CodeSurface,
    Dataset,
    Document,
    File,
    Metric,
    Model,
    Project,
    Release,
)
from mlbom.evidence.observation import GapKind
from mlbom.evidence.store import dump_graph
from tests.fixtures.projects import (
    CARD,
    CONFIG,
    graph_of,
    inspected,
    model_directory,
    safetensors,
    training_project,
    write,
)


def the_model(graph: Graph) -> Model:
    (model,) = graph.nodes(Model)
    return model


def test_the_base_model_is_an_ancestor_and_never_the_identity(tmp_path: Path) -> None:
    model = the_model(graph_of(model_directory(tmp_path)))
    assert model.name == "Tiny-Model"
    assert model.base_models == ("someone/the-base",)
    assert model.licence == "Apache-2.0"
    assert model.library == "sentence-transformers"
    assert model.task == "sentence-similarity"
    assert model.architecture == "BertModel"
    assert model.description == "A tiny model for tests only."
    assert model.datasets == ("data:org/pairs", "data:snli")
    assert model.parameters == 10


def test_a_local_path_is_no_base_model_and_does_not_leak(tmp_path: Path) -> None:
    model_directory(tmp_path)
    config = {**CONFIG, "_name_or_path": "/home/ann/secret-project/ckpt"}
    graph = graph_of(write(tmp_path, {"config.json": json.dumps(config)}))
    assert the_model(graph).base_models == ()
    assert b"ann" not in dump_graph(graph)


def test_a_hub_cache_snapshot_is_named_by_its_repository_and_commit(tmp_path: Path) -> None:
    commit = "0a" * 20
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot = tmp_path / "models--org--name" / "snapshots" / commit
    files = model_directory(tmp_path / "plain")
    for path in sorted(p for p in files.rglob("*") if p.is_file() and p.parent == files):
        write(blobs, {path.name + ".blob": path.read_bytes()})
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}.blob")
    graph = graph_of(snapshot)
    model = the_model(graph)
    assert (model.name, model.version) == ("name", commit)
    assert model.purl == f"pkg:huggingface/org/name@{commit}"
    assert model.base_models == ("someone/the-base",)
    assert model.parameters == 10
    assert {f.path for f in graph.nodes(File)} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert not [g for g in graph.gaps if g.kind is GapKind.UNREADABLE]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (
            {"modelcard.yaml": "model_name: from-card", "pyproject.toml": "[project]\nname='p'"},
            "from-card",
        ),
        (
            {"pyproject.toml": "[project]\nname = 'from-project'", "README.md": "# Heading"},
            "from-project",
        ),
        ({"README.md": "intro\n\n# From heading\n"}, "From heading"),
        ({}, "final"),
    ],
)
def test_the_ladder_of_names(tmp_path: Path, files: dict[str, str], name: str) -> None:
    write(tmp_path, {"w/final.safetensors": safetensors({"w": [1]}), **files})
    graph = graph_of(tmp_path)
    assert the_model(graph).name == name
    assert the_model(graph_of(tmp_path, model="given")).name == "given"


def test_a_project_with_a_local_and_a_loaded_dataset(tmp_path: Path) -> None:
    graph = graph_of(training_project(tmp_path))
    project = graph.nodes(Project)[0]
    assert (project.name, project.version, project.licence) == ("proj", "1.2", "MIT")
    assert project.authors == ("Ann",)
    data = {d.name: d for d in graph.nodes(Dataset)}
    assert data["corpus"].file_count == 2
    assert data["corpus"].version == "3"
    assert data["corpus"].licence == "CC-BY-4.0"
    assert data["corpus"].manifest is not None
    assert data["org/pairs"].pinned is False
    assert data["org/pairs"].uses == ("train.py:2 load_dataset",)
    assert the_model(graph).datasets == ("data:corpus",)
    licence = graph.node(Document, "doc:LICENSE")
    assert licence is not None
    assert licence.licence is None
    assert any(g.subject == "doc:LICENSE" for g in graph.gaps)


def test_names_of_data_files_are_published_only_on_request(tmp_path: Path) -> None:
    training_project(tmp_path)
    assert b"a.csv" not in dump_graph(graph_of(tmp_path))
    assert b"a.csv" in inspected(tmp_path).data_manifests["data"]


def test_declined_data_is_said(tmp_path: Path) -> None:
    graph = graph_of(training_project(tmp_path), data_depth="declared")
    (gap,) = [g for g in graph.gaps if g.kind is GapKind.DECLINED]
    assert (gap.subject, gap.field) == ("data:corpus", "manifest")


@pytest.mark.parametrize(
    ("name", "content", "subject"),
    [
        ("pyproject.toml", "[project", "doc:pyproject.toml"),
        ("modelcard.yaml", "a: [", "doc:modelcard.yaml"),
        ("README.md", "---\na: [\n---\n# x", "doc:README.md"),
        ("CITATION.cff", "\tx", "doc:CITATION.cff"),
        ("data/MANIFEST.yaml", "a: [", "doc:data/MANIFEST.yaml"),
        ("train.py", "load_dataset(", "file:train.py"),
        ("train.py", "load_dataset" + "(" * 5000, "file:train.py"),
    ],
)
def test_a_broken_document_is_a_gap_and_the_others_go_on(
    tmp_path: Path, name: str, content: str, subject: str
) -> None:
    training_project(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname='p'")
    graph = graph_of(write(tmp_path, {name: content}))
    assert subject in {g.subject for g in graph.gaps if g.kind is GapKind.UNREADABLE}
    assert the_model(graph).parameters == 3


def test_metrics_of_a_model_index(tmp_path: Path) -> None:
    (metric,) = graph_of(model_directory(tmp_path)).nodes(Metric)
    assert (metric.name, metric.value, metric.task) == ("spearman", 0.5, "sts")
    assert (metric.dataset, metric.dataset_type) == ("STS", "sts-b")


def test_code_that_loading_runs_is_listed(tmp_path: Path) -> None:
    model_directory(tmp_path)
    config = {**CONFIG, "auto_map": {"AutoModel": "org/other--modeling.Evil"}}
    (code,) = graph_of(write(tmp_path, {"config.json": json.dumps(config)})).nodes(CodeSurface)
    assert code.names == ("AutoModel: org/other--modeling.Evil",)


def test_without_a_time_there_is_a_gap_and_no_clock(tmp_path: Path) -> None:
    graph = graph_of(model_directory(tmp_path), epoch=None)
    assert graph.nodes(Release)[0].timestamp is None
    assert any((g.subject, g.field) == ("release:", "timestamp") for g in graph.gaps)


def test_loader_calls_with_line_and_pin() -> None:
    commit = "0a" * 20
    source = f"""
from datasets import load_dataset
import datasets, tensorflow_datasets as tfds, torchvision
load_dataset("a/b", revision="{commit}")
datasets.load_dataset("c", revision="main")
load_dataset(name)
hf_hub_download(repo_id="d/e", repo_type="dataset")
hf_hub_download(repo_id="d/model")
tfds.load("mnist")
torchvision.datasets.CIFAR10(root="x")
"""
    calls = {(c.line, c.name, c.pinned) for c in find_loader_calls(source.encode())}
    assert calls == {
        (4, "a/b", True),
        (5, "c", False),
        (6, None, False),
        (7, "d/e", False),
        (9, "mnist", False),
        (10, "CIFAR10", False),
    }


def test_a_computed_dataset_name_is_a_gap_with_its_line(tmp_path: Path) -> None:
    training_project(tmp_path)
    graph = graph_of(write(tmp_path, {"train.py": "x = 1\nload_dataset(x)\n"}))
    (gap,) = [g for g in graph.gaps if g.field == "name"]
    assert gap.origin.place == "train.py:2"


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT or apache-2.0", "MIT OR Apache-2.0"),
        ("openrail++", "LicenseRef-openrailpp"),
        ("llama3.1", "LicenseRef-llama3.1"),
        ("other", None),
        ("see LICENSE file", None),
    ],
)
def test_licence_names(text: str, expression: str | None) -> None:
    assert licence_expression(text) == expression


def test_front_matter() -> None:
    front, body = split_front_matter(CARD)
    assert front.startswith("language: en")
    assert body.startswith("# Tiny-Model")
    assert split_front_matter("# x\n---\ny\n---\n") == ("", "# x\n---\ny\n---\n")
