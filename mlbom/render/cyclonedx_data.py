"""The data part of the BOM: one component of type data for each dataset (CycloneDX 1.7)."""

from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Dataset, Model
from mlbom.render.cited import Cited, cite, stated
from mlbom.render.cyclonedx_parts import (
    external_reference,
    hash_objects,
    licence_choices,
    property_,
    text_of,
)


def dataset_refs(graph: Graph, model: Model) -> list[str]:
    """Return the bom-refs of the model's datasets that have a component."""
    known = {dataset.id for dataset in graph.nodes(Dataset)}
    return [ref for ref in model.datasets if ref in known]


def data_components(graph: Graph) -> list[dict[str, Any]]:
    """Return one component of type data for each dataset."""
    return [_data_component(graph, dataset) for dataset in graph.nodes(Dataset)]


def _data_component(graph: Graph, dataset: Dataset) -> dict[str, Any]:
    reference = external_reference("website", cite(graph, dataset, "url"))
    hashes = hash_objects([dataset.manifest] if dataset.manifest else [])
    return stated(
        {
            "type": "data",
            "bom-ref": dataset.id,
            "name": cite(graph, dataset, "name") or dataset.id.removeprefix("data:"),
            "version": cite(graph, dataset, "revision") or cite(graph, dataset, "version"),
            "description": cite(graph, dataset, "description"),
            "hashes": cite(graph, dataset, "manifest", hashes),
            "licenses": licence_choices(graph, dataset),
            "externalReferences": [reference] if reference else [],
            "data": [_data(graph, dataset)],
            "properties": _properties(graph, dataset),
        }
    )


def _data(graph: Graph, dataset: Dataset) -> dict[str, Any]:
    """Return the `componentData` object."""
    return stated(
        {
            "type": "dataset",
            "name": cite(graph, dataset, "name"),
            "contents": stated({"url": _iri(graph, dataset)}),
            "description": cite(graph, dataset, "description"),
        }
    )


def _properties(graph: Graph, dataset: Dataset) -> list[dict[str, Any]]:
    properties = [
        property_("mlbom:dataset:pinned", _pinned(graph, dataset)),
        *(
            property_("mlbom:dataset:read-by", cite(graph, dataset, "read_by", run))
            for run in dataset.read_by
        ),
        property_("mlbom:dataset:path", cite(graph, dataset, "path")),
        property_("mlbom:dataset:files", text_of(graph, dataset, "file_count")),
        property_("mlbom:dataset:nbytes", text_of(graph, dataset, "nbytes")),
        *(property_("mlbom:dataset:language", text) for text in dataset.languages),
        *(property_("mlbom:dataset:use", text) for text in dataset.uses),
        *(
            property_(f"mlbom:dataset:format:{count.name}", str(count.number))
            for count in dataset.formats
        ),
        property_("mlbom:digest:method", "dirHash1" if dataset.manifest else None),
    ]
    return [p for p in properties if p]


def _pinned(graph: Graph, dataset: Dataset) -> Cited | None:
    """Return whether the version is fixed, in the code or by the commit that a run resolved."""
    if dataset.revision:
        return cite(graph, dataset, "revision", "true")
    return text_of(graph, dataset, "pinned")


def _iri(graph: Graph, dataset: Dataset) -> Cited | None:
    return cite(graph, dataset, "url") if dataset.url and "://" in dataset.url else None
