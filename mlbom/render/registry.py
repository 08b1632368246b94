"""The renderers: every document that is a function of the published evidence alone."""

from importlib import import_module

from mlbom.evidence.graph import Graph
from mlbom.render.document import Document, Renderer

# One line adds one document. A renderer takes the CycloneDX version that the user chose.
RENDERERS = (
    "mlbom.render.cyclonedx:CycloneDxRenderer",
    "mlbom.render.card:CardRenderer",
    "mlbom.render.report:ReportRenderer",
)


def load_renderer(entry: str, spec: str) -> Renderer:
    """Return the renderer that a line of `RENDERERS` names."""
    module, _, name = entry.partition(":")
    renderer: Renderer = getattr(import_module(module), name)(spec)
    return renderer


def render_documents(graph: Graph, spec: str) -> tuple[Document, ...]:
    """Return every document; the BOM first.

    Args:
        graph: the published evidence.
        spec: CycloneDX version of the BOM.
    """
    return tuple(load_renderer(entry, spec).render(graph) for entry in RENDERERS)
