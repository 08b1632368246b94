"""Statements of training again as card and report show them: what came out, and what it rests on.

Nothing here says who signed, or whether: that is told by `mlbom verify` alone (chain.md section 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mlbom.attest.ladder import LEVELS
from mlbom.attest.moment import told_time
from mlbom.attest.types import PASSED
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Reproduction

_WHERE = {
    "same-machine": "on the machine of the original",
    "other-machine": "on another machine than the original",
    "unknown": "on a machine that nobody compared with that of the original",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """A reproduction for a reader.

    Args:
        node: what is stated.
        verdict: what came out, one sentence.
        reasoning: what that rests on, each one sentence.
        limits: what was not observed, each one sentence.
        finished: as people read it, or empty.
        places: the files that state it, relative to the output directory.
    """

    node: Reproduction
    verdict: str
    reasoning: tuple[str, ...]
    limits: tuple[str, ...]
    finished: str
    places: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Return whether the level that was required, or a stricter one, was reached."""
        return self.node.result == PASSED


def reproductions_of(graph: Graph) -> tuple[Reproduced, ...]:
    """Return what is stated of training again: what passed first, the strictest before others."""
    found = [_reproduced(graph, node) for node in graph.nodes(Reproduction)]
    return tuple(sorted(found, key=_order))


def _order(found: Reproduced) -> tuple[bool, int, int, str]:
    level = found.node.level or ""
    rung = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    return not found.is_passed, rung, found.node.finished or 0, found.node.id


def _reproduced(graph: Graph, node: Reproduction) -> Reproduced:
    witnesses = graph.witnesses(node, "files")
    return Reproduced(
        node=node,
        verdict=_verdict(node),
        reasoning=tuple(_reasoning(node)),
        limits=node.limits,
        finished="" if node.finished is None else told_time(node.finished),
        places=tuple(sorted({origin.path for origin in witnesses})),
    )


def _verdict(node: Reproduction) -> str:
    level = node.level or "an unknown level"
    if node.result == PASSED:
        return f"reproduced: {level}"
    wanted = f"{node.required} was required" if node.required else "more was required"
    if level in LEVELS:
        return f"reproduced only to {level}: {wanted}"
    return f"not reproduced: {level}, {wanted}"


def _reasoning(node: Reproduction) -> Iterator[str]:
    if node.details is None:
        yield "Another tool states the level, and tells nothing else"
        return
    many = "1 training ran again" if node.runs == 1 else f"{node.runs} trainings ran again"
    commit = f" from commit {node.commit}" if node.commit else ""
    yield f"{many}{commit}, in the mode {node.mode}, {_WHERE.get(node.builder or '', 'somewhere')}"
    if node.original:
        yield f"Compared with the recorded original {node.original}"
    else:
        yield "Original: none; the runs were compared with each other"
    yield "The network was off" if node.isolated else "The network was not known to be off"
    if node.control:
        yield "A training made different on purpose was told apart"
    elif node.control is None:
        yield "No training was made different on purpose to test the comparison"
    else:
        yield "A training made different on purpose was not told apart"
    for pair in node.thresholds:
        yield f"Held against {pair.name} {pair.text}"
    yield from node.reasons
