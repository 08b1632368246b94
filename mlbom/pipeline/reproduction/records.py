"""Finds the recorded training that is to be reproduced, and which of its files are still here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mlbom.attest.run_claim import StepKind
from mlbom.collect.files import file_role
from mlbom.collect.runs.record import Record
from mlbom.collect.runs.search import find_records
from mlbom.digest.manifest import parse_manifest
from mlbom.errors import MlbomError, PathNotFoundError, UnreadableError, UsageError
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import open_regular, read_regular
from mlbom.pipeline.step_facts import PRIVATE_COMMAND, PRIVATE_INPUTS, RUNS
from mlbom.record.steps.merkle import trace_root
from mlbom.record.steps.reading import read_steps
from mlbom.reproduce.original import Original

_PIECE = 1024 * 1024
_LARGEST_PRIVATE = 256 * 1024 * 1024


def choose_record(named: str, project_root: Path) -> Record:
    """Return the record that a text names, or the newest recorded training when it names none.

    Args:
        named: a file, a folder of one run, the id of a run, or the name of a step (its newest).
        project_root: folder whose `.mlbom/runs` is looked through.

    Raises:
        PathNotFoundError: there is no such run.
        UsageError: it is an evaluation, which trains nothing.
        UnreadableError: the record cannot be read.
    """
    default = project_root / ".mlbom" / RUNS
    records, failures = _read((), default)
    if named:
        chosen = [r for r in records if named in (r.claim.invocation, r.path.parent.name)]
        chosen = chosen or [r for r in records if r.claim.name == named]
        if not chosen and Path(named).exists():
            chosen, failures = _read((Path(named).resolve(),), default)
    else:
        chosen = [r for r in records if r.claim.kind is StepKind.TRAIN]
    if not chosen:
        raise _not_found(named, default, failures)
    newest = max(chosen, key=lambda record: (record.claim.started, record.sha256))
    if newest.claim.kind not in (StepKind.TRAIN, StepKind.OTHER):
        message = (
            f"{newest.place} records a step of the kind {newest.claim.kind.value}: no training"
        )
        raise UsageError(message, hint="name the run that made the weights")
    return newest


def _read(named: tuple[Path, ...], default: Path) -> tuple[list[Record], list[UnreadableError]]:
    """Return the records of some places, and what is wrong with those that cannot be read."""
    found = list(find_records(named, default))
    records = [one for one in found if isinstance(one, Record)]
    return records, [one[1] for one in found if not isinstance(one, Record)]


def _not_found(named: str, default: Path, failures: list[UnreadableError]) -> MlbomError:
    if failures:
        return failures[0]
    message = f"no recorded run {named}" if named else "no recorded training"
    hint = (
        "mlbom run --name train --trace step -- CMD records one; mlbom reproduce -- CMD needs none"
    )
    return PathNotFoundError(message, looked=[str(default)], hint=hint)


def read_original(record: Record, project_root: Path) -> Original:
    """Return a recorded training with its trace and its weights, where they are here."""
    weights = {n: sha256 for n, sha256 in record.named_products() if file_role(n) == "weights"}
    present = {name: project_root / name for name in weights}
    trace, root = None, record.claim.trace_root
    folder = record.path.parent / "trace"
    if root and folder.is_dir():
        told = read_steps(folder)
        trace = told if trace_root(told) == root else None
    return Original(
        claim=record.claim,
        sha256=record.sha256,
        trace=trace,
        trace_root=root,
        weights=weights,
        files={n: path for n, path in present.items() if sha256_of(path) == weights[n]},
        metrics={m["name"]: m["value"] for m in record.claim.metrics if _is_number(m)},
    )


def _is_number(metric: Mapping[str, object]) -> bool:
    value = metric.get("value")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and isinstance(metric.get("name"), str)


def private_names(record: Record, project_root: Path) -> dict[str, str]:
    """Return real name -> SHA-256 of what the step read, where this is the machine it ran on."""
    try:
        return dict(parse_manifest(_private(record, project_root, PRIVATE_INPUTS)))
    except (OSError, UnreadableError):
        return {}


def real_command(record: Record, project_root: Path) -> tuple[str, ...]:
    """Return the command as it was started; as the record tells it where that is not known here."""
    try:
        told = parse_json(_private(record, project_root, PRIVATE_COMMAND), PRIVATE_COMMAND)
    except (OSError, UnreadableError):
        return record.claim.command
    is_command = isinstance(told, list) and told and all(isinstance(word, str) for word in told)
    return tuple(told) if is_command else record.claim.command


def is_own(record: Record, project_root: Path) -> bool:
    """Return whether a record lies among the project's own."""
    return record.path.is_relative_to(project_root / ".mlbom" / RUNS)


def _private(record: Record, project_root: Path, name: str) -> bytes:
    if not is_own(record, project_root):
        raise FileNotFoundError
    folder = project_root / ".mlbom" / "private" / RUNS / record.path.parent.name
    return read_regular(folder / name, _LARGEST_PRIVATE, name)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file, or an empty text when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(open_regular(path), "rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()
