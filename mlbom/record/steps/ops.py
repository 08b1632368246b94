"""The ops of one window of a training, as the recorder inside it wrote them down: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRecord:
    """One op as torch dispatched it.

    Args:
        number: its place in the window, from 0.
        step: the step (from 0) that it belongs to.
        name: `aten.index_put.default`.
        inputs: digest of each tensor that went in; last one of the numbers, sizes and flags among
            the arguments, where there are some. Of a view only that one.
        outputs: digest of each tensor that came out, or that it changed; empty where there is
            nothing to compare: a view, memory that nobody has written yet, a collective.
        module: `encoder.layers.0.pool`, where a module was running, else empty.
        phase: `forward`, `backward`, `optimizer`, or `outside` of them.
        at: `/abs/model.py:5 in forward`, lines of the program, innermost first; of a backward op
            those of its forward op where torch knows them.
        is_seeded: whether torch tags it as drawing from a generator.
        rng: digest before it of the generator that it draws from, for those.
        is_source: whether it brings data of the host into a tensor (`lift_fresh`, `set_`,
            `from_file`): it has no inputs that could be compared. Three names are no ops but stand
            before the first op that uses such a tensor: `outside.tensor` (no op of the window made
            it), `worker.tensor` (a worker of a data loader sent it), `compiled.tensor` (a kernel
            that torch.compile made).
    """

    number: int
    step: int
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    module: str = ""
    phase: str = ""
    at: tuple[str, ...] = ()
    is_seeded: bool = False
    rng: str = ""
    is_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubledOp:
    """An op that gave different bits for equal inputs in one process.

    Args:
        name: of the op.
        times: how often it was computed.
        distinct: how many different results there were.
        module, phase, at: as for `OpRecord`.
    """

    name: str
    times: int
    distinct: int
    module: str = ""
    phase: str = ""
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnedOp:
    """An op of which torch says that it has no deterministic implementation.

    Args:
        name: as torch calls it.
        message: torch's own words, one line.
        at: lines of the program, innermost first.
    """

    name: str
    message: str
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTrace:
    """What one process told of its ops.

    Args:
        pid: process id.
        rank: of a distributed job, or None.
        entries: step -> digest of parameters, buffers and streams when its window began.
        ops: in the order of execution.
        doubled: ops that gave different bits for equal inputs.
        doubled_count: how many ops were doubled.
        skipped: op -> why it was not doubled.
        warned: ops that the deterministic sweep met.
        unseen: what could not be observed, each one sentence (a compiled region, ...).
    """

    pid: int
    rank: int | None = None
    entries: Mapping[int, str] = field(default_factory=dict)
    ops: tuple[OpRecord, ...] = ()
    doubled: tuple[DoubledOp, ...] = ()
    doubled_count: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)
    warned: tuple[WarnedOp, ...] = ()
    unseen: tuple[str, ...] = ()
