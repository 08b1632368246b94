"""Totals over tensors: of model, buffers and optimizer state, and layer by layer."""

from dataclasses import dataclass, field
from typing import Any

from mlbom.formats.tensors.rows import COMPLEX_DTYPES, TensorRow
from mlbom.reproduce.tensors.contents import Contents
from mlbom.reproduce.tensors.figures import counts_document, figure, ulp_document, whole
from mlbom.reproduce.tensors.numbers import Measured, Sums


@dataclass(slots=True, kw_only=True)
class PartTotals:
    """All tensors of one part that were compared.

    Args:
        tensors, elements: how many.
        differing_tensors: of which at least one bit differs.
        measured: sums over those that differ; the elements of the others count as zeros in the
            distances and are in no norm. None without a difference that was measured.
        unmeasured: how many tensors differ but were not measured.
        zeros: numbers of tensors that are equal.
    """

    tensors: int = 0
    elements: int = 0
    differing_tensors: int = 0
    measured: Measured | None = None
    unmeasured: int = 0
    zeros: int = 0

    def add(self, row: TensorRow, contents: Contents) -> None:
        """Count a tensor."""
        self.tensors += 1
        self.elements += row.elements
        if contents.is_equal:
            self.zeros += row.elements * (2 if row.dtype in COMPLEX_DTYPES else 1)
            return
        self.differing_tensors += 1
        if contents.measured is None:
            self.unmeasured += 1
            return
        self.measured = self.measured or Measured()
        self.measured.merge(contents.measured)

    def _differing(self) -> int | None:
        """Return how many elements differ, None when that was not counted in every tensor."""
        if self.unmeasured:
            return None
        return self.measured.differing if self.measured else 0

    def document(self) -> dict[str, Any]:
        """Return the totals as JSON."""
        told: dict[str, Any] = {
            "tensors": self.tensors,
            "elements": self.elements,
            "differingTensors": self.differing_tensors,
            "unmeasuredTensors": self.unmeasured,
            "differing": self._differing(),
        }
        if self.measured is None:
            return told
        ulps = self.measured.ulps
        octaves = [{"from": whole(2**k), "count": count} for k, count in ulps.by_octave()]
        middle, high = (ulps.percentile(share, self.zeros) for share in (0.5, 0.99))
        return told | {
            "ulp": ulp_document((middle, high, ulps.largest)),
            "maxAbs": None if self.unmeasured else figure(self.measured.max_abs),
            "relL2": None if self.unmeasured else figure(self.measured.rel_l2),
            "cosine": None if self.unmeasured else figure(self.measured.cosine),
            "counts": counts_document(self.measured.counts.by_name()),
            "ulpHistogram": {"zero": ulps.zeros + self.zeros, "octaves": octaves},
        }


@dataclass(slots=True, kw_only=True)
class LayerTotals:
    """Tensors whose names begin alike, up to the first number: `model.layers.3`."""

    name: str
    tensors: int = 0
    elements: int = 0
    differing_tensors: int = 0
    unmeasured: int = 0
    sums: Sums = field(default_factory=Sums)

    def add(self, row: TensorRow, contents: Contents) -> None:
        """Count a tensor."""
        self.tensors += 1
        self.elements += row.elements
        self.differing_tensors += not contents.is_equal
        if contents.measured and not contents.measured.counts.not_finite:
            self.sums.add(contents.measured.sums)
        elif not contents.is_equal:
            self.unmeasured += 1

    def document(self) -> dict[str, Any]:
        """Return the totals as JSON; the norm is over the tensors that differ."""
        return {
            "name": self.name,
            "tensors": self.tensors,
            "elements": self.elements,
            "differingTensors": self.differing_tensors,
            "relL2": None if self.unmeasured else figure(self.sums.rel_l2),
        }


def layer_of(name: str) -> str:
    """Return what a name shares with its layer: up to the first number, else its module."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if number is not None and number < len(parts) - 1:
        return ".".join(parts[: number + 1])
    return ".".join(parts[:-1]) or name
