"""Recorded runs: found anywhere, read strictly, and joined to the weights by digest.

A record is the statement of one step (`mlbom.attest.run_claim`) in a Sigstore bundle, or bare when
nobody signed it. Nothing is believed for being there: `verify` checks signatures; here a signed
record counts as measured and an unsigned one as declared. A record that matches nothing is told as
unrelated; one of a command that failed never counts as what made the weights.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbom.collect.scope import Witness
from mlbom.digest.hashing import FileDigest
from mlbom.errors import UnreadableError
from mlbom.evidence.observation import Gap
from mlbom.evidence.origin import Method

COLLECTOR = RUNS = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """What hashing found, for joining records by digest.

    Args:
        files: the model's files by path relative to the model root.
        datasets: the files of each local dataset whose content was read, by the dataset's path.
    """

    files: Mapping[str, FileDigest]
    datasets: Mapping[str, Sequence[FileDigest | UnreadableError]]


def runs_folder(project_root: Path) -> Path:
    """Return where the records of a project lie when nobody names another place."""
    return project_root / ".mlbom" / RUNS


def training_not_recorded(model: str) -> Gap:
    """Return the gap for weights that no record of training leads to.

    Args:
        model: id of the `Model`.
    """
    reason = "not recorded: no record of a run tells how these weights were made"
    return Witness(COLLECTOR, Method.MEASURED).misses(model, reason, field="training")


def known_products(folder: Path) -> Mapping[str, frozenset[str]]:
    """Return SHA-256 digests by the published name of what earlier recorded steps wrote.

    Args:
        folder: a folder of records, `.mlbom/runs`.
    """
    if not folder.is_dir():
        return {}
    from mlbom.collect.runs.record import Record
    from mlbom.collect.runs.search import find_records

    products: dict[str, set[str]] = defaultdict(set)
    for found in find_records((), folder):
        if isinstance(found, Record) and found.claim.succeeded:
            for name, sha256 in found.named_products():
                products[name].add(sha256)
    return {name: frozenset(digests) for name, digests in products.items()}
