"""A recorded training as a reproduction needs it: its claim, and which of its files are here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.attest.run_claim import RunClaim
from mlbom.record.steps.values import StepTrace


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A recorded training.

    Args:
        claim: what its record claims.
        sha256: SHA-256 of the record's payload.
        trace: its steps, where its own trace files are still here and are the ones it names.
        trace_root: Merkle root of its steps; empty when it was recorded without a trace.
        weights: name relative to the project -> SHA-256 of each weight file that it wrote.
        files: name -> a present file with that digest, for those that are here.
        metrics: name -> the number that it reported.
    """

    claim: RunClaim
    sha256: str
    trace: StepTrace | None = None
    trace_root: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
