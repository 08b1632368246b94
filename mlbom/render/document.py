"""What a renderer makes: a document with its name, media type and bytes."""

from dataclasses import dataclass
from typing import Protocol

from mlbom.evidence.graph import Graph


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the output directory.

    Args:
        name: POSIX path relative to the output directory.
        media_type: for example `application/vnd.cyclonedx+json; version=1.7`.
        data: the bytes.
    """

    name: str
    media_type: str
    data: bytes


class Renderer(Protocol):
    """Graph to bytes, pure: the same graph gives the same bytes.

    Args:
        spec: CycloneDX version that the user chose; only the BOM depends on it.
    """

    def __init__(self, spec: str) -> None: ...

    def render(self, graph: Graph) -> Document:
        """Return the document."""
        ...
