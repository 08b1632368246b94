"""Recorded runs as card and report show them: a chain of steps in order of time."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlbom.attest.moment import told_time
from mlbom.attest.run_claim import StepKind
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Dataset, Pair, Run
from mlbom.evidence.observation import Gap

# The BOM lists every file; a page that shows thousands is read by nobody.
_MOST_FILES = 24
_UNITS = ((3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFile:
    """A file of a step: its digest, its name where it is public, and the step that made it."""

    digest: str
    name: str
    made_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A recorded run for a reader.

    Args:
        run: the node.
        inputs: the first files that it read.
        outputs: the first files that it wrote.
        more_inputs: how many inputs are not in the list.
        more_outputs: how many outputs are not in the list.
        datasets: names of the datasets of which it read files.
        started: as people read it, or empty.
        took: duration, or empty.
        signer: which key signed by the record's own account.
        unseen: what was not observed, and what else about it is not known.
    """

    run: Run
    inputs: tuple[StepFile, ...]
    outputs: tuple[StepFile, ...]
    more_inputs: int
    more_outputs: int
    datasets: tuple[str, ...]
    started: str
    took: str
    signer: str
    unseen: tuple[str, ...]


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """Return the joined runs in order of time."""
    runs = sorted(graph.nodes(Run), key=lambda run: (run.started or 0, run.id))
    return tuple(_step(graph, run, runs) for run in runs)


def left_out(graph: Graph) -> tuple[Gap, ...]:
    """Return the gaps of the records that are no part of the chain."""
    return tuple(g for g in graph.gaps if g.subject.startswith("run:") and g.field == "record")


def grams_emitted(steps: Iterable[Step]) -> float | None:
    """Return the CO2 equivalent of the training runs in grams, when a grid is configured."""
    told = [s.run.co2_g for s in steps if s.run.kind == StepKind.TRAIN and s.run.co2_g is not None]
    return round(sum(told), 6) if told else None


def _step(graph: Graph, run: Run, runs: list[Run]) -> Step:
    earlier = [other for other in runs if other.id in run.after]
    made = {pair.name: other.name or "" for other in earlier for pair in other.outputs}
    inputs, outputs = _files(run.inputs, made), _files(run.outputs, {})
    return Step(
        run=run,
        inputs=inputs[:_MOST_FILES],
        outputs=outputs[:_MOST_FILES],
        more_inputs=max(0, (run.input_count or 0) - len(inputs[:_MOST_FILES])),
        more_outputs=max(0, (run.output_count or 0) - len(outputs[:_MOST_FILES])),
        datasets=tuple(d.name or d.id for d in graph.nodes(Dataset) if run.id in d.read_by),
        started="" if run.started is None else told_time(run.started),
        took=_duration(run),
        signer=", ".join(_signer(signer) for signer in run.signers) or "nobody",
        unseen=tuple(
            gap.reason for gap in graph.gaps if gap.subject == run.id and gap.field != "record"
        ),
    )


def _files(pairs: Iterable[Pair], made: dict[str, str]) -> tuple[StepFile, ...]:
    return tuple(
        StepFile(digest=pair.name, name=pair.text, made_by=made.get(pair.name, ""))
        for pair in sorted(pairs, key=lambda pair: (not pair.text, pair.text, pair.name))
    )


def _signer(signer: str) -> str:
    return f"key {signer[:16]}" if re.fullmatch(r"[0-9a-f]{64}", signer) else signer[:40]


def _duration(run: Run) -> str:
    seconds = run.wall_s
    if seconds is None and run.started is not None and run.finished is not None:
        seconds = float(run.finished - run.started)
    if seconds is None:
        return ""
    unit = next(((size, name) for size, name in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds / unit[0]:.1f} {unit[1]}"
