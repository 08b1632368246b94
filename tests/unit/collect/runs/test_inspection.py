"""What joined records add to the evidence: runs, environments, datasets, metrics, what is missing."""

from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.resource import Resource
from mlbom.collect.environment.recorded import observe_run_environment
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import (
    HUB_DATASET_URL,
    Accelerator,
    Dataset,
    Environment,
    Metric,
    Model,
    Package,
    Repository,
    Run,
    Runtime,
)
from mlbom.evidence.observation import GapKind
from mlbom.evidence.origin import Method
from mlbom.evidence.store import dump_graph
from tests.fixtures.environment import reasons, write_distribution, write_venv
from tests.fixtures.gitrepo import commit_all, make_repository
from tests.fixtures.projects import graph_of, inspected, training_project
from tests.fixtures.records import (
    environment_resource,
    file_resource,
    make_record,
    record_key,
    recorded_environment,
    recorded_project,
)


def weights_of(project: Path) -> bytes:
    return (project / "weights" / "final.safetensors").read_bytes()


def one_run(tmp_path: Path, kind: str = "train", **changes: Any) -> Graph:
    """Return the evidence of a project with one record of its weights."""
    project = training_project(tmp_path / "p")
    materials = changes.pop("materials", ())
    key = changes.pop("key", None)
    subjects = {"weights/final.safetensors": weights_of(project)}
    make_record(project / ".mlbom/runs/a", kind, subjects, materials, key=key, **changes)
    return graph_of(project)


def test_without_a_record_training_is_a_gap(tmp_path: Path) -> None:
    graph = graph_of(training_project(tmp_path / "p"))
    assert graph.nodes(Run) == ()
    (gap,) = [g for g in graph.gaps if g.field == "training"]
    assert (gap.kind, gap.subject) == (GapKind.ABSENT, graph.nodes(Model)[0].id)
    assert "not recorded" in gap.reason


def test_the_chain_of_a_project_is_told(tmp_path: Path) -> None:
    graph = graph_of(recorded_project(tmp_path / "p", record_key(tmp_path)))
    runs = {run.kind: run for run in graph.nodes(Run)}
    train = runs["train"]
    assert train.command == "python train.py --lr 0.1"
    assert train.after == (runs["data"].id,)
    assert runs["eval"].after == (train.id,)
    assert train.files == ("file:weights/final.safetensors",)
    assert {pair.text for pair in train.inputs} == {"build/tokens.bin", "train.py"}
    assert [pair.text for pair in runs["data"].inputs] == [""]
    assert (train.wall_s, train.cpu_s, train.max_nbytes) == (90.5, 80.0, 1000)
    # 3.6 MJ of the GPU and 1.8 MJ of the package, which the core is part of.
    assert train.energy_kwh == 1.5
    assert train.co2_g is None
    assert [(p.name, p.text) for p in train.seeds] == [("torch", "42")]
    assert reasons(graph, train.id) == ["not observed: one worker was not seen"]
    assert not [g for g in graph.gaps if g.field == "training"]


def test_emissions_need_a_configured_grid(tmp_path: Path) -> None:
    project = recorded_project(tmp_path / "p")
    graph = graph_of(project, grams_per_kwh=100.0)
    train = next(r for r in graph.nodes(Run) if r.kind == "train")
    assert train.co2_g == 150.0
    (origin,) = graph.witnesses(train, "co2_g")
    assert (origin.method, origin.key) == (Method.INFERRED, "grid-gco2-per-kwh")


@pytest.mark.parametrize("signed", [True, False])
def test_only_a_signed_record_counts_as_measured(tmp_path: Path, signed: bool) -> None:
    graph = one_run(tmp_path, key=record_key(tmp_path) if signed else None)
    (run,) = graph.nodes(Run)
    (origin,) = graph.witnesses(run, "command")
    assert origin.method is (Method.MEASURED if signed else Method.DECLARED)
    name = "record.sigstore.json" if signed else "record.intoto.json"
    assert origin.path == f".mlbom/runs/a/{name}"
    assert bool(reasons(graph, run.id, "signers")) is not signed


