"""The ladder of reproduction: the words for how far a result agrees, and who may say them.

A level is stated as the property `urn:mlbom:reproduced:LEVEL` of a Simple Verification Result
(in-toto/attestation spec/predicates/svr.md, version 0.2); docs/buildtypes/reproduction.md tells
what each level means.
"""

from mlbom.attest.statement import Statement
from mlbom.attest.types import OWN_TYPES
from mlbom.errors import MalformedError

# How far a result agrees, the strictest first; what a statement may call reproduced.
LEVELS = ("exact-trace", "exact-weights", "tolerance", "metric")
DIVERGED, INCONCLUSIVE = "diverged", "inconclusive"
# By which rules a level is found.
LADDER_ID = f"{OWN_TYPES}reproduction-ladder/v1"
LEVEL_PROPERTY = f"{OWN_TYPES}reproduced:"


def reaches(level: str, wanted: str) -> bool:
    """Return whether a level is the wanted one or a stricter one."""
    return level in LEVELS[: LEVELS.index(wanted) + 1]


def reproduced_level(statement: Statement) -> str:
    """Return the level that anybody's verification result states, or an empty text.

    Raises:
        MalformedError: a level that does not exist, or more than one.
    """
    properties = statement.predicate.get("properties")
    told = [p for p in properties if isinstance(p, str)] if isinstance(properties, list) else []
    levels = [p.removeprefix(LEVEL_PROPERTY) for p in told if p.startswith(LEVEL_PROPERTY)]
    if not levels:
        return ""
    if len(levels) > 1:
        message = "it states more than one level of reproduction; the strictest implies the others"
        raise MalformedError(message)
    if levels[0] not in LEVELS:
        message = f"{levels[0][:40]!r} is no level of reproduction: {', '.join(LEVELS)}"
        raise MalformedError(message)
    return levels[0]
