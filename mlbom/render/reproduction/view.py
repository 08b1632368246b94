"""The details document as the tables, lists and sentences of the HTML report."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.render.reproduction.document import INCONCLUSIVE, Few, divergence_of, few
from mlbom.render.reproduction.weights import TENSOR_HEAD, files_of
from mlbom.render.reproduction.words import (
    control_text,
    culprit_facts,
    divergence_text,
    extent,
    names_of,
    place_of,
    repeat_commands,
    repeats_text,
    rungs,
    threshold_rows,
    traces_text,
    value_text,
    variation_text,
    verdict_parts,
)
from mlbom.render.svg import number

Json = Mapping[str, Any]
View = dict[str, Any]
Line = tuple[str, ...]

_MOST, _MOST_PAIRS, _MOST_METRICS = 60, 8, 12
_WORDS = {
    "met": ("\u2713", "Reproduced"),
    "unmet": ("\u2717", "Not reproduced as required"),
    "unsure": ("?", "Inconclusive"),
}
_SECTIONS = (
    ("verdict", "Verdict"),
    ("culprit", "What differs first"),
    ("pictures", "Pictures"),
    ("runs", "Runs"),
    ("environment", "Environment"),
    ("comparisons", "Comparisons"),
    ("variations", "Variations"),
    ("control", "Control and repeats"),
    ("lint", "Lint"),
    ("ops", "Ops"),
    ("limits", "Not observed"),
    ("repeat", "Repeat"),
)


def view_of(document: Json, *, has_pictures: bool) -> View:
    """Return what the template shows of a readable details document."""
    original = document["original"] or {}
    view = {
        **_verdict(document),
        "runs": _few([*_original(original), *map(_run, document["runs"])]),
        "products": _few([line for run in document["runs"] for line in _products(run)]),
        "conditions": _conditions(document),
        "mismatches": _few(_mismatches(document["environment"])),
        "allowed": document["environment"].get("allowed", False),
        "has_original": bool(original),
        "tensor_head": TENSOR_HEAD,
        "pairs": _pairs(document["comparisons"]),
        "variations": _few([_variation(variation) for variation in document["variations"]]),
        "control": control_text(document["control"]),
        "repeats": repeats_text(document["repeats"]),
        "lint": _few([_finding(finding) for finding in document["lint"]]),
        "sweep": None if document["sweep"] is None else _few(_ops(document["sweep"])),
        "limits": _few(document["limits"]),
        "repeat": "\n".join(repeat_commands(document)),
        "schema": document.get("schema", ""),
        "record": original.get("record", ""),
    }
    hidden = {
        "culprit": not (view["culprit"] or view["divergence"]),
        "pictures": not has_pictures,
        "variations": not view["variations"].shown,
        "ops": view["sweep"] is None,
    }
    return {**view, "sections": [s for s in _SECTIONS if not hidden.get(s[0])]}


def _verdict(document: Json) -> View:
    """Return the verdict, why it is no other, and what differs first."""
    verdict, divergence = document["verdict"], divergence_of(document)
    is_unsure = verdict["level"] == INCONCLUSIVE
    state = "unsure" if is_unsure else "met" if verdict["met"] else "unmet"
    culprit = document["culprit"]
    return {
        "state": state,
        "sign": _WORDS[state][0],
        "word": _WORDS[state][1],
        "parts": verdict_parts(document),
        "command": shlex.join(map(str, document["command"])),
        "level": verdict["level"],
        "required": verdict["required"],
        "extent": extent(document),
        "rungs": rungs(document),
        "reasons": _few(verdict.get("reasons") or ()),
        "thresholds": threshold_rows(verdict),
        "divergence": divergence_text(divergence) if divergence else "",
        "culprit": culprit
        and {
            "what": culprit.get("what", ""),
            "facts": culprit_facts(culprit),
            "fix": culprit.get("fix", ""),
            "evidence": _few(culprit.get("evidence") or ()),
        },
    }


def _few(items: Sequence[Any]) -> Few:
    return few(items, _MOST)


def _original(original: Json) -> list[Line]:
    if not original:
        return []
    told = _metrics(original.get("metrics") or {})
    return [("original", "recorded", "", "", original.get("traceRoot") or "none", told)]


def _run(run: Json) -> Line:
    detail = f": {run['detail']}" if run.get("detail") else ""
    return (
        run.get("label", ""),
        f"{run.get('outcome', '')}{detail}",
        str(run.get("steps", "")),
        number(run["wallSeconds"]) if "wallSeconds" in run else "",
        run.get("traceRoot") or "none",
        _metrics(run.get("metrics") or {}),
    )


def _metrics(metrics: Json) -> str:
    told = few([f"{name} {value_text(value)}" for name, value in metrics.items()], _MOST_METRICS)
    return ", ".join((*told.shown, *([told.more] if told.more else [])))


def _products(run: Json) -> list[Line]:
    return [
        (run.get("label", ""), name, w.get("sha256", ""), w.get("tensors") or "not readable")
        for name, w in (run.get("weights") or {}).items()
    ]


def _conditions(document: Json) -> list[Line]:
    """Return where and how the trainings ran: (what, text)."""
    source, sandbox = document["source"], document["sandbox"]
    dirty = source.get("dirty")
    changed = {True: "yes", False: "no"}.get(dirty, "not known")
    network = "off" if sandbox.get("isolated") else "NOT isolated"
    told = sandbox.get("network")
    others = {k: v for k, v in sandbox.items() if k not in ("network", "isolated")}
    return [
        ("Source", f"commit {source['commit']}" if source.get("commit") else "the present files"),
        ("Uncommitted changes", changed),
        ("Mode", document["mode"] or "not told"),
        ("Device", document["device"] or "what the training chooses"),
        ("Network", f"{network}: {told}" if told else network),
        *((name, value_text(value)) for name, value in others.items()),
    ]


def _mismatches(environment: Json) -> list[Line]:
    return [
        (m.get("name", ""), m.get("recorded", ""), m.get("found", ""))
        for m in environment.get("mismatches") or ()
    ]


def _pairs(comparisons: Sequence[Json]) -> Few:
    found = few(comparisons, _MOST_PAIRS)
    views = (
        {"title": names_of(pair), "trace": traces_text(pair), "files": files_of(pair)}
        for pair in found.shown
    )
    return Few(tuple(views), found.more)


def _variation(variation: Json) -> Line:
    return (variation.get("name", ""), variation_text(variation), variation.get("level") or "")


def _finding(finding: Json) -> Line:
    keys = ("message", "fix", "kind", "rule")
    return (place_of(finding), *(str(finding.get(key, "")) for key in keys))


def _ops(sweep: Sequence[Json]) -> list[Line]:
    return [(o.get("op", ""), ", ".join(o.get("at") or ()), o.get("message", "")) for o in sweep]
