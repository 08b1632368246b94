"""Keyless signing end to end: the services of `@sigstore/mock` on the loopback, both logs."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.attest.oms import parse_oms
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.cli.main import run
from mlbom.errors import SigningError
from mlbom.sign.signer import open_signer, seal
from tests.fixtures.mutations import MUTATIONS, mutated
from tests.fixtures.tiny_release import write_files

pytest.importorskip("sigstore")
pytestmark = pytest.mark.oracle
SERVER = Path(__file__).with_name("sigstore_mock.js")
STATEMENT = Statement((Subject("a", "0" * 64),), "urn:x", {"n": 2**53 - 1, "x": 0.1})
IDENTITY = "https://example.org/house/models/.github/workflows/release.yml@refs/heads/main"


@dataclass(frozen=True)
class Instance:
    """A Sigstore instance: its URL, and the file that tells clients about it."""

    url: str
    config: Path

    @property
    def uri(self) -> str:
        return f"sigstore:{self.config}"

    def fail(self, *paths: str) -> None:
        """Let some services answer that they are out of order."""
        paths_told = json.dumps(paths).encode()
        urllib.request.urlopen(f"{self.url}/fail", paths_told, timeout=10).close()  # noqa: S310


def start(version: int) -> "subprocess.Popen[str]":
    folder = os.environ.get("MLBOM_ORACLE_NODE", "")
    is_there = bool(folder) and (Path(folder) / "node_modules" / "@sigstore" / "mock").is_dir()
    if not is_there and "MLBOM_ORACLES_REQUIRED" not in os.environ:
        pytest.skip("@sigstore/mock is not installed")
    assert is_there, "@sigstore/mock is not installed"
    assert shutil.which("node"), "this test needs node"
    command = ["node", str(SERVER), str(Path(folder).absolute()), str(version)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def served(version: int, folder: Path) -> Iterator["Instance"]:
    """Run an instance for a while; its trust configuration goes into a folder."""
    server = start(version)
    try:
        assert server.stdout
        told = server.stdout.readline()
        config = folder / "trust.json"
        config.write_text(told)
        yield Instance(json.loads(told)["signingConfig"]["caUrls"][0]["url"], config)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    with served(request.param, tmp_path_factory.mktemp("sigstore")) as instance:
        yield instance


@pytest.fixture
def instance(running: Instance, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Return the instance, seen from a machine that has an identity there, as a workflow has."""
    running.fail()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{running.url}/token")
    return running


def accepts(instance: Instance, bundle: bytes, *, identity: str = IDENTITY) -> bytes | None:
    """Return the payload when sigstore-python accepts a bundle of this identity, else None."""
    from sigstore.errors import Error
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    trust = ClientTrustConfig.from_json(instance.config.read_text()).trusted_root
    policy = Identity(identity=identity, issuer=instance.url)
    try:
        kind, payload = Verifier(trusted_root=trust).verify_dsse(Bundle.from_json(bundle), policy)
    except (Error, ValueError):
        return None
    assert kind == "application/vnd.in-toto+json"
    return payload


def test_the_statement_is_signed_bit_for_bit(instance: Instance) -> None:
    signer = open_signer(instance.uri)
    sealed = seal(signer, STATEMENT)
    assert sealed.payload == STATEMENT.payload()
    assert accepts(instance, sealed.bundle) == sealed.payload
    bundle = parse_bundle(json.loads(sealed.bundle))
    assert bundle.envelope.payload == sealed.payload
    assert len(bundle.certificates) == len(bundle.log_entries) == 1


def test_another_identity_is_not_accepted(instance: Instance) -> None:
    sealed = seal(open_signer(instance.uri), STATEMENT)
    assert accepts(instance, sealed.bundle, identity=IDENTITY.replace("main", "evil")) is None


@pytest.mark.parametrize("name", MUTATIONS)
def test_no_mutation_of_a_bundle_is_accepted(name: str, instance: Instance) -> None:
    bundle = seal(open_signer(instance.uri), STATEMENT).bundle
    changed = mutated(bundle, name)
    assert changed != bundle
    assert accepts(instance, changed) is None


def test_several_statements_share_a_certificate(instance: Instance) -> None:
    signer = open_signer(instance.uri)
    bundles = [parse_bundle(json.loads(seal(signer, STATEMENT).bundle)) for _ in range(3)]
    assert len({bundle.certificates for bundle in bundles}) == 1
    assert len({bundle.envelope.signature for bundle in bundles}) == 3


def test_the_command_line_signs_a_model(
    instance: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    write_files(model, {"config.json": b"{}", "w.safetensors": b"x"})
    assert run(["sign", str(model), "--key", instance.uri]) == 0
    assert f"signer       {IDENTITY}" in capsys.readouterr().err
    payload = accepts(instance, (model / "model.sig").read_bytes())
    assert payload
    assert set(parse_oms(parse_statement(json.loads(payload))).files) == {
        "config.json",
        "w.safetensors",
    }


SERVICES = ["/token", "/api/v2/signingCert", "/api/v1/log/entries,/api/v2/log/entries"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_down_leaves_no_half_bundle(
    service: str, instance: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    write_files(model, {"w.safetensors": b"x"})
    instance.fail(*service.split(","))
    assert run(["sign", str(model), "--key", instance.uri]) == 5
    told = capsys.readouterr().err
    assert "error[E0504]: Sigstore could not" in told
    assert "Traceback" not in told
    assert [p.name for p in model.iterdir()] == ["w.safetensors"]


def test_what_the_instance_did_not_vouch_for_is_not_published(
    instance: Instance, tmp_path: Path
) -> None:
    """Another instance's log and certificates: the bundle is checked before anybody sees it."""
    told = json.loads(instance.config.read_text())
    for log in told["trustedRoot"]["tlogs"]:
        log["publicKey"]["rawBytes"] = told["trustedRoot"]["ctlogs"][0]["publicKey"]["rawBytes"]
    (tmp_path / "other.json").write_text(json.dumps(told))
    with pytest.raises(SigningError, match="could not sign"):
        seal(open_signer(f"sigstore:{tmp_path / 'other.json'}"), STATEMENT)


def test_a_machine_without_identity_is_told_so(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    with pytest.raises(SigningError, match="no identity") as caught:
        open_signer(instance.uri)
    assert "id-token: write" in caught.value.hint


def test_a_workflow_without_permission_is_told_so(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    with pytest.raises(SigningError, match="could not find an identity") as caught:
        open_signer(instance.uri)
    assert "id-token: write" in caught.value.hint
