"""The kinds of statements that a release holds, and which role may state each.

One kind never stands in for another: the type of the predicate, its content and the signer's role
must agree, else the statement is refused and not skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mlbom.attest.ladder import reproduced_level
from mlbom.attest.reproduction_claim import DETAILS_NAME, MOST_DETAILS
from mlbom.attest.reproduction_reading import check_details, is_reproduction, parse_reproduction
from mlbom.attest.reproduction_record import is_rebuild
from mlbom.attest.run_claim import BUILD_TYPES, StepKind, build_type, parse_run
from mlbom.attest.statement import Statement
from mlbom.attest.types import (
    CYCLONEDX_PREDICATE,
    OMS_PREDICATE,
    PROVENANCE_PREDICATE,
    RELEASE_PREDICATE,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
    VSA_PREDICATE,
)
from mlbom.errors import MalformedError, UnreadableError
from mlbom.formats.strict_json import parse_json
from mlbom.verify.policy.values import StepRule
from mlbom.verify.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of statement.

    Args:
        name: what messages call it.
        roles: its signer needs any of these.
        step: the name under which a policy speaks of it.
        is_record: whether it records a step that reads and writes files.
    """

    name: str
    roles: tuple[str, ...]
    step: str
    is_record: bool = False


CLOSING = Kind("closing", ("release",), "release")
WEIGHTS = Kind("weights", ("release",), "weights")
BOM = Kind("BOM", ("bom",), "bom")
DATA = Kind("data record", ("data",), "data", is_record=True)
STEP = Kind("step record", ("data",), "", is_record=True)
TRAIN = Kind("train record", ("train",), "train", is_record=True)
EVAL = Kind("eval record", ("eval",), "eval", is_record=True)
REBUILD = Kind("reproduction", ("rebuild",), "reproduce", is_record=True)
FOREIGN = Kind("foreign provenance", ("data", "train", "eval", "rebuild"), "", is_record=True)
TEST_RESULT = Kind("test result", ("eval", "rebuild"), "")
REVIEW = Kind("review", ("review",), "review")
REPRODUCED = Kind("reproduction summary", ("rebuild",), "reproduce")
REPRODUCTION_RESULT = Kind("reproduction result", ("rebuild",), "")
VERDICT = Kind("verdict", ("verifier",), "")

_FIXED = {RELEASE_PREDICATE: CLOSING, OMS_PREDICATE: WEIGHTS, CYCLONEDX_PREDICATE: BOM}
_RECORDS = {
    BUILD_TYPES[StepKind.DATA]: (DATA,),
    BUILD_TYPES[StepKind.OTHER]: (STEP,),
    BUILD_TYPES[StepKind.TRAIN]: (TRAIN, REBUILD),
    BUILD_TYPES[StepKind.EVAL]: (EVAL, REBUILD),
}
_BY_STEP = {kind.step: kind for kind in (DATA, TRAIN, EVAL, REBUILD)}
# What a predicate that is not a record must hold, at least: keys and the JSON kind of each.
_FORMS: Mapping[str, Mapping[str, type]] = {
    PROVENANCE_PREDICATE: {"buildDefinition": dict, "runDetails": dict},
    TEST_RESULT_PREDICATE: {"result": str, "configuration": list},
    SVR_PREDICATE: {"verifier": dict, "properties": list},
    VSA_PREDICATE: {"verifier": dict, "verificationResult": str, "resourceUri": str},
}
KNOWN_PREDICATES = frozenset({*_FIXED, *_FORMS})


def kinds_of(statement: Statement, rules: Mapping[str, StepRule]) -> tuple[Kind, ...]:
    """Return what a statement can be, the likeliest first; the signer's role decides.

    Args:
        statement: whose signature holds.
        rules: a policy's steps, which may accept the build types of other builders.

    Raises:
        Refusal: `unexpected-predicate` for a type that has no place in a release, or content that
            is not of the type; `malformed-statement` for a broken record or reproduction.
    """
    told = statement.predicate_type
    if told in _FIXED:
        return (_FIXED[told],)
    if told not in _FORMS:
        message = f"it states {told}, which has no place in a release"
        raise Refusal(message, "unexpected-predicate")
    _check_form(statement)
    if is_reproduction(statement) or told == SVR_PREDICATE:
        return (_summary_kind(statement),)
    if told == VSA_PREDICATE:
        return (VERDICT,)
    if told == TEST_RESULT_PREDICATE and "mlbom_run" not in statement.predicate:
        return (TEST_RESULT,)
    stated = build_type(statement)
    if not stated:
        message = "it is no provenance: it names no build type"
        raise Refusal(message, "unexpected-predicate")
    if stated in _RECORDS:
        _check_record(statement)
        # Whatever ran again, its record is no step of the release, also where its key may sign one.
        return (REBUILD,) if is_rebuild(statement) else _RECORDS[stated]
    if told != PROVENANCE_PREDICATE:
        message = f"it says to be a recorded step, and its build type {stated[:200]!r} is none"
        raise Refusal(message, "unexpected-predicate")
    accepted = (rule.name for rule in rules.values() if stated in rule.build_types)
    return (*(_BY_STEP.get(name, STEP) for name in accepted), FOREIGN)


def _summary_kind(statement: Statement) -> Kind:
    """Return what a reproduction by mlbom, or anybody's verification result, is."""
    try:
        if is_reproduction(statement):
            claim = parse_reproduction(statement)
            if claim.details is not None:
                details = parse_json(claim.details, DETAILS_NAME, max_bytes=MOST_DETAILS)
                check_details(claim, details)
        level = reproduced_level(statement)
    except UnreadableError as error:
        raise Refusal(error.message, "malformed-statement") from error
    if statement.predicate_type == TEST_RESULT_PREDICATE:
        return REPRODUCTION_RESULT
    return REPRODUCED if level else REVIEW


def _check_form(statement: Statement) -> None:
    form, predicate = _FORMS[statement.predicate_type], statement.predicate
    for key, kind in form.items():
        if not isinstance(predicate.get(key), kind):
            message = f"it says {statement.predicate_type}, and is not: {key} is missing or wrong"
            raise Refusal(message, "unexpected-predicate")


def _check_record(statement: Statement) -> None:
    try:
        claim = parse_run(statement)
    except MalformedError as error:
        raise Refusal(error.message, "malformed-statement") from error
    result = statement.predicate.get("result")
    if claim.kind is StepKind.EVAL and result != claim.result:
        message = "its result is not that of its command"
        raise Refusal(message, "malformed-statement")
    if claim.finished < claim.started:
        message = f"the step {claim.name!r} ended before it began"
        raise Refusal(message, "malformed-statement")
