"""What a reproduction starts from: the commit, the command, the inputs, and what is in doubt."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from mlbom.collect.repository.source import read_source
from mlbom.collect.runs.record import Record
from mlbom.config import find_repository
from mlbom.errors import UsageError
from mlbom.git import open_repository
from mlbom.pipeline.reproduction.records import (
    choose_record,
    is_own,
    read_original,
    real_command,
)
from mlbom.pipeline.reproduction.request import Mode, ReproduceRequest
from mlbom.pipeline.reproduction.sources import (
    TrainingSource,
    declared_inputs,
    recorded_source,
    some,
)
from mlbom.render.records import public_command
from mlbom.reproduce.original import Original
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.surroundings.environment import default_pins, recorded_variables

# A training gets so many times the recorded time, and never less than this.
_PATIENCE, _LEAST_TIMEOUT_S = 10.0, 600.0
# In a command it stands for the checkpoint's place.
CHECKPOINT = "{checkpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a reproduction starts from.

    Args:
        plan: where and what to run.
        command: what is run, as it may be published.
        original: the recorded training, or None when the runs are compared with each other.
        commit: what is cloned; empty when present files are used.
        is_foreign: whether the command comes from a record that is none of the project's own.
        is_dirty: whether the training was made, or would be, from something else than a commit;
            None when that is not known.
        doubts: why the verdict can only be inconclusive, each one sentence.
        limits: what is not covered, each one sentence.
    """

    plan: SandboxPlan
    command: tuple[str, ...]
    original: Original | None
    commit: str
    is_foreign: bool = False
    is_dirty: bool | None = None
    doubts: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


def prepare(request: ReproduceRequest) -> Prepared:
    """Return what is run; nothing of the project has been executed.

    Raises:
        PathNotFoundError: no such run, or an input is not there.
        UsageError: neither a run nor a command in a repository.
        UnreadableError, RepositoryError: the record or the repository cannot be read.
    """
    if request.command and not request.run:
        return _from_head(request)
    return _from_record(request, choose_record(request.run, request.project_root))


def _from_head(request: ReproduceRequest) -> Prepared:
    root = request.project_root
    told = read_source(root).repository
    top = find_repository(root)
    if told is None or not told.commit or top is None:
        message = "without a repository there is no commit to train from"
        raise UsageError(message, hint="commit the project to git, or record a run: mlbom run")
    doubts = []
    if told.dirty is not False:
        shown = some(told.changed) or "it cannot be told"
        doubts.append(f"the work tree differs from the commit that is cloned: {shown}")
    base = TrainingSource(
        repository=open_repository(top), commit=told.commit, inputs=declared_inputs(request)
    )
    return Prepared(
        plan=_plan(request, base),
        command=public_command(request.command, root),
        original=None,
        commit=told.commit,
        is_dirty=told.dirty,
        doubts=tuple(doubts),
        limits=("no record: the runs are compared with each other only", *_asked(request)),
    )


def _from_record(request: ReproduceRequest, record: Record) -> Prepared:
    original = read_original(record, request.project_root)
    base = recorded_source(request, record)
    doubts, limits = list(base.doubts), [*base.limits, *_asked(request)]
    limits.append(f"the record is taken at its word: {_signed_by(record)}; mlbom verify checks it")
    if not original.claim.succeeded:
        doubts.append(f"the recorded run failed: {original.claim.failure}")
    if not original.weights:
        doubts.append("the record names no weight file that could be reproduced")
    gone = sorted(original.weights.keys() - original.files.keys())
    if gone:
        limits.append(f"{', '.join(gone)} as recorded is not here: its digest alone is compared")
    command = original.claim.command
    if request.command:
        command = public_command(request.command, request.project_root)
        limits.append("the command was given, not taken from the record")
    if not original.trace_root:
        limits.append("recorded without a step trace (mlbom run --trace step)")
    return Prepared(
        command=command,
        plan=_plan(request, base, (original, real_command(record, request.project_root))),
        original=original,
        commit=base.commit,
        is_foreign=not request.command and not is_own(record, request.project_root),
        is_dirty=base.is_dirty,
        doubts=tuple(doubts),
        limits=tuple(limits),
    )


def _asked(request: ReproduceRequest) -> Iterable[str]:
    """Yield what was done to the training that its mode does not say."""
    if request.inject_seed is not None:
        yield f"what nobody seeds was seeded with {request.inject_seed}"
    if request.checkpoint is not None:
        yield "only a segment was run again, from a checkpoint on"
    if request.allows_mismatch:
        yield "another environment than the recorded one was allowed"


def _signed_by(record: Record) -> str:
    return f"signed by {record.signer} by its own account" if record.signer else "nobody signed it"


def _plan(
    request: ReproduceRequest,
    base: TrainingSource,
    recorded: tuple[Original, tuple[str, ...]] | None = None,
) -> SandboxPlan:
    original, command = recorded or (None, ())
    folder = request.cwd.relative_to(request.project_root).as_posix()
    if original and not request.command:
        folder = original.claim.folder
    checkpoint = _checkpoint_name(request)
    words = request.command or command
    return SandboxPlan(
        command=tuple(word.replace(CHECKPOINT, checkpoint) for word in words),
        folder=folder,
        project=request.project_root,
        repository=base.repository,
        commit=base.commit,
        inputs=base.inputs,
        outputs=tuple(original.weights) if original else (),
        variables=_variables(request, original),
        passes_numeric=request.mode is Mode.AS_IS,
        # Whoever trains again must not find the answer.
        hidden=(*request.hidden, *(original.files.values() if original else ())),
        python_prefix=request.python,
        timeout_s=_timeout(request, original),
    )


def _checkpoint_name(request: ReproduceRequest) -> str:
    """Return how the command calls the checkpoint: relative to where it runs."""
    if request.checkpoint is None:
        return CHECKPOINT
    return os.path.relpath(request.checkpoint.resolve(), request.cwd)


def _variables(request: ReproduceRequest, original: Original | None) -> dict[str, str]:
    """Return the variables that are set: none as-is, else the recorded ones, else our pins."""
    variables: dict[str, str] = {}
    if request.mode is not Mode.AS_IS:
        variables = dict(recorded_variables(original.claim) if original else default_pins())
    if request.device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    elif request.device.startswith("cuda:"):
        variables["CUDA_VISIBLE_DEVICES"] = request.device.removeprefix("cuda:")
    return variables


def _timeout(request: ReproduceRequest, original: Original | None) -> float | None:
    if request.timeout_s is not None or original is None:
        return request.timeout_s
    told = original.claim.usage.get("wallSeconds")
    wall_s = float(told) if isinstance(told, int | float) else 0.0
    return max(_LEAST_TIMEOUT_S, _PATIENCE * wall_s)
