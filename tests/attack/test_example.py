"""The recorded example, attacked: whoever verifies it by its policy is told which edge broke."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.cli.main import run as mlbom
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.signer import open_signer
from tests.fixtures.gitrepo import commit_all, run_git

EXAMPLE = Path(__file__).parents[2] / "examples" / "char-lm"
WEIGHTS = "weights/char-lm.safetensors"


@dataclass
class Case:
    """A published release of the example, on the disk of whoever verifies it.

    Args:
        project: the example.
        keys: folder of the publisher's pair and of the policy with its keys.
        options: further options of `mlbom verify`.
    """

    project: Path
    keys: Path
    options: tuple[str, ...] = ()

    @property
    def out(self) -> Path:
        return self.project / "mlbom-out"

    def bundle(self, label: str) -> Path:
        (found,) = self.out.glob(f"attestations/??-{label}-*.sigstore.json")
        return found

    def link(self, step: str) -> Path:
        (found,) = self.out.glob(f"attestations/{step}.*.link")
        return found

    def generate(self, *options: str) -> None:
        command = ["generate", str(self.project), "--key", str(self.keys / "publisher.pem"), "-q"]
        assert mlbom([*command, *options]) == 0

    def policy(self, change: Callable[[dict[str, Any]], object]) -> None:
        path = self.keys / "mlbom-policy.yaml"
        document = yaml.safe_load(path.read_text())
        change(document)
        path.write_text(yaml.safe_dump(document))

    def verify(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        policy = str(self.keys / "mlbom-policy.yaml")
        status = mlbom(
            ["verify", str(self.out), "--policy", policy, "--format", "json", *self.options]
        )
        return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("example")
    ignored = shutil.ignore_patterns("mlbom-out", "__pycache__", "private", "*.log", "trace")
    shutil.copytree(EXAMPLE, folder / "char-lm", ignore=ignored)
    run_git(folder / "char-lm", "init", "--quiet")
    commit_all(folder / "char-lm")
    case = Case(folder / "char-lm", folder / "keys")
    make_key(KeyPaths.of(case.keys / "publisher.pem"))
    for name in ("mlbom-policy.yaml", "recorder.pub"):
        shutil.copy(EXAMPLE / name, case.keys)
    case.generate()
    return case


@pytest.fixture
def case(published: Case, tmp_path: Path) -> Case:
    shutil.copytree(published.project, tmp_path / "char-lm", symlinks=True)
    shutil.copytree(published.keys, tmp_path / "keys")
    return Case(tmp_path / "char-lm", tmp_path / "keys")


def edit(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the DSSE envelope of a bundle."""
    document = json.loads(path.read_bytes())
    change(document["dsseEnvelope"])
    path.write_text(json.dumps(document))


def payload(path: Path) -> str:
    told: str = json.loads(path.read_bytes())["dsseEnvelope"]["payload"]
    return told


def retrained(case: Case) -> None:
    """Other weights, for which nobody has a record, honestly published."""
    edit(case.project / WEIGHTS)
    case.generate()


def without_record(kind: str) -> Callable[[Case], None]:
    def attack(case: Case) -> None:
        (folder,) = case.project.glob(f".mlbom/runs/*-{kind}-*")
        shutil.rmtree(folder)
        shutil.rmtree(case.out)
        case.generate()

    return attack


def resigned(label: str, key: str) -> Callable[[Case], None]:
    """The same record, signed by somebody else."""

    def attack(case: Case) -> None:
        path = case.bundle(label)
        if not (case.keys / f"{key}.pem").exists():
            make_key(KeyPaths.of(case.keys / f"{key}.pem"))
        signer = open_signer(str(case.keys / f"{key}.pem"))
        envelope = signer.sign(base64.b64decode(payload(path)), PAYLOAD_TYPE)
        path.write_bytes(bundle_bytes(envelope, signer.public_key.hint))

    return attack


def linked_weights(case: Case) -> None:
    path = case.project / WEIGHTS
    path.rename(case.project / "elsewhere")
    os.symlink("../elsewhere", path)


def another_recorder(case: Case) -> None:
    make_key(KeyPaths.of(case.keys / "other.pem"))
    shutil.copy(case.keys / "other.pub", case.keys / "recorder.pub")


def recorder(**window: str) -> Callable[[Case], None]:
    def change(document: dict[str, Any]) -> None:
        document["keys"]["recorder"] = {"file": "recorder.pub", **window}

    return lambda case: case.policy(change)


def demand(step: str, **rules: object) -> Callable[[Case], None]:
    return lambda case: case.policy(lambda d: d["steps"][step].update(rules))


def other_data(case: Case) -> None:
    shutil.copytree(case.project / "data", case.keys / "data")
    edit(case.keys / "data" / "train.txt")
    case.options = ("--check-data", f"char-lm-tales={case.keys / 'data'}")


def withdrawn(case: Case) -> None:
    import hashlib

    manifest = hashlib.sha256((case.out / "model.manifest").read_bytes()).hexdigest()
    entry = {"manifest": manifest, "why": "trained on leaked texts"}
    case.policy(lambda d: d.update(withdrawn=[entry]))


def trust(**demands: object) -> Callable[[Case], None]:
    return lambda case: case.policy(lambda d: d.update(demands))


