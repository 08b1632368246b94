"""What was stated of training this model again, in the bundles that `.mlbom/attestations` keeps.

Taken is what is about every weight file of this release and tells something: that the weights were
reproduced, or that they were not. A statement that nobody can tell is left where it lies. Nothing
is believed for being there: what is read here is declared, and `verify` asks who signed it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.bundle import (
    FOLDER,
    MAX_BYTES,
    SUFFIX,
    bundle_id,
    check_bundle_size,
    parse_bundle,
)
from mlbom.attest.ladder import reproduced_level
from mlbom.attest.moment import parse_timestamp
from mlbom.attest.reproduction_claim import DETAILS_NAME, MOST_DETAILS, ReproductionClaim
from mlbom.attest.reproduction_reading import check_details, is_reproduction, parse_reproduction
from mlbom.attest.run_claim import StepKind, is_run, parse_run
from mlbom.attest.statement import Statement, parse_statement
from mlbom.attest.types import PASSED, WARNED
from mlbom.collect.runs.joining import ModelFiles
from mlbom.collect.scope import Witness
from mlbom.digest.hashing import FileDigest
from mlbom.errors import UnreadableError
from mlbom.evidence.digest import Digest
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Pair, Reproduction
from mlbom.evidence.observation import Observation
from mlbom.evidence.origin import Method
from mlbom.formats.strict_json import parse_json
from mlbom.openfile import read_regular

COLLECTOR = "reproductions"
_MAX_KEPT = 1024
_NAME = re.compile(rf"[0-9]{{2}}-[\w.-]{{1,100}}-([0-9a-f]{{8}}){re.escape(SUFFIX)}")
_ID_DIGITS = 16
# What trained weights, or looked at them: the kinds whose records a rebuilder signs.
_OF_WEIGHTS = (StepKind.TRAIN, StepKind.EVAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A bundle of an earlier command, unchanged.

    Args:
        name: of the file.
        data: its bytes.
        payload: what was signed.
        sha256: of the payload.
        hint: which public key signed by its own account; empty for a certificate.
        statement: what the payload says.
    """

    name: str
    data: bytes
    payload: bytes
    sha256: str
    hint: str
    statement: Statement

    @property
    def is_of_reproduction(self) -> bool:
        """Return whether it speaks of training again, or can: only its signer tells a record."""
        try:
            if is_reproduction(self.statement) or reproduced_level(self.statement):
                return True
        except UnreadableError:
            return True
        return is_run(self.statement) and parse_run(self.statement).kind in _OF_WEIGHTS


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReproductions:
    """What reproductions add to an inspection.

    Args:
        bundles: those that go along with the release, in the order of their names.
        graph: what they tell.
    """

    bundles: tuple[Kept, ...]
    graph: Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    """A kept statement about every weight file: the level that it tells, and all that it claims."""

    kept: Kept
    level: str
    claim: ReproductionClaim | None


