"""The OMS schemas judge our weights bundle, and we judge the standard's own vectors."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from securesystemslib.dsse import Envelope as ReferenceEnvelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from mlbom.attest.bundle import Bundle, parse_bundle
from mlbom.attest.oms import SignedFiles, parse_oms
from mlbom.attest.statement import parse_statement
from mlbom.errors import UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.sign.newkey import KEY_NAMES
from tests.fixtures.tiny_release import TinyRelease, new_signer

LABELS = ("weights", "bom", "release")


@pytest.fixture(scope="module")
def oms() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "conformance" / "oms"
    if not folder.is_dir():
        pytest.skip("the standard's own test files are not beside this checkout")
    return folder


def validators(oms: Path) -> dict[str, jsonschema_rs.Draft202012Validator]:
    """Return a validator of each schema, all references resolved among them."""
    read = {p.name.split(".")[0]: json.loads(p.read_bytes()) for p in oms.glob("schemas/*.json")}
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in read.values()])
    return {
        name: jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)
        for name, schema in read.items()
    }


def payload_of(bundle: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return told


@pytest.mark.parametrize("is_directory", [True, False])
def test_our_weights_bundle_passes_the_schemas(
    *, is_directory: bool, oms: Path, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path / "p", new_signer(tmp_path), is_directory=is_directory).build()
    bundle = json.loads(release.bundle("weights").read_bytes())
    schemas = validators(oms)
    schemas["bundle"].validate(bundle)
    schemas["statement"].validate(payload_of(bundle))
    document = payload_of(bundle)
    document["predicate"]["extra"] = 1
    assert not schemas["statement"].is_valid(document)


@pytest.mark.parametrize("label", LABELS)
def test_every_bundle_of_ours_passes_the_bundle_schema(
    label: str, oms: Path, tmp_path: Path
) -> None:
    release = TinyRelease(tmp_path / "p", new_signer(tmp_path)).build()
    validators(oms)["bundle"].validate(json.loads(release.bundle(label).read_bytes()))


def read_vector(path: Path) -> tuple[Bundle, SignedFiles]:
    bundle = parse_bundle(parse_json(path.read_bytes(), path.name))
    return bundle, parse_oms(parse_statement(parse_json(bundle.envelope.payload, path.name)))


def test_we_read_the_valid_vectors(oms: Path) -> None:
    vectors = sorted(oms.glob("vectors/valid/*.json"))
    assert len(vectors) == 3
    for path in vectors:
        bundle, signed = read_vector(path)
        assert bool(bundle.hint) is (path.name == "key.bundle.json")
        assert bool(bundle.certificates) is not bool(bundle.hint)
        assert signed.files


def test_we_refuse_the_invalid_vectors(oms: Path) -> None:
    vectors = sorted(oms.glob("vectors/invalid*/*.json"))
    assert len(vectors) == 5
    for path in vectors:
        with pytest.raises(UnreadableError):
            read_vector(path)


@pytest.mark.parametrize("name", [n for n in KEY_NAMES if not n.startswith("ml-dsa")])
@pytest.mark.parametrize("label", LABELS)
def test_securesystemslib_verifies_our_envelopes(label: str, name: str, tmp_path: Path) -> None:
    """The reference of DSSE; it wants a key id in the envelope, which bundles leave empty.

    For ML-DSA it demands a form of its own (TAP 21); mlbom signs as FIPS 204 has it.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    signer = new_signer(tmp_path, key_type=KEY_NAMES[name])
    release = TinyRelease(tmp_path / "p", signer).build()
    document = json.loads(release.bundle(label).read_bytes())["dsseEnvelope"]
    key = SSlibKey.from_crypto(load_pem_public_key(signer.public_key.pem))
    document["signatures"][0]["keyid"] = key.keyid
    payload = base64.b64decode(document["payload"])
    envelope = ReferenceEnvelope.from_dict(document)
    assert envelope.verify([key], threshold=1)
    envelope.payload = payload.replace(b"model", b"modem")
    with pytest.raises(Exception, match=r"signature|Signature|threshold"):
        envelope.verify([key], threshold=1)
