"""Join records to a model by digest: forwards from what a step wrote, backwards along its inputs.

Places play no part. A record is joined when bytes lead from it to the model:

- a train record, or another step that wrote weights: one of them is a weight file of the model;
- an evaluation: a weight file of the model is among those it read;
- any other step: one of its outputs is a file of the model;
- and every step that wrote what a joined step read, until none is left.

Runs of one project often write the same configuration or cache beside different weights, so of a
step that wrote weights only those count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.run_claim import EMPTY, LOG_SUBJECTS, StepKind
from mlbom.collect.runs.record import Record, read_record
from mlbom.collect.runs.search import find_records
from mlbom.digest.hashing import FileDigest
from mlbom.errors import ChangedWhileReadingError, UnreadableError
from mlbom.formats.weight_names import is_weight_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of a release by digest.

    Args:
        all: paths relative to the model root by SHA-256.
        weights: those that hold weights.
    """

    all: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, files: Mapping[str, FileDigest], weights: tuple[str, ...]) -> "ModelFiles":
        """Return hashed files by digest.

        Args:
            files: by path relative to the model root.
            weights: which of them are the model's weights and indexes.
        """
        named = {path for path in weights if not path.endswith(".json")}
        held = [path for path in files if path in named or holds_weights(path)]
        return cls(all=_by_digest(files, files), weights=_by_digest(held, files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What of a record decides whether it is joined; the record itself is read again then.

    Args:
        path: the file.
        place: how outputs call it.
        id: of its `Run`.
        sha256: of its payload.
        name: of the step.
        kind: what it is for.
        started: seconds since 1970 UTC.
        finished: seconds since 1970 UTC.
        failure: how the command failed, or empty.
        subjects: digests of what it is about.
        leading: those by which it is joined: its weights, when it wrote any, else all.
        inputs: digests of what it read.
    """

    path: Path
    place: str
    id: str
    sha256: str
    name: str
    kind: StepKind
    started: int
    finished: int
    failure: str
    subjects: frozenset[str]
    leading: frozenset[str]
    inputs: frozenset[str]

    def came_before(self, reader: "Candidate") -> bool:
        """Return whether it wrote what the reader read, and had finished by then.

        A data step that is repeated after the training has made nothing of it, whatever it wrote.
        """
        is_maker = self.kind is not StepKind.EVAL and not self.leading.isdisjoint(reader.inputs)
        return is_maker and self.finished <= reader.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The records that lead to a model.

    Args:
        records: joined, in order of time.
        unrelated: good records that lead nowhere here.
        failed: records of commands that failed; they made nothing.
        unreadable: place and reason of each file that should be a record.
        files: paths of the model's files that a run wrote (an evaluation: read), by id of the run.
        after: ids of the runs whose products a run read, by id of the run.
    """

    records: tuple[Record, ...]
    unrelated: tuple[Candidate, ...]
    failed: tuple[Candidate, ...]
    unreadable: tuple[tuple[str, UnreadableError], ...]
    files: Mapping[str, tuple[str, ...]]
    after: Mapping[str, tuple[str, ...]]


def join_records(named: tuple[Path, ...], default: Path, model: ModelFiles) -> Chain:
    """Find the records and join those that lead to the model.

    Args:
        named: files and folders that the user names, or ().
        default: the folder looked through when none is named.
        model: the files of the release.

    Raises:
        PathNotFoundError: a named place does not exist.
    """
    candidates: dict[tuple[str, str], Candidate] = {}
    unreadable: list[tuple[str, UnreadableError]] = []
    for found in find_records(named, default):
        if isinstance(found, Record):
            candidates.setdefault((found.sha256, found.signer), _candidate(found))
        else:
            unreadable.append(found)
    signed = {sha256 for sha256, signer in candidates if signer}
    # A bare statement tells nothing that its signed twin does not.
    heard = [c for (sha256, signer), c in candidates.items() if signer or sha256 not in signed]
    ordered = sorted(heard, key=lambda c: (c.started, c.id, c.place))
    good = [c for c in ordered if not c.failure]
    joined = _joined(good, model)
    records: list[Record] = []
    for candidate in joined:
        try:
            records.append(_read_again(candidate))
        except UnreadableError as error:
            unreadable.append((candidate.place, error))
    ids = {c.id for c in joined}
    return Chain(
        records=tuple(records),
        unrelated=tuple(c for c in good if c.id not in ids),
        failed=tuple(c for c in ordered if c.failure),
        unreadable=tuple(unreadable),
        files={c.id: _files(c, model) for c in joined},
        after={c.id: _after(c, joined) for c in joined},
    )


def _candidate(record: Record) -> Candidate:
    claim = record.claim
    subjects = [(name, sha) for name, sha in record.subjects() if name not in LOG_SUBJECTS]
    weights = frozenset(sha256 for name, sha256 in subjects if holds_weights(name))
    return Candidate(
        path=record.path,
        place=record.place,
        id=record.id,
        sha256=record.sha256,
        name=claim.name,
        kind=claim.kind,
        started=claim.started,
        finished=claim.finished,
        failure=claim.failure,
        subjects=frozenset(sha256 for _, sha256 in subjects),
        leading=weights or frozenset(sha256 for _, sha256 in subjects),
        inputs=frozenset(sha256 for _, sha256 in record.inputs()) - {EMPTY},
    )


def _by_digest(
    paths: Iterable[str], files: Mapping[str, FileDigest]
) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(paths):
        sha256 = files[path].sha256
        if sha256 != EMPTY:
            found[sha256] = (*found.get(sha256, ()), path)
    return found


def holds_weights(path: str) -> bool:
    """Return whether a file of this name holds weights; an index of shards holds none."""
    return is_weight_name(path) and not path.endswith(".json")


def _joined(candidates: list[Candidate], model: ModelFiles) -> list[Candidate]:
    """Return those that lead to the model, in the order given."""
    joined = {c.id for c in candidates if _leads_to(c, model)}
    while True:
        readers = [c for c in candidates if c.id in joined]
        further = {
            c.id
            for c in candidates
            if c.id not in joined and any(c.came_before(reader) for reader in readers)
        }
        if not further:
            return [c for c in candidates if c.id in joined]
        joined |= further


def _leads_to(candidate: Candidate, model: ModelFiles) -> bool:
    """Return whether a record is about files of the model itself."""
    if candidate.kind in (StepKind.TRAIN, StepKind.EVAL):
        return not candidate.subjects.isdisjoint(model.weights)
    return not candidate.leading.isdisjoint(model.all)


def _files(candidate: Candidate, model: ModelFiles) -> tuple[str, ...]:
    found = (path for digest in candidate.subjects for path in model.all.get(digest, ()))
    return tuple(sorted(found))


def _after(candidate: Candidate, joined: list[Candidate]) -> tuple[str, ...]:
    read = candidate.inputs
    if candidate.kind is StepKind.EVAL:
        read |= candidate.subjects
    others = (c for c in joined if c.id != candidate.id and c.kind is not StepKind.EVAL)
    earlier = {c.id for c in others if c.subjects & read and c.finished <= candidate.started}
    return tuple(sorted(earlier))


def _read_again(candidate: Candidate) -> Record:
    record = read_record(candidate.path, candidate.place, expected=True)
    if record is None or record.sha256 != candidate.sha256:
        message = f"{candidate.place} changed while it was being read"
        raise ChangedWhileReadingError(message)
    return record
