"""The evidence graph: an immutable set of facts and gaps; merging two graphs is set union.

Because a graph is a set, merge is associative, commutative and idempotent by construction, and the
order in which collectors ran cannot show. What the facts say together is *resolved* when read:
the strongest method wins, sets are united, and a contradiction is a Gap that shows every side.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from mlbom.evidence.digest import Digest
from mlbom.evidence.nodes import Count, Item, Node, Pair, Value
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import STRENGTH, Method, Origin, Visibility
from mlbom.evidence.schema import NODE_TYPE_BY_NAME, field_types

NodeT = TypeVar("NodeT", bound=Node)


@dataclass(frozen=True, slots=True)
class Fact:
    """One field of one node as one witness states it: the atom of a graph."""

    type: str
    subject: str
    field: str
    value: Value
    origin: Origin
    visibility: Visibility = Visibility.PUBLIC

    @property
    def key(self) -> tuple[str, str, str, str, Origin, str]:
        """Return the total order of facts, equal only for equal facts."""
        told = (self.type, self.subject, self.field, sort_key(self.value))
        return (*told, self.origin, self.visibility)


def sort_key(value: Value | Item) -> str:
    """Return text that orders values and tells apart 1, 1.0, True and "1"."""
    if isinstance(value, tuple):
        return "t:" + "\x00".join(sort_key(item) for item in value)
    match value:
        case Digest():
            return f"d:{value}"
        case Count(name, number):
            return f"c:{name}\x01{number}"
        case Pair(name, text):
            return f"p:{name}\x01{text}"
        case _:
            return f"{type(value).__name__}:{value!r}"


class Graph:
    """An immutable evidence graph.

    Two graphs are equal when they hold the same facts and gaps; equal graphs give equal bytes
    (`mlbom.evidence.store`).
    """

    __slots__ = ("_resolved", "facts", "stated_gaps")

    def __init__(self, facts: Iterable[Fact] = (), gaps: Iterable[Gap] = ()) -> None:
        self.facts = frozenset(facts)
        self.stated_gaps = frozenset(gaps)
        self._resolved: _Resolution | None = None

    @classmethod
    def of(cls, told: Iterable[Observation | Gap]) -> "Graph":
        """Build a graph from what collectors yield."""
        facts: list[Fact] = []
        gaps: list[Gap] = []
        for item in told:
            if isinstance(item, Gap):
                gaps.append(item)
            else:
                facts.extend(_facts_of(item))
        return cls(facts, gaps)

    def merge(self, other: "Graph") -> "Graph":
        """Return the graph that knows what either knows."""
        return Graph(self.facts | other.facts, self.stated_gaps | other.stated_gaps)

    def published(self) -> "Graph":
        """Return the graph without its private facts and gaps."""
        return Graph(
            (f for f in self.facts if f.visibility is Visibility.PUBLIC),
            (g for g in self.stated_gaps if g.visibility is Visibility.PUBLIC),
        )

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same facts and gaps."""
        if not isinstance(other, Graph):
            return NotImplemented
        return self.facts == other.facts and self.stated_gaps == other.stated_gaps

    def __hash__(self) -> int:
        """Return a hash consistent with equality."""
        return hash((self.facts, self.stated_gaps))

    def nodes(self, node_type: type[NodeT]) -> tuple[NodeT, ...]:
        """Return all nodes of one class, resolved, ordered by id."""
        found = self._resolution().nodes.get(node_type.__name__, {})
        ordered = (found[key] for key in sorted(found))
        return tuple(node for node in ordered if isinstance(node, node_type))

    def node(self, node_type: type[NodeT], subject: str) -> NodeT | None:
        """Return one node, resolved, or None when nobody speaks of it."""
        found = self._resolution().nodes.get(node_type.__name__, {}).get(subject)
        return found if isinstance(found, node_type) else None

    def witnesses(self, node: Node, field: str) -> tuple[Origin, ...]:
        """Return who states the resolved value of a field, strongest first."""
        return self._resolution().witnesses.get((type(node).__name__, node.id, field), ())

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Return the stated gaps and one for each contradiction, in order."""
        return tuple(sorted(self.stated_gaps | self._resolution().contradictions))

    def _resolution(self) -> "_Resolution":
        if self._resolved is None:
            self._resolved = _resolve(self.facts)
        return self._resolved


@dataclass(frozen=True, slots=True)
class _Resolution:
    nodes: Mapping[str, Mapping[str, Node]]
    witnesses: Mapping[tuple[str, str, str], tuple[Origin, ...]]
    contradictions: frozenset[Gap]


def _facts_of(observation: Observation) -> Iterator[Fact]:
    node, origin = observation.node, observation.origin
    told = False
    for name, field_type in field_types(type(node)).items():
        value = getattr(node, name)
        if value is None or value == ():
            continue
        told = True
        value = field_type.normal(value)
        yield Fact(type(node).__name__, node.id, name, value, origin, observation.visibility)
    if not told:
        message = f"an observation of {node.id} says nothing: yield a Gap instead"
        raise ValueError(message)


def _resolve(facts: Iterable[Fact]) -> _Resolution:
    by_field: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        by_field[fact.type, fact.subject, fact.field].append(fact)
    values: dict[tuple[str, str], dict[str, Value]] = defaultdict(dict)
    witnesses: dict[tuple[str, str, str], tuple[Origin, ...]] = {}
    contradictions: set[Gap] = set()
    for (node_type, subject, field), stated in by_field.items():
        node_values = values[node_type, subject]
        if field_types(NODE_TYPE_BY_NAME[node_type])[field].is_set:
            node_values[field] = _united(stated)
            witnesses[node_type, subject, field] = _strongest_first(f.origin for f in stated)
            continue
        believed, gap = _believe(stated)
        if believed:
            node_values[field] = believed[0].value
            witnesses[node_type, subject, field] = _strongest_first(f.origin for f in believed)
        if gap:
            contradictions.add(gap)
    nodes: dict[str, dict[str, Node]] = defaultdict(dict)
    for (node_type, subject), node_values in values.items():
        made = NODE_TYPE_BY_NAME[node_type](id=subject, **node_values)  # type: ignore[arg-type]
        nodes[node_type][subject] = made
    return _Resolution(nodes, witnesses, frozenset(contradictions))


def _united(stated: Iterable[Fact]) -> tuple[Item, ...]:
    items = {item for f in stated if isinstance(f.value, tuple) for item in f.value}
    return tuple(sorted(items, key=sort_key))


def _strongest_first(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    return tuple(sorted(set(origins), key=lambda o: (STRENGTH.index(o.method), o)))


def _believe(stated: list[Fact]) -> tuple[list[Fact], Gap | None]:
    """Return the facts of the believed value, and a Gap when witnesses contradict each other.

    Inferences give way silently to whoever knows better, and a person's decision settles the
    matter. Otherwise every disagreement is shown, and at equal strength nobody is believed.
    """
    best = min((f.origin.method for f in stated), key=STRENGTH.index)
    strongest = [f for f in stated if f.origin.method is best]
    agreed = len({sort_key(f.value) for f in strongest}) == 1
    heard = stated if best is Method.INFERRED else _without_inferences(stated)
    disputed = len({sort_key(f.value) for f in heard}) > 1
    if not disputed or (best is Method.HUMAN and agreed):
        return [f for f in heard if sort_key(f.value) == sort_key(strongest[0].value)], None
    sides = sorted(heard, key=lambda f: (STRENGTH.index(f.origin.method), f.key))
    told = "; ".join(
        f"{_shown(f.value)} ({f.origin.method} by {f.origin.collector}"
        f"{', ' + f.origin.place if f.origin.place else ''})"
        for f in sides
    )
    gap = Gap(
        subject=sides[0].subject,
        field=sides[0].field,
        kind=GapKind.ABSENT,
        reason=f"witnesses contradict each other: {told}",
        origin=sides[0].origin,
        visibility=max((f.visibility for f in heard), key=_PRIVATE_WINS.index),
    )
    return (strongest if agreed else []), gap


_PRIVATE_WINS = (Visibility.PUBLIC, Visibility.PRIVATE)


def _without_inferences(stated: list[Fact]) -> list[Fact]:
    return [f for f in stated if f.origin.method is not Method.INFERRED]


def _shown(value: Value) -> str:
    return repr(value) if isinstance(value, str) else str(value)
