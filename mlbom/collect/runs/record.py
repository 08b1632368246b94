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
    parse_run,
)
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import PROVENANCE_PREDICATE, TEST_RESULT_PREDICATE
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import MalformedError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

RECORD_NAMES = ("record.sigstore.json", "record.intoto.json")
# What stands in the place of a name that is private.
NAMELESS = "sha256/"
# Of no bytes at all: equal in every project, so it joins nothing.
EMPTY = hashlib.sha256(b"").hexdigest()
_LATEST = 2**35
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
        """Yield name and SHA-256 of every subject, and of every member of the manifest of many."""
        for subject in self.statement.subjects:
            yield subject.name, subject.sha256
        stated = {subject.sha256 for subject in self.statement.subjects}
        for resource in self.claim.byproducts:
            if resource.name == OUTPUTS_MANIFEST and resource.sha256 in stated:
                yield from _members(resource)

    def named_products(self) -> Iterator[tuple[str, str]]:
        """Yield published name and SHA-256 of what the step wrote, where the name is known."""
        for name, sha256 in () if self.is_evaluation else self.subjects():
            if not name.startswith(NAMELESS):
                yield name, sha256

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Yield name (empty when private) and SHA-256 of every file that the step read."""
        for resource in self.claim.materials:
            if resource.name == INPUTS_MANIFEST and resource.content is not None:
                yield from _members(resource)
            elif resource.sha256 and not resource.uri:
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
    if statement.predicate_type != PROVENANCE_PREDICATE:
        return False
    definition = statement.predicate.get("buildDefinition")
    build_type = definition.get("buildType") if isinstance(definition, dict) else None
    return build_type in BUILD_TYPES.values()


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
    content = resource.content
    if content is None or not resource.sha256:
        return
    if hashlib.sha256(content).hexdigest() != resource.sha256:
        message = f"the content of {resource.name[:80]!r} has another digest than it states"
        raise MalformedError(message)


def _members(resource: Resource) -> Iterator[tuple[str, str]]:
    if resource.content is None:
        return
    for name, sha256 in parse_manifest(resource.content).items():
        yield ("" if name.startswith(NAMELESS) else name), sha256


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
    """Return a number from 0, or None when the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return value
