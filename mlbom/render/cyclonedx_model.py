"""The machine-learning part of the BOM: the model, its files, its model card (CycloneDX 1.7)."""

from collections.abc import Iterable
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import (
    CodeSurface,
    File,
    Metric,
    Model,
    Pair,
    Release,
    Run,
    Weights,
)
from mlbom.render.cited import Cited, cite, stated
from mlbom.render.cyclonedx_data import dataset_refs
from mlbom.render.cyclonedx_formulation import energy_consumptions
from mlbom.render.cyclonedx_parts import (
    external_reference,
    hash_objects,
    licence_choices,
    number_text,
    organisation,
    property_,
    text_of,
)


def model_component(graph: Graph, model: Model) -> dict[str, Any]:
    """Return the component of a model with its files nested and its model card."""
    release = graph.node(Release, "release:") or Release()
    files = graph.nodes(File)
    hashes, method = _model_hashes(release, files)
    return stated(
        {
            "type": "machine-learning-model",
            "bom-ref": model.id,
            "supplier": organisation(cite(graph, model, "producer")),
            "name": cite(graph, model, "name"),
            "version": cite(graph, model, "version") or release.version,
            "description": cite(graph, model, "description"),
            "hashes": hashes,
            "licenses": licence_choices(graph, model),
            "purl": cite(graph, model, "purl"),
            "tags": cite(graph, model, "tags"),
            "externalReferences": [
                r for r in [external_reference("website", cite(graph, model, "homepage"))] if r
            ],
            "pedigree": _pedigree(graph, model),
            "components": [_file_component(graph, file) for file in files],
            "modelCard": _model_card(graph, model),
            "properties": _model_properties(graph, model, method),
        }
    )


def _model_properties(graph: Graph, model: Model, method: str | None) -> list[dict[str, Any]]:
    properties = [
        property_("mlbom:digest:method", method),
        property_("mlbom:parameters", text_of(graph, model, "parameters")),
        property_("mlbom:file-count", text_of(graph, model, "file_count")),
        property_("mlbom:nbytes", text_of(graph, model, "nbytes")),
        *(
            property_(f"mlbom:dtype:{c.name}", cite(graph, model, "dtypes", str(c.number)))
            for c in model.dtypes
        ),
        *(property_("mlbom:format", cite(graph, model, "formats", f)) for f in model.formats),
        property_("mlbom:library", cite(graph, model, "library")),
        *(property_("mlbom:out-of-scope", text) for text in model.out_of_scope),
        *(
            property_(f"mlbom:code:{code.kind}", cite(graph, code, "names", f"{code.path}: {name}"))
            for code in graph.nodes(CodeSurface)
            for name in code.names
        ),
    ]
    return [p for p in properties if p]


def _model_hashes(
    release: Release, files: tuple[File, ...]
) -> tuple[list[dict[str, str]], str | None]:
    """Return the file's hashes for a single-file model, else the manifest's with its method."""
    # Only a model directory is made with an ignore list.
    if len(files) == 1 and not release.ignored:
        return hash_objects(files[0].digests), None
    return hash_objects([release.manifest] if release.manifest else []), "dirHash1"


def _pedigree(graph: Graph, model: Model) -> dict[str, Any] | None:
    pins = {pair.name: pair.text for pair in model.base_pins}
    ancestors = [
        stated(
            {
                "type": "machine-learning-model",
                "bom-ref": f"base:{name}",
                "group": name.rpartition("/")[0] or None,
                "name": cite(graph, model, "base_models", name.rpartition("/")[2]),
                "version": pins.get(name),
                "purl": _base_purl(name, pins.get(name)),
            }
        )
        for name in model.base_models
    ]
    relation = cite(graph, model, "base_relation")
    return stated({"ancestors": ancestors, "notes": relation}) if ancestors else None


def _base_purl(name: str, commit: str | None) -> str | None:
    """Return the purl of a model of a hub; its type demands a namespace (purl-spec)."""
    at = f"@{commit}" if commit else ""
    return f"pkg:huggingface/{name}{at}" if "/" in name else None


