"""`mlbom policy`: check, sign, compile, withdraw; files, messages and exit codes."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlbom.attest.classic import keyid
from mlbom.cli.main import run
from mlbom.formats.strict_yaml import parse_yaml
from mlbom.sign.signer import Signer
from mlbom.verify.policy.file import read_policy
from tests.fixtures.policies import FULL, HEAD, MANIFEST, policy_folder, write_policy

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def signers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Signer]:
    monkeypatch.chdir(tmp_path)
    return policy_folder(tmp_path)


def payload(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_bytes())
    document = document.get("dsseEnvelope", document)
    told: dict[str, Any] = json.loads(base64.b64decode(document["payload"]))
    return told


def compiled(text: str, *more: str) -> dict[str, Any]:
    write_policy(Path(), text)
    command = ["policy", "compile", "mlbom-policy.yaml", "--key", "owner.pem"]
    assert run([*command, "--expires", "2099-01-01", *more]) == 0
    return payload(Path("root.layout"))


def test_check_tells_who_may_do_what(signers: dict[str, Signer], capsys: Capture) -> None:
    path = write_policy(Path(), FULL)
    assert run(["policy", "check", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"signer      alice (bom, release): {signers['alice'].public_key.hint}" in said
    assert "step        eval: checked when it is there" in said
    assert f"withdrawn   {MANIFEST}: leaked" in said
    assert said.endswith("valid\n")


def test_check_names_the_place_of_an_error(signers: dict[str, Signer], capsys: Capture) -> None:
    path = write_policy(Path(), FULL.replace("threshold: 1", "treshold: 1"))
    assert run(["policy", "check", str(path)]) == 2
    said = capsys.readouterr()
    assert "error[E0120]: mlbom-policy.yaml: steps.train.treshold: unknown key" in said.err
    assert "did you mean 'threshold'?" in said.err
    assert not said.out


def test_sign_then_check_with_the_owners_key(signers: dict[str, Signer], capsys: Capture) -> None:
    path = write_policy(Path(), FULL)
    check = ["policy", "check", str(path), "--policy-key", "owner.pub"]
    assert run(check) == 3
    assert "error[E0301]: the policy is not signed" in capsys.readouterr().err
    assert run(["policy", "sign", str(path), "--key", "owner.pem"]) == 0
    told = payload(Path("mlbom-policy.yaml.sigstore.json"))
    assert told["predicateType"] == "urn:mlbom:policy/v1"
    names = {"mlbom-policy.yaml", "alice.pub", "old.pub", "box.pub", "tsa.pem", "trusted_root.json"}
    assert {subject["name"] for subject in told["subject"]} == names
    assert run(check) == 0
    assert f"signed by   {signers['owner'].public_key.hint}" in capsys.readouterr().out
    path.write_text(path.read_text() + "\n")
    assert run(check) == 3
    assert run([*check[:-1], "box.pub"]) == 3
    assert run([*check[:-1], "none.pub"]) == 2


def test_an_invalid_policy_is_not_signed(signers: dict[str, Signer]) -> None:
    path = write_policy(Path(), "version: 1\n")
    assert run(["policy", "sign", str(path), "--key", "owner.pem"]) == 2
    assert not Path("mlbom-policy.yaml.sigstore.json").exists()


def test_withdraw_writes_what_a_policy_reads(signers: dict[str, Signer], capsys: Capture) -> None:
    command = ["policy", "withdraw", "9" * 64, "--why", "leaked data", "--key", "alice.pem"]
    assert run([*command, "-o", "gone.json"]) == 0
    policy = read_policy(write_policy(Path(), HEAD + "withdrawals: gone.json\n"))
    assert policy.withdrawn == {"9" * 64: "leaked data"}
    assert run([*command[:2], "nothing", *command[3:], "-o", "no.json"]) == 2
    assert "no manifest at nothing" in capsys.readouterr().err
    assert run([*command[:4], " ", *command[5:], "-o", "no.json"]) == 2
    assert not Path("no.json").exists()


STEPS = """
steps:
  data: {products: ["create prepared/*"]}
  train:
    threshold: 1
    materials: ["match prepared/* from data", "allow [a].py"]
    products: ["match models/m.bin in model", "match models/* in model", "disallow *.tmp"]
