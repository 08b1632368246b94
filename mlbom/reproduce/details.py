"""The details document of a reproduction: everything that its verdict stands on, as JSON.

Schema `urn:mlbom:reproduction/1`, described in docs/reproduction.md. It holds names relative to the
project and digests; nothing of this host, and no wall clock but the seconds that each run took.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlbom.attest.types import OWN_TYPES
from mlbom.record.steps.merkle import trace_root
from mlbom.record.steps.ops import WarnedOp
from mlbom.reproduce.original import Original
from mlbom.reproduce.values import (
    Culprit,
    Divergence,
    Judgement,
    LintFinding,
    Mismatch,
    Rerun,
)

SCHEMA = f"{OWN_TYPES}reproduction/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run and what was measured of it.

    Args:
        rerun: as it ran.
        weights: name -> {sha256, tensors} of each weight file that it wrote.
        metrics: name -> number that it reported.
    """

    rerun: Rerun
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two runs compared.

    Args:
        a, b: their labels; `original` is the recorded one.
        divergence: the first difference of their traces, None when there is none or no trace.
        traces: whether the traces could be compared at all.
        weights: name -> document of the comparison of two weight files.
    """

    a: str
    b: str
    divergence: Divergence | None
    traces: bool
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found; each field becomes one part of the document.

    Args:
        judgement: the verdict.
        command: what was run.
        original: the recorded run, or None.
        commit: what was cloned; empty when the present files were used.
        dirty: whether what was to be reproduced differs from a commit, None when not known.
        mode: as-is, pin-env or deterministic.
        device: cpu or cuda, as asked for; empty for the training's own choice.
        runs: those that the verdict stands on.
        mismatches: between recorded and present environment.
        allows_mismatch: whether those were allowed.
        lint: what the code shows.
        pairs: runs compared.
        series: what the pictures are drawn from.
        culprit: what made the first difference, or None.
        control: of the run that must be told apart, or None.
        variations: what was varied, and what that broke.
        repeats: how often, how often different, and the bound that follows.
        sweep: ops without a deterministic implementation; None when nobody looked.
        limits: what was not observed or not covered, each one sentence.
        scope: steps that were compared; 0 for the whole training.
        inject_seed: seed of every generator that nobody seeded, or None.
        checkpoint: that the runs went on from, relative to the project, or empty.
    """

    judgement: Judgement
    command: tuple[str, ...]
    original: Original | None
    commit: str
    dirty: bool | None
    mode: str
    device: str
    runs: tuple[RunFacts, ...]
    mismatches: tuple[Mismatch, ...] = ()
    allows_mismatch: bool = False
    lint: tuple[LintFinding, ...] = ()
    pairs: tuple[Pair, ...] = ()
    series: Mapping[str, Any] = field(default_factory=dict)
    culprit: Culprit | None = None
    control: Mapping[str, Any] | None = None
    variations: tuple[Mapping[str, Any], ...] = ()
    repeats: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[WarnedOp, ...] | None = None
    limits: tuple[str, ...] = ()
    scope: int = 0
    inject_seed: int | None = None
    checkpoint: str = ""


def details_document(found: Findings) -> dict[str, Any]:
    """Return the document; a function of the findings alone."""
    judgement, first = found.judgement, found.runs[0].rerun if found.runs else None
    return {
        "schema": SCHEMA,
        "verdict": {
            "level": judgement.level.value,
            "required": judgement.required.value,
            "met": judgement.is_met,
            "reasons": list(judgement.reasons),
            "thresholds": dict(judgement.thresholds),
        },
        "command": list(found.command),
        "original": _original(found.original),
        "source": {"commit": found.commit, "dirty": found.dirty},
        "mode": found.mode,
        "device": found.device,
        "scope": {"steps": found.scope},
        "injectSeed": found.inject_seed,
        "checkpoint": found.checkpoint or None,
        "sandbox": {
            "network": first.network if first else "",
            "isolated": first.isolated if first else False,
        },
        "environment": {
            "mismatches": [asdict(mismatch) for mismatch in found.mismatches],
            "allowed": found.allows_mismatch,
        },
        "lint": [_plain(asdict(finding)) for finding in found.lint],
        "runs": [_run(run) for run in found.runs],
        "comparisons": [_pair(pair) for pair in found.pairs],
        "series": dict(found.series),
        "culprit": _culprit(found.culprit),
        "control": found.control,
        "variations": list(found.variations),
        "repeats": dict(found.repeats),
        "sweep": None if found.sweep is None else [_warned(found, op) for op in found.sweep],
        "limits": list(dict.fromkeys(found.limits)),
    }


def divergence_document(divergence: Divergence | None) -> dict[str, Any] | None:
    """Return a first difference as JSON."""
    if divergence is None:
        return None
    told: dict[str, Any] = _plain(asdict(divergence))
    return told


def _original(original: Original | None) -> dict[str, Any] | None:
    if original is None:
        return None
    return {
        "record": original.sha256,
        "invocation": original.claim.invocation,
        "traceRoot": original.trace_root,
        "weights": dict(original.weights),
        "metrics": dict(original.metrics),
    }


def _run(run: RunFacts) -> dict[str, Any]:
    rerun = run.rerun
    return {
        "label": rerun.label,
        "outcome": rerun.outcome.value,
        "detail": rerun.told_detail,
        "steps": rerun.trace.count,
        "traceRoot": trace_root(rerun.trace),
        "weights": {name: dict(digests) for name, digests in run.weights.items()},
        "wallSeconds": round(rerun.recording.usage.wall_s, 3),
        "metrics": dict(run.metrics),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "traces": pair.traces,
        "divergence": divergence_document(pair.divergence),
        "weights": dict(pair.weights),
    }


def _culprit(culprit: Culprit | None) -> dict[str, Any] | None:
    if culprit is None:
        return None
    told: dict[str, Any] = _plain(asdict(culprit))
    told["sure"] = told.pop("is_sure")
    return told


def _warned(found: Findings, op: WarnedOp) -> dict[str, Any]:
    roots = [str(run.rerun.root) + os.sep for run in found.runs]
    lines = list(op.at)
    for root in roots:
        lines = [line.removeprefix(root) for line in lines]
    return {"op": op.name, "message": op.message, "at": lines}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return tuples as lists and enumerations as texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
