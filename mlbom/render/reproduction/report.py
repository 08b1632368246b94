"""The HTML report of a reproduction: one file, no request, no script, a strict content policy."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from mlbom.render.charts import CHART_STYLE
from mlbom.render.reproduction.document import readable
from mlbom.render.reproduction.pictures import pictures
from mlbom.render.reproduction.view import view_of
from mlbom.render.templates import render_template


def reproduction_report(details: Mapping[str, Any]) -> bytes:
    """Return a details document (`urn:mlbom:reproduction/1`) as one HTML file, UTF-8.

    A pure function: equal documents give equal bytes. Its only style is admitted by digest
    (Content Security Policy level 3, section 2.3.1), so that nothing else can style or run.
    """
    document = readable(details)
    style = render_template("reproduction/report.css") + CHART_STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    figures = pictures(document)
    return render_template(
        "reproduction/report.html.jinja",
        v=view_of(document, has_pictures=bool(figures)),
        figures=figures,
        style=style,
        style_digest=f"sha256-{digest}",
    ).encode()