"""
BOTH = HEAD.replace("train: [box]", "train: [box], data: [box]")


def test_compile_writes_rules_in_which_nothing_falls_through(signers: dict[str, Signer]) -> None:
    layout = compiled(BOTH + STEPS)
    data, train = layout["steps"]
    assert (data["name"], train["name"]) == ("data", "train")
    assert layout["expires"] == "2099-01-01T00:00:00Z"
    assert data["pubkeys"] == train["pubkeys"] == [keyid(signers["box"].public_key)]
    assert list(layout["keys"]) == data["pubkeys"]
    assert data["expected_products"] == [
        ["CREATE", "prepared/*"],
        ["DISALLOW", "prepared/*"],
        ["DISALLOW", "*"],
    ]
    assert data["expected_materials"] == []
    assert train["expected_materials"] == [
        ["MATCH", "prepared/*", "WITH", "PRODUCTS", "FROM", "data"],
        ["DISALLOW", "prepared/*"],
        ["ALLOW", "[[]a].py"],
        ["DISALLOW", "*"],
    ]
    assert train["expected_products"] == [
        ["ALLOW", "models/m.bin"],
        ["ALLOW", "models/*"],
        ["DISALLOW", "*.tmp"],
        ["DISALLOW", "*"],
    ]
    (look,) = layout["inspect"]
    assert look["run"] == ["true"]
    assert look["expected_products"] == [
        ["REQUIRE", "models/m.bin"],
        ["MATCH", "models/m.bin", "WITH", "PRODUCTS", "FROM", "train"],
        ["DISALLOW", "models/m.bin"],
        ["MATCH", "models/*", "WITH", "PRODUCTS", "FROM", "train"],
        ["DISALLOW", "models/*"],
    ]


def test_compile_gives_the_same_bytes_again(signers: dict[str, Signer]) -> None:
    compiled(BOTH + STEPS)
    first = Path("root.layout").read_bytes()
    compiled(BOTH + STEPS)
    assert Path("root.layout").read_bytes() == first


def test_compile_runs_nothing_when_no_file_is_compared(signers: dict[str, Signer]) -> None:
    assert compiled(HEAD + "steps: {train: {}}\n")["inspect"] == []


def test_a_record_of_any_name_may_be_signed_by_any_recorder(signers: dict[str, Signer]) -> None:
    (step,) = compiled(HEAD + "steps: {finetune: {}}\n")["steps"]
    assert step["pubkeys"] == [keyid(signers["box"].public_key)]


def test_what_a_layout_cannot_say_is_told(signers: dict[str, Signer], capsys: Capture) -> None:
    compiled(FULL)
    said = capsys.readouterr().err
    for remark in (
        "the signer ci is an identity, and is left out",
        "the signer old is revoked, and is left out",
        "the signer alice ends before the layout, at 2027-01-01T00:00:00Z, and is left out",
        "the step eval is not recorded or not required, and is left out",
        "the attributes and build types of train are not checked by in-toto-verify",
        "trusted-inputs is not checked",
        "timestamps is not checked",
        "max-age is not checked",
        "release is not checked",
        "withdrawn is not checked",
        "quality is not checked",
    ):
        assert f"remark: {remark}" in said
    compiled(
        HEAD.replace("box: {file: box.pub}", "box: {file: owner.pub, since: 2026-01-01T00:00:00Z}")
        + "steps: {train: {}}\n"
    )
    said = capsys.readouterr().err
    assert "the layout's own key also signs train" in said
    assert "the key box counts from the beginning" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"revoked": "2026-01-01T00:00:00Z"}, "needs 1 signers, and 0 have a plain key"),
        ({"until": "2098-12-31T00:00:00Z"}, "needs 1 signers, and 0 have a plain key"),
        ({}, "demands no recorded step"),
    ],
)
def test_a_layout_that_would_be_weaker_is_not_made(
    signers: dict[str, Signer], capsys: Capture, change: dict[str, str], told: str
) -> None:
    document = parse_yaml(HEAD.encode(), "policy")
    document["keys"]["box"].update(change)
    document["steps"] = {"train": {}} if change else {"release": {}, "eval": {"required": False}}
    write_policy(Path(), yaml.safe_dump(document))
    command = ["policy", "compile", "mlbom-policy.yaml", "--key", "owner.pem"]
    assert run([*command, "--expires", "2099-01-01"]) == 2
    assert told in capsys.readouterr().err
    assert not Path("root.layout").exists()


@pytest.mark.parametrize("date", ["2020-01-01", "tomorrow", "2099-02-30", "2099-01-01T00:00:00"])
def test_an_expiry_is_a_date_to_come(
    signers: dict[str, Signer], capsys: Capture, date: str
) -> None:
    write_policy(Path(), HEAD + "steps: {train: {}}\n")
    command = ["policy", "compile", "mlbom-policy.yaml", "--key", "owner.pem"]
    assert run([*command, "--expires", date]) == 2
    assert "--expires" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(command)


def test_a_layout_may_go_to_standard_output(
    signers: dict[str, Signer], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_policy(Path(), HEAD + "steps: {train: {}}\n")
    command = ["policy", "compile", "mlbom-policy.yaml", "--key", "owner.pem", "-o", "-"]
    assert run([*command, "--expires", "2099-01-01"]) == 0
    document = json.loads(capfdbinary.readouterr().out)
    assert document["payloadType"] == "application/vnd.in-toto+json"


def test_an_output_that_cannot_be_written(signers: dict[str, Signer], capsys: Capture) -> None:
    write_policy(Path(), HEAD + "steps: {train: {}}\n")
    command = ["policy", "compile", "mlbom-policy.yaml", "--key", "owner.pem"]
    assert run([*command, "--expires", "2099-01-01", "-o", "no/such/place"]) == 5
    assert "error[E0501]: cannot write no/such/place" in capsys.readouterr().err


def test_an_owners_key_inside_the_repository_is_refused(
    signers: dict[str, Signer], capsys: Capture
) -> None:
    write_policy(Path(), HEAD)
    Path(".git").mkdir()
    assert run(["policy", "sign", "mlbom-policy.yaml", "--key", "owner.pem"]) == 6
    assert "lies inside the project" in capsys.readouterr().err
