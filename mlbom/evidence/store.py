"""Graph <-> canonical JSON: the bytes of evidence.json.

Facts are grouped by node and share a table of origins. A file is read back strictly: what a newer
mlbom may have added is refused, not skipped, because a verdict rests on these bytes.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mlbom.errors import MalformedError
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Fact, Graph
from mlbom.evidence.nodes import Count, Pair, Value
from mlbom.evidence.observation import Gap, GapKind
from mlbom.evidence.origin import Method, Origin, Visibility
from mlbom.evidence.schema import NODE_TYPE_BY_NAME, FieldType, field_types

SCHEMA = "urn:mlbom:evidence:1"


def dump_graph(graph: Graph) -> bytes:
    """Return the canonical bytes of a graph, with a final newline."""
    origins = sorted({f.origin for f in graph.facts} | {g.origin for g in graph.stated_gaps})
    number = {origin: i for i, origin in enumerate(origins)}
    document = {
        "schema": SCHEMA,
        "origins": [_origin_out(origin) for origin in origins],
        "nodes": _nodes_out(graph.facts, number),
        "gaps": [_gap_out(gap, number) for gap in sorted(graph.stated_gaps)],
    }
    return canonical_json(document) + b"\n"


def load_graph(document: Any) -> Graph:  # noqa: ANN401 - parsed JSON
    """Rebuild a graph from parsed evidence.json.

    Raises:
        MalformedError: another schema, or anything that `dump_graph` would not have written.
    """
    try:
        if document["schema"] != SCHEMA:
            message = f"evidence of schema {document['schema']!r}, this mlbom reads {SCHEMA}"
            raise MalformedError(message)
        origins = [_origin_in(told) for told in document["origins"]]
        facts = [f for told in document["nodes"] for f in _facts_in(told, origins)]
        gaps = [_gap_in(told, origins) for told in document["gaps"]]
        graph = Graph(facts, gaps)
        same = dump_graph(graph) == canonical_json(document) + b"\n"
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        message = f"evidence is malformed: {type(error).__name__}: {error}"
        raise MalformedError(message) from error
    if not same:
        message = "evidence is malformed: it is not in the one form that it can have"
        raise MalformedError(message)
    return graph


def _origin_out(origin: Origin) -> dict[str, Any]:
    told: dict[str, Any] = {"collector": origin.collector, "method": origin.method.value}
    optional = {"path": origin.path, "line": origin.line, "key": origin.key}
    told.update({name: value for name, value in optional.items() if value})
    if origin.confidence != 1.0:
        told["confidence"] = origin.confidence
    return told


def _origin_in(told: dict[str, Any]) -> Origin:
    return Origin(**{**told, "method": Method(told["method"])})


def _nodes_out(facts: Iterable[Fact], number: dict[Origin, int]) -> list[dict[str, Any]]:
    stated: dict[tuple[str, str], dict[tuple[str, Visibility], dict[bytes, list[int]]]]
    stated = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    values: dict[bytes, Any] = {}
    for fact in sorted(facts, key=lambda f: f.key):
        value = _value_out(fact.value)
        token = canonical_json(value)
        values[token] = value
        by_value = stated[fact.type, fact.subject][fact.field, fact.visibility]
        by_value[token].append(number[fact.origin])
    return [
        {
            "type": node_type,
            "id": subject,
            "facts": [
                {
                    "field": field,
                    "value": values[token],
                    "origins": sorted(by),
                    **({"visibility": "private"} if visibility is Visibility.PRIVATE else {}),
                }
                for (field, visibility), by_value in told.items()
                for token, by in by_value.items()
            ],
        }
        for (node_type, subject), told in stated.items()
    ]


def _facts_in(told: dict[str, Any], origins: list[Origin]) -> Iterable[Fact]:
    types = field_types(NODE_TYPE_BY_NAME[told["type"]])
    for stated in told["facts"]:
        value = _value_in(stated["value"], types[stated["field"]])
        visibility = Visibility(stated.get("visibility", "public"))
        for index in stated["origins"]:
            origin = origins[index]
            yield Fact(told["type"], told["id"], stated["field"], value, origin, visibility)


def _gap_out(gap: Gap, number: dict[Origin, int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "subject": gap.subject,
        "kind": gap.kind.value,
        "reason": gap.reason,
        "origin": number[gap.origin],
    }
    if gap.field:
        told["field"] = gap.field
    if gap.visibility is Visibility.PRIVATE:
        told["visibility"] = "private"
    return told


def _gap_in(told: dict[str, Any], origins: list[Origin]) -> Gap:
    return Gap(
        subject=told["subject"],
        kind=GapKind(told["kind"]),
        reason=told["reason"],
        origin=origins[told["origin"]],
        field=told.get("field", ""),
        visibility=Visibility(told.get("visibility", "public")),
    )


def _value_out(value: Any) -> Any:  # noqa: ANN401 - a Value, recursively
    match value:
        case Digest():
            return str(value)
        case Count(name, number):
            return [name, number]
        case Pair(name, text):
            return [name, text]
        case tuple():
            return [_value_out(item) for item in value]
        case _:
            return value


def _value_in(told: Any, field_type: FieldType) -> Value:  # noqa: ANN401 - parsed JSON
    if field_type.is_set:
        return field_type.normal(tuple(_item_in(item, field_type.item) for item in told))
    return field_type.normal(_item_in(told, field_type.item))


def _item_in(told: Any, item_type: type) -> Any:  # noqa: ANN401 - parsed JSON
    if item_type is Digest:
        return Digest.parse(told)
    if item_type not in (Count, Pair):
        return told
    name, second = told
    if item_type is Count and type(name) is str and type(second) is int:
        return Count(name, second)
    if item_type is Pair and type(name) is str and type(second) is str:
        return Pair(name, second)
    message = f"expected a {item_type.__name__}, found {told!r}"
    raise ValueError(message)
