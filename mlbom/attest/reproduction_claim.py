"""What a reproduction states: how far training again gave the same weights, by whom and how seen.

Two predicates of the world carry one claim (chain.md row 6), and both hold it whole in the field
`mlbom_reproduction`, which docs/buildtypes/reproduction.md describes:

- a Simple Verification Result v0.2 (in-toto/attestation spec/predicates/svr.md): the level reached,
  as the property `urn:mlbom:reproduced:LEVEL`. A stronger level implies the weaker ones, so that
  exactly one stands there; where none was reached there is no such statement.
- a test result v0.1 (spec/predicates/test-result.md): PASSED when the level was the one required or
  a stronger one, FAILED when not, WARNED when nobody can tell. It carries the details along.

The third statement, the provenance of the training that ran again, is that of its record, and says
that it is one (`mlbom.attest.reproduction_record`); the claim names it by digest. Its signer needs
the role `rebuild`.

How `mlbom reproduce` uses this module::

    claim = ReproductionClaim(weights=..., level=..., ...)         # raises MalformedError
    svr, result = reproduction_statements(claim)                   # svr is None without a level
    sealed = seal(signer, result)                                  # mlbom.sign.signer
    write_whole(folder / sealed.name(*RESULT_BUNDLE), sealed.bundle)      # .mlbom/attestations
    write_whole(folder / sealed.name(*SUMMARY_BUNDLE), ...)               # of the svr
    write_whole(folder / sealed.name(*REBUILD_BUNDLE), ...)               # of as_rebuild(...)

The provenance is stated first: `rebuilds` are the SHA-256 of such payloads.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlbom.attest.ladder import (
    DIVERGED,
    INCONCLUSIVE,
    LADDER_ID,
    LEVEL_PROPERTY,
    LEVELS,
    reaches,
)
from mlbom.attest.moment import timestamp
from mlbom.attest.resource import Resource
from mlbom.attest.statement import Statement, Subject
from mlbom.attest.subjects import in_name_order
from mlbom.attest.types import (
    FAILED,
    OWN_TYPES,
    PASSED,
    SVR_PREDICATE,
    TEST_RESULT_PREDICATE,
    WARNED,
)
from mlbom.errors import MalformedError

MODES = ("as-is", "pin-env", "deterministic")
SAME_MACHINE, OTHER_MACHINE, UNKNOWN_MACHINE = BUILDERS = (
    "same-machine",
    "other-machine",
    "unknown",
)
NO_ORIGINAL = "none"

VERIFIER_ID = f"{OWN_TYPES}reproduce"
_FACT_PROPERTY = f"{OWN_TYPES}reproduction:"
FIELD = "mlbom_reproduction"

# Number and label in the bundles' file names.
REBUILD_BUNDLE, SUMMARY_BUNDLE, RESULT_BUNDLE = (
    (6, "rebuild"),
    (6, "reproduction"),
    (6, "reproduction-result"),
)
# Resources of the test result's configuration.
RECORD_NAME, SOURCE_NAME, DETAILS_NAME, REBUILD_NAME = (
    "record",
    "source",
    "reproduction.json",
    "rebuild",
)
DETAILS_SCHEMA = f"{OWN_TYPES}reproduction/1"
_DETAILS_TYPE = "application/json"
# A larger document is stated by its digest alone, and lies where it was written.
MOST_DETAILS = 16 * 1024 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproductionClaim:
    """One reproduction as its statements tell it; texts have passed the guard.

    Args:
        weights: SHA-256 by name of the weight files that were reproduced: all that the original's
            record, or the release, names. Without an original those that the runs made.
        level: one of `LEVELS`, `diverged` or `inconclusive` (`str` of `reproduce.values.Level`).
        required: one of `LEVELS`.
        mode: `as-is`, `pin-env` or `deterministic`.
        runs: how many trainings ran to their end and were compared, the original not counted.
        finished: when the last of them ended by its recording, seconds since 1970 UTC.
        tool_version: of mlbom.
        details: the bytes of the details document (`DETAILS_SCHEMA`), or None where only their
            digest is known.
        details_sha256: of these bytes; found from them when empty.
        original: SHA-256 of the payload of the original's record (`Original.sha256`), or empty
            where no recorded original exists and the runs were compared with each other.
        commit: that the runs were made from, or empty.
        rebuilds: SHA-256 of the payload of the provenance of each run that is stated.
        closing: SHA-256 of the closing bundle of the release that was reproduced, where there is
            one: by it a reproduction made later belongs to that release. Else empty. What it says
            holds for any release of the same weights.
        builder: where the runs were made, against where the original was: `same-machine`,
            `other-machine` or `unknown`, as it is without an original. Nobody but the rebuilder
            vouches for it.
        isolated: whether the network was off in every run.
        control: whether a training made different on purpose was told apart; None without one.
        stopped_after: steps after which each run was stopped, or None when they ended by
            themselves. A part of a training reproduces no weights; `mlbom reproduce` signs none.
        thresholds: what tolerance and metric were held against: name -> text or number.
        reasons: why this level and no higher one, each one sentence.
        limits: what was not observed, each one sentence.

    Raises:
        MalformedError: no weights, an unknown level, or a value that cannot be one.
    """

    weights: Mapping[str, str]
    level: str
    required: str
    mode: str
    runs: int
    finished: int
    tool_version: str
    details: bytes | None = None
    details_sha256: str = ""
    original: str = ""
    commit: str = ""
    rebuilds: tuple[str, ...] = ()
    closing: str = ""
    builder: str = UNKNOWN_MACHINE
    isolated: bool = False
    control: bool | None = None
    stopped_after: int | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Complete the digest of the details, and refuse what cannot be."""
        if self.details is not None:
            found = hashlib.sha256(self.details).hexdigest()
            object.__setattr__(self, "details_sha256", self.details_sha256 or found)
            if self.details_sha256 != found:
                message = "the reproduction states another digest of its details than they have"
                raise MalformedError(message)
        for fault, why in _faults(self):
            if fault:
                message = f"the reproduction {why}"
                raise MalformedError(message)

    @property
    def reproduced(self) -> str:
        """Return the level that may be stated, or an empty text.

        What was stopped early made no weights, and where a control was not told apart nothing is.
        """
        whole = self.stopped_after is None and self.control is not False
        return self.level if whole and self.level in LEVELS else ""

    @property
    def is_met(self) -> bool:
        """Return whether what was required, or more, may be stated."""
        return reaches(self.reproduced, self.required)

    @property
    def result(self) -> str:
        """Return what the test result says."""
        if self.is_met:
            return PASSED
        return FAILED if self.reproduced or self.level == DIVERGED else WARNED

    @property
    def properties(self) -> tuple[str, ...]:
        """Return what the verification result states, the level first; nothing without one."""
        if not self.reproduced:
            return ()
        facts = [
            f"mode:{self.mode}",
            f"runs:{self.runs}",
            f"builder:{self.builder}",
            f"original:{self.original or NO_ORIGINAL}",
            *(["network:isolated"] if self.isolated else []),
            *(["control:detected"] if self.control else []),
        ]
        return (LEVEL_PROPERTY + self.reproduced, *(_FACT_PROPERTY + fact for fact in facts))