def kept_statements(folder: Path) -> Iterator[Kept]:
    """Yield every whole bundle of a folder whose name is that of its payload, by name.

    What cannot be read proves nothing, and is passed over.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    for path in paths[:_MAX_KEPT]:
        named = _NAME.fullmatch(path.name)
        kept = _read(path) if named else None
        if named and kept and bundle_id(kept.payload) == named[1]:
            yield kept


def inspect_reproductions(
    folder: Path, files: Mapping[str, FileDigest], weights: tuple[str, ...]
) -> KeptReproductions:
    """Return the kept statements of training this model again, and what they tell.

    Args:
        folder: `.mlbom/attestations`, which keeps all bundles.
        files: the model's files by path relative to its root.
        weights: which of them are its weights and indexes.
    """
    known = ModelFiles.of(files, weights).weights
    kept = tuple(one for one in kept_statements(folder) if one.is_of_reproduction)
    stated = tuple(told for one in kept if (told := _stated(one, known)))
    named = {payload for told in stated if told.claim for payload in told.claim.rebuilds}
    runs = (one for one in kept if _goes_along(one, named, known))
    taken = sorted((*(told.kept for told in stated), *runs), key=lambda one: one.name)
    paths = tuple(f"file:{path}" for found in known.values() for path in found)
    graph = Graph.of(_observed(told, paths) for told in stated)
    return KeptReproductions(bundles=tuple(taken), graph=graph)


def _read(path: Path) -> Kept | None:
    try:
        data = read_regular(path, MAX_BYTES, path.name)
        check_bundle_size(data)
        bundle = parse_bundle(parse_json(data, path.name, safe_integers=True))
        payload = bundle.envelope.payload
        statement = parse_statement(parse_json(payload, path.name, safe_integers=True))
    except (OSError, UnreadableError):
        return None
    return Kept(
        name=path.name,
        data=data,
        payload=payload,
        sha256=hashlib.sha256(payload).hexdigest(),
        hint=bundle.hint,
        statement=statement,
    )


def _stated(one: Kept, weights: Mapping[str, tuple[str, ...]]) -> _Stated | None:
    """Return what is told of every weight file here, when it says how that came out."""
    about = {subject.sha256 for subject in one.statement.subjects}
    if not weights or not about.issuperset(weights):
        return None
    try:
        claim = _claim(one.statement) if is_reproduction(one.statement) else None
        level = claim.level if claim else reproduced_level(one.statement)
    except UnreadableError:
        return None
    tells = claim.result != WARNED if claim else bool(level)
    return _Stated(kept=one, level=level, claim=claim) if tells else None


def _claim(statement: Statement) -> ReproductionClaim:
    """Return what a statement of ours claims.

    Raises:
        UnreadableError: it contradicts itself, or carries the details of another one.
    """
    claim = parse_reproduction(statement)
    if claim.details is not None:
        check_details(claim, parse_json(claim.details, DETAILS_NAME, max_bytes=MOST_DETAILS))
    return claim


def _goes_along(one: Kept, named: set[str], weights: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a record of a run belongs to a reproduction, or made these very weights."""
    if not is_run(one.statement) or not parse_run(one.statement).succeeded:
        return False
    return one.sha256 in named or any(s.sha256 in weights for s in one.statement.subjects)


def _observed(told: _Stated, files: tuple[str, ...]) -> Observation:
    witness = Witness(COLLECTOR, Method.DECLARED, f"{FOLDER}/{told.kept.name}")
    claim = told.claim
    if claim is None:
        return witness.observes(_foreign(told, files))
    return witness.observes(
        Reproduction(
            id=f"reproduction:{claim.details_sha256[:_ID_DIGITS]}",
            level=claim.level,
            required=claim.required,
            result=claim.result,
            mode=claim.mode,
            runs=claim.runs,
            finished=claim.finished,
            recorder=f"mlbom {claim.tool_version}",
            original=Digest("sha256", claim.original) if claim.original else None,
            commit=claim.commit or None,
            rebuilds=tuple(Digest("sha256", payload) for payload in claim.rebuilds),
            details=Digest("sha256", claim.details_sha256),
            builder=claim.builder,
            isolated=claim.isolated,
            control=claim.control,
            thresholds=tuple(_thresholds(claim.thresholds.items())),
            reasons=claim.reasons,
            limits=claim.limits,
            files=files,
        )
    )


def _thresholds(told: Iterable[tuple[str, object]]) -> Iterator[Pair]:
    for name, value in told:
        yield Pair(name, value if isinstance(value, str) else repr(value))


def _foreign(told: _Stated, files: tuple[str, ...]) -> Reproduction:
    """Return what the verification result of another tool tells."""
    created = told.kept.statement.predicate.get("timeCreated")
    try:
        finished = parse_timestamp(created) if isinstance(created, str) else None
    except UnreadableError:
        finished = None
    return Reproduction(
        id=f"reproduction:{told.kept.sha256[:_ID_DIGITS]}",
        level=told.level,
        result=PASSED,
        finished=finished,
        files=files,
    )
