"""What a record of one step claims, and the two predicates that carry it.

Steps of the kinds data, train and other are SLSA provenance v1 (slsa.dev/spec/v1.1/provenance); an
evaluation is an in-toto test-result v0.1 (in-toto/attestation spec/predicates/test-result.md) whose
field `mlbom_run` holds the rest. Fields of our own begin with `mlbom_`, as the specification asks
of extensions; docs/buildtypes/ describes each.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlbom.attest.moment import parse_timestamp, timestamp
from mlbom.attest.resource import Resource, parse_resource
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.types import (
    FAILED,
    OWN_TYPES,
    PASSED,
    PROVENANCE_PREDICATE,
    TEST_RESULT_PREDICATE,
)
from mlbom.errors import MalformedError

BUILDER_ID = f"{OWN_TYPES}run"
# The evidence of the environment that the step ran in: a byproduct that carries its content.
ENVIRONMENT_NAME = "environment.json"
TRACE_NAME, TRACE_ROOT = "step trace", "mlbom_traceRoot"
# More inputs or outputs than this are stated by one manifest (chain.md section 2).
MOST_FILES = 256
INPUTS_MANIFEST, OUTPUTS_MANIFEST = "inputs.manifest", "outputs.manifest"
PRIVATE_INPUTS, MANIFEST_TYPE = f"private {INPUTS_MANIFEST}", "text/plain"
# Stands before the digest of a file whose name is private, or cannot stand in a statement.
NAMELESS = "sha256/"
# SHA-256 of no bytes at all: equal in every project, so it joins nothing.
EMPTY = hashlib.sha256(b"").hexdigest()

# What a step that left nothing is stated of. They join nothing: `cat FILE` prints what is there.
LOG_NAMES = ("stdout.log", "stderr.log")
LOG_SUBJECTS = frozenset(f"logs/{name}" for name in LOG_NAMES)


class StepKind(StrEnum):
    """What a recorded step is for."""

    DATA = "data"
    TRAIN = "train"
    EVAL = "eval"
    OTHER = "other"


BUILD_TYPES = {
    StepKind.DATA: f"{OWN_TYPES}buildtypes/data/v1",
    StepKind.TRAIN: f"{OWN_TYPES}buildtypes/train/v1",
    StepKind.EVAL: f"{OWN_TYPES}buildtypes/eval/v1",
    StepKind.OTHER: f"{OWN_TYPES}buildtypes/step/v1",
}
_KIND_OF = {uri: kind for kind, uri in BUILD_TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaim:
    """One recorded step as its statement tells it.

    Args:
        name: of the step, for example `train`.
        kind: what the step is for.
        command: argv, secrets removed.
        folder: working directory relative to the project root, `.` for the root.
        invocation: id of the run.
        started: seconds since 1970 UTC.
        finished: seconds since 1970 UTC.
        exit_code: of the command, or None when a signal ended it.
        signal: number of the signal, or None.
        tool_version: of mlbom.
        materials: what the step read: files by digest, commit, packages, hub revisions.
        byproducts: what else it left: logs, the evidence of its environment, manifests.
        parameters: `environmentVariables`, `seeds`, `determinism`, `libraries`, `accelerators`:
            each an object of texts or counts.
        usage: seconds, bytes, joules by name; only what was measured.
        observers: methods that saw the step.
        unseen: what could not be observed, each one sentence.
        metrics: objects with name, value, and where the number was found.
    """

    name: str
    kind: StepKind
    command: tuple[str, ...]
    folder: str
    invocation: str
    started: int
    finished: int
    exit_code: int | None
    signal: int | None
    tool_version: str
    materials: tuple[Resource, ...] = ()
    byproducts: tuple[Resource, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    observers: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    metrics: tuple[Mapping[str, Any], ...] = ()

    @property
    def succeeded(self) -> bool:
        """Return whether the command ended with 0."""
        return self.exit_code == 0

    @property
    def failure(self) -> str:
        """Return how the command failed, or an empty text."""
        if self.signal is not None:
            return f"signal {self.signal} ended its command"
        return "" if self.succeeded else f"its command ended with {self.exit_code}"

    @property
    def result(self) -> str:
        """Return the result that the statement of an evaluation tells."""
        return PASSED if self.succeeded else FAILED

    @property
    def environment(self) -> bytes | None:
        """Return the evidence of the environment that the record carries, or None."""
        found = (r.content for r in self.byproducts if r.name == ENVIRONMENT_NAME)
        return next(found, None)

    @property
    def trace_root(self) -> str:
        """Return the root over every step of the training, or an empty text when it has none."""
        found = (r.annotations.get(TRACE_ROOT) for r in self.byproducts if r.name == TRACE_NAME)
        return next((root for root in found if isinstance(root, str)), "")


def run_statement(claim: RunClaim, subjects: Iterable[Subject]) -> Statement:
    """Return the unsigned statement of a step.

    Args:
        claim: what it claims.
        subjects: the files that it wrote; of an evaluation the weight files that it read.

    Raises:
        MalformedError: no subject, or one twice.
    """
    ordered = tuple(sorted(subjects, key=lambda subject: subject.name))
    materials = [resource.document() for resource in claim.materials]
    details = _details(claim)
    if claim.kind is not StepKind.EVAL:
        details["buildDefinition"]["resolvedDependencies"] = materials
        return Statement(ordered, PROVENANCE_PREDICATE, details)
    predicate = {"result": claim.result, "configuration": materials, "mlbom_run": details}
    return Statement(ordered, TEST_RESULT_PREDICATE, predicate)


def _details(claim: RunClaim) -> dict[str, Any]:
    """Return the SLSA predicate without its resolvedDependencies."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPES[claim.kind],
            "externalParameters": {
                "step": claim.name,
                "command": list(claim.command),
                "workingDirectory": claim.folder,
            },
            "internalParameters": dict(claim.parameters),
        },
        "runDetails": {
            "builder": {"id": BUILDER_ID, "version": {"mlbom": claim.tool_version}},
            "metadata": {
                "invocationId": claim.invocation,
                "startedOn": timestamp(claim.started),
                "finishedOn": timestamp(claim.finished),
                "mlbom_outcome": {"exitCode": claim.exit_code, "signal": claim.signal},
                "mlbom_usage": dict(claim.usage),
                "mlbom_observation": {
                    "observers": list(claim.observers),
                    "unseen": list(claim.unseen),
                },
                "mlbom_metrics": [dict(metric) for metric in claim.metrics],
            },
            "byproducts": [resource.document() for resource in claim.byproducts],
        },
    }


