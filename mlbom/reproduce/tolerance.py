"""When two files of weights agree within tolerance: thresholds by dtype, tensor by tensor.

Below them a difference is what rounding in another order leaves after a training: measured between
one and two threads after 40 steps of AdamW, the relative L2 distance was 7e-8 and the 99th
percentile 25 units in the last place (ULP). The largest distance in ULP is no measure: it was 16384
there, for a weight near zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.formats.tensors.rows import Part
from mlbom.reproduce.tensors.comparison import (
    FileComparison,
    PackagingDifference,
    TensorDifference,
)

# dtype as safetensors names it -> largest relative L2 distance, largest 99th percentile in ULP.
# A dtype that is not here must be equal.
TOLERANCES: Mapping[str, tuple[float, int]] = {
    "F64": (1e-13, 1024),
    "F32": (1e-5, 1024),
    "F16": (1e-3, 8),
    "BF16": (1e-2, 8),
    "C64": (1e-5, 1024),
    "C128": (1e-13, 1024),
}
# The largest relative difference of a metric.
METRIC_TOLERANCE = 0.01
_MOST_CODE = 3
_WEIGHTS = (Part.MODEL, Part.BUFFER)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """What is known of two files of weights.

    Args:
        bits_equal: whether all tensors have equal bits, and both files import and run the same when
            loaded; None when that could not be told.
        comparison: tensor by tensor; None when one of the files is not here.
        detail: why it could not be told, one sentence.
        code: why loading one file imports or runs what the other does not, or an empty text. Then
            it was not reproduced, whatever its tensors are.
        is_repackaged: whether the files hold the same, and are not the same bytes.
    """

    bits_equal: bool | None
    comparison: FileComparison | None = None
    detail: str = ""
    code: str = ""
    is_repackaged: bool = False


def compared(comparison: FileComparison) -> WeightFacts:
    """Return what a comparison of two present files says."""
    if comparison.code:
        return WeightFacts(bits_equal=False, comparison=comparison, code=_other_code(comparison))
    if comparison.bits_equal:
        is_repackaged = not comparison.is_same_file
        return WeightFacts(bits_equal=True, comparison=comparison, is_repackaged=is_repackaged)
    if comparison.has_differences:
        return WeightFacts(bits_equal=False, comparison=comparison)
    name, reason = comparison.unread[0]
    detail = f"{len(comparison.unread)} tensors cannot be compared: {name}: {reason}"
    return WeightFacts(bits_equal=None, comparison=comparison, detail=detail)


def by_digest(recorded: str, found: str) -> WeightFacts:
    """Return what the SHA-256 of two files says where the recorded one is not here.

    Equal files have equal tensors. Unequal files may have them too, in another packaging.
    """
    if recorded == found:
        return WeightFacts(bits_equal=True)
    detail = "the recorded file is not here, and the digest of the new file is another"
    return WeightFacts(bits_equal=None, detail=detail)


def beyond(comparison: FileComparison) -> tuple[TensorDifference, ...]:
    """Return the tensors of the model and its buffers beyond tolerance, the furthest first.

    The state of an optimizer that a checkpoint carries along has no say: it is told apart.
    """
    far = (one for one in comparison.differing if one.part in _WEIGHTS and not _is_within(one))
    return tuple(sorted(far, key=lambda one: -(one.rel_l2 or 0.0)))


def has_same_tensors(comparison: FileComparison) -> bool:
    """Return whether both files hold tensors of the same names, dtypes and shapes."""
    told = (comparison.removed, comparison.added, comparison.renamed, comparison.unlike)
    return not any((*told, comparison.unread))


def _other_code(comparison: FileComparison) -> str:
    """Return the sentence on what only one of two files would import or run."""
    equal = "the tensors are equal, and " if comparison.bits_equal else ""
    told = [_told_code(one) for one in comparison.code[:_MOST_CODE]]
    if more := len(comparison.code) - len(told):
        told.append(f"{more} more")
    return equal + "; ".join(told)


def _told_code(one: PackagingDifference) -> str:
    what = f"imports {one.name}" if one.kind == "import" else f"holds the code {one.name}"
    if one.a is not None and one.b is not None:
        return f"each of the files {what}, in another way"
    return f"{'the first' if one.b is None else 'the second'} file {what} besides"


def thresholds(metric_tolerance: float = METRIC_TOLERANCE) -> dict[str, Any]:
    """Return what tolerance and metric are held against, for people and for the statement."""
    limits = {dtype: {"relL2": l2, "ulpP99": ulp} for dtype, (l2, ulp) in TOLERANCES.items()}
    return {"tolerance": limits, "metric": {"relative": metric_tolerance}}


def _is_within(tensor: TensorDifference) -> bool:
    limits = TOLERANCES.get(tensor.dtype)
    return limits is not None and tensor.within(*limits)
