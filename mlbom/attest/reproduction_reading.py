"""Read what the statements of a reproduction claim, strictly: each has one form.

What a claim holds, and how it is stated, is `mlbom.attest.reproduction_claim`.
"""

from collections.abc import Mapping

from mlbom.attest.moment import parse_timestamp
from mlbom.attest.reproduction_claim import (
    DETAILS_NAME,
    DETAILS_SCHEMA,
    FIELD,
    NO_ORIGINAL,
    ReproductionClaim,
    reproduction_statements,
)
from mlbom.attest.resource import parse_resource
from mlbom.attest.statement import Statement, json_object
from mlbom.attest.types import SVR_PREDICATE, TEST_RESULT_PREDICATE
from mlbom.errors import MalformedError

_LISTS = ("rebuilds", "reasons", "limits")
# The JSON kinds of each field of `mlbom_reproduction`.
_FORM: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("level", "required", "mode", "finishedOn", "toolVersion"), (str,)),
    **dict.fromkeys(("details", "original", "commit", "closing", "builder"), (str,)),
    **dict.fromkeys(_LISTS, (list,)),
    "runs": (int,),
    "networkIsolated": (bool,),
    "controlDetected": (bool, type(None)),
    "stoppedAfter": (int, type(None)),
    "thresholds": (dict,),
}


def is_reproduction(statement: Statement) -> bool:
    """Return whether a statement says to be one of the two of a reproduction by mlbom."""
    kinds = (SVR_PREDICATE, TEST_RESULT_PREDICATE)
    return statement.predicate_type in kinds and FIELD in statement.predicate


def parse_reproduction(statement: Statement) -> ReproductionClaim:
    """Read what either statement of a reproduction claims.

    A statement has one form: what is read, stated again, must be the same. So a level that the
    properties tell and the claim does not, or details of another digest, is refused.

    Raises:
        MalformedError: it is none, or anything that `reproduction_statements` would not have made.
    """
    if not is_reproduction(statement):
        message = "it states no reproduction"
        raise MalformedError(message)
    try:
        claim = _claim(statement)
        made = reproduction_statements(claim)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"the reproduction has a field of another kind: {error}"
        raise MalformedError(message) from error
    same = made[0] if statement.predicate_type == SVR_PREDICATE else made[1]
    if same is None or same.payload() != statement.payload():
        message = "the reproduction contradicts itself, or is not in the one form that it can have"
        raise MalformedError(message)
    return claim


def check_details(claim: ReproductionClaim, document: object) -> None:
    """Refuse details that are those of another reproduction than the claim's.

    Args:
        claim: what a statement claims.
        document: the details, parsed strictly.

    Raises:
        MalformedError: another form, level, requirement or original.
    """
    told = document if isinstance(document, dict) else {}
    verdict, original = told.get("verdict"), told.get("original")
    verdict = verdict if isinstance(verdict, dict) else {}
    record = original.get("record") if isinstance(original, dict) else ""
    pairs = (
        ("schema", told.get("schema"), DETAILS_SCHEMA),
        ("level", verdict.get("level"), claim.level),
        ("requirement", verdict.get("required"), claim.required),
        ("original", record, claim.original),
    )
    for what, found, wanted in pairs:
        if found != wanted:
            message = f"{DETAILS_NAME} tells another {what} than the statement that carries it"
            raise MalformedError(message)


def _claim(statement: Statement) -> ReproductionClaim:
    told = json_object(statement.predicate[FIELD], FIELD, set(_FORM))
    for key, kinds in _FORM.items():
        if type(told[key]) not in kinds:
            message = f"the reproduction's field {key} is of another kind"
            raise MalformedError(message)
    if not all(isinstance(t, str) for key in _LISTS for t in told[key]):
        message = "the reproduction has a list that is not one of texts"
        raise MalformedError(message)
    return ReproductionClaim(
        weights={subject.name: subject.sha256 for subject in statement.subjects},
        level=told["level"],
        required=told["required"],
        mode=told["mode"],
        runs=told["runs"],
        finished=parse_timestamp(told["finishedOn"]),
        tool_version=told["toolVersion"],
        details=_content(statement),
        details_sha256=told["details"],
        original="" if told["original"] == NO_ORIGINAL else told["original"],
        commit=told["commit"],
        rebuilds=tuple(told["rebuilds"]),
        closing=told["closing"],
        builder=told["builder"],
        isolated=told["networkIsolated"],
        control=told["controlDetected"],
        stopped_after=told["stoppedAfter"],
        thresholds=told["thresholds"],
        reasons=tuple(told["reasons"]),
        limits=tuple(told["limits"]),
    )


def _content(statement: Statement) -> bytes | None:
    """Return the details that a test result carries, held against their digest."""
    listed = statement.predicate.get("configuration", [])
    resources = [parse_resource(item) for item in listed] if isinstance(listed, list) else []
    for resource in resources:
        resource.check_content()
    return next((r.content for r in resources if r.name == DETAILS_NAME), None)