# Attack -> (what it does, the rule that names it).
ATTACKS: dict[str, tuple[Callable[[Case], object], str]] = {
    "a bit of the weights": (lambda c: edit(c.project / WEIGHTS), "digest-mismatch"),
    "the weights are gone": (lambda c: (c.project / WEIGHTS).unlink(), "file-missing"),
    "the weights are a link": (linked_weights, "not-a-regular-file"),
    "other weights without a record": (retrained, "missing-statement"),
    "a bit of the BOM": (lambda c: edit(c.out / "bom.cdx.json"), "digest-mismatch"),
    "a bit of the card": (lambda c: edit(c.out / "MODEL_CARD.md"), "digest-mismatch"),
    "a bit of the evidence": (lambda c: edit(c.out / "evidence.json"), "digest-mismatch"),
    "a bit of the manifest": (lambda c: edit(c.out / "model.manifest"), "digest-mismatch"),
    "a file more": (lambda c: (c.out / "run-me.py").write_text("x"), "file-extra"),
    "the report is gone": (lambda c: (c.out / "report.html").unlink(), "file-missing"),
    "the training record is gone": (lambda c: c.bundle("train").unlink(), "file-missing"),
    "never a training record": (without_record("train"), "missing-statement"),
    "never a data record": (without_record("data"), "missing-statement"),
    "never an evaluation": (without_record("eval"), "missing-statement"),
    "a bit of the training record": (lambda c: edit(c.bundle("train")), "digest-mismatch"),
    "another payload type": (
        lambda c: rewrite(c.bundle("train"), lambda e: e.update(payloadType="text/plain")),
        "digest-mismatch",
    ),
    "the data's payload in the training record": (
        lambda c: rewrite(c.bundle("train"), lambda e: e.update(payload=payload(c.bundle("data")))),
        "digest-mismatch",
    ),
    "the training record by the publisher": (resigned("train", "publisher"), "digest-mismatch"),
    "the training record by a stranger": (resigned("train", "stranger"), "digest-mismatch"),
    "the closing statement by a stranger": (
        resigned("release", "stranger"),
        "no-closing-statement",
    ),
    "the closing statement is gone": (
        lambda c: c.bundle("release").unlink(),
        "no-closing-statement",
    ),
    "all attestations are gone": (
        lambda c: shutil.rmtree(c.out / "attestations"),
        "no-closing-statement",
    ),
    "a bit of a link": (lambda c: edit(c.link("train")), "digest-mismatch"),
    "a link is gone": (lambda c: c.link("data").unlink(), "file-missing"),
    "another recorder": (another_recorder, "missing-statement"),
    "a revoked recorder": (recorder(revoked="2026-01-01T00:00:00Z"), "missing-statement"),
    "a recorder whose time is over": (recorder(until="2026-01-01T00:00:00Z"), "missing-statement"),
    "a recorder whose time has not come": (
        recorder(since="2099-01-01T00:00:00Z"),
        "missing-statement",
    ),
    "an input that the policy does not allow": (
        demand("train", materials=["match data/* from data", "disallow *"]),
        "policy-rule",
    ),
    "weights that the policy does not find in the model": (
        demand("train", products=["match metrics.json in model", "allow *"]),
        "policy-rule",
    ),
    "another seed than the policy wants": (
        demand(
            "train",
            attributes=[
                {
                    "at": "/predicate/buildDefinition/internalParameters/seeds/torch",
                    "equals": "1",
                }
            ],
        ),
        "policy-rule",
    ),
    "another model than the policy is about": (
        trust(model="pkg:huggingface/org/other"),
        "wrong-model",
    ),
    "a version that the policy finds too low": (
        trust(release={"min-version": "1.0", "needs-version": True}),
        "version-missing",
    ),
    "an age that nobody vouches for": (trust(**{"max-age": "90d"}), "no-trusted-time"),
    "a withdrawn release": (withdrawn, "withdrawn"),
    "other data": (other_data, "data-differs"),
}


def test_untouched_it_is_trusted(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    status, verdict = case.verify(capsys)
    assert (status, verdict["verdict"]) == (0, "trusted"), verdict["problems"]
    held = {edge["name"] for edge in verdict["edges"] if edge["status"] == "held"}
    assert {
        "train record train -> model files",
        "data record data -> train record train",
        "eval record eval -> model files",
        "train record train -> eval record eval",
        "training",
    } <= held


def test_the_training_read_what_its_record_says(case: Case) -> None:
    """Inputs by their true SHA-256, and nothing that merely lay beside them."""
    import hashlib

    told = json.loads(base64.b64decode(payload(case.bundle("train"))))
    resources = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    read = {r["name"]: r["digest"]["sha256"] for r in resources if "sha256" in r.get("digest", {})}
    for name in ("data/train.txt", "data/valid.txt", "data/vocab.json", "config.yaml"):
        assert read[name] == hashlib.sha256((case.project / name).read_bytes()).hexdigest()
    assert not {"README.md", "sample.py", "data/MANIFEST.yaml", "eval.json"} & read.keys()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacked_it_is_refused_and_the_edge_named(
    attack: str, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    change, rule = ATTACKS[attack]
    change(case)
    status, verdict = case.verify(capsys)
    assert status == 3
    assert rule in {problem["rule"] for problem in verdict["problems"]}
    failed = [edge["name"] for edge in verdict["edges"] if edge["status"] == "failed"]
    assert failed or rule in ("no-closing-statement", "missing-statement"), verdict["edges"]


def test_a_score_below_the_policys_is_a_finding(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bytes are trusted, the quality is not met: 1, not 3 (chain.md section 3, item 7)."""
    case.policy(lambda d: d.update(quality={"metrics": {"accuracy": 0.9}}))
    assert case.verify(capsys)[0] == 1


def test_there_are_as_many_attacks_as_promised() -> None:
    assert len(ATTACKS) >= 25
