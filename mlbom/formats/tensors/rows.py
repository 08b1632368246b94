"""One tensor of a weight file: its name, kind, what part of a training it is."""

from dataclasses import dataclass
from enum import StrEnum
from math import prod

from mlbom.formats.weights import INDEX_DTYPES, SAFETENSORS_BITS, TORCH_BITS

BITS = {**SAFETENSORS_BITS, **TORCH_BITS}
# An element is two numbers.
COMPLEX_DTYPES = frozenset({"C32", "C64", "C128"})
# What the normalisation layers of torch.nn register as buffers, by the last part of the name.
_BUFFER_NAMES = frozenset({"running_mean", "running_var", "num_batches_tracked"})


class Part(StrEnum):
    """What a tensor is to a training."""

    MODEL = "model"
    BUFFER = "buffer"
    OPTIMIZER = "optimizer"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """One tensor of a file.

    Args:
        name: unique in its file.
        dtype: a safetensors name where there is one, else one of `TORCH_BITS`, else empty.
        shape: its sides.
        part: what it is to a training.
        alias_of: name of the earlier tensor that is the same window of the same storage, or empty.
        traits: what else decides its values: `conj`, a quantiser's scale, the size of the sparse
            tensor that it is a part of, `meta` for one without data.
        problem: why its bytes cannot be read, empty when they can.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    part: Part = Part.MODEL
    alias_of: str = ""
    traits: str = ""
    problem: str = ""

    @property
    def elements(self) -> int:
        """Return the number of elements; 1 for a scalar, whose shape is ()."""
        return prod(self.shape)

    @property
    def has_data(self) -> bool:
        """Return whether there are bytes to read."""
        return not self.problem and self.traits != "meta"

    @property
    def nbytes(self) -> int:
        """Return the bytes of all elements, row by row; 0 without data."""
        return -(-self.elements * BITS[self.dtype] // 8) if self.has_data else 0


def part_of(name: str, dtype: str) -> Part:
    """Return whether a tensor of a model is a parameter or a buffer.

    A file of tensors does not say so. Buffers are told by the names that torch.nn gives its own,
    and by dtypes of integers in which nothing is trained.
    """
    is_buffer = name.rpartition(".")[2] in _BUFFER_NAMES or dtype in INDEX_DTYPES
    return Part.BUFFER if is_buffer else Part.MODEL
