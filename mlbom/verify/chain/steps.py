"""Recorded steps as the chain needs them: what each read and wrote, when, and how it ended."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.attest.moment import parse_timestamp
from mlbom.attest.resource import Resource, parse_resource
from mlbom.attest.run_claim import (
    EMPTY,
    INPUTS_MANIFEST,
    OUTPUTS_MANIFEST,
    RunClaim,
    StepKind,
    is_run,
    parse_run,
    public_name,
)
from mlbom.attest.statement import Statement
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import MalformedError, UnreadableError
from mlbom.verify.bundles import SignedStatement
from mlbom.verify.kinds import Kind
from mlbom.verify.policy.artifacts import Artifact
from mlbom.verify.verdict import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement about a step, with every signature that it carries.

    Args:
        label: what edges and messages call it.
        name: of the step, as its record tells; another builder's provenance gives it none.
        kind: what its record is.
        is_evaluation: whether its subjects are what it read.
        signed: the bundles of this one statement.
        about: name and SHA-256 of its subjects and of the members of their manifest: what it
            wrote; of an evaluation what it read.
        wrote: name and SHA-256 of what it wrote.
        read: what it read, the members of a manifest one by one.
        started: seconds since 1970, or None when another builder does not tell.
        finished: likewise.
        failure: how the command failed, or empty.
        metrics: objects with name and value.
    """

    label: str
    name: str
    kind: Kind
    is_evaluation: bool = False
    signed: tuple[SignedStatement, ...]
    about: tuple[Artifact, ...]
    wrote: tuple[Artifact, ...]
    read: tuple[Resource, ...]
    started: int | None = None
    finished: int | None = None
    failure: str = ""
    metrics: tuple[Mapping[str, Any], ...] = ()

    @property
    def files_read(self) -> tuple[Artifact, ...]:
        """Return name (empty when private) and SHA-256 of each file that it read."""
        files = [(r.name, r.sha256) for r in self.read if r.is_file]
        return (*files, *self.about) if self.is_evaluation else tuple(files)

    @property
    def signatures(self) -> frozenset[tuple[str, str]]:
        """Return `SignedStatement.signature` of each."""
        return frozenset(one.signature for one in self.signed)

    @property
    def about_digests(self) -> frozenset[str]:
        """Return the SHA-256 of everything that it is about, except of no bytes at all."""
        return frozenset(sha256 for _, sha256 in self.about if sha256 != EMPTY)


def read_steps(ledger: Ledger, signed: Iterable[SignedStatement]) -> tuple[Step, ...]:
    """Return the steps that the records of a release tell of, each statement once.

    A record whose manifest is not the one that it states becomes a problem.
    """
    groups: dict[str, list[SignedStatement]] = {}
    for statement in signed:
        if statement.kind.is_record:
            groups.setdefault(f"{statement.kind.name} {statement.payload}", []).append(statement)
    steps: list[Step] = []
    labels: set[str] = set()
    for group in groups.values():
        since = len(ledger.problems)
        try:
            step = _step(tuple(group), labels)
        except UnreadableError as error:
            label, message = f"{group[0].kind.name} {group[0].path}", error.message
            ledger.problem("malformed-statement", f"{group[0].path}: {message}", group[0].path)
            ledger.judge(label, "what the record holds", since, "")
        else:
            labels.add(step.label)
            steps.append(step)
    return tuple(steps)


def _step(signed: tuple[SignedStatement, ...], labels: set[str]) -> Step:
    first = signed[0]
    statement = first.statement
    if is_run(statement):
        return _recorded(signed, parse_run(statement), labels)
    predicate = statement.predicate
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    listed = definition.get("resolvedDependencies", [])
    if not isinstance(listed, list):
        message = "its resolvedDependencies are no list"
        raise MalformedError(message)
    metadata = details.get("metadata", {})
    times = metadata if isinstance(metadata, dict) else {}
    about = tuple((subject.name, subject.sha256) for subject in statement.subjects)
    name = str(definition["buildType"])
    return Step(
        label=_unique(f"{first.kind.name} {name}", first, labels),
        name=first.kind.step,
        kind=first.kind,
        signed=signed,
        about=about,
        wrote=about,
        read=tuple(parse_resource(item) for item in listed),
        started=_time(times.get("startedOn")),
        finished=_time(times.get("finishedOn")),
    )


def _recorded(signed: tuple[SignedStatement, ...], claim: RunClaim, labels: set[str]) -> Step:
    first = signed[0]
    is_evaluation = claim.kind is StepKind.EVAL
    about = tuple(_subjects(first.statement, claim))
    written = tuple((r.name, r.sha256) for r in claim.byproducts if r.sha256)
    return Step(
        label=_unique(f"{first.kind.name} {claim.name}", first, labels),
        name=claim.name,
        kind=first.kind,
        is_evaluation=is_evaluation,
        signed=signed,
        about=about,
        wrote=written if is_evaluation else about,
        read=tuple(_materials(claim)),
        started=claim.started,
        finished=claim.finished,
        failure=claim.failure,
        metrics=claim.metrics,
    )


def _unique(label: str, signed: SignedStatement, labels: set[str]) -> str:
    return f"{label} ({signed.payload[:8]})" if label in labels else label


def _time(text: object) -> int | None:
    return parse_timestamp(text) if isinstance(text, str) else None


def _subjects(statement: Statement, claim: RunClaim) -> Iterator[Artifact]:
    """Yield what a record is about; the manifest of many stands for its members."""
    manifests = {
        r.sha256: r
        for r in claim.byproducts
        if r.name == OUTPUTS_MANIFEST and r.content is not None
    }
    for resource in claim.byproducts:
        resource.check_content()
    for subject in statement.subjects:
        if subject.name == OUTPUTS_MANIFEST and subject.sha256 in manifests:
            yield from _members(manifests[subject.sha256])
        else:
            yield public_name(subject.name), subject.sha256


def _materials(claim: RunClaim) -> Iterator[Resource]:
    for resource in claim.materials:
        resource.check_content()
        if resource.name != INPUTS_MANIFEST or resource.content is None:
            yield resource
            continue
        for name, sha256 in _members(resource):
            yield Resource(name=name, digests={"sha256": sha256})


def _members(manifest: Resource) -> Iterator[Artifact]:
    for name, sha256 in parse_manifest(manifest.content or b"").items():
        yield public_name(name), sha256
