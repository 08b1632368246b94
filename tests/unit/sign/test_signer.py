"""Signers by key URI, and sealing a statement into a bundle."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from mlbom.attest.bundle import bundle_bytes, parse_bundle
from mlbom.attest.dsse import Envelope, pae
from mlbom.attest.publickey import parse_public_key
from mlbom.attest.statement import Statement, Subject, parse_statement
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import MalformedError, PathNotFoundError, SigningError, UsageError
from mlbom.sign.keyfile import KeyFileSigner
from mlbom.sign.newkey import KeyPaths, make_key
from mlbom.sign.signer import SIGNERS, KeyAccess, open_signer, own_envelope, seal

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
    with pytest.raises(UsageError, match="'gnupg'") as caught:
        open_signer("gnupg:ABCDEF")
    assert caught.value.looked == tuple(f"{scheme}:" for scheme in sorted(SIGNERS))


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

    with pytest.raises(SigningError, match="does not verify"):
        seal(Faulty.open(str(private), KeyAccess()), STATEMENT)


class Fixed:
    """Stamps every signature with the same bytes."""

    def stamp(self, signature: bytes) -> bytes:
        return b"token over " + signature[:4]


def test_a_timestamp_lies_beside_the_signature_that_it_covers(private: Path) -> None:
    sealed = seal(open_signer(str(private)), STATEMENT, Fixed())
    bundle = parse_bundle(json.loads(sealed.bundle))
    assert bundle.timestamps == (b"token over " + bundle.envelope.signature[:4],)
    plain = parse_bundle(json.loads(seal(open_signer(str(private)), STATEMENT).bundle))
    assert plain.envelope == bundle.envelope
    assert not plain.timestamps


def test_ones_own_signature_is_told_from_any_other(private: Path, tmp_path: Path) -> None:
    signer = open_signer(str(private))
    sealed = seal(signer, STATEMENT)
    envelope = own_envelope(sealed.bundle, signer)
    assert envelope is not None
    assert envelope.payload == sealed.payload
    other = KeyPaths.of(tmp_path / "other.pem")
    make_key(other)
    assert own_envelope(sealed.bundle, open_signer(str(other.private))) is None
    document = json.loads(sealed.bundle)
    document["verificationMaterial"]["publicKey"]["hint"] = parse_public_key(
        other.public.read_bytes(), "other"
    ).hint
    assert own_envelope(json.dumps(document).encode(), open_signer(str(other.private))) is None
    with pytest.raises(MalformedError):
        own_envelope(b"{}", signer)


class Service(KeyFileSigner):
    """Makes whole bundles, as a keyless signer does; it can change what it is given."""

    changes = False

    def bundle(self, payload: bytes) -> bytes:
        envelope = self.sign(payload + b" " * self.changes, PAYLOAD_TYPE)
        return bundle_bytes(envelope, self.public_key.hint)

    def identity(self) -> str:
        return "somebody"


def test_a_bundle_made_elsewhere_is_taken_as_it_is(private: Path) -> None:
    service = Service.open(str(private), KeyAccess())
    sealed = seal(service, STATEMENT)
    assert sealed.bundle == service.bundle(sealed.payload)
    service.changes = True
    with pytest.raises(SigningError, match="changed the bytes"):
        seal(service, STATEMENT)


def test_a_keyless_signature_takes_no_other_timestamp(private: Path) -> None:
    with pytest.raises(UsageError, match="from the log"):
        seal(Service.open(str(private), KeyAccess()), STATEMENT, Fixed())
