"""A verdict for people and for programs: plain lines, or one JSON-able object."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from mlbom.attest.moment import timestamp, told_time
from mlbom.attest.types import OWN_TYPES
from mlbom.guard import printable
from mlbom.status import ExitStatus
from mlbom.verify.verdict import Edge, EdgeStatus, Verdict

# How many edges that went alike are named on one line.
_NAMED = 4
SCHEMA = f"{OWN_TYPES}verdict:1"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_WORDS = {
    EdgeStatus.HELD: "held",
    EdgeStatus.FAILED: "FAILED",
    EdgeStatus.NOT_CHECKED: "-",
    EdgeStatus.BELOW: "BELOW",
}
_VERDICTS = {
    ExitStatus.DONE: "trusted",
    ExitStatus.FINDINGS: "trusted, and below what your policy demands",
    ExitStatus.INCOMPLETE: "incomplete",
    ExitStatus.UNTRUSTED: "untrusted",
}


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a JSON object; its `schema` names the form."""
    return {
        "schema": SCHEMA,
        "verdict": _VERDICTS[verdict.status],
        "exitStatus": int(verdict.status),
        "release": {
            "purl": verdict.purl,
            "closing": verdict.closing,
            "signer": verdict.signer,
            "signedAt": None if verdict.signed_at is None else timestamp(verdict.signed_at),
            "manifest": verdict.manifest,
        },
        "reproduced": verdict.reproduced,
        "modelRoot": verdict.model_root,
        "copiedTo": verdict.copied_to,
        "edges": edge_documents(verdict),
        "problems": [
            {"rule": p.rule, "message": p.message, "path": p.path, "exitStatus": int(p.status)}
            for p in verdict.problems
        ],
        "skipped": list(verdict.skipped),
    }


def edge_documents(verdict: Verdict) -> list[dict[str, str]]:
    """Return every edge of a verdict as a JSON object."""
    return [
        {"name": e.name, "status": e.status.value, "checked": e.checked, "why": e.why}
        for e in verdict.edges
    ]


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a verdict as plain text, without colour: edges, problems, remarks, the verdict."""
    if verdict.purl:
        yield f"{verdict.what:<11} {verdict.purl}"
        key = "key " if _FINGERPRINT.fullmatch(verdict.signer) else ""
        at = f", {told_time(verdict.signed_at)}" if verdict.signed_at is not None else ""
        signed = "closed by" if verdict.what == "release" else "signed by"
        yield f"{signed:<11} {key}{verdict.signer}{at}"
    if verdict.model_root:
        yield f"model root  {verdict.model_root}"
    for _, alike in groupby(verdict.edges, key=lambda edge: (edge.status, edge.checked, edge.why)):
        yield from _edge_lines(tuple(alike))
    if verdict.reproduced:
        yield f"reproduced: {printable(verdict.reproduced)}"
    for problem in verdict.problems:
        word = "remark" if problem.status is ExitStatus.DONE else "problem"
        yield f"{word} {problem.rule}: {problem.message}"
    if verdict.skipped:
        yield "skipped, as on every verifier's ignore list: " + ", ".join(verdict.skipped)
    if verdict.copied_to:
        yield f"copied to   {printable(verdict.copied_to)}"
    yield f"verdict: {_VERDICTS[verdict.status]}"


def _edge_lines(alike: tuple[Edge, ...]) -> Iterator[str]:
    """Yield edges that went alike: their names, then what was compared and why it holds or not."""
    edge = alike[0]
    names = ", ".join(e.name for e in alike[:_NAMED])
    more = f", and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
    if edge.status is EdgeStatus.NOT_CHECKED:
        yield f"{_WORDS[edge.status]:<7} {names}{more}: {edge.why}"
    else:
        yield f"{_WORDS[edge.status]:<7} {names}{more}"
        yield f"        {edge.why} (checked: {edge.checked})"
