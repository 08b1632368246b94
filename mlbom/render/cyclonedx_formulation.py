"""How the model was made, as a CycloneDX formula: a task for each recorded run, and what it used.

Files that are no component of their own appear once, by digest; names that are private stay out.
Sources: CycloneDX 1.7 (ECMA-424) formulation, workflow, task.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mlbom.attest.moment import timestamp
from mlbom.attest.run_claim import StepKind
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Count, Dataset, Environment, File, Pair, Run
from mlbom.render.cited import cite, stated
from mlbom.render.cyclonedx_parts import number_text, property_, text_of
from mlbom.render.cyclonedx_software import environment_component
from mlbom.render.environments import main_environment, other_environments

WORKFLOW_REF = "workflow:model"
_FORMULA_REF = "formula:model"
# The specification's fixed list of task types knows builds and tests, not trainings.
_TASK_TYPES: Mapping[str, str] = {StepKind.TRAIN: "build", StepKind.EVAL: "test"}
_ACTIVITIES: Mapping[str, str] = {
    StepKind.DATA: "data-preparation",
    StepKind.TRAIN: "training",
    StepKind.EVAL: "validation",
}
# Grams (as grids and hubs state them) in a tonne (as the specification wants it).
_GRAMS_PER_TONNE = 1_000_000


def formulation(graph: Graph) -> list[dict[str, Any]]:
    """Return the one formula of the model; nothing without recorded runs or other environments."""
    runs = _in_time(graph.nodes(Run))
    artifacts = _Artifacts(graph, runs)
    components = [
        *(environment_component(graph, e) for e in other_environments(graph)),
        *artifacts.components,
    ]
    if not runs and not components:
        return []
    workflows = [_workflow(graph, runs, artifacts)] if runs else []
    formula = {"bom-ref": _FORMULA_REF, "components": components, "workflows": workflows}
    return [stated(formula)]


def energy_consumptions(graph: Graph) -> list[dict[str, Any]]:
    """Return the measured energy of each run; the specification demands a provider: unknown."""
    return [
        stated(
            {
                "activity": _ACTIVITIES.get(run.kind or "", "other"),
                "energyProviders": [
                    {
                        "organization": {"name": "unknown"},
                        "energySource": "unknown",
                        "energyProvided": {"value": run.energy_kwh, "unit": "kWh"},
                    }
                ],
                "activityEnergyCost": {
                    "value": cite(graph, run, "energy_kwh"),
                    "unit": "kWh",
                },
                "co2CostEquivalent": _emission(graph, run),
                "properties": [{"name": "mlbom:run", "value": run.id}],
            }
        )
        for run in _in_time(graph.nodes(Run))
        if run.energy_kwh is not None
    ]


def _emission(graph: Graph, run: Run) -> dict[str, Any] | None:
    if run.co2_g is None:
        return None
    tonnes = round(run.co2_g / _GRAMS_PER_TONNE, 12)
    return {"value": cite(graph, run, "co2_g", tonnes), "unit": "tCO2eq"}


def _in_time(runs: Iterable[Run]) -> tuple[Run, ...]:
    return tuple(sorted(runs, key=lambda run: (run.started or 0, run.id)))


class _Artifacts:
    """The files that runs read and wrote, each with the bom-ref that stands for its digest."""

    def __init__(self, graph: Graph, runs: Iterable[Run]) -> None:
        self._model = {str(d): file.id for file in graph.nodes(File) for d in file.digests}
        named: dict[str, str] = {}
        for run in runs:
            for pair in sorted((*run.inputs, *run.outputs)):
                named[pair.name] = named.get(pair.name) or pair.text
        self._named = {digest: name for digest, name in named.items() if digest not in self._model}

    @property
    def components(self) -> list[dict[str, Any]]:
        """Return a component for each file that has none yet."""
        return [
            {
                "type": "file",
                "bom-ref": f"artifact:{digest}",
                "name": name or digest,
                "hashes": [{"alg": "SHA-256", "content": digest.partition(":")[2]}],
            }
            for digest, name in sorted(self._named.items())
        ]

    def refs(self, pairs: Iterable[Pair]) -> list[str]:
        """Return the bom-refs of files by digest, each once."""
        found = {self._model.get(pair.name, f"artifact:{pair.name}") for pair in pairs}
        return sorted(found)


def _workflow(graph: Graph, runs: tuple[Run, ...], artifacts: _Artifacts) -> dict[str, Any]:
    tasks = [_task(graph, run, artifacts) for run in runs]
    known = {run.id for run in runs}
    return stated(
        {
            "bom-ref": WORKFLOW_REF,
            "uid": WORKFLOW_REF,
            "name": "recorded runs",
            "taskTypes": sorted({kind for task in tasks for kind in task["taskTypes"]}),
            "tasks": tasks,
            "taskDependencies": [
                stated({"ref": run.id, "dependsOn": sorted(known & set(run.after))}) for run in runs
            ],
            "timeStart": _time(
                min((r.started for r in runs if r.started is not None), default=None)
            ),
            "timeEnd": _time(
                max((r.finished for r in runs if r.finished is not None), default=None)
            ),
        }
    )


def _task(graph: Graph, run: Run, artifacts: _Artifacts) -> dict[str, Any]:
    command = cite(graph, run, "command")
    return stated(
        {
            "bom-ref": run.id,
            "uid": str(run.record),
            "name": cite(graph, run, "name"),
            "taskTypes": [_TASK_TYPES.get(run.kind or "", "other")],
            "resourceReferences": _environment_refs(graph, run),
            "steps": [{"commands": [{"executed": command}]}] if command else [],
            "inputs": _inputs(graph, run, artifacts),
            "outputs": [
                {"type": "artifact", "resource": {"ref": ref}}
                for ref in artifacts.refs(run.outputs)
            ],
            "timeStart": cite(graph, run, "started", _time(run.started)),
            "timeEnd": cite(graph, run, "finished", _time(run.finished)),
            "properties": _properties(graph, run),
        }
    )


def _environment_refs(graph: Graph, run: Run) -> list[dict[str, Any]]:
    """Return the component that stands for the run's environment."""
    environment = graph.node(Environment, run.environment or "")
    if environment is None:
        return []
    if environment.id != main_environment(graph):
        return [{"ref": environment.id}]
    return [{"ref": f"{environment.id}:python"}] if environment.python_version else []


