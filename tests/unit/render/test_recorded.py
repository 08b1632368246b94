"""Recorded runs in BOM, card, report and summary: valid by the referees, complete, and quiet."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.resource import Resource
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import HUB_DATASET_URL, Run
from mlbom.render.card import CardRenderer
from mlbom.render.cyclonedx import build_bom
from mlbom.render.lint import lint_bom
from mlbom.render.report import ReportRenderer
from mlbom.render.summary import render_summary
from mlbom.render.validate import validate_bom
from tests.fixtures.projects import graph_of, training_project
from tests.fixtures.records import (
    make_record,
    record_key,
    recorded_environment,
    recorded_project,
)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return graph_of(recorded_project(tmp_path / "p", record_key(tmp_path)), grams_per_kwh=100.0)


def card_of(graph: Graph) -> str:
    return CardRenderer("1.7").render(graph).data.decode()


def report_of(graph: Graph) -> str:
    return ReportRenderer("1.7").render(graph).data.decode()


@pytest.mark.parametrize("spec", ["1.7", "1.6"])
def test_the_librarys_strict_validator_agrees(graph: Graph, spec: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    bom = build_bom(graph, spec)
    validate_bom(bom)
    version = {"1.7": SchemaVersion.V1_7, "1.6": SchemaVersion.V1_6}[spec]
    assert JsonStrictValidator(version).validate_str(json.dumps(bom)) is None


def tasks_of(bom: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["name"]: task for task in bom["formulation"][0]["workflows"][0]["tasks"]}


def refs(items: list[dict[str, Any]]) -> set[str]:
    return {item["resource"]["ref"] for item in items if "resource" in item}


def test_the_formulation_tells_the_steps_in_order_and_their_files_by_digest(graph: Graph) -> None:
    bom = build_bom(graph, "1.7")
    tasks = tasks_of(bom)
    assert list(tasks) == ["prep", "train", "eval"]
    assert tasks["train"]["taskTypes"] == ["build"]
    assert tasks["train"]["steps"][0]["commands"] == [{"executed": "python train.py --lr 0.1"}]
    assert tasks["train"]["timeStart"] == "2023-11-14T22:13:20Z"
    assert refs(tasks["train"]["outputs"]) == {"file:weights/final.safetensors"}
    assert "file:weights/final.safetensors" in refs(tasks["eval"]["inputs"])
    assert "data:corpus" in refs(tasks["prep"]["inputs"])
    # What one step wrote and the next one read is one component.
    assert refs(tasks["prep"]["outputs"]) <= refs(tasks["train"]["inputs"])
    depends = bom["formulation"][0]["workflows"][0]["taskDependencies"]
    edges = {d["ref"]: d.get("dependsOn", []) for d in depends}
    assert edges[tasks["train"]["bom-ref"]] == [tasks["prep"]["bom-ref"]]


def test_a_private_input_appears_by_its_digest_only(graph: Graph) -> None:
    components = build_bom(graph, "1.7")["formulation"][0]["components"]
    names = {c["name"] for c in components if c["type"] == "file"}
    assert names >= {"build/tokens.bin", "train.py"}
    assert "a.csv" not in json.dumps(components)
    assert sum(name.startswith("sha256:") for name in names) == 1


def test_seeds_and_flags_are_parameters_and_properties(graph: Graph) -> None:
    task = tasks_of(build_bom(graph, "1.7"))["train"]
    parameters = next(i["parameters"] for i in task["inputs"] if "parameters" in i)
    assert {"name": "seed:torch", "value": "42"} in parameters
    properties = {p["name"]: p["value"] for p in task["properties"]}
    assert properties["mlbom:run:seed:torch"] == "42"
    assert properties["mlbom:run:determinism:cudnn.deterministic"] == "True"
    assert properties["mlbom:run:accelerator:Big GPU"] == "1"


def test_the_libraries_are_those_of_training_and_the_others_are_in_the_formulation(
    graph: Graph,
) -> None:
    bom = build_bom(graph, "1.7")
    purls = {c["purl"] for c in bom["components"] if c["type"] in ("library", "framework")}
    assert purls == {"pkg:pypi/torch@2.3.0", "pkg:pypi/numpy@1.26.0"}
    others = {c["bom-ref"]: c for c in bom["formulation"][0]["components"]}
    nested = {c.get("purl") for c in others["env:eval"]["components"]}
    assert "pkg:pypi/torch@2.2.0" in nested
    shared = [p for p in others["env:data"]["properties"] if p["name"].endswith(":package")]
    assert [p["value"] for p in shared] == ["pkg:pypi/numpy@1.26.0"]
    needed = {d["ref"]: d.get("dependsOn", []) for d in bom["dependencies"]}
    assert "pkg:pypi/torch@2.2.0" in needed
    assert "pkg:pypi/torch@2.2.0" not in needed["system:"]


def test_measured_metrics_and_energy_are_in_the_model_card_of_the_bom(graph: Graph) -> None:
    card = build_bom(graph, "1.7")["components"][0]["modelCard"]
    metrics = {m["type"]: m for m in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert (metrics["accuracy"]["value"], metrics["accuracy"]["slice"]) == ("0.9", "corpus")
    assert metrics["loss"]["slice"] == "recorded step train"
    (energy,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    assert energy["activity"] == "training"
    assert energy["activityEnergyCost"] == {"value": 1.5, "unit": "kWh"}
    # 150 grams are 0.00015 tonnes.
    assert energy["co2CostEquivalent"] == {"value": 0.00015, "unit": "tCO2eq"}


def test_without_a_grid_factor_nothing_tells_emissions(tmp_path: Path) -> None:
    graph = graph_of(recorded_project(tmp_path / "p"))
    bom = build_bom(graph, "1.7")
    assert "co2CostEquivalent" not in json.dumps(bom)
    assert "co2_eq_emissions" not in card_of(graph)


def test_a_base_model_of_a_run_has_a_purl_at_its_commit(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    weights = (project / "weights/final.safetensors").read_bytes()
    commit = "b" * 40
    materials = [
        Resource(uri=f"pkg:huggingface/org/base@{commit}"),
        Resource(uri=f"{HUB_DATASET_URL}org/pairs/tree/{commit}"),
    ]
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": weights}, materials)
    bom = build_bom(graph_of(project), "1.7")
    validate_bom(bom)
    (base,) = bom["components"][0]["pedigree"]["ancestors"]
    assert base["purl"] == f"pkg:huggingface/org/base@{commit}"
    pairs = next(c for c in bom["components"] if c["bom-ref"] == "data:org/pairs")
    assert pairs["version"] == commit
    assert {"name": "mlbom:dataset:pinned", "value": "true"} in pairs["properties"]


def test_the_card_tells_how_to_run_it_again(graph: Graph) -> None:
    card = card_of(graph)
    training = card.partition("## Training\n")[2].partition("\n## ")[0]
    assert "not recorded" not in training
    assert "python train.py --lr 0.1" in training
    assert "| train | seed of torch | 42 |" in training
    assert "name not published" in training
    assert "a.csv" not in card
    assert "co2_eq_emissions:\n  emissions: 150.0" in card
    assert "hardware_used: 1 x Big GPU" in card


def test_only_results_of_evaluations_are_results_on_the_hub(graph: Graph) -> None:
    front = card_of(graph).split("---")[1]
    assert "accuracy" in front
    assert "loss" not in front


def test_a_dataset_that_was_only_evaluated_is_no_training_data_on_the_hub(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    (project / "train.py").write_text("pass\n")
    weights = (project / "weights/final.safetensors").read_bytes()
    materials = [Resource(uri=f"{HUB_DATASET_URL}org/bench/tree/{'b' * 40}")]
    make_record(project / ".mlbom/runs/a", "eval", {"w.pt": weights}, materials)
    front = card_of(graph_of(project)).split("---")[1]
    assert "org/bench" not in front


def test_a_command_cannot_break_out_of_card_or_report(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    weights = (project / "weights/final.safetensors").read_bytes()
    evil = "</code><script>alert(1)</script>|\n```\n# heading\x1b[31m"
    make_record(
        project / ".mlbom/runs/a",
        "train",
        {"w.pt": weights},
        [Resource(name=evil, digests={"sha256": "1" * 64})],
        name=evil,
        command=("python", evil),
        parameters={"seeds": {evil: evil}},
        unseen=(evil,),
        metrics=({"name": evil, "value": 1.0},),
    )
    graph = graph_of(project)
    validate_bom(build_bom(graph, "1.7"))
    report, card = report_of(graph), card_of(graph)
    assert "<script>" not in report
    body = card.split("---", 2)[2]
    assert "<script>" not in body
    assert "\n# heading" not in body
    assert "\n```\n#" not in body
    assert "\x1b" not in report + card


def test_the_report_shows_the_chain(graph: Graph) -> None:
    report = report_of(graph)
    section = report.partition('id="made"')[2].partition("</section>")[0]
    steps = re.findall(r"<h3>(\w+)", section)
    assert steps == ["prep", "train", "eval"]
    assert "not observed: one worker was not seen" in section
    train = next(r for r in graph.nodes(Run) if r.kind == "train")
    assert f"key {train.signers[0][:16]}" in section
    assert "evaluated" in section


def test_the_report_names_what_is_no_part_of_the_chain(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": b"others"}, name="lonely")
    report = report_of(graph_of(project))
    section = report.partition('id="made"')[2].partition("</section>")[0]
    assert "lonely" in section
    assert "Training: not recorded" in section


def test_the_summary_counts_the_runs(graph: Graph) -> None:
    told = json.loads(render_summary(graph, []).data)
    assert told["counts"]["runs"] == {"data": 1, "eval": 1, "train": 1}
    assert told["counts"]["packages"] == 2


def test_several_trainings_and_environments_stay_valid(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    weights = (project / "weights/final.safetensors").read_bytes()
    for number, version in enumerate(("1.0", "2.0", "3.0")):
        make_record(
            project / f".mlbom/runs/{number}",
            "train",
            {"w.pt": weights},
            name="train",
            started=number,
            finished=number,
            byproducts=(recorded_environment("train", {"torch": version, "same": "1"}),),
        )
    validate_bom(build_bom(graph_of(project), "1.7"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda f: f["workflows"][0]["tasks"][0].update({"bom-ref": "run:x"}),
            "names no component",
        ),
        (
            lambda f: f["workflows"][0]["tasks"][1]["inputs"].append({"resource": {"ref": "gone"}}),
            "'gone', no component",
        ),
        (lambda f: f["components"].append(dict(f["components"][-1])), "stands 2 times"),
        (
            lambda f: f["workflows"][0]["taskDependencies"].append({"ref": "nobody"}),
            "'nobody' names no component",
        ),
        (lambda f: f["components"][-1].update({"purl": "hello"}), "no package URL"),
    ],
)
def test_the_lint_looks_into_the_formulation(graph: Graph, change: Any, told: str) -> None:
    bom = copy.deepcopy(build_bom(graph, "1.7"))
    assert list(lint_bom(bom)) == []
    change(bom["formulation"][0])
    assert any(told in problem for problem in lint_bom(bom))
