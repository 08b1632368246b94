"""report.html: one file, no request, readable without JavaScript, with a strict content policy.

The state of signatures is not in it: nothing contains the state of something made later.
"""

from mlbom.evidence.graph import Graph
from mlbom.render.cyclonedx_parts import number_text
from mlbom.render.document import Document
from mlbom.render.templates import render_template
from mlbom.render.view import shown, view_of


class ReportRenderer:
    """Renders report.html."""

    def __init__(self, spec: str) -> None:
        del spec  # the same for every version of the BOM

    def render(self, graph: Graph) -> Document:
        """Return the report."""
        text = render_template(
            "report.html.jinja", v=view_of(graph), number=number_text, shown=shown
        )
        return Document("report.html", "text/html; charset=utf-8", text.encode())
