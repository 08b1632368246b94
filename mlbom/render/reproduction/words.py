"""Sentences about a reproduction that the report and the terminal share."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.render.reproduction.document import INCONCLUSIVE, LADDER, divergence_of
from mlbom.render.svg import number

Json = Mapping[str, Any]

# Traces of which only the roots are known differ at a place that nobody can name.
_ROOT = "root"
_SOMEWHERE = "somewhere; the recorded trace is not here, only its root"
_PARTS = {
    "missing": "only one of them has such a step",
    "optimizer": "another optimizer makes the step",
    "entry": "the state before the first step differs",
    "batches": "the batch differs",
    "losses": "the loss differs",
    "grads": "the gradients differ",
    "params": "the parameters differ",
    "state": "the optimizer's state differs",
    "buffers": "the buffers differ",
    "flags": "the numeric flags differ",
}
# Parts of which a step can have several.
_COUNTED = ("batches", "losses")


def headline(document: Json) -> str:
    """Return the verdict in one line: what holds, or what differs first and what to do."""
    return "; ".join(part.rstrip(".") for part in verdict_parts(document))


def verdict_parts(document: Json) -> list[str]:
    """Return the parts of the verdict's one line, the first a sentence of its own."""
    verdict = document["verdict"]
    reasons = verdict.get("reasons") or ()
    if verdict["level"] == INCONCLUSIVE:
        return [f"inconclusive: {reasons[0] if reasons else 'no reason is told'}"]
    if verdict["met"]:
        required = f"(required {verdict['required']})"
        return [f"reproduced: {verdict['level']} {required}, {extent(document)}"]
    return _refused(document)


def _refused(document: Json) -> list[str]:
    verdict, culprit = document["verdict"], document["culprit"] or {}
    divergence = divergence_of(document)
    has_place = divergence is not None and divergence.get("field") != _ROOT
    where = f" {step_text(divergence)}" if divergence and has_place else ""
    if verdict["level"] in LADDER:
        what = f"{verdict['level']} holds, {verdict['required']} was required"
        head = f"NOT REPRODUCED as required: {what}; first difference{where}: "
    else:
        head = f"NOT REPRODUCIBLE{where}: "
    told = culprit.get("what") or (differing(divergence) if divergence else "the results differ")
    place = place_of(culprit)
    parts = [head + told + (f" ({place})" if place else "")]
    if divergence and has_place and divergence["step"] > 0:
        parts.append("all before that is equal")
    elif divergence and not has_place and _SOMEWHERE not in told:
        parts.append(f"the traces differ {_SOMEWHERE}")
    if culprit.get("fix"):
        parts.append(f"fix: {culprit['fix']}")
    return parts


def extent(document: Json) -> str:
    """Return how much was compared: `2 runs, 32 steps`."""
    runs = document["runs"]
    counts = {run.get("steps", 0) for run in runs}
    told = [plural(len(runs), "run") + (" against the record" if document["original"] else "")]
    if counts and max(counts):
        low = "" if len(counts) == 1 else f"{min(counts)} to "
        told.append(low + plural(max(counts), "step"))
    else:
        told.append("no steps seen")
    scope = (document["scope"] or {}).get("steps")
    return ", ".join(told) + (
        f", only the first {plural(scope, 'step')} asked for" if scope else ""
    )


def step_text(divergence: Json) -> str:
    """Return where a difference lies: `at step 3 of 16`, or `after the last of 16 steps`."""
    step, of = divergence["step"], divergence["of"]
    is_after = step >= of and divergence.get("field") != "missing"
    return f"after the last of {of} steps" if is_after else f"at step {step} of {of}"


def differing(divergence: Json) -> str:
    """Return what differs first, in words."""
    part = str(divergence.get("field", ""))
    name, _, stream = part.partition(":")
    if name == _ROOT:
        return f"the traces differ {_SOMEWHERE}"
    if name == "rng":
        return f"the state of the generator {stream} differs"
    index = divergence.get("index", -1)
    which = f" (number {index} of that step)" if name in _COUNTED and index > 0 else ""
    return f"{_PARTS.get(name, f'{part} differs')}{which}"


def divergence_text(divergence: Json) -> str:
    """Return a first difference in one sentence."""
    if divergence.get("field") == _ROOT:
        return _SOMEWHERE
    told = [f"{step_text(divergence)}: {differing(divergence)}"]
    if divergence.get("tensor"):
        told.append(f"first tensor {divergence['tensor']}")
    if divergence.get("rank") is not None:
        told.append(f"rank {divergence['rank']}")
    if divergence.get("at"):
        told.append(f"step asked for at {divergence['at']}")
    others = divergence.get("signals", [])[1:]
    return "; ".join(told) + (f"; also {', '.join(others)}" if others else "")


def names_of(pair: Json) -> str:
    """Return the two runs of a comparison: `run-1 and run-2`."""
    return f"{pair.get('a', '')} and {pair.get('b', '')}"


def traces_text(pair: Json) -> str:
    """Return what comparing the traces of two runs found, in one sentence."""
    divergence = pair.get("divergence")
    if divergence:
        return f"the traces differ {divergence_text(divergence)}"
    if pair.get("traces"):
        return "the traces are equal at every step, in all that was taken"
    return "the traces could not be compared"


