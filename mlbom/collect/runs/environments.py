"""The environments that records carry, as facts of the graph, each in the role of its step."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

from mlbom.attest.run_claim import StepKind
from mlbom.collect.environment.site import environment_id
from mlbom.collect.licences import licence_expression
from mlbom.collect.runs import COLLECTOR
from mlbom.collect.runs.record import Record
from mlbom.collect.scope import Witness, clean_value
from mlbom.errors import MalformedError, UnreadableError
from mlbom.evidence.graph import Fact, Graph, sort_key
from mlbom.evidence.observation import Gap
from mlbom.evidence.origin import Method, Origin
from mlbom.evidence.schema import NODE_TYPE_BY_NAME
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json

TRAINING = environment_id(StepKind.TRAIN)
# What an environment tells of, and the form of its ids. Anything else has no place in a record.
_IDS = {
    "Environment": re.compile(r"env:[a-z]+"),
    "Package": re.compile(r"pkg:pypi/[a-z0-9-]+@[\w.~%-]+", re.ASCII),
    "Runtime": re.compile(r"runtime:[ -~]{1,100}"),
    "Accelerator": re.compile(r"accelerator:[ -~]{1,100}"),
}
_EXACT_TEXT = re.compile(r"[!-~]{1,400}")
# Of these a host has one; two environments may hold two versions of it under one name.
_OF_ONE_HOST = ("Runtime", "Accelerator")
# A library as it was loaded is told by the run itself.
_LOADED = "runtime:loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEnvironments:
    """What the joined records tell of their environments.

    Args:
        graph: the facts and gaps.
        ids: id of the environment by id of the run.
        unreadable: why an environment could not be taken in, by record.
    """

    graph: Graph
    ids: Mapping[str, str]
    unreadable: tuple[tuple[Record, UnreadableError], ...]


def recorded_environments(records: Iterable[Record]) -> RecordedEnvironments:
    """Return the environments of records, told apart where they differ in more than their role.

    A step that ran in the same environment as a training shares its id. Otherwise the first of a
    role has the plain id `env:ROLE`, and further ones `env:ROLE:ID8`.

    Args:
        records: in order of time.
    """
    graph = Graph()
    known: dict[frozenset[tuple[str, ...]], str] = {}
    ids: dict[str, str] = {}
    failed = []
    for record in sorted(records, key=lambda record: record.claim.kind is not StepKind.TRAIN):
        if record.claim.environment is None:
            continue
        try:
            told = _carried(record, record.claim.environment)
        except UnreadableError as error:
            failed.append((record, error))
            continue
        stated = environment_id(record.claim.kind)
        content = _sayings(told, stated)
        if content not in known:
            own = f"{stated}:{record.sha256[:8]}"
            known[content] = own if stated in known.values() else stated
            graph = _merged(graph, _taken_in(record, told, known[content]))
        ids[record.id] = known[content]
    return RecordedEnvironments(graph=graph, ids=ids, unreadable=tuple(failed))


def _sayings(graph: Graph, environment: str = "") -> frozenset[tuple[str, ...]]:
    facts = (_words(fact, environment) for fact in graph.facts)
    return frozenset((*facts, *(_words(gap, environment) for gap in graph.stated_gaps)))


def _words(item: Fact | Gap, environment: str = "") -> tuple[str, ...]:
    """Return what is said, whoever says it, the name and role of its environment left out."""
    subject = "" if item.subject == environment else item.subject
    if isinstance(item, Gap):
        return subject, item.field, item.kind, item.reason
    named = environment and item.field in ("environments", "role")
    value = "" if named else sort_key(item.value)
    return item.type, subject, item.field, value, item.origin.method


def _merged(graph: Graph, further: Graph) -> Graph:
    """Return both graphs as one; what both tell or miss in the same words is told once.

    The steps of a project mostly share their environment: each further record would witness every
    package again and say nothing new.
    """
    known = _sayings(graph)
    fresh = (fact for fact in further.facts if _words(fact) not in known)
    missed = (gap for gap in further.stated_gaps if _words(gap) not in known)
    return graph.merge(Graph(fresh, missed))


def told_apart(graph: Graph, environment: str) -> Graph:
    """Return the graph of one environment with ids that no other environment uses.

    Packages keep their purl, which is the same thing everywhere; a native library or accelerator
    of one name may differ between environments and gets `@ROLE` behind its id.
    """
    suffix = f"@{environment.removeprefix('env:')}"

    def renamed(node_type: str, subject: str) -> str:
        return subject + suffix if node_type in _OF_ONE_HOST else subject

    prefixes = tuple(f"{name.lower()}:" for name in _OF_ONE_HOST)
    return Graph(
        (replace(fact, subject=renamed(fact.type, fact.subject)) for fact in graph.facts),
        (
            replace(gap, subject=gap.subject.rstrip(":") + suffix)
            if gap.subject.startswith(prefixes)
            else gap
            for gap in graph.stated_gaps
        ),
    )


def _carried(record: Record, content: bytes) -> Graph:
    """Return the evidence that a record carries of its environment.

    Raises:
        UnreadableError: it is no evidence, or tells of other things than an environment.
    """
    what = f"the environment in {record.place}"
    told = load_graph(parse_json(content, what, safe_integers=True)).published()
    for fact in told.facts:
        _check(fact, environment_id(record.claim.kind), what)
    return told


def _taken_in(record: Record, told: Graph, name: str) -> Graph:
    """Return the evidence of a record's environment under the id that it has here."""
    stated = environment_id(record.claim.kind)
    method = Method.MEASURED if record.signer else Method.DECLARED
    witness = Witness(COLLECTOR, method, record.place)
    graph = Graph(
        (_fact(fact, stated, name, witness) for fact in told.facts),
        _gaps(record, told, name, witness),
    )
    return graph if name == TRAINING else told_apart(graph, name)


