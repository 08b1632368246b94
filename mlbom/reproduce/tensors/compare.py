"""Compare two weight files level by level: container, names, dtypes and shapes, bits."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlbom.formats.tensors.file import TensorFile
from mlbom.formats.tensors.opening import open_tensors
from mlbom.formats.tensors.rows import Part, TensorRow
from mlbom.reproduce.tensors.comparison import EqualTensor, FileComparison, Side, TensorDifference
from mlbom.reproduce.tensors.contents import Contents, PairReader, first_difference
from mlbom.reproduce.tensors.digests import digest_of, row_digest
from mlbom.reproduce.tensors.packaging import code_differences, packaging_differences
from mlbom.reproduce.tensors.pairing import Pairing, paired, renamed
from mlbom.reproduce.tensors.totals import LayerTotals, PartTotals, layer_of

# Hashing and numpy leave the interpreter free: a second tensor is compared meanwhile.
THREADS = 2
# How many results may wait for each thread: what was measured takes memory until it is told.
_AHEAD = 8
_WEIGHTS = (Part.MODEL, Part.BUFFER)
_Pair = tuple[TensorRow, TensorRow]
_ItemT = TypeVar("_ItemT")
_FoundT = TypeVar("_FoundT")


def compare_files(
    a: Path, b: Path, *, numbers: bool = True, threads: int = THREADS
) -> FileComparison:
    """Compare two weight files; memory does not grow with the size of their tensors.

    Args:
        a: any file that `open_tensors` opens.
        b: another, also of another format.
        numbers: whether to measure how far tensors lie apart, which needs numpy. Without, they are
            only told to be equal or not.
        threads: how many tensors are compared at once.

    Raises:
        OSError: missing or unreadable.
        UnreadableError: no weight file, or it changed meanwhile.
        MissingExtraError: there is a difference to be measured, and numpy is not installed.
    """
    with open_tensors(a) as ours, open_tensors(b) as theirs:
        first_byte = first_difference(ours, theirs) if ours.nbytes == theirs.nbytes else 0
        pairing = paired(ours.rows, theirs.rows)
        results = _Results({row.name: place for place, row in enumerate(ours.rows)})
        # Of two files that are the same one is enough.
        reader = PairReader(ours, ours if first_byte is None else theirs, numbers=numbers)
        for (row, other), contents in _contents(reader, pairing.alike, threads):
            results.add(row, other, contents)
        for opened, digests in ((ours, results.digests_a), (theirs, results.digests_b)):
            lone = [row for row in opened.rows if row.name not in digests]
            hashed = _mapped(partial(row_digest, opened), lone, threads)
            digests.update(zip((row.name for row in lone), hashed, strict=True))
            opened.check_unchanged()
        packaging, more = packaging_differences(ours, theirs, first_byte)
        moved = renamed(pairing, results.digests_a, results.digests_b)
        return FileComparison(
            a=_side(ours, results.digests_a),
            b=_side(theirs, results.digests_b),
            is_same_file=first_byte is None,
            packaging=packaging,
            packaging_more=more,
            removed=_without(pairing.removed, {one for one, _ in moved}),
            added=_without(pairing.added, {other for _, other in moved}),
            renamed=moved,
            unlike=pairing.unlike,
            unread=() if first_byte is None else _unread(pairing),
            equal=tuple(results.equal),
            differing=tuple(results.differing),
            parts=results.parts,
            layers=tuple(results.layers.values()),
            has_numbers=numbers,
            code=code_differences(ours, theirs),
        )


@dataclass(slots=True)
class _Results:
    """What came out so far; what was measured of a tensor is kept as a few numbers."""

    places: Mapping[str, int]
    digests_a: dict[str, str] = field(default_factory=dict)
    digests_b: dict[str, str] = field(default_factory=dict)
    equal: list[EqualTensor] = field(default_factory=list)
    differing: list[TensorDifference] = field(default_factory=list)
    parts: dict[Part, PartTotals] = field(default_factory=dict)
    layers: dict[str, LayerTotals] = field(default_factory=dict)

    def add(self, row: TensorRow, other: TensorRow, contents: Contents) -> None:
        """Enter a pair of tensors of equal dtype and shape."""
        layer, place = layer_of(row.name), self.places[row.name]
        self.digests_a[row.name] = contents.sha256_a
        self.digests_b[other.name] = contents.sha256_b
        self.parts.setdefault(row.part, PartTotals()).add(row, contents)
        self.layers.setdefault(layer, LayerTotals(name=layer)).add(row, contents)
        if contents.is_equal:
            told = EqualTensor(place=place, row=row, layer=layer, sha256=contents.sha256_a)
            self.equal.append(told)
        else:
            self.differing.append(_difference(row, place, layer, contents))


def _contents(
    reader: PairReader, pairs: Iterable[_Pair], threads: int
) -> Iterator[tuple[_Pair, Contents]]:
    """Yield what each pair holds; an alias holds what the tensor holds that it stands for."""
    pairs = tuple(pairs)
    roots = [(row.alias_of or row.name, other.alias_of or other.name) for row, other in pairs]
    waiting = Counter(roots)
    jobs = dict(zip(reversed(roots), reversed(pairs), strict=True))
    found = _mapped(reader.compare, [jobs[root] for root in waiting], threads)
    known: dict[tuple[str, str], Contents] = {}
    for pair, root in zip(pairs, roots, strict=True):
        if root not in known:
            known[root] = next(found)
        yield pair, known[root]
        waiting[root] -= 1
        if not waiting[root]:
            del known[root]


def _mapped(
    work: Callable[[_ItemT], _FoundT], items: Iterable[_ItemT], threads: int
) -> Iterator[_FoundT]:
    """Yield the results in the order of the items."""
    if threads <= 1:
        yield from map(work, items)
        return
    pending: deque[Future[_FoundT]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > _AHEAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _difference(row: TensorRow, place: int, layer: str, contents: Contents) -> TensorDifference:
    measured = contents.measured
    told = TensorDifference(
        place=place,
        name=row.name,
        dtype=row.dtype,
        shape=row.shape,
        part=row.part,
        layer=layer,
        sha256_a=contents.sha256_a,
        sha256_b=contents.sha256_b,
        first=contents.first,
        elements=row.elements,
    )
    if measured is None:
        return told
    ulps = measured.ulps
    return replace(
        told,
        differing=measured.differing,
        ulp=(ulps.percentile(0.5), ulps.percentile(0.99), ulps.largest),
        max_abs=measured.max_abs,
        rel_l2=measured.rel_l2,
        cosine=measured.cosine,
        counts=measured.counts.by_name(),
    )


def _side(opened: TensorFile, digests: Mapping[str, str]) -> Side:
    rows = opened.rows
    weights = [row for row in rows if row.part in _WEIGHTS]
    return Side(
        name=opened.name,
        format=opened.format,
        nbytes=opened.nbytes,
        tensors=len(rows),
        elements=sum(row.elements for row in rows),
        digest="" if any(row.problem for row in rows) else digest_of(rows, digests),
        weights_digest="" if any(r.problem for r in weights) else digest_of(weights, digests),
    )


def _without(rows: Iterable[TensorRow], names: set[str]) -> tuple[str, ...]:
    return tuple(row.name for row in rows if row.name not in names)


def _unread(pairing: Pairing) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.problem or other.problem) for one, other in pairing.unread)
