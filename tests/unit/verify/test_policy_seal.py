"""Signed policies and signed withdrawals: what an owner vouched for, byte for byte."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.attest.bundle import bundle_bytes
from mlbom.attest.policy_claim import policy_statement, withdrawal_statement
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import MalformedError, PolicyError, UntrustedPolicyError
from mlbom.pipeline.policy import sign_policy, withdraw
from mlbom.sign.signer import Signer, seal
from mlbom.status import ExitStatus
from mlbom.verify.policy.file import read_policy, read_signed_policy
from tests.fixtures.policies import FULL, HEAD, MANIFEST, policy_folder, write_policy

OTHER = "6" * 64


@pytest.fixture
def signers(tmp_path: Path) -> dict[str, Signer]:
    return policy_folder(tmp_path)


def signed(folder: Path, signer: Signer, text: str = FULL) -> Path:
    path = write_policy(folder, text)
    place, data = sign_policy(path, signer)
    place.write_bytes(data)
    return path


def test_a_policy_signed_by_its_owner_is_read(tmp_path: Path, signers: dict[str, Signer]) -> None:
    path = signed(tmp_path, signers["owner"])
    owners = (signers["alice"].public_key, signers["owner"].public_key)
    assert read_signed_policy(path, owners) == read_policy(path)
    assert path.with_name("mlbom-policy.yaml.sigstore.json").is_file()


def test_the_same_policy_gives_the_same_signature(
    tmp_path: Path, signers: dict[str, Signer]
) -> None:
    path = write_policy(tmp_path, FULL)
    assert sign_policy(path, signers["owner"]) == sign_policy(path, signers["owner"])


def lowered(folder: Path) -> None:
    path = folder / "mlbom-policy.yaml"
    path.write_text(path.read_text().replace("threshold: 1", "threshold:  1"))


def replaced(name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).write_bytes((folder / "owner.pub").read_bytes())

    return attack


def appended(name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes() + b"\n")

    return attack


def unsigned(folder: Path) -> None:
    (folder / "mlbom-policy.yaml.sigstore.json").unlink()


def cut(folder: Path) -> None:
    place = folder / "mlbom-policy.yaml.sigstore.json"
    place.write_bytes(place.read_bytes()[:-10])


def forged(folder: Path) -> None:
    place = folder / "mlbom-policy.yaml.sigstore.json"
    place.write_bytes(place.read_bytes().replace(b'"payload":"ey', b'"payload":"ez'))


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (lowered, "mlbom-policy.yaml is not what the policy's owner signed"),
        (replaced("alice.pub"), "alice.pub is not what"),
        (replaced("box.pub"), "box.pub is not what"),
        (appended("tsa.pem"), "tsa.pem is not what"),
        (appended("trusted_root.json"), "trusted_root.json is not what"),
        (unsigned, "the policy is not signed"),
        (cut, "not valid JSON"),
        (forged, "its signature does not verify"),
    ],
)
def test_what_the_owner_did_not_sign_is_not_obeyed(
    tmp_path: Path, signers: dict[str, Signer], attack: Callable[[Path], None], told: str
) -> None:
    path = signed(tmp_path, signers["owner"])
    attack(tmp_path)
    with pytest.raises(UntrustedPolicyError, match=told) as caught:
        read_signed_policy(path, (signers["owner"].public_key,))
    assert caught.value.status is ExitStatus.UNTRUSTED


def test_a_stranger_or_nobody_cannot_vouch(tmp_path: Path, signers: dict[str, Signer]) -> None:
    path = signed(tmp_path, signers["box"])
    for owners in ((signers["owner"].public_key,), ()):
        with pytest.raises(UntrustedPolicyError, match="untrusted signer"):
            read_signed_policy(path, owners)


def test_a_file_that_the_signature_does_not_cover_is_not_used(
    tmp_path: Path, signers: dict[str, Signer]
) -> None:
    """The policy's bytes are signed, a key that it names is not."""
    path = signed(tmp_path, signers["owner"])
    files = {path.name: policy_digest(path)}
    bundle = seal(signers["owner"], policy_statement(path.name, files)).bundle
    path.with_name(path.name + ".sigstore.json").write_bytes(bundle)
    with pytest.raises(UntrustedPolicyError, match=r"alice\.pub .* not covered at all"):
        read_signed_policy(path, (signers["owner"].public_key,))


