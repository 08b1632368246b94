"""What the model was made from: bound by the evidence, re-hashed only where the caller has it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlbom.digest.ignore import IgnoreList
from mlbom.digest.manifest import dir_hash, manifest_bytes
from mlbom.digest.tree import Entry, EntryKind, walk
from mlbom.errors import PathNotFoundError, UsageError
from mlbom.evidence.graph import Graph
from mlbom.evidence.nodes import Dataset, Model
from mlbom.verify.chain.materials import NOBODY, is_trusted
from mlbom.verify.files.measure import locate, measure
from mlbom.verify.policy.values import Policy
from mlbom.verify.verdict import Ledger, counted


def check_inputs(
    ledger: Ledger, graph: Graph, policy: Policy, check_data: Mapping[str, Path]
) -> None:
    """Note an edge for each dataset and base model.

    Args:
        ledger: takes the edges.
        graph: the evidence, bound by the closing statement.
        policy: may trust some of them although nobody attests them.
        check_data: folder or file of a dataset, by the dataset's name, id or path.

    Raises:
        UsageError: a name that the evidence does not know.
        PathNotFoundError: a folder that is not there.
    """
    datasets = graph.nodes(Dataset)
    unknown = [n for n in check_data if not any(n in _names(d) for d in datasets)]
    if unknown:
        message = f"the release names no dataset {unknown[0]!r}"
        raise UsageError(message, looked=[d.name or d.id for d in datasets])
    for dataset in datasets:
        place = next((check_data[n] for n in _names(dataset) if n in check_data), None)
        trusted = dataset.manifest and is_trusted(policy, sha256=dataset.manifest.value)
        _check_dataset(ledger, dataset, place, trusted=bool(trusted))
    for base in sorted({base for model in graph.nodes(Model) for base in model.base_models}):
        if is_trusted(policy, base) or is_trusted(policy, f"pkg:huggingface/{base}"):
            ledger.held(f"base model {base}", "a name", "your policy trusts it")
        else:
            ledger.not_checked(f"base model {base}", "a name", NOBODY)


def _check_dataset(ledger: Ledger, dataset: Dataset, place: Path | None, *, trusted: bool) -> None:
    name = f"dataset {dataset.name or dataset.id.removeprefix('data:')}"
    if trusted and place is None:
        ledger.held(name, f"manifest {dataset.manifest}", "your policy trusts it; not re-hashed")
    elif dataset.manifest is None:
        why = f"{NOBODY}: no digest of it is known"
        ledger.not_checked(name, "a name", why)
    elif place is None:
        checked = f"manifest {dataset.manifest}"
        ledger.not_checked(name, checked, "bound, not re-hashed")
    else:
        _rehash(ledger, name, dataset, place)


def _rehash(ledger: Ledger, name: str, dataset: Dataset, place: Path) -> None:
    since = len(ledger.problems)
    root, entries = _entries(place)
    measured = measure(root, entries, ("sha256",))
    for path, why in sorted(measured.unreadable.items()):
        ledger.problem("unreadable", why, path)
    files = measured.digests
    found = dir_hash(manifest_bytes((path, d["sha256"]) for path, d in files.items()))
    signed = dataset.manifest.value if dataset.manifest else ""
    if found != signed and not measured.unreadable:
        known = dataset.file_count
        size = "" if known is None else f" of {counted(known, 'file')}"
        here = f"{place} holds {counted(len(files), 'file')} with the manifest {found}"
        message = f"{name} is another one: {here}, the release names {signed}{size}"
        ledger.problem("data-differs", message)
    checked = f"manifest of {counted(len(files), 'file')} in {place}"
    ledger.judge(name, checked, since, f"equals {signed}")


def _entries(place: Path) -> tuple[Path, Iterable[Entry]]:
    """Return the folder that names are relative to, and the files of a dataset."""
    if place.is_dir():
        found = walk(place, IgnoreList(()).covers)
        return place, [e for e in found if e.kind in (EntryKind.FILE, EntryKind.UNREADABLE)]
    alone = locate(place.parent, place.name) if place.name else None
    if alone is None:
        message = f"dataset not found: {place}"
        raise PathNotFoundError(message, looked=[os.fspath(place)])
    return place.parent, [alone]


def _names(dataset: Dataset) -> tuple[str, ...]:
    """Return what a caller may call a dataset."""
    names = (dataset.name, dataset.id, dataset.id.removeprefix("data:"), dataset.path)
    return tuple(name for name in names if name)