def public_name(name: str) -> str:
    """Return a name in a statement, or an empty text for one that only stands for a digest."""
    return "" if name.startswith(NAMELESS) else name


def build_type(statement: Statement) -> str:
    """Return the build type of a provenance or a recorded evaluation, or an empty text."""
    is_evaluation = statement.predicate_type == TEST_RESULT_PREDICATE
    details = statement.predicate.get("mlbom_run") if is_evaluation else statement.predicate
    definition = details.get("buildDefinition") if isinstance(details, Mapping) else None
    found = definition.get("buildType") if isinstance(definition, dict) else None
    return found if isinstance(found, str) else ""


def is_run(statement: Statement) -> bool:
    """Return whether a statement has the form of a record that mlbom makes."""
    try:
        parse_run(statement)
    except MalformedError:
        return False
    return True


def parse_run(statement: Statement) -> RunClaim:
    """Read what a record claims.

    Raises:
        MalformedError: another predicate or build type, a missing field, or one of another kind.
    """
    predicate = statement.predicate
    if statement.predicate_type == TEST_RESULT_PREDICATE:
        details, materials = _get(predicate, dict, "mlbom_run"), predicate.get("configuration")
    elif statement.predicate_type == PROVENANCE_PREDICATE:
        details = dict(predicate)
        materials = _get(details, dict, "buildDefinition").get("resolvedDependencies", [])
    else:
        message = f"{statement.predicate_type} is not what a recorded step states"
        raise MalformedError(message)
    build_type = _get(details, str, "buildDefinition", "buildType")
    kind = _KIND_OF.get(build_type)
    is_evaluation = statement.predicate_type == TEST_RESULT_PREDICATE
    if kind is None or (kind is StepKind.EVAL) != is_evaluation:
        message = f"the build type {build_type[:200]!r} is not that of a recorded step"
        raise MalformedError(message)
    return _claim(kind, details, _resources(materials, "resolvedDependencies"))


def _claim(kind: StepKind, details: Mapping[str, Any], materials: tuple[Resource, ...]) -> RunClaim:
    external = _get(details, dict, "buildDefinition", "externalParameters")
    metadata = _get(details, dict, "runDetails", "metadata")
    outcome = _get(metadata, dict, "mlbom_outcome")
    byproducts = _get(details, dict, "runDetails").get("byproducts", [])
    return RunClaim(
        name=_get(external, str, "step"),
        kind=kind,
        command=_texts(external, "command"),
        folder=_get(external, str, "workingDirectory"),
        invocation=_get(metadata, str, "invocationId"),
        started=parse_timestamp(_get(metadata, str, "startedOn")),
        finished=parse_timestamp(_get(metadata, str, "finishedOn")),
        exit_code=_integer(outcome, "exitCode"),
        signal=_integer(outcome, "signal"),
        tool_version=_get(details, str, "runDetails", "builder", "version", "mlbom"),
        materials=materials,
        byproducts=_resources(byproducts, "byproducts"),
        parameters=_get(details, dict, "buildDefinition", "internalParameters"),
        usage=_get(metadata, dict, "mlbom_usage"),
        observers=_texts(metadata, "mlbom_observation", "observers"),
        unseen=_texts(metadata, "mlbom_observation", "unseen"),
        metrics=_objects(metadata, "mlbom_metrics"),
    )


def _get(document: Mapping[str, Any], kind: type, *path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path of keys when it is of the kind wanted."""
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, kind):
        message = f"the record's field {'.'.join(path)} is missing or of another kind"
        raise MalformedError(message)
    return value


def _integer(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        message = f"the record's field {key} is no integer"
        raise MalformedError(message)
    return value


def _texts(document: Mapping[str, Any], *path: str) -> tuple[str, ...]:
    found = _get(document, list, *path)
    if not all(isinstance(text, str) for text in found):
        message = f"the record's field {'.'.join(path)} is no list of texts"
        raise MalformedError(message)
    return tuple(found)


def _objects(document: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    found = _get(document, list, key)
    if not all(isinstance(item, dict) for item in found):
        message = f"the record's field {key} is no list of objects"
        raise MalformedError(message)
    return tuple(found)


def _resources(document: object, field_name: str) -> tuple[Resource, ...]:
    if not isinstance(document, list):
        message = f"the record's field {field_name} is no list"
        raise MalformedError(message)
    return tuple(parse_resource(item) for item in document)
