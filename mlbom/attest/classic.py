"""The classic in-toto link and layout as data, in DSSE form, for verifiers that people have.

Source: in-toto specification v1.0 sections 4.3 to 4.5 (layout, link, artefact rules), and
securesystemslib for key ids. Our own verifier does not read these: it walks the statements.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlbom.attest.dsse import Envelope, envelope_document
from mlbom.attest.moment import timestamp
from mlbom.attest.publickey import KeyType, PublicKey
from mlbom.evidence.canonical import canonical_json

Rule = Sequence[str]
# Key type and signature scheme as securesystemslib calls them.
_SCHEMES = {
    KeyType.P256: ("ecdsa", "ecdsa-sha2-nistp256"),
    KeyType.P384: ("ecdsa", "ecdsa-sha2-nistp384"),
    KeyType.ED25519: ("ed25519", "ed25519"),
    KeyType.RSA: ("rsa", "rsassa-pss-sha256"),
    KeyType.ML_DSA_44: ("ml-dsa", "ml-dsa-44/1"),
    KeyType.ML_DSA_65: ("ml-dsa", "ml-dsa-65/1"),
    KeyType.ML_DSA_87: ("ml-dsa", "ml-dsa-87/1"),
}
_KEYID_PREFIX = 8
LINK_TYPE, LINK_SUFFIX = "link", ".link"
# What a link should weigh at most, in bytes (chain.md section 2).
MOST_LINK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutStep:
    """A step of a layout.

    Args:
        name: the name of its link.
        keys: who may sign it.
        threshold: how many of them must.
        materials: artefact rules for what it read, each a list of words.
        products: the same for what it wrote.
    """

    name: str
    keys: Sequence[PublicKey]
    threshold: int = 1
    materials: Sequence[Rule] = ()
    products: Sequence[Rule] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A look at the files that are here, taken by the verifier after it has run a command.

    Args:
        name: what it is called; the verifier writes NAME.link into its working directory.
        run: the command. It must be one that does nothing.
        products: artefact rules for the files below the working directory.
    """

    name: str
    run: Sequence[str]
    products: Sequence[Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What must have happened, by whom, and which files pass from step to step.

    Args:
        steps: in the order in which they are done.
        expires: end of its validity, seconds since 1970 UTC.
        inspections: looks at the files that are here.
        readme: text for people.
    """

    steps: Sequence[LayoutStep]
    expires: int
    inspections: Sequence[Inspection] = field(default=())
    readme: str = ""


def key_document(key: PublicKey) -> dict[str, Any]:
    """Return a public key as securesystemslib writes it, without its id."""
    keytype, scheme = _SCHEMES[key.key_type]
    public = _raw(key).hex() if key.key_type is KeyType.ED25519 else key.pem.decode("ascii")
    return {"keytype": keytype, "scheme": scheme, "keyval": {"public": public}}


def keyid(key: PublicKey) -> str:
    """Return the id that securesystemslib gives a public key: SHA-256 of its canonical JSON.

    That canonical form escapes quotes and backslashes only, and leaves a PEM's line ends as they
    are, so it is not `canonical_json`.
    """
    told = key_document(key)
    public = told["keyval"]["public"]
    text = (
        f'{{"keytype":"{told["keytype"]}","keyval":{{"public":"{public}"}},'
        f'"scheme":"{told["scheme"]}"}}'
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _raw(key: PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    return load_pem_public_key(key.pem).public_bytes(Encoding.Raw, PublicFormat.Raw)


def link_name(step: str, identity: str) -> str:
    """Return `STEP.KEYID8.link`, where verifiers look for the link of a step by a key."""
    return f"{step}.{identity[:_KEYID_PREFIX]}{LINK_SUFFIX}"


def link_payload(
    name: str,
    materials: Mapping[str, str],
    products: Mapping[str, str],
    command: Iterable[str],
    *,
    byproducts: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the unsigned bytes of a link; its environment is empty, the record tells that.

    Args:
        name: of the step, as a layout calls it.
        materials: SHA-256 in hexadecimal digits by name, of what it read.
        products: the same for what it wrote.
        command: argv.
        byproducts: JSON values; `return-value` is the exit status.
    """
    return canonical_json(
        {
            "_type": LINK_TYPE,
            "name": name,
            "materials": {path: {"sha256": digest} for path, digest in materials.items()},
            "products": {path: {"sha256": digest} for path, digest in products.items()},
            "command": list(command),
            "byproducts": dict(byproducts or {}),
            "environment": {},
        }
    )


def layout_payload(layout: Layout) -> bytes:
    """Return the unsigned bytes of a layout with the keys of its functionaries."""
    keys = {keyid(key): key_document(key) for step in layout.steps for key in step.keys}
    return canonical_json(
        {
            "_type": "layout",
            "readme": layout.readme,
            "expires": timestamp(layout.expires),
            "keys": {identity: {**key, "keyid": identity} for identity, key in keys.items()},
            "steps": [_step_document(step) for step in layout.steps],
            "inspect": [_inspection_document(inspection) for inspection in layout.inspections],
        }
    )


def classic_envelope(envelope: Envelope, identity: str) -> bytes:
    """Return the bytes of a link or layout file in DSSE form.

    Args:
        envelope: `signer.sign(payload, PAYLOAD_TYPE)`; links and statements share that type.
        identity: `keyid` of the signer, by which verifiers find the signature.
    """
    signed = Envelope(envelope.payload, envelope.payload_type, envelope.signature, identity)
    return canonical_json(envelope_document(signed)) + b"\n"


def _step_document(step: LayoutStep) -> dict[str, Any]:
    return {
        "_type": "step",
        "name": step.name,
        "expected_materials": [list(rule) for rule in step.materials],
        "expected_products": [list(rule) for rule in step.products],
        "pubkeys": sorted({keyid(key) for key in step.keys}),
        "expected_command": [],
        "threshold": step.threshold,
    }


def _inspection_document(inspection: Inspection) -> dict[str, Any]:
    return {
        "_type": "inspection",
        "name": inspection.name,
        "run": list(inspection.run),
        "expected_materials": [],
        "expected_products": [list(rule) for rule in inspection.products],
    }
