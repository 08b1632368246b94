"""A reproduction as a page of plain text: the verdict first, then what it stands on."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlbom.render.reproduction.document import INCONCLUSIVE, divergence_of, few, readable
from mlbom.render.reproduction.weights import files_of
from mlbom.render.reproduction.words import (
    control_text,
    culprit_facts,
    divergence_text,
    headline,
    names_of,
    place_of,
    plural,
    repeats_text,
    threshold_rows,
    traces_text,
    value_text,
    variation_text,
)
from mlbom.render.svg import number

Json = Mapping[str, Any]
Part = tuple[str, str]

_COLUMNS, _INDENT, _MOST_LINES = 100, 13, 40
# Lines of one part, and of the shares of a digest that a person compares.
_FEW, _SOME, _MANY, _DIGEST = 3, 6, 12, 12
# Where bits are equal nothing was held against a threshold.
_EXACT = ("exact-trace", "exact-weights")
_REST = "more is in the report: --report FILE"


def summary_lines(details: Mapping[str, Any]) -> list[str]:
    """Return a details document (`urn:mlbom:reproduction/1`) as at most forty lines of text.

    The first is the verdict, whole, however long; the others are at most 100 columns wide where
    their words allow. No colour, no control character.
    """
    document = readable(details)
    lines = [headline(document)]
    for name, text in _parts(document):
        lines += _wrapped(name, text)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{'':{_INDENT}}{_REST}"]
    return lines


def _wrapped(name: str, text: str) -> list[str]:
    """Return a part as lines: its name at the left, its text beside and below."""
    width = _COLUMNS - _INDENT
    told = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{name if not n else '':<{_INDENT}}{line}".rstrip() for n, line in enumerate(told)]


def _parts(document: Json) -> Iterator[Part]:
    """Yield what there is to tell, the important first."""
    verdict, environment = document["verdict"], document["environment"]
    # The headline of an inconclusive verdict is its first reason.
    reasons = (verdict.get("reasons") or [])[verdict["level"] == INCONCLUSIVE :]
    yield from _listed("why", reasons, _FEW)
    yield from _culprit(document)
    yield from _listed("runs", [_run(run) for run in document["runs"]], _SOME)
    yield from _weights(document)
    yield from _thresholds(verdict)
    mismatches = environment.get("mismatches") or []
    allowed = "allowed" if environment.get("allowed") else "not allowed"
    told = [
        f"{m['name']}: recorded {m['recorded'] or 'none'}, found {m['found'] or 'none'}"
        for m in mismatches
    ]
    yield from _listed("environment", [f"{t} ({allowed})" for t in told], _FEW)
    yield from _listed("lint", [_finding(f) for f in document["lint"]], _FEW)
    yield from _listed("varied", _varied(document["variations"]), _MANY)
    yield from _listed("control", [control_text(document["control"])], 1)
    yield from _listed("repeats", [repeats_text(document["repeats"])], 1)
    yield from _listed("sweep", [_op(op) for op in document["sweep"] or ()], _FEW)
    if document["sweep"] == []:
        yield "sweep", "no op without a deterministic implementation"
    yield from _listed("not seen", document["limits"], _FEW)


def _listed(name: str, texts: Sequence[str], most: int) -> Iterator[Part]:
    """Yield texts that are not empty, the first with the name of the part, and how many more."""
    found = few([text for text in texts if text], most)
    for place, text in enumerate((*found.shown, *([found.more] if found.more else []))):
        yield name if not place else "", text


def _culprit(document: Json) -> Iterator[Part]:
    culprit, divergence = document["culprit"], divergence_of(document)
    if divergence:
        yield "first", divergence_text(divergence)
    if culprit:
        yield "culprit", culprit.get("what", "")
        facts = [f"{name} {text}" for name, text in culprit_facts(culprit)]
        yield "", ", ".join(facts)
        yield from _listed("evidence", culprit.get("evidence") or [], _FEW)
        yield from _listed("fix", [culprit.get("fix", "")], 1)


def _run(run: Json) -> str:
    """Return `run-1: finished, 32 steps, 1.5 s, trace 01ab...`."""
    told = [str(run.get("outcome", ""))]
    told += [plural(run["steps"], "step")] if run.get("steps") else []
    told += [f"{number(run['wallSeconds'])} s"] if "wallSeconds" in run else []
    root = run.get("traceRoot")
    told += [f"trace {root[:_DIGEST]}" if root else "no trace"]
    weights = list((run.get("weights") or {}).values())
    if weights:
        more = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
        told.append(
            f"weights {(weights[0].get('tensors') or weights[0]['sha256'])[:_DIGEST]}{more}"
        )
    metrics = [f"{name} {value_text(value)}" for name, value in (run.get("metrics") or {}).items()]
    told += metrics[:_FEW]
    detail = f" ({run['detail']})" if run.get("detail") else ""
    return f"{run.get('label', '')}: {', '.join(told)}{detail}"


def _weights(document: Json) -> Iterator[Part]:
    pairs = document["comparisons"]
    alike = [f"{names_of(p)}: {traces_text(p)}" for p in pairs if not p.get("divergence")]
    yield from _listed("traces", alike, _FEW)
    told = [
        f"{names_of(pair)}, {file.name}: {file.told}"
        for pair in pairs
        for file in files_of(pair).shown
    ]
    yield from _listed("weights", told, _FEW)


def _thresholds(verdict: Json) -> Iterator[Part]:
    if verdict["level"] in _EXACT:
        return
    rows = threshold_rows(verdict)
    told = [f"{name.removeprefix('tolerance, ')}: {limits}" for name, limits in rows]
    yield from _listed("thresholds", ["; ".join(told)], 1)


def _varied(variations: Sequence[Json]) -> list[str]:
    """Return what broke first, then what could not be tried, then what held in one line."""
    held = [str(v.get("name", "")) for v in variations if v.get("outcome") == "holds"]
    others = [v for v in variations if v.get("outcome") != "holds"]
    others.sort(key=lambda variation: variation.get("outcome") == "skipped")
    told = [f"{v.get('name', '')}: {variation_text(v)}" for v in others]
    return [*told, *([f"holds under another {', '.join(held)}"] if held else [])]


def _finding(finding: Json) -> str:
    return f"{place_of(finding)}: {finding.get('message', '')} ({finding.get('rule', '')})"


def _op(op: Json) -> str:
    at = next(iter(op.get("at") or ()), "")
    return f"{op.get('op', '')}{f' at {at}' if at else ''}: {op.get('message', '')}"
