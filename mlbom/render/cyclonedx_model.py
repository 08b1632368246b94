"""The machine-learning part of the BOM: model, its files, its model card, its datasets.

Shapes are those of CycloneDX 1.7, `modelCard` and `componentData`. All numbers that the
specification wants as text are written by `number_text`, so that BOM, card and report agree.
"""

from collections.abc import Iterable
from typing import Any

from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import (
    Dataset,
    File,
    Metric,
    Model,
    Node,
    Pair,
    Release,
    Weights,
)
from mlbom.render.cited import Cited, cite, stated
from mlbom.render.spdx_ids import is_listed_licence

_HASH_NAMES = {
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
    "blake3": "BLAKE3",
}


def number_text(value: float) -> str:
    """Return a number as every output shows it: the shortest text that reads back equal."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def hash_objects(digests: Iterable[Digest]) -> list[dict[str, str]]:
    """Return CycloneDX hash objects."""
    return [{"alg": _HASH_NAMES[d.algorithm], "content": d.value} for d in digests]


def property_(name: str, value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - text or Cited
    """Return a property, or None when there is no value."""
    return None if value is None else {"name": name, "value": value}


def external_reference(kind: str, url: Any) -> dict[str, Any] | None:  # noqa: ANN401 - text or Cited
    """Return an external reference, or None when there is no address or it is no IRI."""
    address = url.value if isinstance(url, Cited) else url
    if not isinstance(address, str) or "://" not in address or " " in address:
        return None
    return {"type": kind, "url": url}


def organisation(name: Cited | None) -> dict[str, Any] | None:
    """Return an organisational entity, or None."""
    return {"name": name} if name else None


def licence_choices(graph: Graph, node: Node) -> Cited | None:
    """Return the `licenses` of a node: an SPDX id, a name for a LicenseRef, or an expression."""
    expression = getattr(node, "licence", None)
    if not expression:
        return None
    choice: dict[str, Any]
    if is_listed_licence(expression):
        choice = {"license": {"id": expression, "acknowledgement": "declared"}}
    elif expression.startswith("LicenseRef-") and " " not in expression:
        choice = {"license": {"name": expression, "acknowledgement": "declared"}}
    else:
        choice = {"expression": expression, "acknowledgement": "declared"}
    return cite(graph, node, "licence", [choice])


def model_component(graph: Graph, model: Model) -> dict[str, Any]:
    """Return the component of a model with its files nested and its model card."""
    release = graph.node(Release, "release:") or Release()
    files = graph.nodes(File)
    hashes, method = _model_hashes(release, files, model)
    properties = [
        property_("mlbom:digest:method", method),
        property_("mlbom:parameters", _counted(graph, model, "parameters")),
        property_("mlbom:file-count", _counted(graph, model, "file_count")),
        property_("mlbom:nbytes", _counted(graph, model, "nbytes")),
        *(
            property_(f"mlbom:dtype:{c.name}", cite(graph, model, "dtypes", str(c.number)))
            for c in model.dtypes
        ),
        *(property_("mlbom:format", cite(graph, model, "formats", f)) for f in model.formats),
        property_("mlbom:library", cite(graph, model, "library")),
        *(property_("mlbom:out-of-scope", text) for text in model.out_of_scope),
    ]
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
                r
                for r in [external_reference("website", cite(graph, model, "homepage"))]
                if r
            ],
            "pedigree": _pedigree(graph, model),
            "components": [_file_component(graph, file) for file in files],
            "modelCard": _model_card(graph, model),
            "properties": [p for p in properties if p],
        }
    )


def _model_hashes(
    release: Release, files: tuple[File, ...], model: Model
) -> tuple[list[dict[str, str]], str | None]:
    """Return the file's hashes for a single-file model, else the manifest's with its method."""
    if model.file_count == 1 and files:
        return hash_objects(files[0].digests), None
    return hash_objects([release.manifest] if release.manifest else []), "dirHash1"


def _counted(graph: Graph, node: Node, field: str) -> Cited | None:
    value = getattr(node, field)
    return None if value is None else cite(graph, node, field, str(value))


def _pedigree(graph: Graph, model: Model) -> dict[str, Any] | None:
    ancestors = [
        stated(
            {
                "type": "machine-learning-model",
                "bom-ref": f"base:{name}",
                "group": name.rpartition("/")[0] or None,
                "name": cite(graph, model, "base_models", name.rpartition("/")[2]),
                "purl": f"pkg:huggingface/{name}" if "/" in name else None,
            }
        )
        for name in model.base_models
    ]
    relation = cite(graph, model, "base_relation")
    return stated({"ancestors": ancestors, "notes": relation}) if ancestors else None


def _file_component(graph: Graph, file: File) -> dict[str, Any]:
    weights = graph.node(Weights, f"weights:{file.path}")
    properties = [
        property_("mlbom:file:role", cite(graph, file, "role")),
        property_("mlbom:nbytes", _counted(graph, file, "nbytes")),
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
    yield property_("mlbom:weights:parameters", _counted(graph, weights, "parameters"))
    yield property_("mlbom:weights:tensors", _counted(graph, weights, "tensor_count"))
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


def _official(
    name: str, graph: Graph, model: Model, field: str
) -> Iterable[dict[str, Any] | None]:
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
    where = " ".join(part for part in (metric.dataset, metric.split) if part)
    return stated(
        {
            "type": metric.name,
            "value": cite(graph, metric, "value", value),
            "slice": where or None,
            "confidenceInterval": interval,
        }
    )


def dataset_refs(graph: Graph, model: Model) -> list[str]:
    """Return the bom-refs of the model's datasets that have a component."""
    known = {dataset.id for dataset in graph.nodes(Dataset)}
    return [ref for ref in model.datasets if ref in known]


