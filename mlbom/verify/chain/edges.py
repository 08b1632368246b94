"""The edges between statements: each holds by equal digest, or by membership in the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlbom.attest.oms import parse_oms
from mlbom.attest.statement import Subject
from mlbom.attest.subjects import ReleaseSubjects, split_subjects
from mlbom.errors import UnreadableError
from mlbom.evidence.canonical import canonical_json
from mlbom.formats.strict_json import parse_json
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.files.compare import Digests, differing
from mlbom.verify.verdict import Ledger, counted

EDGE_CLOSING = "closing statement -> model.manifest"
EDGE_WEIGHTS = "weights statement -> model.manifest"
EDGE_BOM = "BOM statement -> model.manifest"
EDGE_BOM_FILE = "BOM statement -> bom.cdx.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest that the closing statement binds.

    Args:
        digests: of the file itself; its sha256 is the dirHash1 of the model.
        files: SHA-256 by path relative to the model root.
    """

    digests: Digests
    files: Mapping[str, str]


def check_closing(ledger: Ledger, subjects: ReleaseSubjects, manifest: Manifest) -> None:
    """Check that the closing statement closes the model of the manifest."""
    since = len(ledger.problems)
    _check_subjects(ledger, "the closing statement", subjects, manifest)
    if subjects.directory is None and len(subjects.model_files) != len(manifest.files):
        message = "the closing statement does not name every file of model.manifest"
        ledger.problem("edge-broken", message)
    ledger.judge(EDGE_CLOSING, "subjects by equal digest or membership", since, _holds(manifest))


def check_weights(ledger: Ledger, signed: SignedStatement, manifest: Manifest) -> None:
    """Check that an OMS statement lists exactly the files of the manifest."""
    since = len(ledger.problems)
    try:
        files = parse_oms(signed.statement).files
    except UnreadableError as error:
        ledger.problem("malformed-statement", f"{signed.path}: {error.message}", signed.path)
    else:
        for path in sorted(files.keys() | manifest.files.keys()):
            if files.get(path) != manifest.files.get(path):
                message = f"{signed.path} and model.manifest differ about {path}"
                ledger.problem("edge-broken", message, signed.path)
                break
    ledger.judge(EDGE_WEIGHTS, f"every resource of {signed.path}", since, _holds(manifest))


def check_bom(
    ledger: Ledger, signed: SignedStatement, manifest: Manifest, *, is_directory: bool
) -> None:
    """Check that a BOM statement is about the model of the manifest."""
    since = len(ledger.problems)
    try:
        subjects = split_subjects(signed.statement)
    except UnreadableError as error:
        ledger.problem("malformed-statement", f"{signed.path}: {error.message}", signed.path)
    else:
        if (subjects.directory is not None) != is_directory or subjects.outputs:
            message = f"{signed.path} has other kinds of subjects than the closing statement"
            ledger.problem("edge-broken", message, signed.path)
        _check_subjects(ledger, signed.path, subjects, manifest)
    ledger.judge(EDGE_BOM, f"every subject of {signed.path}", since, _holds(manifest))


def check_bom_file(ledger: Ledger, signed: SignedStatement, bom: bytes | None) -> None:
    """Check that the signed BOM is the content of bom.cdx.json, both as canonical JSON."""
    checked = f"the predicate of {signed.path}, as canonical JSON"
    if bom is None:
        ledger.not_checked(EDGE_BOM_FILE, checked, "bom.cdx.json is not bound to this release")
        return
    since = len(ledger.problems)
    try:
        content = canonical_json(parse_json(bom, "bom.cdx.json", safe_integers=True))
    except UnreadableError as error:
        ledger.problem("malformed-file", error.message, "bom.cdx.json")
    else:
        if content != canonical_json(dict(signed.statement.predicate)):
            message = f"bom.cdx.json is not the BOM that {signed.path} holds"
            ledger.problem("bom-differs", message, "bom.cdx.json")
    ledger.judge(EDGE_BOM_FILE, checked, since, "equal")


def _check_subjects(
    ledger: Ledger, witness: str, subjects: ReleaseSubjects, manifest: Manifest
) -> None:
    directory = subjects.directory
    if directory and (name := differing(directory.digests, manifest.digests)):
        message = f"{witness} names a model with the manifest {name} {directory.digests[name]}"
        ledger.problem("edge-broken", f"{message}, and that of model.manifest is another")
    for path, subject in subjects.model_files.items():
        if path not in manifest.files:
            message = f"{witness} names {path}, which model.manifest does not list"
            ledger.problem("edge-broken", message, path)
        elif manifest.files[path] != subject.sha256:
            message = f"{witness} and model.manifest give {path} different digests"
            ledger.problem("edge-broken", message, path)


def expected_files(
    ledger: Ledger, manifest: Manifest, subjects: Mapping[str, tuple[Subject, ...]]
) -> dict[str, Digests]:
    """Return the digests that every model file must have: the manifest's and all the others.

    Args:
        ledger: takes a contradiction between two statements.
        manifest: SHA-256 of every file.
        subjects: what statements say beyond that, by path.
    """
    expected: dict[str, Digests] = {}
    for path, sha256 in manifest.files.items():
        digests = {"sha256": sha256}
        for sha512 in (s.sha512 for s in subjects.get(path, ()) if s.sha512):
            if digests.setdefault("sha512", sha512) != sha512:
                message = f"two statements give {path} different sha512 digests"
                ledger.problem("edge-broken", message, path)
        expected[path] = digests
    return expected


def _holds(manifest: Manifest) -> str:
    count = len(manifest.files)
    return f"model.manifest {manifest.digests['sha256']} lists {counted(count, 'file')}"
