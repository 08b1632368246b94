"""What a policy says about a release as a whole, when the release fulfils it or nearly does."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.attest.bundle import Bundle, bundle_bytes, parse_bundle
from mlbom.attest.dsse import Envelope
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.digest.manifest import manifest_bytes
from mlbom.sign.signer import Signer
from mlbom.status import ExitStatus
from mlbom.verify.policy.values import Identity, Policy, TrustedSigner
from mlbom.verify.refusal import Refusal
from mlbom.verify.signers.certificates import certified_signer
from mlbom.verify.verdict import Verdict
from tests.fixtures.chain import Chain, new_people, required
from tests.fixtures.tiny_release import DATA_FILES, sha256, write_files


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signer]:
    return new_people(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def chain(tmp_path: Path, people: dict[str, Signer]) -> Chain:
    return Chain(tmp_path / "project", people).build()


def rules(verdict: Verdict) -> list[str]:
    return [p.rule for p in verdict.problems]


def why(verdict: Verdict, name: str) -> str:
    return next(f"{e.status}: {e.why}" for e in verdict.edges if e.name == name)


def test_a_release_that_fulfils_everything(chain: Chain) -> None:
    policy = chain.policy(
        model="pkg:generic/t*", min_version="1.0", needs_version=True, withdrawn={"0" * 64: "x"}
    )
    verdict = chain.verify(policy)
    assert verdict.status is ExitStatus.DONE
    assert why(verdict, "policy -> this release") == "held: as your policy demands"


@pytest.mark.parametrize("version", ["nightly", "0%2B0123456789ab", "0.9"])
def test_a_version_that_is_not_known_to_be_newer_is_too_low(chain: Chain, version: str) -> None:
    purl = f"pkg:generic/tiny@{version}"
    chain.release.edit_closing = lambda d: d["predicate"].update(purl=purl)
    chain.release.close_again()
    assert rules(chain.verify(chain.policy(min_version="1.0"))) == ["version-too-low"]


def test_base_models_and_datasets_may_be_trusted(chain: Chain) -> None:
    data = sha256(manifest_bytes((p, sha256(d)) for p, d in DATA_FILES.items()))
    verdict = chain.verify(chain.policy(trusted_inputs=("pkg:huggingface/org/*", f"sha256:{data}")))
    assert why(verdict, "base model org/base") == "held: your policy trusts it"
    assert why(verdict, "dataset words").startswith("held: your policy trusts it")
    assert why(verdict, "dataset remote").startswith("not-checked")


def test_a_policy_may_leave_out_more_of_the_model_and_never_what_is_listed(chain: Chain) -> None:
    write_files(chain.release.root, {"notes/a.txt": b"x", "tokenizer/extra.txt": b"x"})
    assert rules(chain.verify()) == ["file-extra", "file-extra"]
    ignoring = chain.verify(chain.policy(ignore=("notes", "tokenizer")))
    assert rules(ignoring) == ["file-extra"]
    assert ignoring.problems[0].path == "tokenizer/extra.txt"
    assert "notes" in ignoring.skipped


def test_two_keys_close_one_release(chain: Chain, people: dict[str, Signer]) -> None:
    closing = chain.release.bundle("release")
    payload = parse_bundle(json.loads(closing.read_bytes())).envelope.payload
    second = people["rebuilder"]
    signed = bundle_bytes(second.sign(payload, PAYLOAD_TYPE), second.public_key.hint)
    (closing.parent / "08-release-second.sigstore.json").write_bytes(signed)
    also = replace(chain.signer_of("rebuilder"), roles=frozenset({"release"}))
    policy = Policy(signers=(*chain.policy().signers, also), steps=required("release", threshold=2))
    verdict = chain.verify(policy)
    assert verdict.status is ExitStatus.DONE
    assert why(verdict, "policy -> release") == "held: 2 signatures by 2 keys"
    (closing.parent / "08-release-second.sigstore.json").unlink()
    assert rules(chain.verify(policy)) == ["threshold-not-met"]


def test_without_sigstore_a_certificate_is_not_judged(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle(Envelope(b"{}", PAYLOAD_TYPE, b"x"), certificates=(b"x",))
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    with pytest.raises(Refusal, match="pip install") as caught:
        certified_signer(b"{}", bundle, None)
    assert caught.value.rule == "library-missing"


def test_bytes_that_only_look_like_a_keyless_bundle_are_refused(chain: Chain) -> None:
    pytest.importorskip("sigstore")
    document = json.loads(chain.bundle("train").read_bytes())
    entry = {"logIndex": "1", "kindVersion": {"kind": "dsse", "version": "0.0.1"}}
    document["verificationMaterial"] = {
        "certificate": {"rawBytes": "MAA="},
        "tlogEntries": [entry],
    }
    chain.replace("train", json.dumps(document).encode())
    who = Identity(subject="a@b.c", issuer="https://i.example")
    signers = (*chain.policy().signers, TrustedSigner(name="ci", identity=who))
    verdict = chain.verify(Policy(signers=signers))
    assert verdict.status is ExitStatus.UNTRUSTED
    assert rules(verdict) == ["bad-certificate"]
    assert rules(chain.verify()) == ["untrusted-signer"]
