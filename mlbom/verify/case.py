"""One release under examination: its closing statement, and what that binds."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlbom.attest.subjects import MANIFEST, ReleaseSubjects, split_subjects
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import UnreadableError
from mlbom.evidence.canonical import canonical_json
from mlbom.evidence.graph import Graph
from mlbom.evidence.store import load_graph
from mlbom.formats.strict_json import parse_json
from mlbom.verify.bundles import SignedStatement, named_rebuilds
from mlbom.verify.chain.edges import Manifest
from mlbom.verify.files.directory import ReleaseDirectory
from mlbom.verify.files.outputs import DOCUMENTS
from mlbom.verify.kinds import (
    CLOSING,
    REBUILD,
    REPRODUCED,
    REPRODUCTION_RESULT,
    REVIEW,
    TEST_RESULT,
    VERDICT,
    WEIGHTS,
    Kind,
)
from mlbom.verify.verdict import Ledger

# What may be stated about a release after it was closed, by naming its closing statement.
LATER = (REVIEW, REPRODUCED, REPRODUCTION_RESULT, REBUILD, TEST_RESULT, VERDICT)


@dataclass(frozen=True, slots=True)
class Case:
    """What the closing statement has bound so far.

    Args:
        ledger: takes edges and problems.
        directory: the output directory.
        closings: every signature of the one closing statement.
        signed: the good statements that the release binds: those that the closing statement lists,
            and those made after it that name it.
        subjects: of the closing statement.
        documents: the bytes of each document that is the signed one, by name.
    """

    ledger: Ledger
    directory: ReleaseDirectory
    closings: tuple[SignedStatement, ...]
    signed: tuple[SignedStatement, ...]
    subjects: ReleaseSubjects
    documents: Mapping[str, bytes]

    @property
    def closing(self) -> SignedStatement:
        """Return the closing statement; the signature with a trusted time comes first."""
        return self.closings[0]

    @property
    def is_complete(self) -> bool:
        """Return whether every bundle of the release holds and is bound, or was never counted."""
        surplus = sum(p.rule == "surplus-signature" for p in self.ledger.problems)
        return len(self.signed) + surplus == len(self.directory.bundles())


def the_closing(ledger: Ledger, signed: tuple[SignedStatement, ...]) -> tuple[SignedStatement, ...]:
    """Return the signatures of the one closing statement, those with a trusted time first."""
    closings = [statement for statement in signed if statement.kind is CLOSING]
    signers = {statement.signer.material for statement in closings}
    if len({statement.payload for statement in closings}) > 1 or len(signers) < len(closings):
        names = ", ".join(statement.path for statement in closings)
        ledger.problem("several-closing-statements", f"{names} each close this release")
        return ()
    if not closings:
        message = "no attestation by a trusted key closes this release"
        if not signed and not ledger.problems:
            message += ": it holds no attestations at all, so it is not signed"
        ledger.problem("no-closing-statement", message)
    return tuple(sorted(closings, key=lambda closing: (closing.time is None, closing.time or 0)))


def closing_subjects(ledger: Ledger, closing: SignedStatement) -> ReleaseSubjects | None:
    """Return what a closing statement lists, when it has its form."""
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


def bound_statements(
    signed: tuple[SignedStatement, ...],
    closings: tuple[SignedStatement, ...],
    subjects: ReleaseSubjects,
) -> tuple[SignedStatement, ...]:
    """Return the statements that a release binds; another one is an extra file of its directory."""
    bound = list(closings)
    for statement in signed:
        listed = subjects.outputs.get(statement.path)
        if statement.kind is CLOSING:
            continue
        if listed is None:
            if statement.kind in LATER and _names(statement, closings):
                bound.append(statement)
        elif listed.sha256 == statement.sha256:
            bound.append(statement)
    bound += [s for s in signed if s not in bound and _is_later_run(s, bound, subjects)]
    return tuple(bound)


def _is_later_run(
    statement: SignedStatement, bound: list[SignedStatement], subjects: ReleaseSubjects
) -> bool:
    """Return whether a record of training again is named by a bound statement of its signer."""
    if statement.kind is not REBUILD or statement.path in subjects.outputs:
        return False
    return statement.signature in named_rebuilds(bound)


def of_kind(case: Case, kind: Kind) -> tuple[SignedStatement, ...]:
    """Return the statements of a kind that every release must have."""
    found = tuple(statement for statement in case.signed if statement.kind is kind)
    if not found:
        name = "weights (OMS)" if kind is WEIGHTS else "BOM"
        message = f"no {name} statement by a trusted key is listed by the closing statement"
        case.ledger.problem("missing-statement", message)
    return found


def manifest_of(case: Case) -> Manifest | None:
    """Return the manifest, when it is bound and can be read."""
    data = case.documents.get(MANIFEST)
    if data is None:
        return None
    try:
        files = parse_manifest(data)
    except UnreadableError as error:
        case.ledger.problem("malformed-file", error.message, MANIFEST)
        return None
    return Manifest(digests=case.directory.digests_read(MANIFEST), files=files)


def evidence_of(case: Case) -> Graph | None:
    """Return the evidence, when it is bound and can be read."""
    data = case.documents.get("evidence.json")
    if data is None:
        return None
    limit = DOCUMENTS["evidence.json"]
    try:
        return load_graph(parse_json(data, "evidence.json", max_bytes=limit))
    except UnreadableError as error:
        case.ledger.problem("malformed-file", error.message, "evidence.json")
        return None


def _names(statement: SignedStatement, closings: tuple[SignedStatement, ...]) -> bool:
    """Return whether a statement names the bundle of the closing statement by its digest."""
    told = {subject.sha256 for subject in statement.statement.subjects}
    text = canonical_json(dict(statement.statement.predicate))
    return any(c.sha256 in told or c.sha256.encode() in text for c in closings)
