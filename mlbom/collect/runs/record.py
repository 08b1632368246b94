"""One record, read strictly: a bundle or a bare statement that has the form of a recorded step."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbom.attest.bundle import MAX_BYTES, check_bundle_size, parse_bundle
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import (
    BUILD_TYPES,
    INPUTS_MANIFEST,
    OUTPUTS_MANIFEST,
    RunClaim,
    StepKind,
    build_type,
    parse_run,
    public_name,
)
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import TEST_RESULT_PREDICATE
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import MalformedError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

# What `mlbom run` writes: signed, or bare when nobody signed.
RECORD, UNSIGNED = RECORD_NAMES = ("record.sigstore.json", "record.intoto.json")
_LATEST = 2**35
_LARGEST = 2**53
_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "gitCommit": re.compile(r"[0-9a-f]{40,64}")}
PARAMETERS = ("environmentVariables", "seeds", "determinism", "libraries", "accelerators")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it was read.

    Args:
        path: the file.
        place: how outputs call that file, without telling of this host.
        data: its bytes.
        payload: the statement's bytes, as signed.
        statement: the statement.
        claim: what it claims.
        signer: which key signed by the bundle's own account; empty when nobody signed.
    """

    path: Path
    place: str
    data: bytes
    payload: bytes
    statement: Statement
    claim: RunClaim
    signer: str

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the payload, which identifies the run."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def id(self) -> str:
        """Return the id of its `Run`."""
        return f"run:{self.sha256[:16]}"

    @property
    def is_evaluation(self) -> bool:
        """Return whether its subjects are what it read, not what it wrote."""
        return self.claim.kind is StepKind.EVAL

    def subjects(self) -> Iterator[tuple[str, str]]:
        """Yield name (empty when private) and SHA-256; a manifest stands for its members."""
        told = (r for r in self.claim.byproducts if r.name == OUTPUTS_MANIFEST)
        manifests = {r.sha256: r.content for r in told if r.content is not None}
        for subject in self.statement.subjects:
            if subject.name == OUTPUTS_MANIFEST and subject.sha256 in manifests:
                yield from _members(manifests[subject.sha256])
            else:
                yield public_name(subject.name), subject.sha256

    def named_products(self) -> Iterator[tuple[str, str]]:
        """Yield published name and SHA-256 of what the step wrote, where the name is known."""
        for name, sha256 in () if self.is_evaluation else self.subjects():
            if name:
                yield name, sha256

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Yield name (empty when private) and SHA-256 of every file that the step read."""
        for resource in self.claim.materials:
            if resource.name == INPUTS_MANIFEST and resource.content is not None:
                yield from _members(resource.content)
            elif resource.is_file:
                yield resource.name, resource.sha256


def read_record(path: Path, place: str, *, expected: bool) -> Record | None:
    """Read a file as a record; None when it is a good bundle of another kind of statement.

    Args:
        path: the file.
        place: how messages call it.
        expected: whether a file that is no record is an error.

    Raises:
        UnreadableError: it cannot be read, is too large, or is malformed.
    """
    try:
        data = read_regular(path, MAX_BYTES, place)
    except OSError as error:
        message = f"cannot read {place}: {error.strerror or error}"
        raise UnreadableError(message) from error
    payload, signer = _opened(data, place)
    document = parse_json(payload, f"the statement in {place}", safe_integers=True)
    statement = _at(place, parse_statement, document)
    if not expected and not _claims_to_be_a_run(statement):
        return None
    claim: RunClaim = _at(place, parse_run, statement)
    record = Record(
        path=path,
        place=place,
        data=data,
        payload=payload,
        statement=statement,
        claim=claim,
        signer=signer,
    )
    _at(place, _check, record)
    return record


def _opened(data: bytes, place: str) -> tuple[bytes, str]:
    """Return the payload, and who signed it by its own account; bare statements are unsigned."""
    if b'"mediaType"' not in data[:4096] and b'"dsseEnvelope"' not in data[:4096]:
        return data, ""
    check_bundle_size(data)
    bundle = _at(place, parse_bundle, parse_json(data, place, safe_integers=True))
    if not bundle.certificates:
        return bundle.envelope.payload, bundle.hint
    leaf = hashlib.sha256(bundle.certificates[0]).hexdigest()
    return bundle.envelope.payload, f"certificate {leaf}"


def _at(place: str, parse: Any, document: Any) -> Any:  # noqa: ANN401 - one of the strict parsers
    """Return what a parser makes of a document; its complaint names the file."""
    try:
        return parse(document)
    except UnreadableError as error:
        message = f"{place}: {error}"
        raise type(error)(message) from error


def _claims_to_be_a_run(statement: Statement) -> bool:
    if statement.predicate_type == TEST_RESULT_PREDICATE:
        return "mlbom_run" in statement.predicate
    return build_type(statement) in BUILD_TYPES.values()


def _check(record: Record) -> None:
    """Refuse what a record carries in another form than it says.

    Raises:
        MalformedError: a digest of another form, a content that differs from its digest, a manifest
            that is none, parameters or usage of another kind.
    """
    claim = record.claim
    if not 0 <= claim.started <= claim.finished < _LATEST:
        message = "the step ended before it began, or at no time of ours"
        raise MalformedError(message)
    for resource in (*claim.byproducts, *claim.materials):
        _check_resource(resource)
    for _ in (*record.subjects(), *record.inputs()):
        pass
    for name in PARAMETERS:
        table(claim.parameters, name)
    for name in ("energyJoules", "gpuMaxBytes"):
        numbers(claim.usage, name)


def _check_resource(resource: Resource) -> None:
    for algorithm, form in _DIGESTS.items():
        if not form.fullmatch(resource.digests.get(algorithm, "0" * 64)):
            message = f"the {algorithm} of {resource.name[:80]!r} is none"
            raise MalformedError(message)
    resource.check_content()


def _members(manifest: bytes) -> Iterator[tuple[str, str]]:
    for name, sha256 in parse_manifest(manifest).items():
        yield public_name(name), sha256


def table(document: Mapping[str, Any], name: str) -> Mapping[str, str]:
    """Return an object of texts, numbers and truths as texts; empty when it is not there.

    Raises:
        MalformedError: it is no such object.
    """
    told = document.get(name, {})
    if not isinstance(told, dict) or not all(
        isinstance(value, str | int | float | bool) for value in told.values()
    ):
        message = f"the record's field {name} is no object of texts and numbers"
        raise MalformedError(message)
    return {key: value if isinstance(value, str) else str(value) for key, value in told.items()}


def numbers(document: Mapping[str, Any], name: str) -> Mapping[str, float]:
    """Return an object of numbers from 0; empty when it is not there.

    Raises:
        MalformedError: it is no such object.
    """
    told = document.get(name, {})
    if not isinstance(told, dict) or not all(number(value) is not None for value in told.values()):
        message = f"the record's field {name} is no object of numbers"
        raise MalformedError(message)
    return told


def number(value: object) -> float | None:
    """Return a number from 0 to 2^53, or None when the value is none: none is measured beyond."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _LARGEST:
        return None
    return value
