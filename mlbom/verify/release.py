"""Verify a release, fail closed: from the closing statement backwards along every edge.

The order is that of chain.md section 3. The verifier trusts the policy that it is handed and
nothing that lies in the directory; it writes nothing, asks nobody and never uses a digest cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom.attest.statement import Subject
from mlbom.attest.subjects import split_subjects
from mlbom.errors import PathNotFoundError, UnreadableError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import File, Release
from mlbom.guard import printable
from mlbom.status import ExitStatus
from mlbom.verify.bundles import SignedStatement, named_rebuilds, read_bundles
from mlbom.verify.case import (
    Case,
    bound_statements,
    closing_subjects,
    evidence_of,
    manifest_of,
    of_kind,
    the_closing,
)
from mlbom.verify.chain.conditions import Identified, check_conditions, check_memory
from mlbom.verify.chain.demands import Chain, check_demands
from mlbom.verify.chain.edges import (
    EDGE_BOM,
    EDGE_BOM_FILE,
    EDGE_CLOSING,
    EDGE_WEIGHTS,
    Manifest,
    check_bom,
    check_bom_file,
    check_closing,
    check_weights,
    expected_files,
)
from mlbom.verify.chain.lineage import Lineage, check_lineage
from mlbom.verify.chain.materials import list_unresolved
from mlbom.verify.chain.opinions import check_opinions
from mlbom.verify.chain.quality import check_quality
from mlbom.verify.chain.reproductions import (
    Reproductions,
    find_reproductions,
    tell_reproductions,
)
from mlbom.verify.chain.steps import read_steps
from mlbom.verify.chain.training import model_files, tell_training
from mlbom.verify.files.directory import ReleaseDirectory
from mlbom.verify.files.handover import Handover
from mlbom.verify.files.inputs import check_inputs
from mlbom.verify.files.model import EDGE_TREE, ExpectedModel, check_model, find_model_root
from mlbom.verify.files.outputs import EDGE_OUTPUTS, check_outputs, show_keys, show_links
from mlbom.verify.kinds import BOM, CLOSING, WEIGHTS
from mlbom.verify.memory import State
from mlbom.verify.signers.trust import Trust
from mlbom.verify.verdict import EdgeStatus, Ledger, Verdict

EDGE_EVIDENCE = "evidence.json -> model.manifest"
# A verdict is good only when every one of these was reached and holds.
REQUIRED = (
    EDGE_OUTPUTS,
    EDGE_CLOSING,
    EDGE_WEIGHTS,
    EDGE_BOM,
    EDGE_BOM_FILE,
    EDGE_EVIDENCE,
    EDGE_TREE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks beside whom he trusts.

    Args:
        root: PATH of the release or the model root; the parent of the release when None.
        check_data: datasets to re-hash: folder or file by the dataset's name.
        state: what earlier verifications saw, or None.
        signer_named: whether the caller named the signers of this very model (`State.check`).
        added: `TrustedSigner.material` of those whom he added for any model.
        handover: takes a copy of the model's files while they are verified, or None.
    """

    root: Path | None = None
    check_data: Mapping[str, Path] = field(default_factory=dict)
    state: State | None = None
    signer_named: bool = False
    added: frozenset[str] = frozenset()
    handover: Handover | None = None


def verify_release(release_dir: Path, trust: Trust, request: Request | None = None) -> Verdict:
    """Verify the output directory of a release, and the model that it is about.

    Args:
        release_dir: the output directory.
        trust: whom the caller trusts, and what he demands.
        request: what else he asks.

    Returns:
        the verdict, whatever lies there; trusted when its status is `DONE` and not otherwise.

    Raises:
        PathNotFoundError: the directory, the root or a dataset is not there.
        UsageError: `check_data` names a dataset that the release does not.
    """
    request = request or Request()
    release_dir = release_dir.absolute()
    root = release_dir.parent if request.root is None else request.root.absolute()
    if not root.is_dir():
        message = f"model root not found: {root}"
        raise PathNotFoundError(message, looked=[str(root)])
    if request.handover:
        request.handover.refuse_inside(release_dir, "the release")
    directory = ReleaseDirectory.at(release_dir)
    ledger = Ledger()
    signed = read_bundles(directory, trust, ledger)
    show_keys(ledger, directory)
    verdict = Verdict(edges=(), problems=(), inputs=tuple((s.path, s.sha256) for s in signed))
    closings = the_closing(ledger, signed)
    subjects = closing_subjects(ledger, closings[0]) if closings else None
    if closings and subjects:
        verdict = _closed_by(verdict, closings)
        bound = bound_statements(signed, closings, subjects)
        after = {s.path for s in bound if s.path not in subjects.outputs}
        documents = check_outputs(ledger, directory, subjects, after)
        show_links(ledger, subjects)
        verdict = replace(verdict, documents=documents)
        case = Case(ledger, directory, closings, bound, subjects, documents)
        verdict = _check_release(case, root, verdict, trust, request)
    else:
        tell_training(ledger, Lineage(), None)
        tell_reproductions(ledger, Reproductions())
    _demand_required(ledger)
    return replace(
        verdict,
        edges=tuple(ledger.edges),
        problems=tuple(ledger.problems),
        skipped=tuple(ledger.skipped),
    )


def _closed_by(verdict: Verdict, closings: tuple[SignedStatement, ...]) -> Verdict:
    closing = closings[0]
    signer = closing.signer
    return replace(
        verdict,
        purl=printable(closing.statement.predicate["purl"]),
        closing=closing.sha256,
        signer=signer.key.hint if signer.key else printable(signer.material),
        signed_at=closing.time,
        material=signer.material,
        cosigners=tuple(other.signer.material for other in closings[1:]),
    )


