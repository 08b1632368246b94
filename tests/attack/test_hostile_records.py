"""Records made to mislead: what they carry must not speak for the model, the host or a person."""

import base64
import json
import os
from pathlib import Path

import pytest

from mlbom.attest.resource import Resource
from mlbom.errors import MalformedError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Environment, Model, Node, Package, Run, Runtime
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method, Origin, Visibility
from mlbom.evidence.store import dump_graph
from mlbom.pipeline.generate import GenerateRequest, generate
from mlbom.render.cyclonedx import build_bom
from mlbom.render.registry import render_documents
from mlbom.render.validate import validate_bom
from tests.fixtures.projects import graph_of, plan_for, training_project
from tests.fixtures.records import (
    environment_resource,
    make_record,
    record_key,
    record_statement,
    recorded_project,
    run_claim,
    sha256_of,
    write_payload,
)

WEIGHTS = "weights/final.safetensors"


def claimed(*nodes: Node, method: Method = Method.MEASURED, private: bool = False) -> Graph:
    origin = Origin(collector="packages", method=method, path="/home/someone/x")
    visibility = Visibility.PRIVATE if private else Visibility.PUBLIC
    return Graph.of(Observation(node=n, origin=origin, visibility=visibility) for n in nodes)


def with_environment(tmp_path: Path, *resources: Resource, sign: bool = True) -> Graph:
    project = training_project(tmp_path / "p")
    key = record_key(tmp_path / "keys") if sign else None
    subjects = {WEIGHTS: (project / WEIGHTS).read_bytes()}
    make_record(project / ".mlbom/runs/a", "train", subjects, key=key, byproducts=resources)
    return graph_of(project)


ENVIRONMENT = Environment(id="env:train", role="train", python_version="3.11")


@pytest.mark.parametrize(
    "node",
    [
        Model(id="model:weights", licence="MIT", name="Other"),
        Run(id="run:0000000000000000", name="forged"),
        Environment(id="env:release", role="release", python_version="3.11"),
        Environment(id="env:eval", role="eval", python_version="3.11"),
        Package(id="pkg:pypi/../../x", name="x"),
        Package(id="hello", name="x"),
        Package(id="pkg:pypi/x@1", name="x\x1b[31m"),
        Package(id="pkg:pypi/x@1", name="x", depends_on=("pkg:pypi/a b",)),
        Package(id="pkg:pypi/x@1", name="x", licence="no licence ((("),
        Runtime(id="runtime:a\nb", name="x"),
        Runtime(id="release:", name="x"),
    ],
    ids=lambda node: f"{type(node).__name__} {node.id!r}",
)
def test_an_environment_that_speaks_of_something_else_is_not_taken_in(
    tmp_path: Path, node: Node
) -> None:
    graph = with_environment(tmp_path, environment_resource(claimed(ENVIRONMENT, node)))
    (gap,) = [g for g in graph.gaps if g.kind is GapKind.UNREADABLE]
    assert "out of place" in gap.reason
    assert not graph.nodes(Package)
    assert not [e for e in graph.nodes(Environment) if e.id == "env:train"]
    assert graph.nodes(Model)[0].licence == "MIT"  # of the project, not of the record
    assert len(graph.nodes(Run)) == 1
    validate_bom(build_bom(graph, "1.7"))


def test_a_record_cannot_claim_that_a_person_decided(tmp_path: Path) -> None:
    package = Package(id="pkg:pypi/x@1", name="x", version="1", licence="MIT")
    told = claimed(ENVIRONMENT, package, method=Method.HUMAN)
    graph = with_environment(tmp_path, environment_resource(told))
    (found,) = graph.nodes(Package)
    assert graph.witnesses(found, "licence")[0].method is Method.DECLARED


def test_an_unsigned_record_measures_nothing(tmp_path: Path) -> None:
    graph = with_environment(tmp_path, environment_resource(claimed(ENVIRONMENT)), sign=False)
    (found,) = graph.nodes(Environment)
    assert graph.witnesses(found, "python_version")[0].method is Method.DECLARED


def test_private_facts_of_a_record_stay_out(tmp_path: Path) -> None:
    secret = Package(id="pkg:pypi/internal@1", name="internal")
    origin = Origin(collector="packages", method=Method.MEASURED)
    gap = Gap(
        subject="pkg:pypi/internal@1",
        kind=GapKind.ABSENT,
        reason="internal",
        origin=origin,
        visibility=Visibility.PRIVATE,
    )
    both = claimed(ENVIRONMENT).merge(claimed(secret, private=True)).merge(Graph.of([gap]))
    graph = with_environment(tmp_path, environment_resource(both))
    assert not graph.nodes(Package)
    assert b"internal" not in dump_graph(graph)


