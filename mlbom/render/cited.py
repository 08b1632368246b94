"""Values that carry their witnesses through the building of a document.

A renderer puts `Cited` values where plain JSON values will stand. `settle` replaces each one by its
value and returns, for every origin, the JSON Pointers (RFC 6901) of the values it witnesses.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Node
from mlbom.evidence.origin import Origin


@dataclass(frozen=True, slots=True)
class Cited:
    """A JSON value and who witnesses it."""

    value: Any
    origins: tuple[Origin, ...]


def cite(graph: Graph, node: Node, field: str, value: Any = None) -> Cited | None:  # noqa: ANN401
    """Return a field of a node with its witnesses, or None when nobody states it.

    Args:
        graph: the graph that the node comes from.
        node: a resolved node.
        field: name of the field.
        value: what to show for it; the field's own value when None.
    """
    told = getattr(node, field)
    if told is None or told == ():
        return None
    shown = told if value is None else value
    return Cited(list(shown) if isinstance(shown, tuple) else shown, graph.witnesses(node, field))


def stated(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without the members that say nothing (None, empty list or object)."""
    return {k: v for k, v in entries.items() if v is not None and v not in ([], {})}


def settle(document: Any) -> tuple[Any, Mapping[Origin, tuple[str, ...]]]:  # noqa: ANN401 - JSON
    """Return the plain document, and the pointers that each origin witnesses, in order."""
    pointers: dict[Origin, list[str]] = defaultdict(list)
    plain = _settle(document, "", pointers)
    return plain, {origin: tuple(pointers[origin]) for origin in sorted(pointers)}


def _settle(value: Any, pointer: str, pointers: dict[Origin, list[str]]) -> Any:  # noqa: ANN401
    match value:
        case Cited(inner, origins):
            for origin in origins:
                pointers[origin].append(pointer)
            return _settle(inner, pointer, pointers)
        case dict():
            return {
                k: _settle(v, f"{pointer}/{k.replace('~', '~0').replace('/', '~1')}", pointers)
                for k, v in value.items()
            }
        case list():
            return [_settle(v, f"{pointer}/{i}", pointers) for i, v in enumerate(value)]
        case _:
            return value
