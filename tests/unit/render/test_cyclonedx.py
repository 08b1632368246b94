"""The BOM: valid by two referees, complete, honest about what is unknown, equal for equal evidence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.errors import InvalidBomError
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.store import load_graph
from mlbom.render.cyclonedx import CycloneDxRenderer, build_bom
from mlbom.render.schemas import schema_folder
from mlbom.render.validate import schema_problems, validate_bom
from tests.fixtures.projects import graph_of, inspected, model_directory, training_project, write


def bom_of(path: Path, spec: str = "1.7", **changes: object) -> dict[str, Any]:
    bom: dict[str, Any] = json.loads(CycloneDxRenderer(spec).render(graph_of(path, **changes)).data)
    return bom


def model_of(bom: dict[str, Any]) -> dict[str, Any]:
    component: dict[str, Any] = bom["components"][0]
    return component


@pytest.mark.parametrize("spec", ["1.7", "1.6"])
@pytest.mark.parametrize("make", [model_directory, training_project])
def test_the_librarys_strict_validator_agrees(tmp_path: Path, spec: str, make: Any) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    bom = bom_of(make(tmp_path), spec)
    validate_bom(bom)
    version = {"1.7": SchemaVersion.V1_7, "1.6": SchemaVersion.V1_6}[spec]
    assert JsonStrictValidator(version).validate_str(json.dumps(bom)) is None


def test_the_model_component(tmp_path: Path) -> None:
    bom = bom_of(model_directory(tmp_path))
    model = model_of(bom)
    assert model["type"] == "machine-learning-model"
    assert model["name"] == "Tiny-Model"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]
    assert model["pedigree"]["ancestors"][0]["purl"] == "pkg:huggingface/someone/the-base"
    files = {c["name"]: c["hashes"][0]["content"] for c in model["components"]}
    inspection = inspected(tmp_path)
    assert files == {path: d.sha256 for path, d in inspection.files.items()}
    card = model["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "data:org/pairs"}, {"ref": "data:snli"}]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0]["value"] == "0.5"
    assert {c["bom-ref"] for c in bom["components"] if c["type"] == "data"} == {
        "data:org/pairs",
        "data:snli",
    }
    properties = {p["name"]: p["value"] for p in model["properties"]}
    assert properties["mlbom:parameters"] == "10"
    assert properties["mlbom:dtype:F32"] == "10"
    assert properties["mlbom:digest:method"] == "dirHash1"


def test_a_single_file_model_carries_the_files_own_digest(tmp_path: Path) -> None:
    model = model_of(bom_of(training_project(tmp_path)))
    assert model["hashes"] == model["components"][0]["hashes"]
    assert not [p for p in model["properties"] if p["name"] == "mlbom:digest:method"]


def test_every_citation_points_at_a_value(tmp_path: Path) -> None:
    bom = bom_of(model_directory(tmp_path))
    notes = {pointer: c["note"] for c in bom["citations"] for pointer in c["pointers"]}
    assert notes["/components/0/licenses"] == "declared by cards, README.md license"
    assert notes["/components/0/modelCard/modelParameters/architectureFamily"] == (
        "declared by hub, config.json model_type"
    )


def test_without_a_time_there_are_no_citations_and_a_gap_says_so(tmp_path: Path) -> None:
    bom = bom_of(model_directory(tmp_path), epoch=None)
    assert "citations" not in bom
    assert "timestamp" not in bom["metadata"]
    assert any("release timestamp" in p["value"] for p in bom["metadata"]["properties"])
    validate_bom(bom)


def test_what_is_unknown_is_in_the_bom(tmp_path: Path) -> None:
    bom = bom_of(training_project(tmp_path))
    assert {"aggregate": "unknown", "dependencies": ["model:."]} in bom["compositions"]
    gaps = [p["value"] for p in bom["metadata"]["properties"]]
    assert any(g.startswith("doc:LICENSE licence:") for g in gaps)


def test_hostile_text_is_data(tmp_path: Path) -> None:
    hostile = "---\nlicense: mit\npipeline_tag: '{{ 7*7 }}<script>'\n---\n# <b>\x1b[31m{{x}}`|\n\nA b c {% raw %}"
    graph = graph_of(write(model_directory(tmp_path), {"README.md": hostile}))
    bom = build_bom(graph, "1.7")
    validate_bom(bom)
    assert model_of(bom)["name"] == "<b>{{x}}`|"
    assert model_of(bom)["modelCard"]["modelParameters"]["task"] == "{{ 7*7 }}<script>"


def test_the_serial_number_is_a_function_of_the_content(tmp_path: Path) -> None:
    model_directory(tmp_path)
    first, second = bom_of(tmp_path), bom_of(tmp_path)
    assert first == second
    write(tmp_path, {"config.json": "{}"})
    assert bom_of(tmp_path)["serialNumber"] != first["serialNumber"]


def test_the_evidence_alone_renders_the_same_bytes(tmp_path: Path) -> None:
    from mlbom.evidence.store import dump_graph
    from mlbom.render.registry import render_documents

    graph = graph_of(training_project(tmp_path))
    again = load_graph(json.loads(dump_graph(graph)))
    assert render_documents(again, "1.7") == render_documents(graph, "1.7")


def test_hash_seeds_do_not_show(tmp_path: Path) -> None:
    model_directory(tmp_path)
    code = (
        "import sys,hashlib; from pathlib import Path\n"
        "from tests.fixtures.projects import graph_of\n"
        "from mlbom.evidence.store import dump_graph\n"
        "from mlbom.render.registry import render_documents\n"
        "g = graph_of(Path(sys.argv[1]))\n"
        "print(hashlib.sha256(dump_graph(g)).hexdigest())\n"
        "for d in render_documents(g, '1.7'): print(hashlib.sha256(d.data).hexdigest())\n"
    )
    outputs = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env=environment, capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        outputs.add(done.stdout)
    assert len(outputs) == 1


# Each makes a valid BOM wrong in a way that the schema cannot see.
LINT: dict[str, Callable[[dict[str, Any]], None]] = {
    "dangling dataset": lambda b: model_of(b)["modelCard"]["modelParameters"]["datasets"].append(
        {"ref": "data:none"}
    ),
    "dangling dependsOn": lambda b: b["dependencies"][0].update(dependsOn=["none"]),
    "unknown dependency ref": lambda b: b["dependencies"].append({"ref": "none"}),
    "repeated dependency": lambda b: b["dependencies"].append({"ref": "model:."}),
    "self dependency": lambda b: b["dependencies"][0].update(
        dependsOn=[b["dependencies"][0]["ref"]]
    ),
    "repeated bom-ref": lambda b: b["components"].append(
        {"type": "library", "name": "x", "bom-ref": "model:."}
    ),
    "purl": lambda b: model_of(b).update(purl="hello"),
    "purl with a space": lambda b: model_of(b).update(purl="pkg:pypi/a b@1"),
    "huggingface purl without namespace": lambda b: model_of(b).update(purl="pkg:huggingface/x@1"),
    "licence expression": lambda b: model_of(b).update(
        licenses=[{"expression": "MIT AND nonsense"}]
    ),
    "short digest": lambda b: model_of(b).update(hashes=[{"alg": "SHA-256", "content": "0a" * 16}]),
    "modelCard on a library": lambda b: b["components"].append(
        {"type": "library", "name": "x", "modelCard": {}}
    ),
    "data on a model": lambda b: model_of(b).update(data=[{"type": "dataset"}]),
    "citation pointer": lambda b: b["citations"][0]["pointers"].append("/components/99"),
    "citation source": lambda b: b["citations"][0].update(attributedTo="none"),
    "composition": lambda b: b["compositions"][0].update(assemblies=["none"]),
}


@pytest.mark.parametrize("name", LINT)
def test_the_lint_sees_what_the_schema_does_not(tmp_path: Path, name: str) -> None:
    bom = bom_of(model_directory(tmp_path))
    LINT[name](bom)
    assert not list(schema_problems(bom))
    with pytest.raises(InvalidBomError):
        validate_bom(bom)


def test_the_schema_is_checked_with_formats(tmp_path: Path) -> None:
    bom = bom_of(model_directory(tmp_path))
    bom["components"][1]["externalReferences"] = [{"type": "vcs", "url": "git@host:x y"}]
    assert list(schema_problems(bom))
    assert list(schema_problems({"specVersion": "9"}))


def test_the_librarys_schema_folder_is_where_we_look() -> None:
    assert (schema_folder() / "bom-1.7.SNAPSHOT.schema.json").is_file()
    assert schema_folder().name == "_res"


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_the_specifications_own_files_get_the_right_verdict(
    shared_conformance: Path, version: str
) -> None:
    files = sorted((shared_conformance / "cyclonedx" / version).glob("*.json"))
    assert files
    for path in files:
        valid = not list(schema_problems(json.loads(path.read_bytes())))
        assert valid == path.name.startswith("valid"), path.name


def test_a_bom_is_canonical_json_able(tmp_path: Path) -> None:
    assert canonical_json(bom_of(training_project(tmp_path)))
