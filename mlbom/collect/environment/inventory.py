"""The inventory of an environment: each distribution as a package, and what requires what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.collect.environment.dependency import Needs, dependency_graph, marker_environment
from mlbom.collect.environment.distribution import Damaged, Distribution, installed, record_digest
from mlbom.collect.environment.package_licence import find_licence
from mlbom.collect.environment.package_origin import author, direct_url, homepage
from mlbom.collect.environment.site import Site
from mlbom.collect.scope import Witness, shortened
from mlbom.errors import UnreadableError
from mlbom.evidence.nodes import Environment, Package, Pair
from mlbom.evidence.observation import Gap, GapKind, Observation
from mlbom.evidence.origin import Method

_MAX_SUMMARY = 300


def observe_packages(
    site: Site, project_root: Path, witness: Witness
) -> Iterator[Observation | Gap]:
    """Yield a `Package` for each distribution on the import path, and what is not known of it.

    Args:
        site: the environment.
        project_root: local sources below it are told relative to it.
        witness: who reads the metadata.
    """
    chosen: dict[str, Distribution] = {}
    hidden: list[Distribution] = []
    for found in installed(site.paths):
        if isinstance(found, Damaged):
            yield witness.misses(found.shown, found.reason, kind=found.kind)
        elif found.key in chosen:
            hidden.append(found)
        else:
            chosen[found.key] = found
    yield from _hidden(hidden, chosen, witness)
    count = Environment(id=site.id, role=site.role, package_count=len(chosen))
    yield witness.by(Method.MEASURED).observes(count)
    graph = dependency_graph(tuple(chosen.values()), marker_environment(site))
    for key in sorted(chosen):
        here = witness.at(_metadata(chosen[key]))
        inspection = _Inspection(site, project_root, here, chosen)
        yield from inspection.package(chosen[key], graph[key])


def _metadata(found: Distribution) -> str:
    """Return the metadata file's path below site-packages: the same wherever that lies."""
    return f"{found.shown}/METADATA" if found.shown.endswith(".dist-info") else found.shown


def _hidden(
    hidden: list[Distribution], chosen: Mapping[str, Distribution], witness: Witness
) -> Iterator[Gap]:
    """Yield a gap for each version that another one hides; the first on the path is imported."""
    for found in hidden:
        first = chosen[found.key]
        if found.version != first.version:
            reason = (
                f"{first.name} is installed as {first.version}, which is first on the import path,"
                f" and as {found.version}"
            )
            yield witness.at(_metadata(found)).misses(first.purl, reason, field="version")


@dataclass(frozen=True, slots=True)
class _Inspection:
    """Says what is known of one distribution among all that are installed."""

    site: Site
    project_root: Path
    witness: Witness
    chosen: Mapping[str, Distribution]

    def package(self, found: Distribution, needs: Needs) -> Iterator[Observation | Gap]:
        licence = find_licence(found)
        yield self.witness.observes(
            Package(
                id=found.purl,
                name=found.name,
                version=found.version,
                summary=shortened(found.one("summary"), _MAX_SUMMARY) or None,
                licence=licence.expression or None,
                licence_source=licence.source or None,
                author=author(found) or None,
                homepage=homepage(found) or None,
                depends_on=tuple(sorted(self.chosen[key].purl for key in needs.depends_on)),
                extras=tuple(Pair(*pair) for pair in sorted(needs.extras)),
                environments=(self.site.id,),
            )
        )
        if licence.reason:
            yield self.witness.misses(found.purl, licence.reason, field="licence")
        yield from self._needs(found, needs)
        yield from self._record(found)
        yield from self._origin(found)

    def _needs(self, found: Distribution, needs: Needs) -> Iterator[Gap]:
        for requirement, version in sorted(needs.missing):
            state = f"{version} is installed" if version else "it is not installed"
            reason = f"{found.name} requires {requirement}, but {state}"
            yield self.witness.misses(found.purl, reason, field="depends_on")
        for requirement, reason in sorted(needs.malformed):
            told = f"the requirement {requirement!r} cannot be understood: {reason}"
            kind = GapKind.UNREADABLE
            yield self.witness.misses(found.purl, told, field="depends_on", kind=kind)

    def _record(self, found: Distribution) -> Iterator[Observation | Gap]:
        """Yield the digest of the list of installed files; bare egg-info has none by nature."""
        try:
            digest = record_digest(found)
        except UnreadableError as error:
            kind = GapKind.UNREADABLE
            yield self.witness.misses(found.purl, str(error), field="record", kind=kind)
            return
        if not digest:
            reason = "no RECORD tells which files were installed"
            yield self.witness.misses(found.purl, reason, field="record")
            return
        witness = self.witness.at(f"{found.shown}/RECORD").by(Method.MEASURED)
        yield witness.observes(Package(id=found.purl, record=digest))

    def _origin(self, found: Distribution) -> Iterator[Observation | Gap]:
        try:
            origin = direct_url(found, self.project_root)
        except UnreadableError as error:
            kind = GapKind.UNREADABLE
            yield self.witness.misses(found.purl, str(error), field="source", kind=kind)
            return
        if origin is not None:
            node = Package(id=found.purl, source=origin.source, wheel=origin.wheel)
            yield self.witness.at(f"{found.shown}/direct_url.json").observes(node)