def test_the_evidence_does_not_depend_on_where_the_project_lies(tmp_path: Path) -> None:
    key = record_key(tmp_path)
    graphs = [graph_of(recorded_project(tmp_path / where, key)) for where in ("a", "b/c/deeper")]
    assert dump_graph(graphs[0]) == dump_graph(graphs[1])
    assert str(tmp_path) not in dump_graph(graphs[0]).decode()


def test_records_and_gaps_of_the_unrelated_are_absent_not_incomplete(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    runs = project / ".mlbom" / "runs"
    make_record(runs / "a", "train", {"w.pt": b"others"}, name="other")
    make_record(runs / "b", "train", {"w.pt": weights_of(project)}, name="broke", exit_code=3)
    graph = graph_of(project)
    told = [g for g in graph.gaps if g.field == "record"]
    assert {g.kind for g in told} == {GapKind.ABSENT}
    assert any("'other'" in g.reason and "unrelated" in g.reason for g in told)
    assert any("'broke'" in g.reason and "ended with 3" in g.reason for g in told)
    assert graph.nodes(Run) == ()
    assert [g for g in graph.gaps if g.field == "training"]


def test_a_flood_of_unrelated_records_is_told_as_a_number(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    for number in range(25):
        make_record(project / f".mlbom/runs/{number}", "train", {"w.pt": b"x%d" % number})
    told = [g for g in graph_of(project).gaps if g.field == "record"]
    assert len(told) == 21
    assert any("5 further records" in g.reason for g in told)


def test_a_malformed_record_makes_the_inspection_incomplete(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    (project / ".mlbom/runs/a").mkdir(parents=True)
    (project / ".mlbom/runs/a/record.sigstore.json").write_bytes(b"{")
    (gap,) = [g for g in graph_of(project).gaps if g.kind is GapKind.UNREADABLE]
    assert gap.subject == "record:.mlbom/runs/a/record.sigstore.json"


def test_the_environment_of_training_takes_the_place_of_the_one_in_the_project(
    tmp_path: Path,
) -> None:
    project = recorded_project(tmp_path / "p")
    site = write_venv(project / ".venv")
    write_distribution(site, "flask", "3.0")
    graph = graph_of(project)
    roles = {e.id: e for e in graph.nodes(Environment)}
    assert set(roles) == {"env:train", "env:eval", "env:data"}
    assert graph.node(Package, "pkg:pypi/flask@3.0") is None
    numpy = graph.node(Package, "pkg:pypi/numpy@1.26.0")
    assert numpy is not None
    assert numpy.environments == ("env:data", "env:train")
    torch = {r.id: r.version for r in graph.nodes(Runtime) if r.name == "torch"}
    assert torch == {"runtime:torch": "2.3.0", "runtime:torch@eval": "2.2.0"}
    assert {a.id for a in graph.nodes(Accelerator)} == {
        "accelerator:Big GPU",
        "accelerator:Big GPU@data",
        "accelerator:Big GPU@eval",
    }
    assert not [g for g in graph.gaps if "contradict" in g.reason]


def test_an_environment_that_the_user_names_stands_beside_that_of_training(tmp_path: Path) -> None:
    project = recorded_project(tmp_path / "p")
    write_distribution(write_venv(tmp_path / "venv"), "flask", "3.0")
    graph = graph_of(project, python=tmp_path / "venv")
    roles = {e.role for e in graph.nodes(Environment)}
    assert roles == {"train", "eval", "data", "release"}
    flask = graph.node(Package, "pkg:pypi/flask@3.0")
    assert flask is not None
    assert flask.environments == ("env:release",)


def test_without_a_recorded_environment_the_project_is_inspected(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    write_distribution(write_venv(project / ".venv"), "flask", "3.0")
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": weights_of(project)})
    graph = graph_of(project)
    assert [e.id for e in graph.nodes(Environment)] == ["env:release"]
    (run,) = graph.nodes(Run)
    assert "no evidence of its environment" in reasons(graph, run.id, "environment")[0]


def test_a_step_in_the_environment_of_training_shares_it(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    for number, kind in enumerate(("eval", "train", "other")):
        make_record(
            project / f".mlbom/runs/{kind}",
            kind,
            {"w.pt": weights_of(project)},
            started=number,
            finished=number,
            byproducts=(recorded_environment(kind, {"torch": "2.3.0"}),),
        )
    graph = graph_of(project)
    assert [e.id for e in graph.nodes(Environment)] == ["env:train"]
    assert {r.environment for r in graph.nodes(Run)} == {"env:train"}


def test_trainings_in_different_environments_are_told_apart(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    for number, version in enumerate(("2.3.0", "2.4.0", "2.3.0")):
        make_record(
            project / f".mlbom/runs/{number}",
            "train",
            {"w.pt": weights_of(project)},
            name=f"train-{number}",
            started=1_700_000_000 + number,
            finished=1_700_000_100,
            byproducts=(recorded_environment("train", {"torch": version}),),
        )
    graph = graph_of(project)
    ids = [e.id for e in graph.nodes(Environment)]
    assert ids[0] == "env:train"
    assert len(ids) == 2
    by_name = {r.name: r.environment for r in graph.nodes(Run)}
    assert by_name["train-0"] == by_name["train-2"] == "env:train"
    assert by_name["train-1"] == ids[1]
    assert ids[1].startswith("env:train:")
    assert not [g for g in graph.gaps if "contradict" in g.reason]


def test_the_environment_read_after_a_step_goes_through_a_record_unchanged(tmp_path: Path) -> None:
    site = write_venv(tmp_path / "home" / "venv")
    write_distribution(site, "numpy", "1.26", headers=["License-Expression: BSD-3-Clause"])
    told = observe_run_environment(tmp_path / "home" / "venv", "train", tmp_path / "work")
    assert str(tmp_path) not in dump_graph(told).decode()
    graph = one_run(tmp_path, key=record_key(tmp_path), byproducts=(environment_resource(told),))
    (environment,) = graph.nodes(Environment)
    (package,) = graph.nodes(Package)
    assert environment == told.nodes(Environment)[0]
    assert package == told.nodes(Package)[0]
    origin = graph.witnesses(package, "licence")[0]
    assert origin.path == ".mlbom/runs/a/record.sigstore.json"
    assert "METADATA" in origin.key


def test_an_environment_inside_the_project_is_named_relative_to_it(tmp_path: Path) -> None:
    write_venv(tmp_path / ".venv")
    (environment,) = observe_run_environment(tmp_path / ".venv", "eval", tmp_path).nodes(
        Environment
    )
    assert (environment.id, environment.role, environment.found_by) == ("env:eval", "eval", ".venv")


def test_an_environment_that_is_gone_is_a_gap_of_the_graph(tmp_path: Path) -> None:
    graph = observe_run_environment(tmp_path / "gone", "train", tmp_path)
    assert "no site-packages belong to it" in reasons(graph, "env:train")


def test_data_read_in_training_is_joined_to_its_dataset(tmp_path: Path) -> None:
    graph = graph_of(recorded_project(tmp_path / "p"))
    runs = {run.kind: run.id for run in graph.nodes(Run)}
    corpus = graph.node(Dataset, "data:corpus")
    assert corpus is not None
    assert set(corpus.read_by) == {runs["data"], runs["eval"]}


def test_what_came_from_a_hub_at_a_commit_is_a_pinned_dataset_and_a_base_model(
    tmp_path: Path,
) -> None:
    commit = "b" * 40
    graph = one_run(
        tmp_path,
        materials=(
            Resource(
                uri=f"{HUB_DATASET_URL}org/pairs/tree/{commit}", digests={"gitCommit": commit}
            ),
            Resource(uri=f"{HUB_DATASET_URL}org/loose"),
            Resource(uri=f"pkg:huggingface/org/base@{commit}", digests={"gitCommit": commit}),
        ),
    )
    (run,) = graph.nodes(Run)
    pairs = graph.node(Dataset, "data:org/pairs")
    assert pairs is not None
    assert (pairs.revision, pairs.read_by) == (commit, (run.id,))
    model = graph.nodes(Model)[0]
    assert model.base_models == ("org/base",)
    assert [(p.name, p.text) for p in model.base_pins] == [("org/base", commit)]
    assert "data:org/pairs" in model.datasets
    assert reasons(graph, "data:org/loose", "version")


def test_what_an_evaluation_loads_from_a_hub_is_no_ancestor(tmp_path: Path) -> None:
    graph = one_run(
        tmp_path, "eval", materials=(Resource(uri=f"pkg:huggingface/org/judge@{'b' * 40}"),)
    )
    assert graph.nodes(Model)[0].base_models == ()


def test_metrics_carry_the_one_dataset_that_an_evaluation_read(tmp_path: Path) -> None:
    graph = graph_of(recorded_project(tmp_path / "p"))
    metrics = {m.name: m for m in graph.nodes(Metric)}
    assert (metrics["accuracy"].value, metrics["accuracy"].dataset) == (0.9, "corpus")
    assert (metrics["loss"].value, metrics["loss"].dataset) == (0.5, None)
    (origin,) = graph.witnesses(metrics["loss"], "value")
    assert origin.key == "stdout.log step 10"


def test_the_last_value_of_a_metric_is_its_value(tmp_path: Path) -> None:
    graph = one_run(
        tmp_path,
        metrics=(
            {"name": "loss", "value": 2.0, "step": 1},
            {"name": "loss", "value": 1.0, "step": 2},
            {"name": "flag", "value": True},
            {"value": 1.0},
        ),
    )
    assert [(m.name, m.value) for m in graph.nodes(Metric)] == [("loss", 1.0)]
    assert any("the value of flag is no number" in g.reason for g in graph.gaps)


def test_weights_that_no_record_wrote_are_named(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    (project / "weights/extra.safetensors").write_bytes(weights_of(project)[:-12] + b"other bytes!")
    names = ("weights/final.safetensors", "weights/extra.safetensors")
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": weights_of(project)})
    graph = graph_of(project, weights=names)
    (gap,) = [g for g in graph.gaps if g.field == "training"]
    assert gap.subject.endswith("extra.safetensors")


def recorded_repository(tmp_path: Path, **notes: object) -> Graph:
    project = training_project(tmp_path / "p")
    (project / ".gitignore").write_text(".mlbom\n")
    make_repository(project, {})
    commit = commit_all(project)
    source = Resource(name="source", digests={"gitCommit": commit}, annotations=notes)
    make_record(
        project / ".mlbom/runs/a",
        "train",
        {"w.pt": weights_of(project)},
        [source, file_resource("train.py", b"code")],
    )
    return graph_of(project)


def test_a_clean_source_leaves_the_repository_clean(tmp_path: Path) -> None:
    graph = recorded_repository(tmp_path)
    assert graph.nodes(Repository)[0].dirty is False
    assert not [g for g in graph.gaps if g.field in ("dirty", "commit")]


@pytest.mark.parametrize("notes", [{"mlbom_dirty": True}, {"mlbom_untrackedModules": 2}])
def test_a_run_of_changed_or_untracked_sources_makes_the_release_dirty(
    tmp_path: Path, notes: dict[str, object]
) -> None:
    graph = recorded_repository(tmp_path, **notes)
    assert graph.nodes(Repository)[0].dirty is True
    assert reasons(graph, "git:", "dirty") == ["train ran sources that were not as in their commit"]


def test_an_untracked_data_file_that_a_run_read_makes_the_release_dirty(tmp_path: Path) -> None:
    project = recorded_project(tmp_path / "p")
    make_repository(project, {})
    graph = graph_of(project)
    assert graph.nodes(Repository)[0].dirty is True
    assert "prep read data files that git does not track: 1" in reasons(graph, "git:", "dirty")


def test_a_training_at_another_commit_is_told(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    source = Resource(name="source", digests={"gitCommit": "d" * 40})
    make_record(project / ".mlbom/runs/a", "train", {"w.pt": weights_of(project)}, [source])
    make_repository(project, {})
    graph = graph_of(project)
    (run,) = graph.nodes(Run)
    assert "dddddddddddd" in reasons(graph, run.id, "commit")[0]


def test_records_are_taken_from_anywhere(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    path = make_record(tmp_path / "stick", "train", {"w.pt": weights_of(project)})
    inspection = inspected(project, runs=(path,))
    assert inspection.runs is not None
    assert [r.claim.name for r in inspection.runs.records] == ["train"]