def test_texts_of_a_recorded_environment_pass_the_guard(tmp_path: Path) -> None:
    token = "hf_" + "a" * 34
    package = Package(
        id="pkg:pypi/x@1", name="x", summary=f"{token} \x1b[31mred /home/ada/x", version="1"
    )
    graph = with_environment(tmp_path, environment_resource(claimed(ENVIRONMENT, package)))
    for document in (dump_graph(graph), *(d.data for d in render_documents(graph, "1.7"))):
        assert token.encode() not in document
        assert b"\x1b" not in document
        assert b"/home/ada" not in document
        assert b"/home/someone" not in document


def test_an_environment_with_another_digest_than_stated_is_refused(tmp_path: Path) -> None:
    good = environment_resource(claimed(ENVIRONMENT))
    swapped = Resource(name=good.name, digests=good.digests, content=dump_graph(Graph()))
    graph = with_environment(tmp_path, swapped)
    assert graph.nodes(Run) == ()
    assert any("another digest" in g.reason for g in graph.gaps)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema":"urn:mlbom:evidence:9"}', b"\xff"])
def test_an_environment_that_is_no_evidence_is_a_gap(tmp_path: Path, content: bytes) -> None:
    resource = Resource(
        name="environment.json", digests={"sha256": sha256_of(content)}, content=content
    )
    graph = with_environment(tmp_path, resource)
    assert [g.subject for g in graph.gaps if g.kind is GapKind.UNREADABLE] == [
        graph.nodes(Run)[0].id
    ]


def test_a_record_that_repeats_a_key_is_not_read(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    subjects = {WEIGHTS: (project / WEIGHTS).read_bytes()}
    payload = record_statement(subjects, {}, run_claim()).payload()
    doubled = payload.replace(b'"exitCode":0', b'"exitCode":1,"exitCode":0')
    assert doubled != payload
    write_payload(project / ".mlbom/runs/a", doubled, record_key(tmp_path / "keys"))
    graph = graph_of(project)
    assert graph.nodes(Run) == ()
    assert any("appears twice" in g.reason for g in graph.gaps)


def test_a_failed_run_that_says_so_in_its_signal_only_is_failed(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    subjects = {WEIGHTS: (project / WEIGHTS).read_bytes()}
    make_record(project / ".mlbom/runs/a", "train", subjects, exit_code=None, signal=9)
    assert graph_of(project).nodes(Run) == ()


def test_a_record_is_no_link_pipe_or_folder(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    subjects = {WEIGHTS: (project / WEIGHTS).read_bytes()}
    outside = make_record(tmp_path / "outside", "train", subjects)
    runs = project / ".mlbom" / "runs"
    for name in ("a", "b", "c"):
        (runs / name).mkdir(parents=True)
    (runs / "a" / "record.intoto.json").symlink_to(outside)
    os.mkfifo(runs / "b" / "record.sigstore.json")
    (runs / "c" / "record.sigstore.json").mkdir()
    graph = graph_of(project)
    assert graph.nodes(Run) == ()
    assert {g.subject for g in graph.gaps if g.kind is GapKind.UNREADABLE} == {
        "record:.mlbom/runs/a/record.intoto.json",
        "record:.mlbom/runs/b/record.sigstore.json",
    }


def test_names_of_inputs_with_control_characters_reach_no_output(tmp_path: Path) -> None:
    project = training_project(tmp_path / "p")
    subjects = {WEIGHTS: (project / WEIGHTS).read_bytes()}
    evil = "a\x1b[2J\u202eb"
    materials = [Resource(name=evil, digests={"sha256": "1" * 64})]
    make_record(project / ".mlbom/runs/a", "train", subjects, materials, name=evil)
    graph = graph_of(project)
    for document in render_documents(graph, "1.7"):
        text = document.data.decode()
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert json.loads(render_documents(graph, "1.7")[0].data)


def test_a_record_that_claims_our_own_key_is_checked(tmp_path: Path) -> None:
    """Nothing of it reaches card or BOM: the previous output stays as it was."""
    key = record_key(tmp_path / "keys")
    project = recorded_project(tmp_path / "p", key)
    request = GenerateRequest(plan=plan_for(project))
    assert generate(request, key).bundles
    (record,) = project.glob(".mlbom/runs/*train*/record.sigstore.json")
    document = json.loads(record.read_bytes())
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    forged = payload.replace(b'"exitCode":0', b'"exitCode": 0')
    assert forged != payload
    document["dsseEnvelope"]["payload"] = base64.b64encode(forged).decode()
    record.write_text(json.dumps(document))
    with pytest.raises(MalformedError, match="its signature does not fit"):
        generate(request, key)
