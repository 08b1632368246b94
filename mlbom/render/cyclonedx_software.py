"""The software part of the BOM: packages, native runtime, operating system, accelerators."""

import re
from collections.abc import Iterable
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Accelerator, Environment, Package, Project, Runtime
from mlbom.render.cited import cite, stated
from mlbom.render.cyclonedx_parts import (
    external_reference,
    hash_objects,
    licence_choices,
    property_,
)
from mlbom.render.environments import (
    is_in,
    main_environment,
    main_packages,
    other_environments,
)

_FRAMEWORKS = {"torch", "tensorflow", "jax", "flax", "keras", "mxnet", "paddlepaddle"}
_RUNTIME_TYPES = {"driver": "device-driver", "operating-system": "operating-system"}


def package_components(graph: Graph) -> list[dict[str, Any]]:
    """Return the packages of the main environment, ordered by purl."""
    return [_package(graph, package) for package in main_packages(graph)]


def platform_components(graph: Graph) -> list[dict[str, Any]]:
    """Return what lies below the packages: native layers, interpreter, system, accelerators."""
    return _platform(graph, main_environment(graph))


def environment_component(graph: Graph, environment: Environment) -> dict[str, Any]:
    """Return a further environment: what is only there nested in it, what is shared by its purl."""
    packages = [p for p in graph.nodes(Package) if environment.id in p.environments]
    elsewhere = {
        p.id for e in _before(graph, environment) for p in graph.nodes(Package) if is_in(p, e)
    }
    properties = [
        property_("mlbom:environment:role", cite(graph, environment, "role")),
        *(
            property_("mlbom:environment:package", package.id)
            for package in packages
            if package.id in elsewhere
        ),
    ]
    return stated(
        {
            "type": "platform",
            "bom-ref": environment.id,
            "name": f"environment of {environment.role or environment.id}",
            "components": [
                *(_package(graph, p) for p in packages if p.id not in elsewhere),
                *_platform(graph, environment.id),
            ],
            "properties": [p for p in properties if p],
        }
    )


def _before(graph: Graph, environment: Environment) -> list[str | None]:
    """Return the environments that list their packages before this one."""
    others = [e.id for e in other_environments(graph)]
    return [main_environment(graph), *others[: others.index(environment.id)]]


def _platform(graph: Graph, environment: str | None) -> list[dict[str, Any]]:
    environments = (e for e in graph.nodes(Environment) if e.id == environment)
    return [
        *(_runtime(graph, r) for r in graph.nodes(Runtime) if is_in(r, environment)),
        *(c for e in environments for c in _environment(graph, e)),
        *(_accelerator(graph, a) for a in graph.nodes(Accelerator) if is_in(a, environment)),
    ]


def software_dependencies(graph: Graph) -> dict[str, set[str]]:
    """Return what packages and runtimes of every environment need, by bom-ref."""
    edges = {package.id: set(package.depends_on) for package in graph.nodes(Package)}
    for runtime in graph.nodes(Runtime):
        edges[runtime.id] = {runtime.package} if runtime.package else set()
    return edges


def direct_requirements(graph: Graph) -> set[str]:
    """Return the packages that the system needs directly.

    They are those that the project requires by name; without such a list, those that no other
    package asks for.
    """
    packages = main_packages(graph)
    wanted = {
        _normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
        for project in graph.nodes(Project)
        for requirement in project.requirements
    }
    named = {p.id for p in packages if p.name and _normal(p.name) in wanted}
    if named:
        return named
    asked_for = {ref for p in packages for ref in p.depends_on}
    return {p.id for p in packages} - asked_for


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(graph: Graph, package: Package) -> dict[str, Any]:
    properties = [
        *(property_("cdx:python:package:required-extra", pair.name) for pair in package.extras),
        property_(
            "mlbom:python:record-digest", cite(graph, package, "record", str(package.record))
        ),
        property_("mlbom:python:licence-source", cite(graph, package, "licence_source")),
    ]
    references = [
        external_reference("website", cite(graph, package, "homepage")),
        external_reference("distribution", cite(graph, package, "source")),
    ]
    hashes = hash_objects([package.wheel] if package.wheel else [])
    return stated(
        {
            "type": "framework" if _normal(package.name or "") in _FRAMEWORKS else "library",
            "bom-ref": package.id,
            "name": cite(graph, package, "name"),
            "version": cite(graph, package, "version"),
            "publisher": cite(graph, package, "author"),
            "description": cite(graph, package, "summary"),
            "hashes": cite(graph, package, "wheel", hashes),
            "licenses": licence_choices(graph, package),
            "purl": package.id,
            "externalReferences": [r for r in references if r],
            "properties": _unique(p for p in properties if p),
        }
    )


def _unique(properties: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    unique: list[dict[str, Any]] = []
    for entry in properties:
        if entry not in unique:
            unique.append(entry)
    return unique


def _runtime(graph: Graph, runtime: Runtime) -> dict[str, Any]:
    properties = [
        property_("mlbom:runtime:kind", cite(graph, runtime, "kind")),
        *(
            property_(f"mlbom:build:{p.name}", cite(graph, runtime, "build", p.text))
            for p in runtime.build
        ),
    ]
    return stated(
        {
            "type": _RUNTIME_TYPES.get(runtime.kind or "", "platform"),
            "bom-ref": runtime.id,
            "name": cite(graph, runtime, "name") or runtime.id,
            "version": cite(graph, runtime, "version"),
            "properties": [p for p in properties if p],
        }
    )


def _environment(graph: Graph, environment: Environment) -> Iterable[dict[str, Any]]:
    role = property_("mlbom:environment:role", environment.role)
    kernel = property_("mlbom:kernel", cite(graph, environment, "kernel"))
    if environment.python_version:
        yield stated(
            {
                "type": "platform",
                "bom-ref": f"{environment.id}:python",
                "name": cite(graph, environment, "implementation") or "Python",
                "version": cite(graph, environment, "python_version"),
                "properties": [p for p in [role] if p],
            }
        )
    if environment.operating_system:
        yield stated(
            {
                "type": "operating-system",
                "bom-ref": f"{environment.id}:os",
                "name": cite(graph, environment, "operating_system"),
                "properties": [p for p in [role, kernel] if p],
            }
        )


def _accelerator(graph: Graph, accelerator: Accelerator) -> dict[str, Any]:
    properties = [
        property_("cdx:device:quantity", _text(accelerator.device_count)),
        property_("mlbom:nbytes", _text(accelerator.nbytes)),
        property_("mlbom:compute-capability", accelerator.compute_capability),
    ]
    return stated(
        {
            "type": "device",
            "bom-ref": accelerator.id,
            "name": cite(graph, accelerator, "name"),
            "publisher": cite(graph, accelerator, "vendor"),
            "properties": [p for p in properties if p],
        }
    )


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
