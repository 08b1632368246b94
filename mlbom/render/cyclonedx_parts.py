"""The small parts of CycloneDX that every component is put together from."""

from collections.abc import Iterable
from typing import Any

from mlbom.evidence.canonical import MAX_INTEGER
from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Node
from mlbom.render.cited import Cited, cite
from mlbom.render.spdx_ids import is_listed_licence

HASH_NAMES = {
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
    "blake3": "BLAKE3",
}


def number_text(value: float) -> str:
    """Return a number as every output shows it: the shortest text that reads back equal."""
    return (
        repr(int(value)) if float(value).is_integer() and abs(value) < MAX_INTEGER else repr(value)
    )


def hash_objects(digests: Iterable[Digest]) -> list[dict[str, str]]:
    """Return CycloneDX hash objects."""
    return [{"alg": HASH_NAMES[d.algorithm], "content": d.value} for d in digests]


def property_(name: str, value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - text or Cited
    """Return a property, or None when there is no value."""
    return None if value is None else {"name": name, "value": value}


def external_reference(kind: str, url: Any) -> dict[str, Any] | None:  # noqa: ANN401 - text or Cited
    """Return an external reference, or None when there is no address or it is no IRI."""
    address = url.value if isinstance(url, Cited) else url
    if not isinstance(address, str) or "://" not in address or " " in address:
        return None
    return {"type": kind, "url": url}


def organisation(name: Cited | None) -> dict[str, Any] | None:
    """Return an organisational entity, or None."""
    return {"name": name} if name else None


def licence_choices(graph: Graph, node: Node) -> Cited | None:
    """Return the `licenses` of a node: an SPDX id, a name for a LicenseRef, or an expression."""
    expression = getattr(node, "licence", None)
    if not expression:
        return None
    choice: dict[str, Any]
    if is_listed_licence(expression):
        choice = {"license": {"id": expression, "acknowledgement": "declared"}}
    elif expression.startswith("LicenseRef-") and " " not in expression:
        choice = {"license": {"name": expression, "acknowledgement": "declared"}}
    else:
        choice = {"expression": expression, "acknowledgement": "declared"}
    return cite(graph, node, "licence", [choice])


def text_of(graph: Graph, node: Node, field: str) -> Cited | None:
    """Return a field as the text that properties hold, or None when nobody states it."""
    value = getattr(node, field)
    if value is None:
        return None
    return cite(graph, node, field, str(value).lower() if isinstance(value, bool) else str(value))
