"""What card and report show: the evidence in the order in which a person reads it.

Both templates read this one view, so that a number cannot differ between them.
"""

from dataclasses import dataclass
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import (
    Accelerator,
    CodeSurface,
    Dataset,
    Environment,
    File,
    Metric,
    Model,
    Node,
    Package,
    Project,
    Release,
    Repository,
    Runtime,
    Weights,
)
from mlbom.evidence.observation import Gap
from mlbom.render.cyclonedx_parts import number_text
from mlbom.render.environments import (
    is_in,
    main_environment,
    main_packages,
    other_environments,
)
from mlbom.render.recorded import Step, left_out, steps_of
from mlbom.render.reproduced import Reproduced, reproductions_of

_LABELS = {
    "licence": "Licence",
    "version": "Version",
    "task": "Task",
    "library": "Library",
    "architecture": "Architecture",
    "architecture_family": "Architecture family",
    "languages": "Languages",
    "producer": "Developed by",
    "base_models": "Base model",
    "parameters": "Parameters",
    "dtypes": "Number formats",
    "formats": "File formats",
    "file_count": "Files",
    "nbytes": "Size in bytes",
    "purl": "Identifier",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled value and the witness that stands behind it."""

    label: str
    value: str
    witness: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the templates read."""

    model: Model
    release: Release
    project: Project
    details: tuple[Row, ...]
    files: tuple[File, ...]
    weights: tuple[Weights, ...]
    datasets: tuple[Dataset, ...]
    metrics: tuple[Metric, ...]
    packages: tuple[Package, ...]
    runtimes: tuple[Runtime, ...]
    environments: tuple[Environment, ...]
    accelerators: tuple[Accelerator, ...]
    code: tuple[CodeSurface, ...]
    repository: Repository | None
    gaps: tuple[Gap, ...]
    steps: tuple[Step, ...] = ()
    left_out: tuple[Gap, ...] = ()
    other_environments: tuple[Environment, ...] = ()
    reproductions: tuple[Reproduced, ...] = ()

    @property
    def signed_kinds(self) -> tuple[str, ...]:
        """Return the roles beside `release` of those who signed what goes along, each once."""
        kinds = [step.run.kind or "" for step in self.steps if step.run.kind != "other"]
        return tuple(dict.fromkeys((*kinds, *(["rebuild"] if self.reproductions else []))))

    @property
    def trainings(self) -> tuple[Step, ...]:
        """Return the recorded runs that trained the model."""
        return tuple(step for step in self.steps if step.run.kind == "train")

    def readers(self, dataset: Dataset) -> str:
        """Return the names of the recorded steps that read files of a dataset."""
        return ", ".join(s.run.name or "" for s in self.steps if s.run.id in dataset.read_by)

    def step_of(self, metric: Metric) -> str:
        """Return the name of the recorded step that reported a metric, or an empty text."""
        return next((s.run.name or "" for s in self.steps if s.run.id == metric.run), "")


def view_of(graph: Graph) -> View:
    """Return the view of a published graph; it has exactly one model."""
    model = next(iter(graph.nodes(Model)))
    main = main_environment(graph)
    return View(
        model=model,
        release=graph.node(Release, "release:") or Release(),
        project=graph.node(Project, "project:") or Project(),
        details=tuple(_details(graph, model)),
        files=graph.nodes(File),
        weights=graph.nodes(Weights),
        datasets=graph.nodes(Dataset),
        metrics=graph.nodes(Metric),
        packages=main_packages(graph),
        runtimes=tuple(r for r in graph.nodes(Runtime) if is_in(r, main)),
        environments=tuple(e for e in graph.nodes(Environment) if e.id == main),
        accelerators=tuple(a for a in graph.nodes(Accelerator) if is_in(a, main)),
        code=graph.nodes(CodeSurface),
        repository=next(iter(graph.nodes(Repository)), None),
        gaps=graph.gaps,
        steps=steps_of(graph),
        left_out=left_out(graph),
        other_environments=other_environments(graph),
        reproductions=reproductions_of(graph),
    )


def _details(graph: Graph, model: Model) -> list[Row]:
    return [
        Row(label, shown(getattr(model, field)), witness_text(graph, model, field))
        for field, label in _LABELS.items()
        if getattr(model, field) not in (None, ())
    ]


def witness_text(graph: Graph, node: Node, field: str) -> str:
    """Return who stands behind a field: method, collector and place of the strongest witness."""
    origins = graph.witnesses(node, field)
    if not origins:
        return ""
    first = origins[0]
    more = f", and {len(origins) - 1} more" if len(origins) > 1 else ""
    return f"{first.place or first.collector} ({first.method.value}){more}"


def shown(value: Any) -> str:  # noqa: ANN401 - a Value
    """Return a value as text for a person; numbers as the BOM writes them."""
    match value:
        case tuple():
            return ", ".join(shown(item) for item in value)
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number_text(value)
        case _ if hasattr(value, "number"):
            return f"{value.name} {value.number}"
        case _:
            return str(value)
