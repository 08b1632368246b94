"""summary.json: what a script needs to know. Signed by nobody; `verify` never reads it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Dataset, File, Model, Release, Run, Weights
from mlbom.evidence.observation import Gap, GapKind
from mlbom.render.cited import stated
from mlbom.render.document import Document
from mlbom.render.environments import main_packages

SUMMARY = "summary.json"
SCHEMA = "urn:mlbom:summary:1"


def render_summary(graph: Graph, documents: Iterable[Document]) -> Document:
    """Return summary.json for a release.

    Args:
        graph: the published evidence.
        documents: every other document of the output directory outside attestations/.
    """
    model = next(iter(graph.nodes(Model)))
    release = graph.node(Release, "release:") or Release()
    kinds = Counter(gap.kind.value for gap in graph.gaps)
    told = {
        "schema": SCHEMA,
        "model": _model(model, release),
        "files": {d.name: f"sha256:{hashlib.sha256(d.data).hexdigest()}" for d in documents},
        "counts": {
            "model_files": len(graph.nodes(File)),
            "weights": len(graph.nodes(Weights)),
            "datasets": len(graph.nodes(Dataset)),
            "packages": len(main_packages(graph)),
            "runs": dict(sorted(Counter(r.kind or "other" for r in graph.nodes(Run)).items())),
            "gaps": {kind.value: kinds[kind.value] for kind in GapKind},
        },
        "gaps": [_gap(gap) for gap in graph.gaps],
        "complete": not kinds[GapKind.UNREADABLE.value],
    }
    data = json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"
    return Document(SUMMARY, "application/json", data)


def _model(model: Model, release: Release) -> dict[str, Any]:
    return stated(
        {
            "name": model.name,
            "version": model.version,
            "release": release.version,
            "purl": model.purl,
            "licence": model.licence,
            "parameters": model.parameters,
            "root": release.model_root,
            "manifest": str(release.manifest),
        }
    )


def _gap(gap: Gap) -> dict[str, Any]:
    return stated(
        {
            "subject": gap.subject,
            "field": gap.field or None,
            "kind": gap.kind.value,
            "reason": gap.reason,
        }
    )
