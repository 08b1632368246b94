"""The DSSE envelope: pre-authentication encoding version 1, and one signature over it.

Source: secure-systems-lab/dsse protocol.md and envelope.md. The retired encoding of version 0 is
not accepted. One signature per envelope: a threshold is reached with several bundles, because
verifiers disagree on what a second signature in one envelope means.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from mlbom.attest.statement import json_object
from mlbom.attest.types import PAYLOAD_TYPE
from mlbom.errors import MalformedError


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload.

    Args:
        payload: the bytes that were signed, still unparsed.
        payload_type: their media type, which is signed too.
        signature: the raw signature over `pae(payload_type, payload)`.
        keyid: a hint that is not authenticated; empty in what mlbom writes.
    """

    payload: bytes
    payload_type: str
    signature: bytes
    keyid: str = ""

    @property
    def covered(self) -> bytes:
        """Return the bytes that the signature is over."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature covers."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_document(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as a JSON object."""
    return {
        "payload": base64.b64encode(envelope.payload).decode("ascii"),
        "payloadType": envelope.payload_type,
        "signatures": [
            {
                "sig": base64.b64encode(envelope.signature).decode("ascii"),
                "keyid": envelope.keyid,
            }
        ],
    }


def parse_envelope(document: object) -> Envelope:
    """Read an envelope from parsed JSON.

    Raises:
        MalformedError: an unknown field, another payload type than in-toto's, not exactly one
            signature, or base64 that is not in its one canonical form.
    """
    told = json_object(document, "envelope", {"payload", "payloadType", "signatures"})
    if told["payloadType"] != PAYLOAD_TYPE:
        message = f"the payload type is {str(told['payloadType'])[:80]!r}, not {PAYLOAD_TYPE}"
        raise MalformedError(message)
    signatures = told["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        message = "the envelope does not hold exactly one signature"
        raise MalformedError(message)
    signed = signatures[0]
    keys = {"sig", "keyid"} if isinstance(signed, dict) and "keyid" in signed else {"sig"}
    signed = json_object(signed, "signature", keys)
    keyid = signed.get("keyid") or ""
    if not isinstance(keyid, str):
        message = "the key id of the signature is not a text"
        raise MalformedError(message)
    payload = decode_base64(told["payload"], "payload")
    return Envelope(payload, PAYLOAD_TYPE, decode_base64(signed["sig"], "signature"), keyid)


def decode_base64(text: object, what: str) -> bytes:
    """Return the bytes of standard base64 (RFC 4648 section 4) in its one canonical spelling.

    A decoder that ignores white space or stray bits in the last digit would accept several files
    for one signature.

    Raises:
        MalformedError: not a text, empty, or not canonical base64.
    """
    if not isinstance(text, str) or not text:
        message = f"the {what} is not base64 text"
        raise MalformedError(message)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"the {what} is not valid base64"
        raise MalformedError(message) from error
    if base64.b64encode(data).decode("ascii") != text:
        message = f"the {what} is not canonical base64"
        raise MalformedError(message)
    return data
