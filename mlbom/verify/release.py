"""Verify a release, fail closed: from the closing statement backwards along every edge.

The order is that of chain.md section 3. The verifier trusts the keys that it is handed and nothing
that lies in the directory; it writes nothing, asks nobody and never uses a digest cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.attest.statement import Subject
from mlbom.attest.subjects import ReleaseSubjects, split_subjects
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import PathNotFoundError, UnreadableError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import File, Release
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.guard import printable
from mlbom.status import ExitStatus
from mlbom.verify.bundles import BOM, CLOSING, WEIGHTS, SignedStatement, read_bundles
from mlbom.verify.chain import (
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
from mlbom.verify.directory import ReleaseDirectory
from mlbom.verify.inputs import check_inputs
from mlbom.verify.model import EDGE_TREE, ExpectedModel, check_model, find_model_root
from mlbom.verify.outputs import DOCUMENTS, EDGE_OUTPUTS, check_outputs, show_keys
from mlbom.verify.trust import TrustedKeys
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


def verify_release(
    release_dir: Path,
    root: Path | None,
    trust: TrustedKeys,
    *,
    check_data: Mapping[str, Path] | None = None,
) -> Verdict:
    """Verify the output directory of a release, and the model that it is about.

    Args:
        release_dir: the output directory.
        root: PATH of the release or the model root; the parent of `release_dir` when None.
        trust: the keys that the caller trusts, by role.
        check_data: datasets to re-hash: folder or file by the dataset's name.

    Returns:
        the verdict, whatever lies there; trusted when its status is `DONE` and not otherwise.

    Raises:
        PathNotFoundError: the directory, the root or a dataset is not there.
        UsageError: `check_data` names a dataset that the release does not.
    """
    release_dir = release_dir.absolute()
    root = release_dir.parent if root is None else root.absolute()
    if not root.is_dir():
        message = f"model root not found: {root}"
        raise PathNotFoundError(message, looked=[str(root)])
    directory = ReleaseDirectory.at(release_dir)
    ledger = Ledger()
    signed = read_bundles(directory, trust, ledger)
    show_keys(ledger, directory)
    verdict = Verdict(edges=(), problems=())
    closing = _the_closing(ledger, signed)
    subjects = _closing_subjects(ledger, closing) if closing else None
    if closing and subjects:
        verdict = replace(
            verdict,
            purl=printable(closing.statement.predicate["purl"]),
            closing=closing.sha256,
            signer=closing.signer.key.hint,
        )
        documents = check_outputs(ledger, directory, closing, subjects)
        verdict = replace(verdict, documents=documents)
        case = _Case(ledger, directory, signed, closing, subjects, documents)
        verdict = _check_release(case, root, verdict, check_data or {})
    ledger.not_checked("training", "a signed record of the training run", "not attested")
    _demand_required(ledger)
    return replace(
        verdict,
        edges=tuple(ledger.edges),
        problems=tuple(ledger.problems),
        skipped=tuple(ledger.skipped),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One release under examination: what its closing statement has bound so far."""

    ledger: Ledger
    directory: ReleaseDirectory
    signed: tuple[SignedStatement, ...]
    closing: SignedStatement
    subjects: ReleaseSubjects
    documents: Mapping[str, bytes]


def _the_closing(ledger: Ledger, signed: tuple[SignedStatement, ...]) -> SignedStatement | None:
    closings = [statement for statement in signed if statement.kind is CLOSING]
    if len(closings) > 1:
        names = ", ".join(statement.path for statement in closings)
        ledger.problem("several-closing-statements", f"{names} each close this release")
        return None
    if not closings:
        message = "no attestation by a trusted key closes this release"
        if not signed and not ledger.problems:
            message += ": it holds no attestations at all, so it is not signed"
        ledger.problem("no-closing-statement", message)
        return None
    return closings[0]


def _closing_subjects(ledger: Ledger, closing: SignedStatement) -> ReleaseSubjects | None:
    try:
        subjects = split_subjects(closing.statement)
    except UnreadableError as error:
        ledger.problem("malformed-statement", f"{closing.path}: {error.message}", closing.path)
        return None
    if not isinstance(closing.statement.predicate.get("purl"), str):
        message = f"{closing.path}: the closing statement names no purl"
        ledger.problem("malformed-statement", message, closing.path)
        return None
    return subjects


def _check_release(
    case: _Case, root: Path, verdict: Verdict, check_data: Mapping[str, Path]
) -> Verdict:
    """Walk the edges behind the closing statement, as far as its documents are bound."""
    ledger, subjects = case.ledger, case.subjects
    weights = _of_kind(case, WEIGHTS)
    boms = _of_kind(case, BOM)
    for bom in boms:
        check_bom_file(ledger, bom, case.documents.get("bom.cdx.json"))
    manifest = _manifest(case)
    graph = _evidence(case)
    if manifest:
        verdict = replace(verdict, manifest=manifest.digests["sha256"])
        check_closing(ledger, subjects, manifest)
        for statement in weights:
            check_weights(ledger, statement, manifest)
        for bom in boms:
            check_bom(ledger, bom, manifest, is_directory=subjects.directory is not None)
    if graph:
        check_inputs(ledger, graph, check_data)
    if manifest and graph:
        model = _expected_model(case, root, manifest, graph)
        if model:
            check_model(ledger, model)
            verdict = replace(verdict, model_root=printable(str(model.root)))
    return verdict


def _of_kind(case: _Case, kind: object) -> tuple[SignedStatement, ...]:
    """Return the statements of a kind that the closing statement lists; there must be one."""
    outputs = case.subjects.outputs
    found = tuple(
        statement
        for statement in case.signed
        if statement.kind is kind
        and statement.path in outputs
        and outputs[statement.path].sha256 == statement.sha256
    )
    if not found:
        name = "weights (OMS)" if kind is WEIGHTS else "BOM"
        message = f"no {name} statement by a trusted key is listed by the closing statement"
        case.ledger.problem("missing-statement", message)
    return found


def _manifest(case: _Case) -> Manifest | None:
    data = case.documents.get("model.manifest")
    if data is None:
        return None
    try:
        files = parse_manifest(data)
    except UnreadableError as error:
        case.ledger.problem("malformed-file", error.message, "model.manifest")
        return None
    return Manifest(digests=case.directory.digests_read("model.manifest"), files=files)


def _evidence(case: _Case) -> Graph | None:
    data = case.documents.get("evidence.json")
    if data is None:
        return None
    limit = DOCUMENTS["evidence.json"]
    try:
        return load_graph(parse_json(data, "evidence.json", max_bytes=limit))
    except UnreadableError as error:
        case.ledger.problem("malformed-file", error.message, "evidence.json")
        return None


def _expected_model(
    case: _Case, root: Path, manifest: Manifest, graph: Graph
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
    return ExpectedModel(
        root=place,
        is_directory=case.subjects.directory is not None,
        files=files,
        sizes={f.path: f.nbytes for f in graph.nodes(File) if f.path and f.nbytes is not None},
        release=case.directory.root,
        bound=frozenset(
            {subject.sha256 for subject in case.subjects.outputs.values()} | {case.closing.sha256}
        ),
    )


def _stated_files(case: _Case) -> Mapping[str, tuple[Subject, ...]]:
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