def policy_digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_signature_of_another_policy_or_kind_does_not_count(
    tmp_path: Path, signers: dict[str, Signer]
) -> None:
    owner = signers["owner"]
    path = signed(tmp_path, owner)
    place = path.with_name(path.name + ".sigstore.json")
    other = write_policy(tmp_path, FULL, "other.yaml")
    for statement, told in (
        (policy_statement("other.yaml", {"other.yaml": policy_digest(other)}), "called 'other"),
        (withdrawal_statement([MANIFEST], "x"), "it states urn:mlbom:withdrawal/v1"),
        (Statement((Subject("x", MANIFEST),), "urn:mlbom:policy/v1", {"policy": "y"}), "names no"),
        (Statement((Subject("x", MANIFEST),), "urn:mlbom:policy/v1", {}), "lacks the field"),
    ):
        place.write_bytes(seal(owner, statement).bundle)
        with pytest.raises(UntrustedPolicyError, match=told):
            read_signed_policy(path, (owner.public_key,))


def test_a_signed_policy_names_only_files_beside_it(
    tmp_path: Path, signers: dict[str, Signer]
) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    text = HEAD.replace("alice.pub", "../alice.pub").replace("box.pub", "../box.pub")
    path = write_policy(folder, text)
    assert read_policy(path).signers
    with pytest.raises(PolicyError, match="beside or below it"):
        sign_policy(path, signers["owner"])


WITH = FULL + "withdrawals: [gone.json, old.json]\n"


def test_signed_withdrawals_are_read(tmp_path: Path, signers: dict[str, Signer]) -> None:
    (tmp_path / "model.manifest").write_bytes(b"x")
    digest = policy_digest(tmp_path / "model.manifest")
    releases = (OTHER, str(tmp_path), str(tmp_path / "model.manifest"))
    (tmp_path / "gone.json").write_bytes(withdraw(releases, "backdoor", signers["alice"]))
    # A revoked key may still warn.
    (tmp_path / "old.json").write_bytes(withdraw([MANIFEST, "7" * 64], "stale", signers["old"]))
    policy = read_policy(write_policy(tmp_path, WITH))
    assert policy.withdrawn == {
        OTHER: "backdoor",
        digest: "backdoor",
        "7" * 64: "stale",
        MANIFEST: "leaked",
        "pkg:huggingface/org/name@1.0": "wrong licence",
    }
    one = write_policy(tmp_path, FULL + "withdrawals: gone.json\n")
    assert read_policy(one).withdrawn[OTHER] == "backdoor"


def test_a_withdrawal_by_anybody_else_is_an_error_not_nothing(
    tmp_path: Path, signers: dict[str, Signer]
) -> None:
    (tmp_path / "old.json").write_bytes(withdraw([OTHER], "x", signers["alice"]))
    path = write_policy(tmp_path, WITH)
    gone = tmp_path / "gone.json"
    good = withdraw([OTHER], "backdoor", signers["alice"])
    box = withdraw([OTHER], "backdoor", signers["box"])
    statement = Statement((Subject("x", OTHER),), "urn:mlbom:withdrawal/v1", {"why": " "})
    provenance = Statement((Subject("x", OTHER),), "urn:mlbom:policy/v1", {"policy": "x"})
    for data, told in (
        (box, "untrusted signer"),
        (good.replace(b'"payload":"ey', b'"payload":"ez'), "does not verify"),
        (b"{}", "gone.json: the bundle lacks"),
        (seal(signers["alice"], statement).bundle, "gives no reason"),
        (seal(signers["alice"], provenance).bundle, "it states urn:mlbom:policy/v1"),
        (not_a_statement(signers["alice"]), "not valid JSON"),
    ):
        gone.write_bytes(data)
        with pytest.raises(UntrustedPolicyError, match=told):
            read_policy(path)


def not_a_statement(signer: Signer) -> bytes:
    envelope = signer.sign(b'{"_type":NaN}', PAYLOAD_TYPE)
    return bundle_bytes(envelope, signer.public_key.hint)


def test_a_signed_policy_covers_its_withdrawals(tmp_path: Path, signers: dict[str, Signer]) -> None:
    """Else an old file of withdrawals could be put back in place of a newer one."""
    (tmp_path / "gone.json").write_bytes(withdraw([OTHER], "backdoor", signers["alice"]))
    path = signed(tmp_path, signers["owner"], FULL + "withdrawals: gone.json\n")
    (tmp_path / "gone.json").write_bytes(withdraw([MANIFEST], "other", signers["alice"]))
    with pytest.raises(UntrustedPolicyError, match=r"gone\.json is not what"):
        read_signed_policy(path, (signers["owner"].public_key,))


def test_a_withdrawal_states_something() -> None:
    with pytest.raises(MalformedError):
        withdrawal_statement([], "x")
    with pytest.raises(MalformedError, match="no reason"):
        withdrawal_statement([OTHER], "")
