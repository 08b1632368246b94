"""From places of records to evidence: find, join, observe, and take the environments in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.collect.environment.site import RELEASE, environment_id
from mlbom.collect.repository import SUBJECT as REPOSITORY
from mlbom.collect.runs import COLLECTOR, Hashed
from mlbom.collect.runs.environments import TRAINING, recorded_environments, told_apart
from mlbom.collect.runs.joining import ModelFiles, join_records
from mlbom.collect.runs.links import find_links
from mlbom.collect.runs.observe import JoinedModel, observe_chain
from mlbom.collect.runs.record import Record
from mlbom.collect.scope import Scope, Witness
from mlbom.digest.hashing import FileDigest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Dataset, Repository
from mlbom.evidence.observation import Gap, Observation
from mlbom.evidence.origin import Method

# Who speaks of the environment that is inspected now.
_ENVIRONMENT_COLLECTORS = frozenset({"packages", "runtime", "accelerator"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRuns:
    """What the recorded runs add to an inspection.

    Args:
        records: those that lead to the model, in order of time.
        links: the classic links beside them, bytes by file name.
        graph: what they tell.
    """

    records: tuple[Record, ...]
    links: Mapping[str, bytes]
    graph: Graph

    @property
    def tells_training(self) -> bool:
        """Return whether the environment of training is known from a record."""
        return any(fact.subject == TRAINING for fact in self.graph.facts)

    @property
    def ran_other_sources(self) -> bool:
        """Return whether a run used sources that the commit of this release does not hold."""
        gaps = self.graph.stated_gaps
        return any(g.subject == REPOSITORY and g.field == "dirty" for g in gaps)

    def merged(self, told: Iterable[Observation | Gap], *, named: bool) -> Graph:
        """Return the evidence of an inspection together with that of the runs.

        The environment is the one that a record tells of; the one inspected now stands beside it
        when the user named it, and gives way to it otherwise (cli.md).

        Args:
            told: what the collectors said.
            named: whether the user named an interpreter.
        """
        if self.ran_other_sources:
            told = [_as_changed(item) for item in told]
        if not self.tells_training:
            return Graph.of(told).merge(self.graph)
        told = list(told)
        graph = Graph.of(t for t in told if t.origin.collector not in _ENVIRONMENT_COLLECTORS)
        if named:
            beside = (t for t in told if t.origin.collector in _ENVIRONMENT_COLLECTORS)
            graph = graph.merge(told_apart(Graph.of(beside), environment_id(RELEASE)))
        return graph.merge(self.graph)


def joined_model(
    scope: Scope,
    told: Iterable[Observation | Gap],
    hashed: Hashed,
    grams_per_kwh: float | None = None,
) -> JoinedModel:
    """Return the model that records are joined to.

    Args:
        scope: the inspection.
        told: what the collectors said.
        hashed: the digests.
        grams_per_kwh: CO2 equivalent of the grid in grams, or None.
    """
    nodes = [item.node for item in told if isinstance(item, Observation)]
    ids = {node.path: node.id for node in nodes if isinstance(node, Dataset) and node.path}
    datasets: dict[str, set[str]] = defaultdict(set)
    for path, outcomes in hashed.datasets.items():
        for found in outcomes:
            if isinstance(found, FileDigest):
                datasets[found.sha256].add(ids[path])
    repositories = (node for node in nodes if isinstance(node, Repository))
    return JoinedModel(
        id=f"model:{scope.model.root}",
        files=ModelFiles.of(hashed.files, scope.model.weights),
        datasets={sha256: tuple(sorted(found)) for sha256, found in datasets.items()},
        commit=next((r.commit for r in repositories if r.commit), None),
        grams_per_kwh=grams_per_kwh,
    )


def _as_changed(item: Observation | Gap) -> Observation | Gap:
    """Return what is said of a clean repository as said of a changed one."""
    if not isinstance(item, Observation) or not isinstance(item.node, Repository):
        return item
    is_clean = item.node.dirty is False
    return replace(item, node=replace(item.node, dirty=True)) if is_clean else item


def inspect_runs(named: tuple[Path, ...], default: Path, model: JoinedModel) -> RecordedRuns:
    """Join the records that lead to a model.

    Args:
        named: files and folders that the user names, or ().
        default: the folder looked through when none is named.
        model: the model.

    Raises:
        PathNotFoundError: a named place does not exist.
    """
    chain = join_records(named, default, model.files)
    environments = recorded_environments(chain.records)
    told = list(observe_chain(chain, environments.ids, model))
    for record, error in environments.unreadable:
        witness = Witness(COLLECTOR, Method.MEASURED, record.place)
        told.append(witness.cannot_read(record.id, error))
    links = find_links(chain.records)
    for place, error in links.unreadable:
        witness = Witness(COLLECTOR, Method.MEASURED, place)
        told.append(witness.cannot_read(f"record:{place}", error))
    graph = Graph.of(told).merge(environments.graph)
    return RecordedRuns(records=chain.records, links=links.files, graph=graph)