def _check(fact: Fact, stated: str, what: str) -> None:
    """Refuse what is no fact about an environment: a record speaks of nothing else.

    Raises:
        MalformedError: naming the fact.
    """
    form = _IDS.get(fact.type)
    good = form is not None and bool(form.fullmatch(fact.subject))
    if fact.type == "Environment":
        good = good and fact.subject == stated
    if fact.field in _exact_fields(fact.type) and good:
        texts = fact.value if isinstance(fact.value, tuple) else (fact.value,)
        good = all(isinstance(text, str) and _EXACT_TEXT.fullmatch(text) for text in texts)
    if fact.field == "licence" and good:
        good = licence_expression(str(fact.value)) is not None
    if not good:
        message = f"{what} states {fact.type} {fact.subject[:80]!r} {fact.field}, out of place"
        raise MalformedError(message)


@cache
def _exact_fields(node_type: str) -> frozenset[str]:
    marked = (f for f in fields(NODE_TYPE_BY_NAME[node_type]) if f.metadata.get("exact"))
    return frozenset(f.name for f in marked)


def _fact(fact: Fact, stated: str, name: str, witness: Witness) -> Fact:
    value = fact.value
    if fact.field == "environments":
        value = (name,)
    elif fact.field not in _exact_fields(fact.type):
        value = clean_value(value)
    subject = name if fact.subject == stated else fact.subject
    return replace(fact, subject=subject, value=value, origin=_origin(fact.origin, witness))


def _origin(told: Origin, witness: Witness) -> Origin:
    """Return the origin of a fact that a record carries: who knew it then, in which record.

    Nothing that a machine wrote counts as a person's decision, and what nobody signed was declared.
    """
    method = told.method
    if method is Method.MEASURED:
        method = witness.method
    elif method is Method.HUMAN:
        method = Method.DECLARED
    key = clean_value(f"{told.collector} {told.place}".strip())
    return replace(witness.by(method).origin(key=key), confidence=told.confidence)


def _gaps(record: Record, told: Graph, name: str, witness: Witness) -> Iterator[Gap]:
    stated = environment_id(record.claim.kind)
    loaded = bool(record.claim.parameters.get("libraries"))
    for gap in told.stated_gaps:
        if gap.subject == _LOADED and loaded:
            continue
        subject = name if gap.subject == stated else clean_value(gap.subject)
        yield witness.misses(subject, gap.reason, field=gap.field[:40], kind=gap.kind)
