"""in-toto-attestation's protobuf types judge our statements: every field is one that they know."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.reproduction_claim import reproduction_statements
from tests.fixtures.records import make_record, record_key
from tests.fixtures.reproductions import rebuild_statement, reproduction_claim
from tests.fixtures.tiny_release import TinyRelease, new_signer

pytestmark = pytest.mark.oracle
# Parses each statement as the protobuf type, a test result as its own type beside our fields, and
# every resource that a predicate names; a verification result (svr) has no protobuf type.
PROGRAM = """
import json, sys
from google.protobuf.json_format import ParseDict, ParseError
from in_toto_attestation.v1.statement import Statement as Checked
from in_toto_attestation.v1.statement_pb2 import Statement
from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult

for path in sys.argv[1:]:
    document = json.load(open(path))
    try:
        Checked.copy_from_pb(ParseDict(document, Statement())).validate()
        definition = document["predicate"].get("buildDefinition", {})
        resources = definition.get("resolvedDependencies", [])
        resources += document["predicate"].get("configuration", [])
        resources += document["predicate"].get("verifier", {}).get("policies", [])
        if document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1":
            ParseDict(document["predicate"], TestResult(), ignore_unknown_fields=True)
        for resource in resources:
            ParseDict(resource, ResourceDescriptor())
        print("accepted")
    except (ParseError, ValueError, TypeError) as error:
        print("rejected:", str(error).replace(chr(10), " "))
"""


@pytest.fixture(scope="module")
def python() -> str:
    """Return the interpreter of the environment with in-toto-attestation."""
    folder = os.environ.get("MLBOM_ORACLE_VENV", "")
    found = Path(folder).absolute() / "bin" / "python"
    probe = [str(found), "-c", "import in_toto_attestation"]
    works = bool(folder) and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not works and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("in-toto-attestation is not installed")
    assert works, "in-toto-attestation is not installed"
    return str(found)


def judge(python: str, folder: Path, documents: list[dict[str, Any]]) -> list[str]:
    paths = []
    for number, document in enumerate(documents):
        paths.append(folder / f"statement-{number}.json")
        paths[-1].write_text(json.dumps(document))
    command = [python, "-c", PROGRAM, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def payload(bundle: Path) -> dict[str, Any]:
    envelope = json.loads(bundle.read_bytes())["dsseEnvelope"]
    told: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return told


def test_our_statements_are_in_toto_statements(python: str, tmp_path: Path) -> None:
    release = TinyRelease(tmp_path / "project", new_signer(tmp_path)).build()
    bundles = [release.bundle(label) for label in ("weights", "bom", "release")]
    key = record_key(tmp_path)
    for kind in ("data", "train", "eval"):
        made = make_record(tmp_path / kind, kind, {"m.bin": b"w"}, {"in.txt": b"x"}, key=key)
        bundles.append(made)
    verdicts = judge(python, tmp_path, [payload(bundle) for bundle in bundles])
    assert verdicts == ["accepted"] * 6


def test_what_a_reproduction_states_is_in_toto(python: str, tmp_path: Path) -> None:
    claim = reproduction_claim({"m.bin": b"w"}, rebuilds=("ab" * 32,), thresholds={"relL2": 1e-5})
    summary, result = reproduction_statements(claim)
    made = rebuild_statement({"m.bin": b"w"})
    assert summary is not None
    documents = [json.loads(statement.payload()) for statement in (summary, result, made)]
    assert judge(python, tmp_path, documents) == ["accepted"] * 3
    required = {"verifier", "timeCreated", "properties"}
    assert required <= documents[0]["predicate"].keys()
    broken = json.loads(result.payload())
    broken["predicate"]["result"] = 1
    assert judge(python, tmp_path, [broken])[0].startswith("rejected: ")


def test_other_forms_are_rejected(python: str, tmp_path: Path) -> None:
    """Without this the test above could be passed by anything."""
    key = record_key(tmp_path)
    good = payload(make_record(tmp_path / "r", "train", {"m.bin": b"w"}, {"in.txt": b"x"}, key=key))
    changes: list[dict[str, Any]] = [
        {**good, "_type": "https://in-toto.io/Statement/v0.1"},
        {**good, "subject": []},
        {**good, "subject": [{"name": "x"}]},
        {**good, "subject": {"name": "x"}},
        {**good, "predicateType": ""},
        {**good, "surprise": 1},
        {**good, "predicate": {"configuration": [{"digest": "x"}]}},
    ]
    verdicts = judge(python, tmp_path, changes)
    assert len(verdicts) == len(changes)
    assert all(verdict.startswith("rejected: ") for verdict in verdicts), verdicts
