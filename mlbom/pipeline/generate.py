"""generate: inspect -> evidence -> documents -> validate -> guard -> sign -> close -> publish.

Nothing contains the digest or the state of something made later.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mlbom import __version__, guard
from mlbom.attest.bundle import FOLDER
from mlbom.attest.statement import Statement
from mlbom.attest.subjects import MANIFEST
from mlbom.collect.files import file_role
from mlbom.collect.identity import ReleaseFacts
from mlbom.collect.inspect import Inspection, InspectionPlan, inspect, list_models
from mlbom.collect.scope import DOCUMENT_LIMIT, read_below
from mlbom.digest.cache import StatCache, default_cache_path
from mlbom.errors import SecretLeakError, UnreadableError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Model, Repository
from mlbom.evidence.observation import GapKind
from mlbom.evidence.store import dump_graph
from mlbom.outdir import check_output, file_name, project_lock, replace_directory, write_whole
from mlbom.render.document import Document
from mlbom.render.registry import render_documents
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
from mlbom.sign.signer import BundleSigner, Sealed, Signer, Timestamper, check_stampable, seal

DECISIONS = "mlbom.review.yaml"


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
        carried: names of the records, links and earlier statements that were copied.
        kept: whether `.mlbom` took the private evidence.
    """

    output: Path
    graph: Graph
    files: Mapping[str, bytes]
    bundles: tuple[str, ...]
    carried: tuple[str, ...] = ()
    kept: bool = True

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


def generate(
    request: GenerateRequest, signer: Signer | None, stamp: Timestamper | None = None
) -> GenerateResult:
    """Inspect a project and publish its release documents, signed when there is a signer.

    Args:
        request: what to generate.
        signer: who signs, or None.
        stamp: gets a trusted time for each signature, or None.

    Raises:
        MlbomError: nothing was published; the previous output is as it was.
    """
    plan = request.plan
    private = plan.project_root / ".mlbom"
    if signer:
        check_stampable(signer, stamp)
    check_output(plan.output, (plan.path, plan.project_root))
    with project_lock(private) as writable:
        inspection = _inspect(request)
        if signer and not isinstance(signer, BundleSigner):
            _refuse_forged(inspection, signer)
        result = _carrying(_documents(request, inspection), inspection, private)
        if signer:
            result = _signed(result, inspection, partial(seal, signer, stamp=stamp))
        kept = writable and _keep(private, result, inspection)
        replace_directory(plan.output, result.files, private if writable else None)
    return replace(result, kept=kept)


def preview(request: GenerateRequest) -> GenerateResult:
    """Return all documents without writing or signing anything.

    Raises:
        MlbomError: as `generate`.
    """
    return _documents(request, _inspect(request))


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
        Document(MANIFEST, "text/plain", inspection.manifest),
        Document("evidence.json", "application/json", dump_graph(graph)),
        *renderings,
        *_data_manifests(request.plan, inspection),
        *_decisions(request.plan),
    ]
    documents.append(render_summary(graph, documents))
    for path in inspection.files:
        _refuse_secrets(f"the file name {guard.clean_text(path)}", path.encode())
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
        Document(f"data/{file_name(path)}.manifest", "text/plain", manifest)
        for path, manifest in sorted(inspection.data_manifests.items())
    ]


def _decisions(plan: InspectionPlan) -> list[Document]:
    if not os.path.lexists(plan.project_root / DECISIONS):
        return []
    data = read_below(plan.project_root, DECISIONS, DOCUMENT_LIMIT)
    return [Document("decisions.yaml", "application/yaml", data)]


def _carrying(result: GenerateResult, inspection: Inspection, private: Path) -> GenerateResult:
    """Add what was stated about this release before: its records, their links, earlier bundles."""
    carried: dict[str, bytes] = {}
    kept = private / FOLDER
    if inspection.runs is None and not kept.is_dir():
        return result
    from mlbom.pipeline.attestations import kept_bundles, record_files, reproduction_bundles

    if inspection.reproductions:
        carried.update(reproduction_bundles(inspection.reproductions.bundles))
    if inspection.runs:
        carried.update(record_files(inspection.runs.records, inspection.runs.links))
    files = {**result.files, **carried}
    digests = {_hashed(name, data).sha256 for name, data in files.items()}
    digests.update(found.sha256 for found in inspection.files.values())
    carried = {**kept_bundles(kept, frozenset(digests)), **carried}
    return replace(result, files={**result.files, **carried}, carried=tuple(carried))


def _refuse_forged(inspection: Inspection, signer: Signer) -> None:
    """Refuse a record or a kept reproduction that claims the publisher's own key falsely."""
    records = inspection.runs.records if inspection.runs else ()
    kept = inspection.reproductions.bundles if inspection.reproductions else ()
    if records or kept:
        from mlbom.pipeline.attestations import refuse_forged

        refuse_forged(records, kept, signer.public_key)


def _signed(
    result: GenerateResult, inspection: Inspection, sign: Callable[[Statement], Sealed]
) -> GenerateResult:
    """Add the bundles: weights, BOM, and last the closing statement over all that is there."""
    if not inspection.files:
        message = "no file of the model could be read, so there is nothing to sign"
        raise UnreadableError(message, hint="--no-sign writes down what is in the way")
    model = _signed_model(result, inspection)
    files = dict(result.files)
    bundles: list[str] = []

    def add(statement: Statement, kind: tuple[int, str]) -> None:
        sealed = sign(statement)
        _refuse_secrets(kind[1], sealed.payload)
        bundles.append(f"{FOLDER}/{sealed.name(*kind)}")
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
        manifest=_hashed(MANIFEST, inspection.manifest),
        ignored=inspection.ignored,
    )


def _hashed(path: str, data: bytes) -> HashedFile:
    return HashedFile(path=path, sha256=hashlib.sha256(data).hexdigest())


def _refuse_secrets(name: str, data: bytes) -> None:
    """Refuse to publish bytes that hold a secret; here nothing may be rewritten any more.

    Raises:
        SecretLeakError: naming what holds it, and never the secret.
    """
    for hit in guard.find_secrets(data):
        message = f"{name} would publish something shaped like a {hit.rule} at byte {hit.offset}"
        raise SecretLeakError(message)


def _keep(folder: Path, result: GenerateResult, inspection: Inspection) -> bool:
    """Keep the private evidence and every bundle in `.mlbom`; return whether that was possible."""
    try:
        write_whole(folder / "private" / "evidence.json", dump_graph(inspection.graph), 0o600)
        for path, manifest in inspection.data_manifests.items():
            name = f"{file_name(path)}.manifest"
            write_whole(folder / "private" / "data" / name, manifest, 0o600)
        for name in result.bundles:
            write_whole(folder / name, result.files[name])
    except OSError:
        return False
    return True
