"""Finds the first op of two runs that explains why they differ, and says what kind of cause it is.

Both lists are walked side by side in the order of execution. An op whose results agree explains
nothing, whatever went in: memory that nobody has filled yet differs and does no harm. The first op
with other results is the cause when it was given equal numbers; when it was not, they came from
outside of torch's ops, since every result before it agreed.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from mlbom.record.steps.ops import OpRecord, OpTrace


class OpCause(StrEnum):
    """What the first differing op says about the cause."""

    KERNEL = "equal inputs, other outputs"
    DRAWN = "drawn from a generator that stood elsewhere"
    SOURCE = "other data of the host"
    OUTSIDE = "other inputs that no op before it made"
    CONTROL_FLOW = "another op"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpDifference:
    """The first op at which two runs part.

    Args:
        cause: what that says.
        op: as the first run had it (of the second, when the first had no more).
        other: as the second run had it, or None when it had no more.
        compared: how many ops before it agree.
    """

    cause: OpCause
    op: OpRecord
    other: OpRecord | None
    compared: int


def first_op_difference(a: OpTrace, b: OpTrace) -> OpDifference | None:
    """Return the first difference of two windows of ops, or None when they agree.

    Args:
        a: the ops of one process.
        b: those of its counterpart in another run, of the same steps.
    """
    for at, (one, other) in enumerate(zip_longest(a.ops, b.ops)):
        here = one or other
        cause = _cause(one, other) if one and other else OpCause.CONTROL_FLOW
        if here and cause:
            return OpDifference(cause=cause, op=here, other=other, compared=at)
    return None


def _cause(one: OpRecord, other: OpRecord) -> OpCause | None:
    """Return what two ops at one place say; None when they explain nothing."""
    if one.name != other.name:
        return OpCause.CONTROL_FLOW
    if one.outputs == other.outputs:
        # A view has no results of its own: which part it shows is a number of the program.
        is_view = not one.outputs and one.inputs != other.inputs
        return OpCause.SOURCE if is_view else None
    if one.is_source:
        return OpCause.SOURCE
    is_drawn = one.is_seeded and one.rng != other.rng
    if one.inputs != other.inputs and not (is_drawn and _overwrites(one)):
        return OpCause.OUTSIDE
    return OpCause.DRAWN if is_drawn else OpCause.KERNEL


def _overwrites(op: OpRecord) -> bool:
    """Return whether an op fills its input (`normal_`): what was there before has no say."""
    return op.name.split(".")[1:2] != [] and op.name.split(".")[1].endswith("_")