def data_components(graph: Graph) -> list[dict[str, Any]]:
    """Return one component of type data for each dataset."""
    return [_data_component(graph, dataset) for dataset in graph.nodes(Dataset)]


def _data_component(graph: Graph, dataset: Dataset) -> dict[str, Any]:
    properties = [
        property_("mlbom:dataset:pinned", _boolean(graph, dataset, "pinned")),
        property_("mlbom:dataset:path", cite(graph, dataset, "path")),
        property_("mlbom:dataset:files", _counted(graph, dataset, "file_count")),
        property_("mlbom:dataset:nbytes", _counted(graph, dataset, "nbytes")),
        *(property_("mlbom:dataset:language", text) for text in dataset.languages),
        *(property_("mlbom:dataset:use", text) for text in dataset.uses),
        *(
            property_(f"mlbom:dataset:format:{count.name}", str(count.number))
            for count in dataset.formats
        ),
        property_("mlbom:digest:method", "dirHash1" if dataset.manifest else None),
    ]
    contents = stated({"url": _iri(graph, dataset)})
    data = stated(
        {
            "type": "dataset",
            "name": cite(graph, dataset, "name"),
            "contents": contents or None,
            "description": cite(graph, dataset, "description"),
        }
    )
    reference = external_reference("website", cite(graph, dataset, "url"))
    return stated(
        {
            "type": "data",
            "bom-ref": dataset.id,
            "name": cite(graph, dataset, "name") or dataset.id.removeprefix("data:"),
            "version": cite(graph, dataset, "version"),
            "description": cite(graph, dataset, "description"),
            "hashes": cite(
                graph,
                dataset,
                "manifest",
                hash_objects([dataset.manifest] if dataset.manifest else []),
            ),
            "licenses": licence_choices(graph, dataset),
            "externalReferences": [reference] if reference else [],
            "data": [data],
            "properties": [p for p in properties if p],
        }
    )


def _iri(graph: Graph, dataset: Dataset) -> Cited | None:
    return cite(graph, dataset, "url") if dataset.url and "://" in dataset.url else None


def _boolean(graph: Graph, node: Node, field: str) -> Cited | None:
    value = getattr(node, field)
    return None if value is None else cite(graph, node, field, "true" if value else "false")