def _check_release(
    case: Case, root: Path, verdict: Verdict, trust: Trust, request: Request
) -> Verdict:
    """Walk the edges behind the closing statement, as far as its documents are bound."""
    ledger, subjects = case.ledger, case.subjects
    weights = of_kind(case, WEIGHTS)
    boms = of_kind(case, BOM)
    for bom in boms:
        check_bom_file(ledger, bom, case.documents.get("bom.cdx.json"))
    manifest = manifest_of(case)
    graph = evidence_of(case)
    if manifest:
        verdict = replace(verdict, manifest=manifest.digests["sha256"])
        check_closing(ledger, subjects, manifest)
        for statement in weights:
            check_weights(ledger, statement, manifest)
        for bom in boms:
            check_bom(ledger, bom, manifest, is_directory=subjects.directory is not None)
        verdict = _check_chain(case, manifest, graph, verdict, trust)
        _check_whole(ledger, verdict, trust, request)
    if graph:
        check_inputs(ledger, graph, trust.policy, request.check_data)
    if manifest and graph:
        model = _expected_model(case, root, manifest, graph)
        if model:
            if request.handover and model.is_directory:
                request.handover.refuse_inside(model.root, "the model")
            check_model(ledger, replace(model, ignore=trust.policy.ignore), request.handover)
            told = printable(str(model.root))
            verdict = replace(verdict, model_root=told, files=model.files)
    return verdict


def _check_chain(
    case: Case, manifest: Manifest, graph: Graph | None, verdict: Verdict, trust: Trust
) -> Verdict:
    """Walk from the model's files back along the recorded steps."""
    ledger, policy = case.ledger, trust.policy
    files = model_files(manifest, case.subjects)
    steps = read_steps(ledger, case.signed)
    rebuilds = named_rebuilds(case.signed)
    lineage = check_lineage(ledger, steps, files, rebuilds=rebuilds, complete=case.is_complete)
    list_unresolved(ledger, lineage, policy)
    trained = tell_training(ledger, lineage, files)
    signed = check_opinions(case, manifest, files)
    found = find_reproductions(ledger, signed, lineage, files, rebuilds=rebuilds)
    told = tell_reproductions(ledger, found)
    chain = Chain(signed=signed, lineage=lineage, model=files, reproductions=found)
    check_demands(ledger, chain, policy)
    if graph:
        check_quality(ledger, policy, graph, lineage.steps, found)
    return replace(verdict, trained=trained, reproduced=told)


def _check_whole(ledger: Ledger, verdict: Verdict, trust: Trust, request: Request) -> None:
    """Check the release as a whole against policy and memory."""
    release = Identified(
        purl=verdict.purl,
        manifest=verdict.manifest,
        signer=verdict.material,
        cosigners=verdict.cosigners,
        time=verdict.signed_at,
    )
    check_conditions(ledger, release, trust)
    if request.state is not None:
        named = request.signer_named and verdict.material not in request.added
        check_memory(ledger, release, request.state, signer_named=named)


def _expected_model(
    case: Case, root: Path, manifest: Manifest, graph: Graph
) -> ExpectedModel | None:
    """Return what must lie in the model root, when the evidence says where that is."""
    ledger = case.ledger
    since = len(ledger.problems)
    release = graph.node(Release, "release:")
    found = release.manifest if release else None
    if release is None or release.model_root is None or found is None:
        message = "evidence.json names no model root or no manifest"
        ledger.problem("malformed-file", message, "evidence.json")
    elif found.value != manifest.digests.get(found.algorithm):
        message = f"evidence.json is about a model with the manifest {found}"
        ledger.problem("edge-broken", message, "evidence.json")
    ledger.judge(EDGE_EVIDENCE, "digest of the manifest", since, "equal")
    recorded = release.model_root if release else None
    files = expected_files(ledger, manifest, _stated_files(case))
    place = find_model_root(ledger, root, recorded, files) if recorded else None
    if place is None:
        return None
    bound = {subject.sha256 for subject in case.subjects.outputs.values()}
    return ExpectedModel(
        root=place,
        is_directory=case.subjects.directory is not None,
        files=files,
        sizes={f.path: f.nbytes for f in graph.nodes(File) if f.path and f.nbytes is not None},
        release=case.directory.root,
        bound=frozenset(bound | {statement.sha256 for statement in case.signed}),
    )


def _stated_files(case: Case) -> Mapping[str, tuple[Subject, ...]]:
    """Return what the closing and BOM statements say about single model files, by path."""
    told: dict[str, tuple[Subject, ...]] = {}
    for statement in case.signed:
        if statement.kind not in (CLOSING, BOM):
            continue
        try:
            files = split_subjects(statement.statement).model_files
        except UnreadableError:
            continue  # Named where its edge is checked.
        for path, subject in files.items():
            told[path] = (*told.get(path, ()), subject)
    return told


def _demand_required(ledger: Ledger) -> None:
    """Refuse a verdict that would not be 3 although a required edge was never reached.

    An edge that could not be checked because a file is unreadable has its own problem, and ends
    with 4; one that nobody came to has none, and could otherwise pass.
    """
    statuses = {problem.status for problem in ledger.problems}
    if ExitStatus.UNTRUSTED in statuses:
        return
    for name in REQUIRED:
        edges = [edge for edge in ledger.edges if edge.name == name]
        loose = any(edge.status is not EdgeStatus.HELD for edge in edges)
        if not edges or (loose and ExitStatus.INCOMPLETE not in statuses):
            ledger.problem("step-not-reached", f"not reached: {name}")
