"""One number for a whole training: a Merkle tree over its steps.

The tree is that of RFC 9162 section 2.1.1 with SHA-256. A leaf of a process is one step as
canonical JSON, fields without content left out; the last leaf is the final state. The tree of a run
has one leaf for each process: its rank, or its place among the processes, and its root. So two
roots are equal if and only if everything that was recorded of two trainings is.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from mlbom.evidence.canonical import canonical_json
from mlbom.record.steps.values import FinalState, ProcessSteps, StepRecord, StepTrace

_LEAF, _NODE = b"\x00", b"\x01"


def leaf(step: StepRecord | FinalState) -> bytes:
    """Return the bytes of a leaf; `at` and the digests of single tensors are no part of it."""
    if isinstance(step, FinalState):
        return canonical_json({"final": _filled(_final_fields(step))})
    fields = {
        "n": step.number,
        "o": step.optimizer,
        "batch": list(step.batches),
        "loss": list(step.losses),
        "grads": step.grads,
        "params": step.params,
        "state": step.state,
        "buffers": step.buffers,
        "rng": dict(step.rng),
        "flags": dict(step.flags),
    }
    return canonical_json(_filled(fields))


def tree_root(leaves: Sequence[bytes]) -> str:
    """Return the root of a tree in hexadecimal digits."""
    return _root(leaves).hex()


def process_root(process: ProcessSteps) -> str:
    """Return the root over the steps and the final state of one process."""
    return tree_root(_leaves(process))


def trace_root(trace: StepTrace) -> str:
    """Return the root of a run, or nothing when nothing was seen or something was lost."""
    if trace.is_empty or not trace.is_whole:
        return ""
    return tree_root(
        [
            canonical_json([place if process.rank is None else process.rank, process_root(process)])
            for place, process in enumerate(trace.processes)
        ]
    )


def _final_fields(final: FinalState) -> dict[str, Any]:
    return {
        "params": final.params,
        "buffers": final.buffers,
        "state": final.state,
        "batch": list(final.batches),
        "loss": list(final.losses),
    }


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", [], {})}


def _leaves(process: ProcessSteps) -> list[bytes]:
    steps = [leaf(step) for step in process.steps]
    return [*steps, leaf(process.final)] if process.final else steps


def _hash(kind: bytes, data: bytes) -> bytes:
    return hashlib.sha256(kind + data).digest()


def _root(leaves: Sequence[bytes]) -> bytes:
    """Return the root; level by level, so that the depth of Python's stack is no limit."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [_hash(_LEAF, one) for one in leaves]
    while len(level) > 1:
        # One that is left over moves up as it is: the left tree is the largest whole one.
        pairs = [_hash(_NODE, level[at] + level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]
