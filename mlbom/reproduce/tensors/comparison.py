"""What comparing two weight files found: values, and the JSON document of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.formats.tensors.rows import Part, TensorRow
from mlbom.reproduce.tensors.figures import counts_document, figure, ulp_document
from mlbom.reproduce.tensors.totals import LayerTotals, PartTotals

SCHEMA = "urn:mlbom:tensor-diff/1"
# Entries of one kind of packaging that are told; the others are counted.
MOST_TOLD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two files.

    Args:
        name: of the file, without its folder.
        format: `safetensors`, `torch-zip`, ...
        nbytes: its size, or that of all shards.
        tensors, elements: how many, aliases counted too.
        digest: canonical digest of all tensors; empty when one of them cannot be read.
        weights_digest: the same of model and buffers alone.
    """

    name: str
    format: str
    nbytes: int
    tensors: int
    elements: int
    digest: str
    weights_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagingDifference:
    """Something that changes no tensor: what, which one of several, and how it is in A and B.

    `a` or `b` is None where the file has nothing of the kind.
    """

    kind: str
    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDifference:
    """A tensor whose bits differ.

    Ulps, norms and counts of signs are of numbers that are finite in both files, equal ones too;
    NaN and infinities are counted in `counts`. A complex element is two numbers.

    Args:
        place: among the tensors of A, from 0.
        name, dtype, shape, part: as in both files; the part as in A.
        layer: the part of the name that neighbours share.
        sha256_a, sha256_b: of the bytes.
        first: flat index of the first element that differs.
        differing: how many elements differ; None when only their bits were compared.
        ulp: p50, p99 and largest distance in units in the last place; integers by their value.
        max_abs: largest absolute difference.
        rel_l2: norm of the difference over the norm of A's.
        cosine: of the angle between A's and B's.
        counts: `Counts` by name.
    """

    place: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    part: Part
    layer: str
    sha256_a: str
    sha256_b: str
    first: int
    elements: int
    differing: int | None = None
    ulp: tuple[int, int, int] | None = None
    max_abs: float | None = None
    rel_l2: float | None = None
    cosine: float | None = None
    counts: Mapping[str, int] | None = None

    def within(self, rel_l2: float, p99_ulp: int) -> bool:
        """Return whether the tensor is known to lie within both bounds, every number finite.

        A NaN or infinity on one side only, or a number that could not be told, is beyond any bound.
        """
        if self.rel_l2 is None or self.ulp is None or self.counts is None:
            return False
        is_finite = not self.counts["not_finite"]
        return is_finite and self.rel_l2 <= rel_l2 and self.ulp[1] <= p99_ulp

    @property
    def fraction(self) -> float | None:
        """Return the share of elements that differ."""
        return None if self.differing is None else self.differing / self.elements


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualTensor:
    """A tensor of which every bit is equal.

    Args:
        place: among the tensors of A, from 0.
        row: of A.
        layer: the part of the name that neighbours share.
        sha256: of the bytes; empty without data.
    """

    place: int
    row: TensorRow
    layer: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileComparison:
    """Two weight files, compared level by level.

    Args:
        a, b: the files.
        is_same_file: whether every byte of the files is equal.
        packaging: differences of the containers, which change no tensor.
        packaging_more: how many more there are.
        removed, added: names only in A, only in B, those that were renamed left out.
        renamed: name in A and name in B of tensors that are otherwise equal.
        unlike: rows of one name whose dtype, shape or traits differ.
        unread: rows that cannot be compared, with the reason; none when the files are the same.
        equal: tensors of which every bit is equal, in A's order.
        differing: the others, in A's order.
        parts: totals of model, buffer, optimizer and other.
        layers: totals of neighbours, in A's order.
        has_numbers: whether differences were measured.
        code: what only one of the files would import or run when loaded, or each in another way.
    """

    a: Side
    b: Side
    is_same_file: bool
    packaging: tuple[PackagingDifference, ...]
    packaging_more: int
    removed: tuple[str, ...]
    added: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    unlike: tuple[tuple[TensorRow, TensorRow], ...]
    unread: tuple[tuple[str, str], ...]
    equal: tuple[EqualTensor, ...]
    differing: tuple[TensorDifference, ...]
    parts: Mapping[Part, PartTotals]
    layers: tuple[LayerTotals, ...]
    has_numbers: bool
    code: tuple[PackagingDifference, ...] = ()

    @property
    def has_differences(self) -> bool:
        """Return whether a tensor is known to differ in name, dtype, shape or bits."""
        return any((self.removed, self.added, self.renamed, self.unlike, self.differing))

    @property
    def bits_equal(self) -> bool:
        """Return whether both files hold the same tensors, bit for bit, and all could be told."""
        return not self.has_differences and not self.unread

    @property
    def verdict(self) -> str:
        """Return `identical`, `packaging`, `different` or `unknown`."""
        if self.has_differences:
            return "different"
        if self.unread:
            return "unknown"
        return "identical" if self.is_same_file else "packaging"

    def within(self, rel_l2: float, p99_ulp: int) -> bool:
        """Return whether both hold tensors of the same names and kinds, each within the bounds."""
        same = not any((self.removed, self.added, self.renamed, self.unlike, self.unread))
        return same and all(told.within(rel_l2, p99_ulp) for told in self.differing)

    def document(self) -> dict[str, Any]:
        """Return everything as JSON; integers beyond 2^53 as numbers with a fraction."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "bitsEqual": self.bits_equal,
            "measured": self.has_numbers,
            "a": _side(self.a),
            "b": _side(self.b),
            "packaging": [
                {"kind": d.kind, "name": d.name, "a": d.a, "b": d.b} for d in self.packaging
            ],
            "packagingMore": self.packaging_more,
            "names": {
                "removed": list(self.removed),
                "added": list(self.added),
                "renamed": [{"a": one, "b": other} for one, other in self.renamed],
            },
            "kinds": [
                {"name": one.name, "a": _kind(one), "b": _kind(other)} for one, other in self.unlike
            ],
            "notCompared": [{"name": name, "reason": why} for name, why in self.unread],
            "tensors": [*map(_difference, self.differing)],
            "equal": [*map(_equal, self.equal)],
            "parts": {part.value: totals.document() for part, totals in self.parts.items()},
            "layers": [layer.document() for layer in self.layers],
        }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "format": side.format,
        "nbytes": side.nbytes,
        "tensors": side.tensors,
        "elements": side.elements,
        "digest": side.digest or None,
        "weightsDigest": side.weights_digest or None,
    }


def _kind(row: TensorRow) -> dict[str, Any]:
    return {"dtype": row.dtype, "shape": list(row.shape), "traits": row.traits}


def _equal(told: EqualTensor) -> dict[str, Any]:
    row = told.row
    return {
        "place": told.place,
        "name": row.name,
        "part": row.part.value,
        "layer": told.layer,
        "dtype": row.dtype,
        "shape": list(row.shape),
        "sha256": told.sha256,
    }


def _difference(told: TensorDifference) -> dict[str, Any]:
    return {
        "place": told.place,
        "name": told.name,
        "part": told.part.value,
        "layer": told.layer,
        "dtype": told.dtype,
        "shape": list(told.shape),
        "sha256": {"a": told.sha256_a, "b": told.sha256_b},
        "firstIndex": told.first,
        "elements": told.elements,
        "differing": told.differing,
        "fraction": figure(told.fraction),
        "ulp": ulp_document(told.ulp),
        "maxAbs": figure(told.max_abs),
        "relL2": figure(told.rel_l2),
        "cosine": figure(told.cosine),
        "counts": counts_document(told.counts),
    }
