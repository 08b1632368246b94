"""One number for a whole training: a Merkle tree over its steps, and proofs of single steps.

The tree is that of RFC 9162 section 2.1.1 with SHA-256. A leaf of a process is one step as
canonical JSON, fields without content left out; the last leaf is the final state. The tree of a run
has one leaf for each process: its rank, or its place among the processes, and its root. So two
roots are equal if and only if everything that was recorded of two trainings is.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlbom.evidence.canonical import canonical_json
from mlbom.record.steps.values import FinalState, ProcessSteps, StepRecord, StepTrace

_LEAF, _NODE = b"\x00", b"\x01"
# A path longer than this would be that of a tree with more leaves than there can be.
_MOST_PATH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That one leaf is part of a tree (RFC 9162 section 2.1.3).

    Args:
        number: of the leaf, from 0.
        size: how many leaves the tree has.
        path: hexadecimal digests from the leaf to the root.
    """

    number: int
    size: int
    path: tuple[str, ...]


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


def prove(process: ProcessSteps, number: int) -> Proof:
    """Return the proof that a step is part of the tree of its process.

    Args:
        process: that made it.
        number: of the step; the number of steps for the final state.

    Raises:
        IndexError: there is no such step.
    """
    leaves = _leaves(process)
    if not 0 <= number < len(leaves):
        message = f"there is no step {number} among {len(leaves)}"
        raise IndexError(message)
    path = tuple(digest.hex() for digest in _path(number, leaves))
    return Proof(number=number, size=len(leaves), path=path)


def check_proof(step: bytes, proof: Proof, root: str) -> bool:
    """Return whether a leaf is part of the tree with that root (RFC 9162 section 2.1.3.2).

    Args:
        step: the leaf, as `leaf` returns it.
        proof: of its place.
        root: in hexadecimal digits.
    """
    place, last = proof.number, proof.size - 1
    if not 0 <= place <= last or len(proof.path) > _MOST_PATH:
        return False
    found = _hash(_LEAF, step)
    for text in proof.path:
        digest = _bytes(text)
        if digest is None or not last:
            return False
        if place & 1 or place == last:
            found = _hash(_NODE, digest + found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = _hash(_NODE, found + digest)
        place, last = place >> 1, last >> 1
    return last == 0 and found.hex() == root


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


def _bytes(text: str) -> bytes | None:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        return None
    return digest if len(digest) == hashlib.sha256().digest_size else None


def _split(count: int) -> int:
    """Return the largest power of two below a number of leaves."""
    return 1 << (count - 1).bit_length() - 1


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


def _path(number: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the digests beside the way from a leaf to the root, from below."""
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    left, right = leaves[:at], leaves[at:]
    if number < at:
        return [*_path(number, left), _root(right)]
    return [*_path(number - at, right), _root(left)]