def _inputs(graph: Graph, run: Run, artifacts: _Artifacts) -> list[dict[str, Any]]:
    datasets = [d.id for d in graph.nodes(Dataset) if run.id in d.read_by]
    # An evaluation is stated of the weights that it read.
    weights = run.files if run.kind == StepKind.EVAL else ()
    refs = sorted({*artifacts.refs(run.inputs), *datasets, *weights})
    parameters = [
        {"name": f"{what}:{pair.name}", "value": pair.text}
        for what, pairs in (("seed", run.seeds), ("determinism", run.determinism))
        for pair in pairs
    ]
    variables = [{"name": pair.name, "value": pair.text} for pair in run.variables]
    told: list[dict[str, Any]] = [{"resource": {"ref": ref}} for ref in refs]
    told += [{"parameters": parameters}] if parameters else []
    told += [{"environmentVars": variables}] if variables else []
    return told


def _properties(graph: Graph, run: Run) -> list[dict[str, Any]]:
    properties = [
        *(
            property_(f"mlbom:run:{field.replace('_', '-')}", text_of(graph, run, field))
            for field in ("kind", "record", "recorder", "folder", "commit", "exit_code")
        ),
        *(property_("mlbom:run:observer", cite(graph, run, "observers", o)) for o in run.observers),
        *_pairs(
            graph, run, {"seeds": "seed", "determinism": "determinism", "libraries": "library"}
        ),
        *_counts(graph, run),
        *(
            property_(f"mlbom:run:{field.replace('_', '-')}", _number(graph, run, field))
            for field in ("input_count", "output_count", "wall_s", "cpu_s", "max_nbytes")
        ),
        property_("mlbom:run:energy-kwh", _number(graph, run, "energy_kwh")),
        property_("mlbom:run:co2-g", _number(graph, run, "co2_g")),
    ]
    return [p for p in properties if p]


def _pairs(graph: Graph, run: Run, fields: Mapping[str, str]) -> Iterable[dict[str, Any] | None]:
    for field, name in fields.items():
        for pair in getattr(run, field):
            yield property_(f"mlbom:run:{name}:{pair.name}", cite(graph, run, field, pair.text))


def _counts(graph: Graph, run: Run) -> Iterable[dict[str, Any] | None]:
    named: tuple[tuple[str, str, tuple[Count, ...]], ...] = (
        ("accelerators", "accelerator", run.accelerators),
        ("gpu_max_nbytes", "gpu-max-nbytes", run.gpu_max_nbytes),
        ("energy_j", "energy-joules", run.energy_j),
    )
    for field, name, counts in named:
        for count in counts:
            text = str(count.number)
            yield property_(f"mlbom:run:{name}:{count.name}", cite(graph, run, field, text))


def _number(graph: Graph, run: Run, field: str) -> Any:  # noqa: ANN401 - Cited or None
    value = getattr(run, field)
    return None if value is None else cite(graph, run, field, number_text(value))


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else timestamp(seconds)
