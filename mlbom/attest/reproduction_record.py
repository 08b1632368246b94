"""The record of a training that ran again says itself that it belongs to a reproduction.

It names the details of the comparison that it was made for, so that nobody can show the record
alone and leave away what the rebuilder concluded: `verify` counts it by its bytes no more.
docs/buildtypes/reproduction.md describes the field.
"""

from dataclasses import replace

from mlbom.attest.reproduction_claim import DETAILS_NAME, DETAILS_SCHEMA, FIELD
from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import RunClaim, is_run, parse_run
from mlbom.attest.statement import Statement


def as_rebuild(claim: RunClaim, details_sha256: str) -> RunClaim:
    """Return what the record of a run claims, made the record of a training that ran again.

    Args:
        claim: of the run.
        details_sha256: SHA-256 of the details document of the reproduction.
    """
    details = Resource(
        name=DETAILS_NAME,
        digests={"sha256": details_sha256},
        annotations={FIELD: DETAILS_SCHEMA},
    )
    return replace(claim, byproducts=(*claim.byproducts, details))


def is_rebuild(statement: Statement) -> bool:
    """Return whether a statement is a record that says to belong to a reproduction.

    The annotation alone tells, whatever it holds: an evaluation may write a file of any name.
    """
    if not is_run(statement):
        return False
    return any(FIELD in resource.annotations for resource in parse_run(statement).byproducts)
