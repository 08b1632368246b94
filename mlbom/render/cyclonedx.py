"""The CycloneDX ML-BOM: evidence graph -> JSON of CycloneDX 1.7 (ECMA-424) or 1.6.

The document is built as plain JSON by us, because the library has no modelCard, data, citations or
compositions and drops them silently. This module is the frame; the components come from
`cyclonedx_model` and `cyclonedx_software`.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlbom.attest.moment import timestamp
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model, Project, Release, Repository
from mlbom.evidence.observation import GapKind
from mlbom.evidence.origin import Origin
from mlbom.render.cited import cite, settle, stated
from mlbom.render.cyclonedx_data import data_components, dataset_refs
from mlbom.render.cyclonedx_declarations import declarations
from mlbom.render.cyclonedx_formulation import formulation
from mlbom.render.cyclonedx_model import model_component
from mlbom.render.cyclonedx_parts import (
    external_reference,
    licence_choices,
    organisation,
    property_,
    text_of,
)
from mlbom.render.cyclonedx_software import (
    direct_requirements,
    package_components,
    platform_components,
    software_dependencies,
)
from mlbom.render.document import Document
from mlbom.render.environments import main_environment, main_packages

TOOL_REF = "tool:mlbom"
SYSTEM_REF = "system:"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:mlbom:bom")


class CycloneDxRenderer:
    """Renders bom.cdx.json.

    Args:
        spec: version of the specification, `1.7` or `1.6`.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec

    def render(self, graph: Graph) -> Document:
        """Return the BOM; its serial number is a digest of the rest of it (RFC 9562 version 5)."""
        bom = build_bom(graph, self._spec)
        data = json.dumps(bom, ensure_ascii=False, indent=2).encode() + b"\n"
        media_type = f"application/vnd.cyclonedx+json; version={self._spec}"
        return Document("bom.cdx.json", media_type, data)


def build_bom(graph: Graph, spec: str) -> dict[str, Any]:
    """Return the BOM as a JSON object.

    Args:
        graph: the published evidence.
        spec: version of the specification.
    """
    components = [
        *(model_component(graph, model) for model in graph.nodes(Model)),
        *data_components(graph),
        *package_components(graph),
    ]
    platform = platform_components(graph)
    formulas = formulation(graph)
    nested = _nested(c for formula in formulas for c in formula.get("components", ()))
    software = {c["bom-ref"] for c in nested if c["type"] not in ("file", "platform")}
    refs = {component["bom-ref"] for component in (*components, *platform)}
    draft = stated(
        {
            "metadata": _metadata(graph),
            "components": [*components, *platform],
            "dependencies": _dependencies(graph, refs | software, platform),
            "compositions": _compositions(graph),
            "formulation": formulas,
            "declarations": declarations(graph),
        }
    )
    bom, witnessed = settle(draft)
    timestamp = bom["metadata"].get("timestamp")
    if timestamp and spec != "1.6":
        bom["citations"] = _citations(witnessed, timestamp)
    head = {
        "$schema": f"http://cyclonedx.org/schema/bom-{spec}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": spec,
    }
    serial = uuid.uuid5(_NAMESPACE, canonical_json({**head, **bom}).decode())
    return {**head, "serialNumber": f"urn:uuid:{serial}", "version": 1, **bom}


def _metadata(graph: Graph) -> dict[str, Any]:
    release = graph.node(Release, "release:") or Release()
    tool = {
        "type": "application",
        "bom-ref": TOOL_REF,
        "name": "mlbom",
        "version": release.tool_version,
    }
    return stated(
        {
            "timestamp": _timestamp(release),
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [stated(tool)]},
            "component": _system(graph, release),
            "properties": _gap_properties(graph),
        }
    )


def _timestamp(release: Release) -> str | None:
    if release.timestamp is None:
        return None
    return timestamp(release.timestamp)


