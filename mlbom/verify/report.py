"""A verdict for people and for programs: plain lines, or one JSON-able object."""

from collections.abc import Iterator
from typing import Any

from mlbom.attest.types import OWN_TYPES
from mlbom.errors import ExitStatus
from mlbom.verify.verdict import Edge, EdgeStatus, Verdict

SCHEMA = f"{OWN_TYPES}verdict:1"
_WORDS = {EdgeStatus.HELD: "held", EdgeStatus.FAILED: "FAILED", EdgeStatus.NOT_CHECKED: "-"}
_VERDICTS = {
    ExitStatus.DONE: "trusted",
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
            "manifest": verdict.manifest,
        },
        "modelRoot": verdict.model_root,
        "edges": [
            {"name": e.name, "status": e.status.value, "checked": e.checked, "why": e.why}
            for e in verdict.edges
        ],
        "problems": [
            {"rule": p.rule, "message": p.message, "path": p.path, "exitStatus": int(p.status)}
            for p in verdict.problems
        ],
        "skipped": list(verdict.skipped),
    }


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a verdict as plain text, without colour: edges, problems, remarks, the verdict."""
    if verdict.purl:
        yield f"release {verdict.purl}"
        yield f"closed by key {verdict.signer}"
    if verdict.model_root:
        yield f"model root {verdict.model_root}"
    yield from (_edge_line(edge) for edge in verdict.edges)
    for problem in verdict.problems:
        word = "remark" if problem.status is ExitStatus.DONE else "problem"
        yield f"{word} {problem.rule}: {problem.message}"
    if verdict.skipped:
        yield "skipped, as on every verifier's ignore list: " + ", ".join(verdict.skipped)
    yield f"verdict: {_VERDICTS[verdict.status]}"


def _edge_line(edge: Edge) -> str:
    told = f"{_WORDS[edge.status]:<6}  {edge.name}: {edge.why}"
    return told if edge.status is EdgeStatus.NOT_CHECKED else f"{told} ({edge.checked})"
