"""Whether an environment is the recorded one, and which variables hold it still."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import ENVIRONMENT_NAME, RunClaim, parse_run
from mlbom.attest.statement import parse_statement
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Environment
from mlbom.evidence.observation import Observation
from mlbom.evidence.origin import Method, Origin
from mlbom.evidence.store import dump_graph
from mlbom.formats.strict_json import parse_json
from mlbom.record.steps.values import SourceEvent, StepTrace
from mlbom.reproduce.surroundings.environment import (
    ABSENT,
    is_other_isa,
    mismatches,
    set_by_program,
    untold,
)
from mlbom.reproduce.surroundings.pins import PINS, default_pins, recorded_variables
from mlbom.reproduce.values import Mismatch
from tests.fixtures.records import run_claim

EXAMPLE = Path(__file__).parents[4] / "examples" / "char-lm"
FLAGS = {
    "OMP_NUM_THREADS": "1",
    "torch.cpu_capability": "AVX512",
    "torch.cudnn.benchmark": "False",
    "torch.deterministic_algorithms": "False -> True",
    "torch.num_threads": "1",
}
PACKAGES = {"torch": "2.13.0%2Bcpu", "numpy": "2.4.6", "pip": "23.2.1", "typing-extensions": "4.1"}


def claim(
    flags: Mapping[str, str | None] | None = None,
    packages: Mapping[str, str] | None = None,
    environment: tuple[str, str] | None = ("3.11.7", "linux_x86_64"),
    **parameters: Any,
) -> RunClaim:
    """Return what a run claims of its environment; `flags` change or (None) drop single ones."""
    told = {name: value for name, value in {**FLAGS, **(flags or {})}.items() if value is not None}
    materials = tuple(
        Resource(name=name, uri=f"pkg:pypi/{name}@{version}", digests={})
        for name, version in (PACKAGES if packages is None else packages).items()
    )
    return replace(
        run_claim("train"),
        materials=materials,
        byproducts=_evidence(*environment) if environment else (),
        parameters={"determinism": told, "libraries": {"torch": "2.13.0+cpu"}, **parameters},
    )


def _evidence(python: str, platform: str) -> tuple[Resource, ...]:
    node = Environment(id="env:train", python_version=python, platform=platform)
    origin = Origin(collector="runtime", method=Method.MEASURED)
    data = dump_graph(Graph.of([Observation(node=node, origin=origin)]))
    return (Resource(name=ENVIRONMENT_NAME, content=data),)


def test_an_environment_is_itself() -> None:
    assert mismatches(claim(), claim()) == ()
    assert not is_other_isa(claim(), claim())
    assert untold(claim(), claim()) == ()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            claim(packages={**PACKAGES, "numpy": "2.4.7"}),
            Mismatch(name="numpy", recorded="2.4.6", found="2.4.7"),
        ),
        (
            claim(packages={n: v for n, v in PACKAGES.items() if n != "numpy"}),
            Mismatch(name="numpy", recorded="2.4.6", found=ABSENT),
        ),
        (
            claim(packages={**PACKAGES, "torch": "2.13.0%2Bcu130"}),
            Mismatch(name="torch", recorded="2.13.0+cpu", found="2.13.0+cu130"),
        ),
        (
            claim(environment=("3.12.1", "linux_x86_64")),
            Mismatch(name="Python", recorded="3.11.7", found="3.12.1"),
        ),
        (
            claim({"OMP_NUM_THREADS": "2", "torch.num_threads": "2"}),
            Mismatch(name="OMP_NUM_THREADS", recorded="1", found="2"),
        ),
        (
            claim({"MKL_CBWR": "COMPATIBLE"}),
            Mismatch(name="MKL_CBWR", recorded="unset", found="COMPATIBLE"),
        ),
        (
            claim({"torch.cudnn.benchmark": "True"}),
            Mismatch(name="torch.cudnn.benchmark", recorded="False", found="True"),
        ),
        (
            claim(accelerators={"NVIDIA H200": 1}),
            Mismatch(name="accelerators", recorded="none", found="1 x NVIDIA H200"),
        ),
    ],
)
def test_what_is_not_as_recorded_is_named(found: RunClaim, expected: Mismatch) -> None:
    assert expected in mismatches(claim(), found)


def test_libraries_that_are_no_package_count() -> None:
    one = claim(libraries={"cudnn": "91900", "torch": "2.13.0"})
    other = claim(libraries={"cudnn": "92000", "torch": "2.13.0"})
    assert mismatches(one, other) == (
        Mismatch(name="library cudnn", recorded="91900", found="92000"),
    )
    assert mismatches(one, claim(libraries={})) == (
        Mismatch(name="library cudnn", recorded="91900", found=ABSENT),
    )


@pytest.mark.parametrize(
    "found",
    [
        claim(packages={**PACKAGES, "pip": "26.0", "rich": "14.0"}),
        claim(packages={n.replace("-", "_").upper(): v for n, v in PACKAGES.items()}),
        claim({"torch.deterministic_algorithms": "False"}),
        claim({"TORCH_HOME": "/cache/torch", "NCCL_DEBUG": "INFO"}),
        claim({"PYTHONHASHSEED": "0"}),
        claim({"OMP_NUM_THREADS": None}),
        claim({"torch.new_flag": "True"}),
        claim(libraries={"torch": "2.13.0+cpu", "libgomp": "libgomp.so.1"}),
    ],
    ids=[
        "installers and surplus packages",
        "names spelled otherwise",
        "what the program sets later",
        "paths and messages",
        "a hash seed where none was recorded",
        "equal threads by another way",
        "a flag of another version",
        "further libraries",
    ],
)
def test_what_changes_no_number_is_no_mismatch(found: RunClaim) -> None:
    assert mismatches(claim(), found) == ()


def test_a_recorded_hash_seed_counts() -> None:
    recorded = claim({"PYTHONHASHSEED": "0"})
    assert mismatches(recorded, claim()) == (
        Mismatch(name="PYTHONHASHSEED", recorded="0", found="unset"),
    )


def test_the_index_of_a_gpu_is_no_mismatch_but_its_kind_is() -> None:
    one = claim({"CUDA_VISIBLE_DEVICES": "0"}, accelerators={"NVIDIA H200": 1})
    assert (
        mismatches(one, claim({"CUDA_VISIBLE_DEVICES": "1"}, accelerators={"NVIDIA H200": 1})) == ()
    )
    assert mismatches(one, claim(accelerators={"NVIDIA A100": 1}))


def test_threads_that_the_program_sets_are_no_environment() -> None:
    found = claim({"torch.num_threads": "2"})
    event = SourceEvent(kind="threads", what="torch.set_num_threads", value="2")
    sets = set_by_program(StepTrace(events=(event,)))
    assert [m.name for m in mismatches(claim(), found)] == ["torch.num_threads"]
    assert mismatches(claim(), found, sets) == ()
    in_worker = replace(event, worker=True)
    assert set_by_program(StepTrace(events=(in_worker,))) == frozenset()


def test_another_instruction_set_stands_apart() -> None:
    found = claim({"torch.cpu_capability": "AVX2"})
    assert is_other_isa(claim(), found)
    assert mismatches(claim(), found) == ()
    assert is_other_isa(claim(), claim(environment=("3.11.7", "linux_aarch64")))
    assert not is_other_isa(claim(), claim({"torch.cpu_capability": None}))


def test_what_is_not_told_is_said() -> None:
    silent = replace(claim(packages={}, environment=None), parameters={})
    assert mismatches(silent, claim()) == ()
    assert untold(silent, claim()) == (
        "the record does not tell its Python",
        "the record does not tell its packages",
        "the record tells no numeric settings",
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema": "other"}', b"\xff"])
def test_evidence_that_cannot_be_read_tells_nothing(data: bytes) -> None:
    broken = replace(claim(), byproducts=(Resource(name=ENVIRONMENT_NAME, content=data),))
    assert mismatches(claim(), broken) == ()
    assert untold(claim(), broken) == ("the new run does not tell its Python",)


@pytest.mark.parametrize("told", [None, [], "text", 3])
def test_parameters_of_another_kind_are_no_accident(told: Any) -> None:
    odd = replace(claim(), parameters={"determinism": told, "libraries": told})
    assert mismatches(odd, claim()) == ()
    assert recorded_variables(odd) == {"PYTHONHASHSEED": "0"}


def test_the_recorded_example_agrees_with_itself_and_gives_its_variables() -> None:
    (path,) = EXAMPLE.glob(".mlbom/runs/*train*/record.sigstore.json")
    bundle = parse_bundle(parse_json(path.read_bytes(), path.name))
    recorded = parse_run(parse_statement(parse_json(bundle.envelope.payload, path.name)))
    assert mismatches(recorded, recorded) == ()
    assert untold(recorded, recorded) == ()
    assert recorded_variables(recorded)["OMP_NUM_THREADS"] == "1"
    older = tuple(
        replace(m, uri="pkg:pypi/numpy@1.26.4") if m.name == "numpy" else m
        for m in recorded.materials
    )
    (found,) = mismatches(recorded, replace(recorded, materials=older))
    assert (found.name, found.found) == ("numpy", "1.26.4")


def test_our_pins_have_a_reason_each() -> None:
    assert default_pins()["PYTHONHASHSEED"] == "0"
    assert default_pins()["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert len({pin.name for pin in PINS}) == len(PINS)
    assert all(pin.why for pin in PINS)


def test_recorded_variables_are_the_ones_that_the_run_began_with() -> None:
    recorded = claim(
        {
            "OMP_NUM_THREADS": None,
            "MKL_NUM_THREADS": "unset -> 4",
            "CUBLAS_WORKSPACE_CONFIG": ":16:8 -> :4096:8",
        },
        environmentVariables={"ONEDNN_MAX_CPU_ISA": "AVX2", "LANG": "C.UTF-8"},
    )
    assert recorded_variables(recorded) == {
        "CUBLAS_WORKSPACE_CONFIG": ":16:8",
        "OMP_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "PYTHONHASHSEED": "0",
    }


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "PYTHONPATH", "OMP_TOOL_LIBRARIES", "NCCL_NET_PLUGIN", "NCCL_CONF_FILE", "PATH"],
)
def test_a_record_sets_no_variable_that_loads_something(name: str) -> None:
    evil = claim({name: "/home/me/evil.so"}, environmentVariables={name: "/home/me/evil.so"})
    assert name not in recorded_variables(evil)


def test_a_recorded_value_is_short_and_plain() -> None:
    assert "MKL_CBWR" not in recorded_variables(claim({"MKL_CBWR": "A" * 101}))
    assert "MKL_CBWR" not in recorded_variables(claim({"MKL_CBWR": "A\nB"}))
