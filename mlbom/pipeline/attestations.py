"""The bundles that a release carries along: joined records, their links, earlier statements on it.

They are copied unchanged, before the closing statement, which lists them (chain.md section 2).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlbom import guard
from mlbom.attest.bundle import FOLDER, bundle_name, parse_bundle
from mlbom.attest.dsse import parse_envelope
from mlbom.attest.publickey import PublicKey
from mlbom.attest.reproduction_reading import is_reproduction, parse_reproduction
from mlbom.attest.run_claim import StepKind, is_run, parse_run
from mlbom.attest.statement import Statement
from mlbom.attest.types import (
    PROVENANCE_PREDICATE,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
)
from mlbom.collect.reproductions import Kept, kept_statements
from mlbom.collect.runs.record import Record
from mlbom.errors import MalformedError, SecretLeakError
from mlbom.formats.strict_json import parse_json
from mlbom.outdir import file_name

# Numbers in the bundles' file names (chain.md section 2).
_NUMBERS = {StepKind.DATA: 1, StepKind.OTHER: 1, StepKind.TRAIN: 2, StepKind.EVAL: 5}
_MOST_LABEL = 60
# A review is about one set of files: it is out of date when one of them is another.
_ABOUT_ALL = frozenset({SVR_PREDICATE})
_ABOUT_SOME = frozenset({PROVENANCE_PREDICATE, TEST_RESULT_PREDICATE})


def record_files(records: Iterable[Record], links: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the signed records and the links by their names in the output directory.

    Raises:
        SecretLeakError: a record or link holds what looks like a secret.
    """
    files: dict[str, bytes] = {}
    for record in records:
        if not record.signer:
            continue
        for what in _texts(record):
            _refuse_secrets(record.place, what)
        name = _record_name(record, files)
        files[name] = record.data
    for link, data in sorted(links.items()):
        _refuse_secrets(link, parse_envelope(parse_json(data, link)).payload)
        files[f"{FOLDER}/{link}"] = data
    return files


def refuse_forged(records: Iterable[Record], kept: Iterable[Kept], key: PublicKey) -> None:
    """Refuse what claims our key and not its signature; other keys are unknown here.

    Args:
        records: the joined records.
        kept: the statements of reproductions that go along.
        key: ours.

    Raises:
        MalformedError: naming the file.
    """
    claimed = [(r.place, r.data) for r in records if r.signer == key.hint]
    claimed += [(one.name, one.data) for one in kept if one.hint == key.hint]
    for place, data in claimed:
        envelope = parse_bundle(parse_json(data, place)).envelope
        if not key.verify(envelope.signature, envelope.covered):
            message = f"{place} claims your key {key.hint}, and its signature does not fit"
            raise MalformedError(message, hint="it was changed after it was signed: leave it out")


def reproduction_bundles(kept: Iterable[Kept]) -> dict[str, bytes]:
    """Return the statements of training again by their names in the output directory.

    Raises:
        SecretLeakError: one holds what looks like a secret, in the details that it carries too.
    """
    files: dict[str, bytes] = {}
    for one in kept:
        for data in _kept_texts(one):
            _refuse_secrets(one.name, data)
        files[f"{FOLDER}/{one.name}"] = one.data
    return files


def kept_bundles(folder: Path, digests: frozenset[str]) -> dict[str, bytes]:
    """Return the other earlier statements about this release by their names among its outputs.

    Reviews are taken when everything they are about is part of this release, test results and
    provenance of other builders when something is; for those of training again see
    `mlbom.collect.reproductions`. A verdict is for those who trust its verifier: whoever does not
    would have to refuse a release that holds one, so it is never taken. Nor are statements that
    `generate` makes anew (of weights, BOM and release), and what cannot be read proves nothing.

    Args:
        folder: `.mlbom/attestations`, which keeps all bundles.
        digests: SHA-256 of every file of this release, and of its manifest.
    """
    files: dict[str, bytes] = {}
    for one in kept_statements(folder):
        if not one.is_of_reproduction and _concerns(one.statement, digests):
            _refuse_secrets(one.name, one.payload)
            files[f"{FOLDER}/{one.name}"] = one.data
    return files


def _record_name(record: Record, taken: Mapping[str, bytes]) -> str:
    """Return the name of a record's copy; a second signature over one payload gets a number."""
    label = file_name(record.claim.name or record.claim.kind.value)
    if len(label) > _MOST_LABEL:
        label = f"{label[:_MOST_LABEL]}-{record.sha256[8:16]}"
    number = _NUMBERS[record.claim.kind]
    labels = (label, *(f"{label}.{count}" for count in range(2, len(taken) + 3)))
    names = (f"{FOLDER}/{bundle_name(number, text, record.payload)}" for text in labels)
    return next(name for name in names if name not in taken)


def _texts(record: Record) -> Iterator[bytes]:
    """Yield the bytes that a record publishes, what it carries encoded included."""
    yield record.payload
    for resource in (*record.claim.materials, *record.claim.byproducts):
        if resource.content is not None:
            yield resource.content


def _refuse_secrets(name: str, data: bytes) -> None:
    """Refuse to publish a record that holds a secret; its bytes are signed and stay as they are.

    Raises:
        SecretLeakError: naming the record, and never the secret.
    """
    for hit in guard.find_secrets(data):
        message = f"the record {name} would publish something shaped like a {hit.rule}"
        hint = "leave the record out, or run the step again without the secret, and revoke it"
        raise SecretLeakError(message, hint=hint)


def _kept_texts(kept: Kept) -> Iterator[bytes]:
    """Yield the bytes that a statement of training again publishes, carried content included."""
    yield kept.payload
    statement = kept.statement
    if is_reproduction(statement):
        details = parse_reproduction(statement).details
        resources = [] if details is None else [details]
    else:
        run = parse_run(statement) if is_run(statement) else None
        listed = (*run.materials, *run.byproducts) if run else ()
        resources = [r.content for r in listed if r.content is not None]
    yield from resources


def _concerns(statement: Statement, digests: frozenset[str]) -> bool:
    if is_run(statement) and not parse_run(statement).succeeded:
        return False
    found = [subject.sha256 in digests for subject in statement.subjects]
    if statement.predicate_type in _ABOUT_ALL:
        return all(found)
    return statement.predicate_type in _ABOUT_SOME and any(found)
