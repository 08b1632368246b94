"""The bundles that a release carries along: joined records, their links, earlier statements on it.

They are copied unchanged, before the closing statement, which lists them (chain.md section 2).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlbom import guard
from mlbom.attest.bundle import (
    FOLDER,
    MAX_BYTES,
    SUFFIX,
    bundle_id,
    bundle_name,
    check_bundle_size,
    parse_bundle,
)
from mlbom.attest.dsse import parse_envelope
from mlbom.attest.publickey import PublicKey
from mlbom.attest.run_claim import StepKind, is_run, parse_run
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import (
    PROVENANCE_PREDICATE,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
)
from mlbom.collect.runs.record import Record
from mlbom.errors import MalformedError, SecretLeakError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular
from mlbom.outdir import file_name

# Numbers in the bundles' file names (chain.md section 2).
_NUMBERS = {StepKind.DATA: 1, StepKind.OTHER: 1, StepKind.TRAIN: 2, StepKind.EVAL: 5}
_MOST_LABEL = 60
_MAX_KEPT = 1024
_NAME = re.compile(rf"[0-9]{{2}}-[\w.-]{{1,100}}-([0-9a-f]{{8}}){re.escape(SUFFIX)}")
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


def refuse_forged(records: Iterable[Record], key: PublicKey) -> None:
    """Refuse a record that claims our key and not its signature; other keys are unknown here.

    Raises:
        MalformedError: naming the record.
    """
    for record in records:
        if record.signer != key.hint:
            continue
        envelope = parse_bundle(parse_json(record.data, record.place)).envelope
        if not key.verify(envelope.signature, envelope.covered):
            message = f"{record.place} claims your key {key.hint}, and its signature does not fit"
            raise MalformedError(message, hint="it was changed after it was signed: leave it out")


def kept_bundles(folder: Path, digests: frozenset[str]) -> dict[str, bytes]:
    """Return the earlier statements about this release, by their names in the output directory.

    Reviews are taken when everything they are about is part of this release, reproductions and test
    results when something is. A verdict is for those who trust its verifier: whoever does not would
    have to refuse a release that holds one, so it is never taken. Nor are statements that
    `generate` makes anew (of weights, BOM and release), and what cannot be read proves nothing.

    Args:
        folder: `.mlbom/attestations`, which keeps all bundles.
        digests: SHA-256 of every file of this release, and of its manifest.
    """
    if not folder.is_dir():
        return {}
    files: dict[str, bytes] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}"))[:_MAX_KEPT]:
        data = _about(path, digests)
        if data:
            files[f"{FOLDER}/{path.name}"] = data
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


def _about(path: Path, digests: frozenset[str]) -> bytes | None:
    """Return a kept bundle when it is about this release."""
    named = _NAME.fullmatch(path.name)
    if not named:
        return None
    try:
        data = read_regular(path, MAX_BYTES, path.name)
        check_bundle_size(data)
        bundle = parse_bundle(parse_json(data, path.name, safe_integers=True))
        payload = bundle.envelope.payload
        statement = parse_statement(parse_json(payload, path.name, safe_integers=True))
    except (OSError, UnreadableError):
        return None
    if bundle_id(payload) != named[1] or not _concerns(statement, digests):
        return None
    _refuse_secrets(path.name, payload)
    return data


def _concerns(statement: Statement, digests: frozenset[str]) -> bool:
    if is_run(statement) and not parse_run(statement).succeeded:
        return False
    found = [subject.sha256 in digests for subject in statement.subjects]
    if statement.predicate_type in _ABOUT_ALL:
        return all(found)
    return statement.predicate_type in _ABOUT_SOME and any(found)