def _file_component(graph: Graph, file: File) -> dict[str, Any]:
    weights = graph.node(Weights, f"weights:{file.path}")
    properties = [
        property_("mlbom:file:role", cite(graph, file, "role")),
        property_("mlbom:nbytes", text_of(graph, file, "nbytes")),
        property_("mlbom:link", cite(graph, file, "link")),
        *(_weight_properties(graph, weights) if weights else ()),
    ]
    return stated(
        {
            "type": "file",
            "bom-ref": file.id,
            "name": cite(graph, file, "path"),
            "hashes": cite(graph, file, "digests", hash_objects(file.digests)),
            "properties": [p for p in properties if p],
        }
    )


def _weight_properties(graph: Graph, weights: Weights) -> Iterable[dict[str, Any] | None]:
    yield property_("mlbom:weights:format", cite(graph, weights, "format"))
    yield property_("mlbom:weights:parameters", text_of(graph, weights, "parameters"))
    yield property_("mlbom:weights:tensors", text_of(graph, weights, "tensor_count"))
    tensors = cite(graph, weights, "tensors", str(weights.tensors))
    yield property_("mlbom:weights:tensors:digest", tensors)
    for count in weights.dtypes:
        yield property_(f"mlbom:weights:dtype:{count.name}", str(count.number))
    for count in weights.shapes:
        yield property_(f"mlbom:weights:shape:{count.name}", str(count.number))
    for shard in weights.shards:
        yield property_("mlbom:weights:shard", shard)
    for pair in weights.metadata:
        yield property_(f"mlbom:weights:metadata:{pair.name}", pair.text)


def _model_card(graph: Graph, model: Model) -> dict[str, Any]:
    parameters = {
        "task": cite(graph, model, "task"),
        "architectureFamily": cite(graph, model, "architecture_family"),
        "modelArchitecture": cite(graph, model, "architecture"),
        "datasets": cite(
            graph, model, "datasets", [{"ref": ref} for ref in dataset_refs(graph, model)]
        ),
    }
    metrics = [_performance_metric(graph, metric) for metric in graph.nodes(Metric)]
    considerations = {
        "users": cite(graph, model, "users"),
        "useCases": cite(graph, model, "intended_use"),
        "technicalLimitations": cite(graph, model, "limitations"),
        "ethicalConsiderations": cite(
            graph, model, "ethical", [{"name": text} for text in model.ethical]
        ),
        "environmentalConsiderations": stated({"energyConsumptions": energy_consumptions(graph)}),
    }
    properties = [
        *(_official("language", graph, model, "languages")),
        *(
            property_(f"cdx:ai-ml:model:parameter:{pair.name}", _pair_text(graph, model, pair))
            for pair in model.hyperparameters
        ),
    ]
    return stated(
        {
            "modelParameters": stated(parameters),
            "quantitativeAnalysis": stated({"performanceMetrics": metrics}),
            "considerations": stated(considerations),
            "properties": [p for p in properties if p],
        }
    )


def _official(name: str, graph: Graph, model: Model, field: str) -> Iterable[dict[str, Any] | None]:
    """Yield properties of the CycloneDX property taxonomy, `cdx:ai-ml:model:NAME`."""
    for value in getattr(model, field):
        yield property_(f"cdx:ai-ml:model:{name}", cite(graph, model, field, value))


def _pair_text(graph: Graph, model: Model, pair: Pair) -> Cited | None:
    return cite(graph, model, "hyperparameters", pair.text)


def _performance_metric(graph: Graph, metric: Metric) -> dict[str, Any]:
    """Return a metric; the specification wants its numbers as text."""
    value = None if metric.value is None else number_text(metric.value)
    interval = None
    if metric.lower is not None and metric.upper is not None:
        interval = {
            "lowerBound": number_text(metric.lower),
            "upperBound": number_text(metric.upper),
        }
    run = graph.node(Run, metric.run or "")
    where = " ".join(part for part in (metric.dataset, metric.split) if part)
    if run and not where:
        where = f"recorded step {run.name}"
    return stated(
        {
            "type": metric.name,
            "value": cite(graph, metric, "value", value),
            "slice": where or None,
            "confidenceInterval": interval,
        }
    )
