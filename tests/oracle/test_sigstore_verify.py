"""Keyless bundles, real and of a private instance, verified offline against a pinned trust root."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.cli.main import run
from mlbom.errors import MalformedError
from mlbom.sign.signer import Signer, open_signer, seal
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Identity, Policy, TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.certificates import certified_signer, newest_key_of
from mlbom.verify.verdict import Verdict
from tests.fixtures.mutations import MUTATIONS, mutated
from tests.fixtures.tiny_release import TinyRelease, write_files
from tests.oracle.test_keyless import IDENTITY, STATEMENT, Instance, served

pytest.importorskip("sigstore")
pytestmark = pytest.mark.oracle
WORKFLOWS = "https://example.org/house/models/.github/workflows/release.yml@*"
WHO, ISSUER = "stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2"


@dataclass(frozen=True)
class Private:
    """A private instance and what its clients pin."""

    instance: Instance
    root: bytes

    def policy(self, subject: str = WORKFLOWS, issuer: str = "", **more: Any) -> Policy:
        who = Identity(subject=subject, issuer=issuer or self.instance.url)
        signer = TrustedSigner(name="ci", identity=who, **more)
        return Policy(signers=(signer,), trust_root=self.root)


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def private(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Private]:
    with served(request.param, tmp_path_factory.mktemp("sigstore")) as instance:
        root = json.loads(instance.config.read_text())["trustedRoot"]
        yield Private(instance, json.dumps(root).encode())


@pytest.fixture
def signer(private: Private, monkeypatch: pytest.MonkeyPatch) -> Signer:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{private.instance.url}/token")
    return open_signer(private.instance.uri)


def rules(verdict: Verdict) -> set[str]:
    assert verdict.status is ExitStatus.UNTRUSTED
    return {problem.rule for problem in verdict.problems}


def test_a_release_signed_by_a_workflow_is_trusted_by_its_identity(
    private: Private, signer: Signer, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path, signer).build()
    verdict = release.verify(policy=private.policy())
    assert verdict.status is ExitStatus.DONE, verdict.problems
    assert verdict.signed_at
    assert WORKFLOWS in verdict.signer
    for subject, issuer in (
        (WORKFLOWS.replace("house", "other"), ""),
        (WORKFLOWS, "https://x.example"),
    ):
        refused = release.verify(policy=private.policy(subject, issuer))
        assert rules(refused) == {"untrusted-signer", "no-closing-statement"}
    partial = IDENTITY.partition("@")[0]
    assert rules(release.verify(policy=private.policy(partial))) >= {"untrusted-signer"}


def test_the_log_proves_when_it_was_signed(
    private: Private, signer: Signer, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path, signer).build()
    at = release.verify(policy=private.policy()).signed_at or 0
    windows: list[dict[str, Any]] = [{"until": at + 60}, {"revoked": at + 60}, {"since": at - 60}]
    for window in windows:
        good = release.verify(policy=private.policy(**window), now=at + 10**7)
        assert good.status is ExitStatus.DONE
    rules_by_window: list[tuple[dict[str, Any], str]] = [
        ({"until": at - 60}, "expired-key"),
        ({"revoked": at - 60}, "revoked-key"),
        ({"since": at + 60}, "not-yet-valid"),
    ]
    for window, rule in rules_by_window:
        assert rule in rules(release.verify(policy=private.policy(**window)))


def test_another_root_of_trust_vouches_for_nothing(
    private: Private, signer: Signer, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path, signer).build()
    policy = private.policy()
    shipped = Policy(signers=policy.signers)
    assert rules(release.verify(policy=shipped)) == {"bad-certificate", "no-closing-statement"}
    broken = Policy(signers=policy.signers, trust_root=b"{}")
    assert rules(release.verify(policy=broken)) == {"bad-certificate", "no-closing-statement"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_no_mutation_of_a_keyless_bundle_is_accepted(
    name: str, private: Private, signer: Signer
) -> None:
    data = mutated(seal(signer, STATEMENT).bundle, name)
    try:
        bundle = parse_bundle(json.loads(data))
    except MalformedError:
        return
    with pytest.raises(Refusal) as caught:
        certified_signer(data, bundle, private.root)
    assert caught.value.rule == "bad-certificate"


# The proof has an index of its own; the one beside it is a label.
LOG = ("integratedTime", "canonicalizedBody", "inclusionProof", "inclusionPromise")


@pytest.mark.parametrize("field", LOG)
def test_a_log_entry_is_believed_whole_or_not_at_all(
    field: str, private: Private, signer: Signer
) -> None:
    document = json.loads(seal(signer, STATEMENT).bundle)
    entry = document["verificationMaterial"]["tlogEntries"][0]
    if not entry.get(field):
        pytest.skip("this log does not have the field")
    entry[field] = str(int(entry[field]) + 1) if str(entry[field]).isdigit() else None
    data = json.dumps(document).encode()
    with pytest.raises(Refusal):
        certified_signer(data, parse_bundle(document), private.root)


def test_the_command_line_verifies_a_keyless_signature(
    private: Private, signer: Signer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    write_files(model, {"config.json": b"{}", "w.safetensors": b"x"})
    assert run(["sign", str(model), "--key", private.instance.uri]) == 0
    (tmp_path / "root.json").write_bytes(private.root)
    asked = ["verify", str(model / "model.sig"), "--identity", IDENTITY]
    asked += ["--issuer", private.instance.url, "--trust-root", str(tmp_path / "root.json")]
    assert run(asked) == 0
    told = capsys.readouterr()
    assert f"identity {IDENTITY}" in told.out
    assert "its newest key is from" in told.err
    (model / "w.safetensors").write_bytes(b"y")
    assert run(asked) == 3


def test_a_real_bundle_of_the_public_instance_holds_offline(shared_conformance: Path) -> None:
    """Signed in October 2025 by model_signing; checked with the root that sigstore ships."""
    place = shared_conformance / "oms" / "vectors" / "valid" / "sigstore.bundle.json"
    data = place.read_bytes()
    found = certified_signer(data, parse_bundle(json.loads(data)), None)
    assert (found.subjects, found.issuer) == ((WHO,), ISSUER)
    assert found.time == 1760062340
    assert found.fits(Identity(subject="*@us.ibm.com", issuer=ISSUER))
    assert not found.fits(Identity(subject="*@us.ibm.co", issuer=ISSUER))
    assert not found.fits(Identity(subject=WHO, issuer="https://accounts.example"))
    assert newest_key_of(None) > "2025"


@pytest.mark.parametrize("name", MUTATIONS)
def test_no_mutation_of_the_real_bundle_is_accepted(name: str, shared_conformance: Path) -> None:
    place = shared_conformance / "oms" / "vectors" / "valid" / "sigstore.bundle.json"
    data = mutated(place.read_bytes(), name)
    if json.loads(data) == json.loads(place.read_bytes()):
        pytest.skip("this statement is spelled in a way that the mutation does not find")
    try:
        bundle = parse_bundle(json.loads(data))
    except MalformedError:
        return
    with pytest.raises(Refusal):
        certified_signer(data, bundle, None)
