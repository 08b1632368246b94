"""Which environment the BOM lists as the model's own, and what belongs to the others.

The libraries are those of training when a record tells them, else those inspected now; the others
stand in the formulation (chain.md section 2).
"""

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Accelerator, Environment, Package, Runtime

_MAIN = ("env:train", "env:release")
Inhabitant = Package | Runtime | Accelerator


def main_environment(graph: Graph) -> str | None:
    """Return the id of the environment of training, else of the release, else None."""
    known = {environment.id for environment in graph.nodes(Environment)}
    return next((found for found in _MAIN if found in known), None)


def is_in(node: Inhabitant, environment: str | None) -> bool:
    """Return whether something is part of an environment; what names none is part of the main."""
    return not node.environments or environment in node.environments


def other_environments(graph: Graph) -> tuple[Environment, ...]:
    """Return every environment but the main one."""
    main = main_environment(graph)
    return tuple(e for e in graph.nodes(Environment) if e.id != main)


def main_packages(graph: Graph) -> tuple[Package, ...]:
    """Return the packages of the main environment, ordered by purl."""
    main = main_environment(graph)
    return tuple(p for p in graph.nodes(Package) if is_in(p, main))
