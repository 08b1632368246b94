"""verify: bundles -> closing statement -> documents -> edges -> model tree (-> render again)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlbom import __version__
from mlbom.evidence.nodes import Release
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.render.registry import render_documents
from mlbom.render.sarif import Level, SarifResult, SarifRule, sarif_bytes
from mlbom.render.templates import templates_digest
from mlbom.status import ExitStatus
from mlbom.verify.outputs import DOCUMENTS
from mlbom.verify.release import verify_release
from mlbom.verify.rules import RULES
from mlbom.verify.trust import TrustedKeys
from mlbom.verify.verdict import Edge, EdgeStatus, Problem, Verdict

MAX_EVIDENCE = DOCUMENTS["evidence.json"]
EDGE_RERENDER = "evidence.json -> documents"


def verify(
    release: Path,
    root: Path | None,
    trust: TrustedKeys,
    *,
    check_data: Mapping[str, Path],
    rerender: bool = False,
) -> Verdict:
    """Verify a release directory with keys that the caller trusts.

    Args:
        release: the output directory of `generate`.
        root: PATH or the model root; None for the parent of `release`.
        trust: public keys by role.
        check_data: folders to re-hash by dataset name.
        rerender: also render the documents again from the evidence and compare.

    Raises:
        PathNotFoundError, UsageError: an argument names nothing.
    """
    verdict = verify_release(release, root, trust, check_data=check_data)
    if not rerender:
        return verdict
    if verdict.status is not ExitStatus.DONE:
        edge = Edge(EDGE_RERENDER, EdgeStatus.NOT_CHECKED, "bytes", "the release is not trusted")
        return replace(verdict, edges=(*verdict.edges, edge))
    return _rerendered(verdict)


def _rerendered(verdict: Verdict) -> Verdict:
    """Add the edge from the evidence to the documents that must be a function of it."""
    told = verdict.documents["evidence.json"]
    evidence = parse_json(told, "evidence.json", max_bytes=MAX_EVIDENCE)
    graph = load_graph(evidence)
    made_by = graph.nodes(Release)[0]
    if (made_by.tool_version, made_by.templates) != (__version__, templates_digest()):
        why = f"not comparable: made by mlbom {made_by.tool_version} with its own templates"
        edge = Edge(EDGE_RERENDER, EdgeStatus.NOT_CHECKED, "bytes", why)
        return replace(verdict, edges=(*verdict.edges, edge))
    bom = parse_json(verdict.documents["bom.cdx.json"], "bom.cdx.json")
    made = render_documents(graph, bom["specVersion"])
    documents = [document for document in made if document.name in verdict.documents]
    differing = [d.name for d in documents if verdict.documents[d.name] != d.data]
    problems = tuple(
        Problem("document-differs", f"{name} is not what its evidence renders to", name)
        for name in differing
    )
    status = EdgeStatus.FAILED if differing else EdgeStatus.HELD
    why = f"differs: {', '.join(differing)}" if differing else f"{len(documents)} documents equal"
    edge = Edge(EDGE_RERENDER, status, "rendered again, byte for byte", why)
    return replace(verdict, edges=(*verdict.edges, edge), problems=(*verdict.problems, *problems))


def verdict_sarif(verdict: Verdict) -> bytes:
    """Return the problems of a verdict as SARIF 2.1.0."""
    levels = {ExitStatus.DONE: Level.NOTE, ExitStatus.INCOMPLETE: Level.WARNING}
    rules = [SarifRule(rule.id, rule.title, rule.text) for rule in RULES]
    results = [
        SarifResult(p.rule, levels.get(p.status, Level.ERROR), p.message, p.path)
        for p in verdict.problems
    ]
    return sarif_bytes(__version__, rules, results)