def reproduction_statements(claim: ReproductionClaim) -> tuple[Statement | None, Statement]:
    """Return the unsigned verification result, None where no level may be stated; the test result.

    Args:
        claim: what they state.

    Raises:
        MalformedError, FileNameError: a subject of another form.
    """
    subjects = in_name_order(Subject(name, sha256) for name, sha256 in claim.weights.items())
    told = _document(claim)
    result = Statement(
        subjects,
        TEST_RESULT_PREDICATE,
        {
            "result": claim.result,
            "configuration": [resource.document() for resource in _configuration(claim)],
            FIELD: told,
        },
    )
    if not claim.properties:
        return None, result
    verifier = {"id": VERIFIER_ID, "policies": [{"uri": LADDER_ID}]}
    summary = {
        "verifier": verifier,
        "timeCreated": timestamp(claim.finished),
        "properties": list(claim.properties),
        FIELD: told,
    }
    return Statement(subjects, SVR_PREDICATE, summary), result


def _faults(claim: ReproductionClaim) -> tuple[tuple[bool, str], ...]:
    """Return what can be wrong with a claim, and how to say it."""
    known = filter(None, (claim.original, claim.closing))
    digests = (*claim.rebuilds, *known, claim.details_sha256)
    least = 1 if claim.original else 2
    says_level = claim.level in LEVELS
    return (
        (not claim.weights, "names no weight file"),
        (claim.level not in (*LEVELS, DIVERGED, INCONCLUSIVE), "reached no level that there is"),
        (claim.required not in LEVELS, "required no level that there is"),
        (claim.mode not in MODES, f"has another mode than {', '.join(MODES)}"),
        (claim.builder not in BUILDERS, f"has another builder than {', '.join(BUILDERS)}"),
        (not 0 <= claim.runs <= _MOST_RUNS, "counts its runs wrongly"),
        (says_level and claim.runs < least, f"states a level after fewer than {least} runs"),
        (not all(_SHA256.fullmatch(digest) for digest in digests), "holds a malformed digest"),
        (bool(claim.commit) and not _COMMIT.fullmatch(claim.commit), "names no commit"),
        (len(set(claim.rebuilds)) < len(claim.rebuilds), "names a rebuild twice"),
    )


def _document(claim: ReproductionClaim) -> dict[str, Any]:
    """Return the claim as the field that both statements hold."""
    return {
        "level": str(claim.level),
        "required": str(claim.required),
        "mode": str(claim.mode),
        "runs": claim.runs,
        "finishedOn": timestamp(claim.finished),
        "toolVersion": claim.tool_version,
        "details": claim.details_sha256,
        "original": claim.original or NO_ORIGINAL,
        "commit": claim.commit,
        "rebuilds": sorted(claim.rebuilds),
        "closing": claim.closing,
        "builder": str(claim.builder),
        "networkIsolated": claim.isolated,
        "controlDetected": claim.control,
        "stoppedAfter": claim.stopped_after,
        "thresholds": dict(claim.thresholds),
        "reasons": list(claim.reasons),
        "limits": list(claim.limits),
    }


def _configuration(claim: ReproductionClaim) -> tuple[Resource, ...]:
    """Return what the test ran on: the record, the commit, what was made, and the details."""
    found = [Resource(name=DETAILS_NAME, digests={"sha256": claim.details_sha256})]
    if claim.details is not None and len(claim.details) <= MOST_DETAILS:
        found = [_carried(claim.details, claim.details_sha256)]
    if claim.original:
        found.append(Resource(name=RECORD_NAME, digests={"sha256": claim.original}))
    if claim.commit:
        found.append(Resource(name=SOURCE_NAME, digests={"gitCommit": claim.commit}))
    rebuilds = sorted(claim.rebuilds)
    return (*found, *(Resource(name=REBUILD_NAME, digests={"sha256": d}) for d in rebuilds))


def _carried(details: bytes, sha256: str) -> Resource:
    return Resource(
        name=DETAILS_NAME,
        digests={"sha256": sha256},
        media_type=_DETAILS_TYPE,
        content=details,
    )
