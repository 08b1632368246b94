"""Signers by key URI, and sealing a statement into a bundle."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from mlbom.attest.bundle import parse_bundle
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import PathNotFoundError, SigningError, UsageError
from mlbom.sign.keyfile import KeyFileSigner
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.signer import SIGNERS, open_signer, seal

STATEMENT = Statement((Subject("a", "0" * 64),), "urn:x", {"n": 1})


@pytest.fixture
def private(tmp_path: Path) -> Path:
    paths = KeyPaths.of(tmp_path / "k.pem")
    make_key(paths)
    return paths.private


@pytest.mark.parametrize("scheme", SIGNERS)
def test_every_signer_in_the_table_exists(scheme: str) -> None:
    module, _, name = SIGNERS[scheme].partition(":")
    assert getattr(import_module(module), name).scheme == scheme


def test_a_key_is_named_by_uri_or_by_path(private: Path) -> None:
    assert open_signer(f"file:{private}").public_key == open_signer(str(private)).public_key


def test_a_path_may_look_like_a_uri(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    private.rename(tmp_path / "my:key.pem")
    assert open_signer("my:key.pem").scheme == "file"


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'hsm'") as caught:
        open_signer("hsm:2?label=x")
    assert caught.value.looked == ("file:",)


def test_a_drive_letter_is_no_scheme() -> None:
    with pytest.raises(PathNotFoundError):
        open_signer("C:/none.pem")


def test_a_sealed_statement_is_a_bundle_of_its_payload(private: Path) -> None:
    signer = open_signer(str(private))
    sealed = seal(signer, STATEMENT)
    bundle = parse_bundle(json.loads(sealed.bundle))
    assert bundle.hint == signer.public_key.hint
    assert bundle.envelope.payload == sealed.payload == STATEMENT.payload()
    assert parse_statement(json.loads(bundle.envelope.payload)) == STATEMENT
    covered = pae(PAYLOAD_TYPE, sealed.payload)
    assert signer.public_key.verify(bundle.envelope.signature, covered)
    assert sealed.name(8, "release").startswith("08-release-")


def test_the_same_key_and_statement_give_the_same_bundle(private: Path) -> None:
    assert seal(open_signer(str(private)), STATEMENT) == seal(open_signer(str(private)), STATEMENT)


def test_a_signature_that_does_not_verify_is_never_published(private: Path) -> None:
    class Faulty(KeyFileSigner):
        def sign(self, payload: bytes, payload_type: str) -> Envelope:
            right = super().sign(payload, payload_type)
            return Envelope(payload, payload_type, right.signature[:-1])

    from mlbom.sign.signer import KeyAccess

    with pytest.raises(SigningError, match="does not verify"):
        seal(Faulty.open(str(private), KeyAccess()), STATEMENT)
