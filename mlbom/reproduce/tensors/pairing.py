"""Which tensor of one file is compared with which of another: names, kinds, renamings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlbom.formats.tensors.rows import TensorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The rows of two files by name.

    Args:
        alike: (row of A, row of B) of equal name, dtype, shape and traits, in A's order.
        unlike: of equal name only.
        unread: of equal name, where one cannot be read.
        removed: only in A.
        added: only in B.
    """

    alike: tuple[tuple[TensorRow, TensorRow], ...]
    unlike: tuple[tuple[TensorRow, TensorRow], ...]
    unread: tuple[tuple[TensorRow, TensorRow], ...]
    removed: tuple[TensorRow, ...]
    added: tuple[TensorRow, ...]


def paired(a: Iterable[TensorRow], b: Iterable[TensorRow]) -> Pairing:
    """Return the rows of two files by name."""
    ours = {row.name: row for row in a}
    theirs = {row.name: row for row in b}
    both = [(row, theirs[name]) for name, row in ours.items() if name in theirs]
    same_kind = [(one, other) for one, other in both if _kind(one) == _kind(other)]
    return Pairing(
        alike=tuple(p for p in same_kind if not _has_problem(p)),
        unlike=tuple((one, other) for one, other in both if _kind(one) != _kind(other)),
        unread=tuple(p for p in same_kind if _has_problem(p)),
        removed=tuple(row for name, row in ours.items() if name not in theirs),
        added=tuple(row for name, row in theirs.items() if name not in ours),
    )


def renamed(
    pairing: Pairing, digests_a: Mapping[str, str], digests_b: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return (name in A, name in B) of tensors that are equal but for their names.

    Where several are equal, as tensors of zeros, they are matched in the order of the files.
    """
    waiting: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for row in reversed(pairing.added):
        if row.has_data:
            waiting[*_kind(row), digests_b[row.name]].append(row.name)
    found = []
    for row in pairing.removed:
        same = waiting.get((*_kind(row), digests_a.get(row.name))) if row.has_data else None
        if same:
            found.append((row.name, same.pop()))
    return tuple(found)


def first_out_of_order(a: Iterable[TensorRow], b: Iterable[TensorRow]) -> tuple[str, str] | None:
    """Return the first names that differ when the common tensors are told in each file's order."""
    names_a, names_b = [row.name for row in a], [row.name for row in b]
    common = set(names_a) & set(names_b)
    ours = (name for name in names_a if name in common)
    theirs = (name for name in names_b if name in common)
    return next((pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]), None)


def _kind(row: TensorRow) -> tuple[str, tuple[int, ...], str]:
    return row.dtype, row.shape, row.traits


def _has_problem(pair: tuple[TensorRow, TensorRow]) -> bool:
    return bool(pair[0].problem or pair[1].problem)