def place_of(culprit: Json) -> str:
    """Return `worker.py:14`, or an empty text."""
    path, line = culprit.get("path", ""), culprit.get("line", 0)
    return f"{path}:{line}" if path and line else path


def culprit_facts(culprit: Json) -> list[tuple[str, str]]:
    """Return what is known of a culprit: (what, text)."""
    sure = "shown" if culprit.get("sure") else "concluded, not shown"
    step, rank = culprit.get("step"), culprit.get("rank")
    facts = (
        ("kind", f"{culprit.get('kind', 'unknown')} ({sure})"),
        ("place", place_of(culprit)),
        ("step", "" if step is None or step < 0 else str(step)),
        ("rank", "" if rank is None else str(rank)),
        ("op", culprit.get("op", "")),
        ("module", culprit.get("module", "")),
    )
    return [(name, text) for name, text in facts if text]


def rungs(document: Json) -> list[tuple[str, str, bool]]:
    """Return each level of the ladder, whether it holds in words, and whether it was required."""
    verdict = document["verdict"]
    level = verdict["level"]

    def holds(name: str) -> str:
        if level == INCONCLUSIVE:
            return "not told"
        reached = level in LADDER and LADDER.index(name) >= LADDER.index(level)
        return "holds" if reached else "does not hold"

    return [(name, holds(name), name == verdict["required"]) for name in LADDER]


def threshold_rows(verdict: Json) -> list[tuple[str, str]]:
    """Return what tolerance and metric were held against: (of what, limits)."""
    rows = []
    for name, value in (verdict.get("thresholds") or {}).items():
        parts = value.items() if isinstance(value, Mapping) else ()
        nested = [(f"{name}, {part}", value_text(v)) for part, v in parts if isinstance(v, Mapping)]
        rows += nested or [(name, value_text(value))]
    return rows


def repeat_commands(document: Json) -> list[str]:
    """Return the commands that repeat this reproduction from a clone of the project."""
    original, commit = document["original"], document["source"].get("commit")
    scope = (document["scope"] or {}).get("steps")
    options = [
        *([original["record"]] if original and original.get("record") else []),
        *_option("--require", document["verdict"]["required"]),
        *_option("--mode", document["mode"]),
        *_option("--runs", len(_counted(document["runs"])) or None),
        *_option("--steps", scope or None),
        *_option("--device", document["device"]),
        *_option("--inject-seed", document.get("injectSeed")),
        *_option("--from-checkpoint", document.get("checkpoint")),
        *(["--control"] if document["control"] else []),
        *(["--vary"] if document["variations"] else []),
        *(["--allow-env-mismatch"] if document["environment"].get("allowed") else []),
    ]
    is_needed = not original or document.get("checkpoint")
    command = ["--", *document["command"]] if is_needed and document["command"] else []
    told = shlex.join(["mlbom", "reproduce", *map(str, options), *map(str, command)])
    return [f"git checkout {shlex.quote(commit)}", told] if commit else [told]


def _counted(runs: Sequence[Json]) -> list[Json]:
    """Return the runs that the number of runs stands for: no control and no variation."""
    return [run for run in runs if str(run.get("label", "")).startswith("run-")]


def _option(name: str, value: object) -> list[str]:
    return [] if value in (None, "") else [name, str(value)]


def repeats_text(repeats: Json) -> str:
    """Return what repeating says about how often this differs, or an empty text."""
    if not repeats or not repeats.get("runs"):
        return ""
    told = f"{repeats.get('differing', 0)} of {plural(repeats['runs'], 'run')} differed"
    bound = repeats.get("bound")
    if not isinstance(bound, int | float):
        return told
    confidence = percent(repeats.get("confidence", 0.95))
    return f"{told}: with {confidence} confidence at most {percent(bound)} of runs differ"


def control_text(control: Json | None) -> str:
    """Return whether a run made different on purpose was told apart, or an empty text."""
    if not control:
        return ""
    because = f": {control['reason']}" if control.get("reason") else ""
    if control.get("detected") is None:
        return f"says nothing{because}"
    if not control["detected"]:
        return f"NOT told apart, so that this verdict counts nothing{because}"
    divergence = control.get("divergence")
    return f"told apart {divergence_text(divergence)}" if divergence else f"told apart{because}"


def variation_text(variation: Json) -> str:
    """Return what a variation did."""
    broken = variation.get("broken") or ()
    told = [f"breaks {', '.join(broken)}" if broken else str(variation.get("outcome", ""))]
    told += [str(variation[key]) for key in ("reason",) if variation.get(key)]
    return ": ".join(part for part in told if part)


def value_text(value: object) -> str:
    """Return a JSON value as one text."""
    match value:
        case bool():
            told = "yes" if value else "no"
        case int() | float():
            told = number(value)
        case None:
            told = "not known"
        case Mapping():
            told = ", ".join(f"{name} {value_text(item)}" for name, item in value.items())
        case list():
            told = ", ".join(value_text(item) for item in value)
        case _:
            told = str(value)
    return told


def percent(share: float) -> str:
    """Return a share as a percentage: `5 %`, `0.3 %`."""
    return f"{number(round(share * 100, 10))} %"


def plural(count: int, what: str) -> str:
    """Return `1 step`, `2 steps`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
