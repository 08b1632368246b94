"""A training step by step, as the recorder inside it wrote it down: plain values.

Digests of tensors are 16 hexadecimal digits of the position-weighted 64-bit sum `w64`
(docs/reproduction.md): equal digests mean equal bits, dtype and shape, up to one chance in 2^64,
or 2^32 where the highest bits alone differ; they do not withstand somebody who wants two tensors to
collide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What was there when an optimizer made one step.

    Args:
        number: of the step in its process, from 0, over all optimizers.
        optimizer: which one, numbered as they were first seen.
        batches: digest of each batch since the step before, in order.
        losses: each root of a backward pass since the step before, in order: a scalar as
            `float.hex`, else a digest.
        grads: of all gradients, before the step.
        params: of all parameters of the optimizer, after the step.
        state: of the optimizer's state after the step, empty at steps where it is not taken.
        buffers: of all buffers of the modules that hold the parameters, or empty.
        rng: stream -> digest of its state (`torch`, `cuda:0`, `random`, `numpy`), for streams that
            moved since the step before.
        flags: numeric flags and threads that changed since the step before.
        at: `/abs/train.py:81`, the line of the program that asked for the step. Not part of the
            leaf: another folder is no other training.
        tensors: `grads` and `params` -> the digest of each tensor in the order of the names of its
            optimizer; empty unless asked for.
    """

    number: int
    optimizer: int = 0
    batches: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    grads: str = ""
    params: str = ""
    state: str = ""
    buffers: str = ""
    rng: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    tensors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The state before the first step of an optimizer.

    Args:
        optimizer: which one.
        params: digest of its parameters.
        state: digest of its state; of a fresh optimizer that of nothing.
        buffers: digest of the buffers, or empty.
        rng: every stream -> digest of its state.
        names: (name, dtype, shape as `768x3072`) of each parameter, in order; a parameter that no
            module names is `param.N`.
    """

    optimizer: int
    params: str
    state: str = ""
    buffers: str = ""
    rng: Mapping[str, str] = field(default_factory=dict)
    names: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalState:
    """What was there when the process ended.

    Args:
        params: digest of the parameters of all root modules, or empty when there were none.
        buffers: digest of their buffers.
        state: digest of the state of the optimizers that are still there.
        batches: those after the last step, in order.
        losses: those after the last step, in order; all of a program that updates by hand.
    """

    params: str = ""
    buffers: str = ""
    state: str = ""
    batches: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """Something that decides numbers, with the line of the program that did it.

    Args:
        kind: `seed` (a generator was seeded), `entropy` (a generator took the system's entropy, or
            the clock was read for a seed), `listing` (a folder was listed), `download` (something
            came from a hub or the network), `threads` (a number of threads was set), `flag`.
        what: `torch.manual_seed`, `numpy.default_rng`, `os.listdir`, ...
        value: the seed, the digest of the order, the revision, the number; empty when unknown.
        at: `/abs/train.py:12`, the innermost line of the program; empty when there is none.
        step: how many steps its process had made.
        pid: of the process.
        worker: whether the process is a worker of a data loader or a pool.
    """

    kind: str
    what: str
    value: str = ""
    at: str = ""
    step: int = 0
    pid: int = 0
    worker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSteps:
    """One process that trained.

    Args:
        pid: process id.
        rank: of a distributed job, or None.
        began: seconds since 1970 UTC.
        steps: in order.
        entries: the state before the first step of each optimizer.
        final: what was there at the end; None when the process was killed.
        unseen: what could not be observed, each one sentence.
        is_whole: whether its file ends as it should.
    """

    pid: int
    rank: int | None = None
    began: float = 0.0
    steps: tuple[StepRecord, ...] = ()
    entries: tuple[Entry, ...] = ()
    final: FinalState | None = None
    unseen: tuple[str, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrace:
    """A whole run.

    Args:
        processes: those that trained, by rank, else in the order they began.
        events: of all processes, workers too, in order within each.
        unseen: what processes that did not train could not observe, and what was not read, each
            one sentence.
        malformed: how many lines were not understood, and files not read, of all processes.
    """

    processes: tuple[ProcessSteps, ...] = ()
    events: tuple[SourceEvent, ...] = ()
    unseen: tuple[str, ...] = ()
    malformed: int = 0

    @property
    def count(self) -> int:
        """Return the number of optimizer steps, of all processes."""
        return sum(len(process.steps) for process in self.processes)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing of a training was seen: no step, no loss, no final state."""
        return not self.count and not any(
            process.final and (process.final.losses or process.final.params)
            for process in self.processes
        )

    @property
    def is_whole(self) -> bool:
        """Return whether nothing of it was lost; only then can it be called equal to another."""
        return not self.malformed and all(process.is_whole for process in self.processes)

    @property
    def all_unseen(self) -> tuple[str, ...]:
        """Return what could not be observed, of the run and of each process, each told once."""
        told = (text for process in self.processes for text in process.unseen)
        return tuple(dict.fromkeys((*self.unseen, *told)))