def _system(graph: Graph, release: Release) -> dict[str, Any]:
    """Return the AI system around the model: the project, or the release itself."""
    model = next(iter(graph.nodes(Model)), Model(id="model:"))
    project = graph.node(Project, "project:") or Project()
    commits = [
        {"uid": cite(graph, repository, "commit")}
        for repository in graph.nodes(Repository)
        if repository.commit
    ]
    references = [
        external_reference("website", cite(graph, project, "homepage")),
        *(external_reference("vcs", remote) for remote in _remotes(graph)),
    ]
    properties = [
        property_("mlbom:model-root", release.model_root),
        *(
            property_("mlbom:requirement", cite(graph, project, "requirements", requirement))
            for requirement in project.requirements
        ),
        *(
            property_(f"mlbom:git:{field}", text_of(graph, repository, field))
            for repository in graph.nodes(Repository)
            for field in ("branch", "dirty", "state", "path")
        ),
    ]
    return stated(
        {
            "type": "application",
            "bom-ref": SYSTEM_REF,
            "name": cite(graph, project, "name") or cite(graph, model, "name"),
            "version": cite(graph, project, "version") or release.version,
            "description": cite(graph, project, "description"),
            "supplier": organisation(cite(graph, model, "producer")),
            "authors": [{"name": name} for name in project.authors],
            "licenses": licence_choices(graph, project),
            "externalReferences": [r for r in references if r],
            "pedigree": stated({"commits": commits}),
            "properties": [p for p in properties if p],
        }
    )


def _remotes(graph: Graph) -> list[str]:
    return [remote for repository in graph.nodes(Repository) for remote in repository.remotes]


def _gap_properties(graph: Graph) -> list[dict[str, str]]:
    """Return what is not known, one property each: unknown is a value in every output."""
    return [
        {
            "name": f"mlbom:gap:{gap.kind.value}",
            "value": f"{gap.about}: {gap.reason}",
        }
        for gap in graph.gaps
    ]


def _nested(components: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from _nested(component.get("components", ()))


def _dependencies(
    graph: Graph, refs: set[str], platform: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return who needs whom: every component once, edges only to what is there.

    Args:
        graph: the evidence.
        refs: bom-refs of all components that can need one another.
        platform: the layers below the packages.
    """
    models = graph.nodes(Model)
    edges: dict[str, set[str]] = {ref: set() for ref in refs}
    edges[SYSTEM_REF] = {*(m.id for m in models), *direct_requirements(graph)}
    edges[SYSTEM_REF].update(component["bom-ref"] for component in platform)
    for ref, needed in software_dependencies(graph).items():
        if ref in edges:
            edges[ref] |= needed & refs
    for model in models:
        bases = {f"base:{name}" for name in model.base_models}
        edges[model.id] = {*dataset_refs(graph, model), *bases}
        edges.update({base: set() for base in bases})
    return [
        stated({"ref": ref, "dependsOn": sorted(needed)}) for ref, needed in sorted(edges.items())
    ]


def _compositions(graph: Graph) -> list[dict[str, Any]]:
    """Say honestly what is complete: the files, the packages; and what nobody can tell."""
    unreadable = {g.subject for g in graph.gaps if g.kind is GapKind.UNREADABLE}
    broken = any(s.startswith(("file:", "weights:", "collector:")) for s in unreadable)
    models = [m.id for m in graph.nodes(Model)]
    packages = [p.id for p in main_packages(graph)]
    told: list[dict[str, Any]] = [
        {"aggregate": "incomplete" if broken else "complete", "assemblies": models},
        # Without a run whose every read was seen nobody can tell which data went into the weights.
        {"aggregate": "unknown", "dependencies": models},
    ]
    if packages:
        partial = any(s.startswith(("pkg:", "env:", "collector:packages")) for s in unreadable)
        kind = "incomplete" if partial else "complete"
        told.append({"aggregate": kind, "dependencies": packages})
    aggregate = "incomplete" if main_environment(graph) else "unknown"
    told.append({"aggregate": aggregate, "dependencies": [SYSTEM_REF]})
    return told


def _citations(witnessed: Mapping[Origin, tuple[str, ...]], timestamp: str) -> list[dict[str, Any]]:
    """Return who witnesses which values: one citation for each origin (CycloneDX 1.7 citations)."""
    return [
        {
            "bom-ref": f"citation:{number}",
            "pointers": list(pointers),
            "timestamp": timestamp,
            "attributedTo": TOOL_REF,
            "note": ", ".join(
                part
                for part in (f"{origin.method.value} by {origin.collector}", origin.place)
                if part
            ),
        }
        for number, (origin, pointers) in enumerate(witnessed.items(), start=1)
    ]
