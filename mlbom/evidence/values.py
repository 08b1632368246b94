"""The small values that the fields of nodes hold, and the mark of fields that stay as they are."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

EXACT = MappingProxyType({"exact": True})


def exact(default: Any = None) -> Any:  # noqa: ANN401 - mirrors dataclasses.field
    """Return a field that the guard never rewrites: a path, a digest, a purl, a commit."""
    return field(default=default, metadata=EXACT)


@dataclass(frozen=True, slots=True, order=True)
class Count:
    """A named count, for histograms: dtype -> elements, shape -> tensors."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A named text, for facts whose names another project chose: build flags, file metadata."""

    name: str
    text: str
