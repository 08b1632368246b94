"""verify: bundles -> closing statement -> documents -> edges -> tree (-> hand over, remember)."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom import __version__
from mlbom.errors import LockedError, PathNotFoundError, StateError
from mlbom.evidence.nodes import Release
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.guard import printable
from mlbom.outdir import MARK
from mlbom.render.registry import render_documents
from mlbom.render.sarif import Level, SarifResult, SarifRule, sarif_bytes
from mlbom.render.templates import templates_digest
from mlbom.status import ExitStatus
from mlbom.verify.chain.conditions import Identified
from mlbom.verify.files.archive import is_archive, unpacked
from mlbom.verify.files.handover import Handover
from mlbom.verify.files.outputs import DOCUMENTS
from mlbom.verify.foreign import verify_bundle
from mlbom.verify.memory import State, remember
from mlbom.verify.refusal import Refusal
from mlbom.verify.release import Request, verify_release
from mlbom.verify.report import edge_documents
from mlbom.verify.rules import RULES
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import Edge, EdgeStatus, Problem, Verdict

MAX_EVIDENCE = DOCUMENTS["evidence.json"]
EDGE_RERENDER = "evidence.json -> documents"
EDGE_ARCHIVE = "archive"
_SPECS = ("1.6", "1.7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a caller asks of a verification.

    Args:
        root: PATH or the model root; None for the folder that the release lies in.
        check_data: folders to re-hash by dataset name.
        rerender: also render the documents again from the evidence and compare.
        state: memory of earlier verifications, or None.
        state_named: whether the caller named that memory; the user's own may fail to be written.
        signer_named: whether a policy file names the signers.
        added: `TrustedSigner.material` of those whom flags add to it.
        copy_to: where the model goes after a good verdict, or None.
    """

    root: Path | None = None
    check_data: Mapping[str, Path] = field(default_factory=dict)
    rerender: bool = False
    state: Path | None = None
    state_named: bool = False
    signer_named: bool = False
    added: frozenset[str] = frozenset()
    copy_to: Path | None = None


def verify(place: Path, trust: Trust, asked: Asked) -> Verdict:
    """Verify a release directory, a release in a ZIP file, or one bundle.

    Args:
        place: which.
        trust: whom the caller trusts, and what he demands.
        asked: what else he asks.

    Raises:
        PathNotFoundError, UsageError: an argument names nothing, or cannot be used.
        StateError: the memory is damaged.
        OutputError: the copy could not be written.
    """
    check_place(place)
    with ExitStack() as stack:
        handover = stack.enter_context(Handover(asked.copy_to)) if asked.copy_to else None
        request = Request(
            root=asked.root,
            check_data=asked.check_data,
            state=State.load(asked.state) if asked.state else None,
            signer_named=asked.signer_named,
            added=asked.added,
            handover=handover,
        )
        verdict = _verified(place, trust, request, stack)
        if asked.rerender and is_release(place):
            verdict = _rerendered(verdict)
        if verdict.status is ExitStatus.DONE and asked.state and verdict.manifest:
            verdict = _remembered(verdict, asked)
        # Last of all: a copy that is there was verified, and nothing about that failed.
        if verdict.status is ExitStatus.DONE and handover:
            verdict = replace(verdict, copied_to=str(handover.deliver(verdict.files)))
    return verdict


def check_place(place: Path) -> None:
    """Refuse a path at which there is nothing to verify.

    Raises:
        PathNotFoundError: neither a release directory nor a file.
    """
    if place.is_file() or (place / MARK).is_file():
        return
    message = f"no release at {place}"
    hint = "name the directory that mlbom generate wrote (usually PATH/mlbom-out), or a file"
    signature = place / "model.sig"
    if signature.is_file():
        hint = f"there is a signature of a model: mlbom verify {signature}"
    looked = place.absolute() / MARK if place.is_dir() else place.absolute()
    raise PathNotFoundError(message, looked=[str(looked)], hint=hint)


def is_release(place: Path) -> bool:
    """Return whether a path is a release, as a folder or a ZIP file, and not a single bundle."""
    return place.is_dir() or is_archive(place)


def _verified(place: Path, trust: Trust, request: Request, stack: ExitStack) -> Verdict:
    if place.is_dir():
        return verify_release(place, trust, request)
    if not is_archive(place):
        return verify_bundle(place, trust, request)
    root = place.absolute().parent if request.root is None else request.root
    try:
        folder = stack.enter_context(unpacked(place))
    except Refusal as refused:
        edge = Edge(EDGE_ARCHIVE, EdgeStatus.FAILED, "names and headers", refused.message)
        problem = Problem(refused.rule, f"{place.name}: {refused.message}", place.name)
        return Verdict(edges=(edge,), problems=(problem,))
    verdict = verify_release(folder, trust, replace(request, root=root))
    edge = Edge(EDGE_ARCHIVE, EdgeStatus.HELD, "names and headers", "one release of plain files")
    return replace(verdict, edges=(edge, *verdict.edges))


def _remembered(verdict: Verdict, asked: Asked) -> Verdict:
    """Add a good release to the memory; the user's own may lie where nothing can be written."""
    release = Identified(
        purl=verdict.purl,
        manifest=verdict.manifest,
        signer=verdict.material,
        cosigners=verdict.cosigners,
        time=None,
    )
    try:
        remember(asked.state or Path(), *release.sightings)
    except (StateError, LockedError) as error:
        if asked.state_named:
            raise
        problem = Problem("not-remembered", error.message)
        return replace(verdict, problems=(*verdict.problems, problem))
    return verdict


def _rerendered(verdict: Verdict) -> Verdict:
    """Add the edge from the evidence to the documents that must be a function of it."""
    if verdict.status is not ExitStatus.DONE:
        edge = Edge(EDGE_RERENDER, EdgeStatus.NOT_CHECKED, "bytes", "the release is not trusted")
        return replace(verdict, edges=(*verdict.edges, edge))
    told = verdict.documents["evidence.json"]
    evidence = parse_json(told, "evidence.json", max_bytes=MAX_EVIDENCE)
    graph = load_graph(evidence)
    made_by = graph.nodes(Release)[0]
    if (made_by.tool_version, made_by.templates) != (__version__, templates_digest()):
        why = f"not comparable: made by mlbom {made_by.tool_version} with its own templates"
        edge = Edge(EDGE_RERENDER, EdgeStatus.NOT_CHECKED, "bytes", why)
        return replace(verdict, edges=(*verdict.edges, edge))
    bom = parse_json(verdict.documents["bom.cdx.json"], "bom.cdx.json")
    spec = bom.get("specVersion")
    if spec not in _SPECS:
        message = f"bom.cdx.json says version {spec!r:.40} of CycloneDX, which mlbom does not write"
        edge = Edge(EDGE_RERENDER, EdgeStatus.FAILED, "bytes", message)
        problem = Problem("document-differs", printable(message), "bom.cdx.json")
        return replace(verdict, edges=(*verdict.edges, edge), problems=(*verdict.problems, problem))
    made = render_documents(graph, spec)
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
    """Return the problems of a verdict as SARIF 2.1.0, its edges as properties of the run."""
    levels = {
        ExitStatus.DONE: Level.NOTE,
        ExitStatus.INCOMPLETE: Level.WARNING,
        ExitStatus.FINDINGS: Level.WARNING,
    }
    rules = [SarifRule(rule.id, rule.title, rule.text) for rule in RULES]
    results = [
        SarifResult(p.rule, levels.get(p.status, Level.ERROR), p.message, p.path)
        for p in verdict.problems
    ]
    return sarif_bytes(__version__, rules, results, {"edges": edge_documents(verdict)})
