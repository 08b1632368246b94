"""The use cases as short lists of stages: the one place where their order is written down.

generate: inspect -> evidence -> documents -> validate -> guard -> statements -> sign -> publish.
verify: bundles -> closing statement -> documents -> edges -> model tree (-> render again).
Nothing contains the digest or the state of something made later.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom import __version__, guard
from mlbom.attest.statement import Statement
from mlbom.collect.files import file_role
from mlbom.collect.identity import ReleaseFacts
from mlbom.collect.inspect import Inspection, InspectionPlan, inspect, list_models
from mlbom.digest.cache import StatCache, default_cache_path
from mlbom.errors import ExitStatus, SecretLeakError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model, Release, Repository
from mlbom.evidence.observation import GapKind
from mlbom.evidence.store import dump_graph, load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.outdir import check_output, project_lock, replace_directory, write_whole
from mlbom.render.document import Document
from mlbom.render.registry import render_documents
from mlbom.render.sarif import Level, SarifResult, SarifRule, sarif_bytes
from mlbom.render.statements import (
    BOM,
    CLOSING,
    WEIGHTS,
    HashedFile,
    SignedModel,
    bom_statement,
    closing_statement,
    release_purl,
    weights_statement,
)
from mlbom.render.summary import SUMMARY, render_summary
from mlbom.render.templates import templates_digest
from mlbom.render.validate import validate_bom
from mlbom.sign.signer import Signer, seal
from mlbom.verify.release import verify_release
from mlbom.verify.rules import RULES
from mlbom.verify.trust import TrustedKeys
from mlbom.verify.verdict import Edge, EdgeStatus, Problem, Verdict

DECISIONS = "mlbom.review.yaml"
EDGE_RERENDER = "evidence.json -> documents"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """What to generate.

    Args:
        plan: what to inspect, and the output directory.
        version: --release VERSION, or None.
        source_date_epoch: seconds, or None.
        spec: CycloneDX version, `1.7` or `1.6`.
    """

    plan: InspectionPlan
    version: str | None = None
    source_date_epoch: int | None = None
    spec: str = "1.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateResult:
    """What was generated.

    Args:
        output: the output directory.
        graph: the published evidence.
        files: bytes by name relative to the output directory, bundles included.
        bundles: names of the bundles made, empty when nothing was signed.
    """

    output: Path
    graph: Graph
    files: Mapping[str, bytes]
    bundles: tuple[str, ...]

    @property
    def model(self) -> Model:
        """Return the model of the release."""
        return self.graph.nodes(Model)[0]

    @property
    def is_complete(self) -> bool:
        """Return whether everything that was here could be read and parsed."""
        return not any(gap.kind is GapKind.UNREADABLE for gap in self.graph.gaps)

    @property
    def is_clean(self) -> bool:
        """Return whether a repository vouches for PATH as it is; not knowing is not clean."""
        repositories = self.graph.nodes(Repository)
        return bool(repositories) and all(r.dirty is False for r in repositories)


def generate(request: GenerateRequest, signer: Signer | None) -> GenerateResult:
    """Inspect a project and publish its release documents, signed when there is a signer.

    Raises:
        MlbomError: nothing was published; the previous output is as it was.
    """
    plan = request.plan
    check_output(plan.output)
    with project_lock(plan.project_root / ".mlbom") as writable:
        inspection = _inspect(request)
        result = _documents(request, inspection)
        if signer:
            result = _signed(result, inspection, signer)
        if writable:
            _keep(plan.project_root / ".mlbom", result, inspection)
        replace_directory(plan.output, result.files)
    return result


def preview_bom(request: GenerateRequest) -> bytes:
    """Return bom.cdx.json without writing anything.

    Raises:
        MlbomError: as `generate`.
    """
    return _documents(request, _inspect(request)).files["bom.cdx.json"]


def models_below(plan: InspectionPlan) -> tuple[str, ...]:
    """Return the names by which `--model` can choose the models below PATH."""
    return tuple(model.name for model in list_models(plan))


def _inspect(request: GenerateRequest) -> Inspection:
    cache = StatCache(default_cache_path())
    facts = ReleaseFacts(
        version=request.version,
        source_date_epoch=request.source_date_epoch,
        templates=templates_digest(),
        tool_version=__version__,
    )
    inspection = inspect(request.plan, facts, cache)
    cache.save()
    return inspection


def _documents(request: GenerateRequest, inspection: Inspection) -> GenerateResult:
    """Render, validate and scan every document of the output directory but the bundles."""
    graph = inspection.graph.published()
    renderings = render_documents(graph, request.spec)
    validate_bom(json.loads(renderings[0].data))
    documents = [
        Document("model.manifest", "text/plain", inspection.manifest),
        Document("evidence.json", "application/json", dump_graph(graph)),
        *renderings,
        *_data_manifests(request.plan, inspection),
        *_decisions(request.plan),
    ]
    documents.append(render_summary(graph, documents))
    for document in documents:
        _refuse_secrets(document.name, document.data)
    return GenerateResult(
        output=request.plan.output,
        graph=graph,
        files={document.name: document.data for document in documents},
        bundles=(),
    )


def _data_manifests(plan: InspectionPlan, inspection: Inspection) -> list[Document]:
    """Return the manifests of the datasets, when their names may be published."""
    if not plan.publish_names:
        return []
    return [
        Document(f"data/{path.replace('/', '-')}.manifest", "text/plain", manifest)
        for path, manifest in sorted(inspection.data_manifests.items())
    ]


def _decisions(plan: InspectionPlan) -> list[Document]:
    path = plan.project_root / DECISIONS
    if not path.is_file():
        return []
    return [Document("decisions.yaml", "application/yaml", path.read_bytes())]


def _signed(result: GenerateResult, inspection: Inspection, signer: Signer) -> GenerateResult:
    """Add the bundles: weights, BOM, and last the closing statement over all that is there."""
    model = _signed_model(result, inspection)
    files = dict(result.files)
    bundles: list[str] = []

    def add(statement: Statement, kind: tuple[int, str]) -> None:
        sealed = seal(signer, statement)
        _refuse_secrets(kind[1], sealed.payload)
        bundles.append(f"attestations/{sealed.name(*kind)}")
        files[bundles[-1]] = sealed.bundle

    add(weights_statement(model), WEIGHTS)
    add(bom_statement(model, files["bom.cdx.json"]), BOM)
    outputs = [_hashed(name, data) for name, data in files.items() if name != SUMMARY]
    add(closing_statement(model, release_purl(result.graph), outputs), CLOSING)
    return replace(result, files=files, bundles=tuple(bundles))


def _signed_model(result: GenerateResult, inspection: Inspection) -> SignedModel:
    tree = inspection.scope.model
    files = tuple(
        HashedFile(path=path, sha256=found.sha256, sha512=found.hex_of("sha512"))
        for path, found in inspection.files.items()
    )
    return SignedModel(
        name=result.model.name or "model",
        is_directory=tree.is_directory,
        files=files,
        weights=tuple(path for path in inspection.files if file_role(path) == "weights"),
        manifest=_hashed("model.manifest", inspection.manifest),
        ignored=inspection.ignored,
    )


def _hashed(path: str, data: bytes) -> HashedFile:
    return HashedFile(path=path, sha256=hashlib.sha256(data).hexdigest())


def _refuse_secrets(name: str, data: bytes) -> None:
    for hit in guard.find_secrets(data):
        message = f"{name} would publish something shaped like a {hit.rule} at byte {hit.offset}"
        raise SecretLeakError(message)


def _keep(folder: Path, result: GenerateResult, inspection: Inspection) -> None:
    """Keep the private evidence and every bundle in `.mlbom`."""
    write_whole(folder / "private" / "evidence.json", dump_graph(inspection.graph), 0o600)
    for path, manifest in inspection.data_manifests.items():
        name = path.replace("/", "-") + ".manifest"
        write_whole(folder / "private" / "data" / name, manifest, 0o600)
    for name in result.bundles:
        write_whole(folder / name, result.files[name])


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
    return _rerendered(release, verdict)


def _rerendered(release: Path, verdict: Verdict) -> Verdict:
    """Add the edge from the evidence to the documents that must be a function of it."""
    graph = load_graph(parse_json((release / "evidence.json").read_bytes(), "evidence.json"))
    made_by = graph.nodes(Release)[0]
    if (made_by.tool_version, made_by.templates) != (__version__, templates_digest()):
        why = f"not comparable: made by mlbom {made_by.tool_version} with its own templates"
        edge = Edge(EDGE_RERENDER, EdgeStatus.NOT_CHECKED, "bytes", why)
        return replace(verdict, edges=(*verdict.edges, edge))
    bom = parse_json((release / "bom.cdx.json").read_bytes(), "bom.cdx.json")
    documents = render_documents(graph, bom["specVersion"])
    differing = [d.name for d in documents if (release / d.name).read_bytes() != d.data]
    problems = tuple(
        Problem("document-differs", f"{name} is not what its evidence renders to", name)
        for name in differing
    )
    status = EdgeStatus.FAILED if differing else EdgeStatus.HELD
    why = f"differs: {', '.join(differing)}" if differing else f"{len(documents)} documents equal"
    edge = Edge(EDGE_RERENDER, status, "rendered again, byte for byte", why)
    return replace(
        verdict, edges=(*verdict.edges, edge), problems=(*verdict.problems, *problems)
    )


def verdict_sarif(verdict: Verdict) -> bytes:
    """Return the problems of a verdict as SARIF 2.1.0."""
    levels = {ExitStatus.DONE: Level.NOTE, ExitStatus.INCOMPLETE: Level.WARNING}
    rules = [SarifRule(rule.id, rule.title, rule.text) for rule in RULES]
    results = [
        SarifResult(p.rule, levels.get(p.status, Level.ERROR), p.message, p.path)
        for p in verdict.problems
    ]
    return sarif_bytes(__version__, rules, results)
