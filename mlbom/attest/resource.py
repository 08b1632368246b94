"""The in-toto ResourceDescriptor: one file or other thing that a predicate refers to.

Source: in-toto/attestation spec/v1/resource_descriptor.md.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlbom.attest.dsse import decode_base64
from mlbom.errors import MalformedError

_FIELDS = frozenset(
    {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource. At least one of name, uri, digests and content is given.

    Args:
        name: what the statement calls it, for example a project-relative POSIX path.
        uri: where it comes from, for example a purl or `git+https://…`.
        digests: algorithm -> value; `gitCommit` may stand here, unlike in subjects.
        media_type: of the content.
        content: the bytes themselves, when they are carried along.
        annotations: further facts, JSON values.
    """

    name: str = ""
    uri: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    media_type: str = ""
    content: bytes | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 in hexadecimal digits, or an empty text."""
        return self.digests.get("sha256", "")

    @property
    def is_file(self) -> bool:
        """Return whether this is a file known by its digest, and nothing that has an address."""
        return bool(self.sha256) and not self.uri

    def check_content(self) -> None:
        """Refuse a content that is not the one whose digest stands beside it.

        Raises:
            MalformedError: naming the resource.
        """
        if self.content is None or hashlib.sha256(self.content).hexdigest() == self.sha256:
            return
        message = f"the content of {self.name[:80]!r} has another digest than it states"
        raise MalformedError(message)

    def document(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object, without empty fields."""
        told: dict[str, Any] = {
            "name": self.name,
            "uri": self.uri,
            "digest": dict(self.digests),
            "mediaType": self.media_type,
            "annotations": dict(self.annotations),
        }
        if self.content is not None:
            told["content"] = base64.b64encode(self.content).decode("ascii")
        return {key: value for key, value in told.items() if value}


def parse_resource(document: object) -> Resource:
    """Read a descriptor from parsed JSON.

    Raises:
        MalformedError: no object, an unknown field, a field of another kind, or nothing that
            identifies the resource.
    """
    if not isinstance(document, dict) or not document.keys() <= _FIELDS:
        message = "a resource descriptor is no object, or has an unknown field"
        raise MalformedError(message)
    texts = {key: document.get(key, "") for key in ("name", "uri", "mediaType")}
    digests, annotations = document.get("digest", {}), document.get("annotations", {})
    whole = all(isinstance(text, str) for text in texts.values())
    if not whole or not isinstance(digests, dict) or not isinstance(annotations, dict):
        message = "a resource descriptor has a field of another kind than its specification"
        raise MalformedError(message)
    if not all(isinstance(value, str) and value for value in digests.values()):
        message = "a resource descriptor has a digest that is no text"
        raise MalformedError(message)
    content = decode_base64(document["content"], "content") if "content" in document else None
    if not (texts["name"] or texts["uri"] or digests or content):
        message = "a resource descriptor identifies nothing"
        raise MalformedError(message)
    return Resource(
        name=texts["name"],
        uri=texts["uri"],
        digests=digests,
        media_type=texts["mediaType"],
        content=content,
        annotations=annotations,
    )
