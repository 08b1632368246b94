"""The Sigstore bundle version 0.3: one file that holds an envelope and says who signed it.

Source: sigstore/protobuf-specs protos/sigstore_bundle.proto; ossf/model-signing-spec v1.0 section
4. mlbom writes bundles with a public key's hint. Bundles with certificates are read, so that a
verdict can say what they are; the hint and the certificates inside a bundle are claims, never
grounds for trust.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlbom.attest.dsse import Envelope, decode_base64, envelope_document, parse_envelope
from mlbom.attest.statement import json_object
from mlbom.attest.types import BUNDLE_MEDIA_TYPE
from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.canonical import canonical_json

SUFFIX = ".sigstore.json"
# Where bundles lie: in a release, and in `.mlbom`.
FOLDER = "attestations"
MAX_BYTES = 64 * 1024 * 1024
# The payload is base64, so these bytes occur only in the few objects around it. Counting them
# first keeps a file of a million signatures from being built in memory.
MAX_STRUCTURE = 4096
_STRUCTURE = b"{[,"
_MAX_HINT = 512


@dataclass(frozen=True, slots=True)
class Bundle:
    """A parsed bundle.

    Args:
        envelope: the signed payload.
        hint: which public key signed, by its own account; empty when there are certificates.
        certificates: DER certificates, leaf first, when it was signed with one.
        timestamps: DER RFC 3161 tokens (TimeStampResp) over the raw signature.
        log_entries: entries of transparency logs, unparsed.
    """

    envelope: Envelope
    hint: str = ""
    certificates: tuple[bytes, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    log_entries: tuple[Mapping[str, Any], ...] = ()


def bundle_bytes(envelope: Envelope, hint: str, timestamps: Sequence[bytes] = ()) -> bytes:
    """Return the bytes of a bundle signed with a plain key.

    Args:
        envelope: the signed payload.
        hint: `PublicKey.hint` of the signer.
        timestamps: DER RFC 3161 tokens over the raw signature.
    """
    material: dict[str, Any] = {"publicKey": {"hint": hint}, "tlogEntries": []}
    if timestamps:
        tokens = [{"signedTimestamp": base64.b64encode(t).decode("ascii")} for t in timestamps]
        material["timestampVerificationData"] = {"rfc3161Timestamps": tokens}
    document = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": material,
        "dsseEnvelope": envelope_document(envelope),
    }
    return canonical_json(document)


def bundle_name(number: int, label: str, payload: bytes) -> str:
    """Return `NN-label-ID8.sigstore.json`; ID8 is `bundle_id`."""
    return f"{number:02d}-{label}-{bundle_id(payload)}{SUFFIX}"


def bundle_id(payload: bytes) -> str:
    """Return ID8, the beginning of the SHA-256 of the payload."""
    return hashlib.sha256(payload).hexdigest()[:8]


def check_bundle_size(data: bytes) -> None:
    """Refuse bytes that are too large to be a bundle, before they are parsed.

    Raises:
        LimitError: more than 64 MiB, or more than 4096 JSON values.
    """
    if len(data) > MAX_BYTES:
        message = f"the bundle is larger than {MAX_BYTES} bytes"
        raise LimitError(message)
    if sum(data.count(char) for char in _STRUCTURE) > MAX_STRUCTURE:
        message = f"the bundle holds more than {MAX_STRUCTURE} values"
        raise LimitError(message)


def parse_bundle(document: object) -> Bundle:
    """Read a bundle from parsed JSON.

    Raises:
        MalformedError: another media type, an unknown field, several kinds of verification
            material or none, a malformed envelope.
    """
    told = json_object(document, "bundle", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if told["mediaType"] != BUNDLE_MEDIA_TYPE:
        message = f"the bundle's media type is {str(told['mediaType'])[:80]!r}"
        raise MalformedError(message)
    material = told["verificationMaterial"]
    hint, certificates = _parse_material(material)
    return Bundle(
        parse_envelope(told["dsseEnvelope"]),
        hint,
        certificates,
        _parse_timestamps(material.get("timestampVerificationData")),
        _parse_log_entries(material.get("tlogEntries"), required=_needs_log(material)),
    )


def _needs_log(material: Mapping[str, Any]) -> bool:
    """Return whether the certificate is of the short-lived kind, worth nothing without a log."""
    return "certificate" in material


def _parse_material(document: object) -> tuple[str, tuple[bytes, ...]]:
    kinds = {"publicKey", "certificate", "x509CertificateChain"}
    optional = {"tlogEntries", "timestampVerificationData"}
    stated = set(document) if isinstance(document, dict) else set()
    kind = stated & kinds
    if len(kind) != 1:
        message = "the verification material is not exactly one of key, certificate and chain"
        raise MalformedError(message)
    told = json_object(document, "verification material", kind | (stated & optional))
    if "publicKey" in kind:
        return _parse_hint(told["publicKey"]), ()
    if "certificate" in kind:
        return "", (_parse_certificate(told["certificate"]),)
    chain = json_object(told["x509CertificateChain"], "certificate chain", {"certificates"})
    if not isinstance(chain["certificates"], list) or not chain["certificates"]:
        message = "the certificate chain is empty"
        raise MalformedError(message)
    return "", tuple(_parse_certificate(item) for item in chain["certificates"])


def _parse_timestamps(document: object) -> tuple[bytes, ...]:
    if document is None:
        return ()
    stated = set(document) if isinstance(document, dict) else set()
    told = json_object(document, "timestamps", stated & {"rfc3161Timestamps"})
    tokens = told.get("rfc3161Timestamps", [])
    if not isinstance(tokens, list):
        message = "the timestamps are no list"
        raise MalformedError(message)
    inner = [json_object(token, "timestamp", {"signedTimestamp"}) for token in tokens]
    return tuple(decode_base64(token["signedTimestamp"], "timestamp") for token in inner)


def _parse_log_entries(document: object, *, required: bool) -> tuple[Mapping[str, Any], ...]:
    entries = [] if document is None else document
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        message = "the log entries are no list of objects"
        raise MalformedError(message)
    if required and not entries:
        message = "a bundle with a certificate needs an entry of a transparency log"
        raise MalformedError(message)
    return tuple(entries)


def _parse_hint(document: object) -> str:
    hint: Any = json_object(document, "public key", {"hint"})["hint"]
    if not isinstance(hint, str) or not 0 < len(hint) <= _MAX_HINT:
        message = "the public key's hint is not a short text"
        raise MalformedError(message)
    return hint


def _parse_certificate(document: object) -> bytes:
    told = json_object(document, "certificate", {"rawBytes"})
    return decode_base64(told["rawBytes"], "certificate")
