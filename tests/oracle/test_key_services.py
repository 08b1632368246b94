"""Keys in services: the real clients of Vault and AWS KMS, against simulators that really sign."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlbom.attest.dsse import pae
from mlbom.attest.publickey import KeyType
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import SigningError
from mlbom.sign.signer import open_signer
from tests.fixtures.loopback import Answer, Asked, serving

pytest.importorskip("securesystemslib")
pytestmark = pytest.mark.oracle
COVERED = pae(PAYLOAD_TYPE, b"payload")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Vault:
    """The transit engine with two versions of one Ed25519 key."""

    def __init__(self) -> None:
        self.keys = {n: ed25519.Ed25519PrivateKey.generate() for n in ("9", "10")}
        self.sealed = False

    def answer(self, asked: Asked) -> Answer:
        assert asked.headers["X-Vault-Token"] == "let me in"
        if self.sealed:
            return Answer(b'{"errors": ["Vault is sealed"]}', 503)
        if asked.path == "/v1/transit/keys/model":
            keys = {n: {"public_key": b64(raw(key))} for n, key in self.keys.items()}
            return Answer(json.dumps({"data": {"keys": keys}}).encode())
        if asked.path.startswith("/v1/transit/sign/model"):
            told = json.loads(asked.body)
            key = self.keys[str(told["key_version"])]
            signature = b64(key.sign(base64.b64decode(told["input"])))
            told = {"data": {"signature": f"vault:v{told['key_version']}:{signature}"}}
            return Answer(json.dumps(told).encode())
        return Answer(b'{"errors": []}', 404)


def raw(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    pytest.importorskip("hvac")
    simulator = Vault()
    with serving(simulator.answer) as url:
        monkeypatch.setenv("VAULT_ADDR", url)
        monkeypatch.setenv("VAULT_TOKEN", "let me in")
        yield simulator


@pytest.mark.parametrize("uri", ["hv:model", "hv:model/10"])
def test_vault_signs_with_its_newest_version(uri: str, vault: Vault) -> None:
    signer = open_signer(uri)
    assert signer.public_key.key_type is KeyType.ED25519
    envelope = signer.sign(b"payload", PAYLOAD_TYPE)
    assert signer.public_key.verify(envelope.signature, COVERED)
    vault.keys["10"].public_key().verify(envelope.signature, COVERED)


def test_vault_is_not_asked_for_an_older_version(vault: Vault) -> None:
    for uri in ("hv:model/9", "hv:model/1"):
        with pytest.raises(SigningError, match="newest version, which is hv:model/10"):
            open_signer(uri)


def test_vault_that_is_sealed_or_has_no_such_key_is_an_error(vault: Vault) -> None:
    with pytest.raises(SigningError, match="hv:other"):
        open_signer("hv:other")
    signer = open_signer("hv:model")
    vault.sealed = True
    with pytest.raises(SigningError, match="sealed") as caught:
        signer.sign(b"payload", PAYLOAD_TYPE)
    assert "let me in" not in str(caught.value)


class Kms:
    """AWS KMS with one P-256 key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.denied = False

    def answer(self, asked: Asked) -> Answer:
        told = json.loads(asked.body)
        known: dict[str, Callable[[], dict[str, object]]] = {
            "TrentService.GetPublicKey": self.public,
            "TrentService.Sign": lambda: self.sign(told),
        }
        if self.denied or told["KeyId"] != "alias/release":
            return Answer(b'{"__type": "NotFoundException", "message": "no such key"}', 400)
        return Answer(json.dumps(known[asked.headers["X-Amz-Target"]]()).encode())

    def public(self) -> dict[str, object]:
        spki = PublicFormat.SubjectPublicKeyInfo
        der = self.key.public_key().public_bytes(Encoding.DER, spki)
        return {"PublicKey": b64(der), "SigningAlgorithms": ["ECDSA_SHA_256"]}

    def sign(self, told: dict[str, str]) -> dict[str, object]:
        assert (told["MessageType"], told["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
        prehashed = ec.ECDSA(utils.Prehashed(SHA256()))
        return {"Signature": b64(self.key.sign(base64.b64decode(told["Message"]), prehashed))}


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kms]:
    pytest.importorskip("boto3")
    simulator = Kms()
    with serving(simulator.answer) as url:
        for name, value in {
            "AWS_ENDPOINT_URL_KMS": url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        yield simulator


def test_kms_signs(kms: Kms) -> None:
    signer = open_signer("awskms:alias/release")
    envelope = signer.sign(b"payload", PAYLOAD_TYPE)
    assert signer.public_key.verify(envelope.signature, COVERED)
    kms.key.public_key().verify(envelope.signature, COVERED, ec.ECDSA(SHA256()))


def test_kms_that_refuses_is_an_error(kms: Kms) -> None:
    with pytest.raises(SigningError, match="no such key"):
        open_signer("awskms:alias/other")
    signer = open_signer("awskms:alias/release")
    kms.denied = True
    with pytest.raises(SigningError, match="no such key"):
        signer.sign(b"payload", PAYLOAD_TYPE)


def test_a_service_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hvac")
    with serving(lambda _: Answer(b"{}")) as gone:
        pass
    monkeypatch.setenv("VAULT_ADDR", gone)
    monkeypatch.setenv("VAULT_TOKEN", "t")
    with pytest.raises(SigningError, match="hv:model did not sign"):
        open_signer("hv:model")
