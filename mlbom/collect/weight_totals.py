"""Which weight files count when a model's parameters are added up.

A directory often holds the same parameters several times: in other formats, in other precisions,
in another layout, or from earlier in the training. Each set counts once.
"""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from mlbom.evidence.nodes import Count
from mlbom.formats.weights import WeightFacts

# Of several formats the first one counts.
_RANKS = {"safetensors": 0, "torch-zip": 1, "torch-legacy": 1}
_OTHER_RANK = 2
_SUFFIX_RANKS = ((".safetensors", 0), (".bin", 1), (".pt", 1), (".pth", 1), (".ckpt", 1))
# model.fp16.safetensors beside or instead of model.safetensors (the `variant` of the Hub loaders).
_VARIANT = re.compile(r"\.(fp32|fp16|bf16|fp8|int8|int4|f32|f16|ema|non_ema)(?=[.-])")
# Mistral and Llama ship the same parameters a second time in the layout of their own code.
_OWN_LAYOUT = "consolidated"
_TRAINING_FOLDER = re.compile(r"(?:^|/)(?:checkpoint|global_step|epoch|step)[-_=]?\d+(?=/)")


@dataclass(frozen=True, slots=True)
class Measured:
    """A weight file or a sharded index, by its path in the model; facts None: not readable."""

    path: str
    facts: WeightFacts | None

    @property
    def is_complete(self) -> bool:
        """Return whether its parameters are known."""
        return bool(self.facts and self.facts.has_table and not self.facts.problem)

    @property
    def rank(self) -> int:
        """Return the place of its format in the order of preference; an unread file's by name."""
        if self.facts:
            return min(_RANKS.get(f, _OTHER_RANK) for f in self.facts.format.split("+"))
        name = self.path.removesuffix(".index.json")
        return next((rank for end, rank in _SUFFIX_RANKS if name.endswith(end)), _OTHER_RANK)


def counted_files(files: Iterable[Measured], *, has_parts: bool) -> tuple[Measured, ...]:
    """Return the files whose parameters add up to those of the model.

    Args:
        files: all weight files of a model.
        has_parts: whether the folders are parts of a pipeline (diffusers, sentence-transformers):
            then each has its own preferred format.
    """
    files = tuple(files)
    files = tuple(f for f in files if not _TRAINING_FOLDER.search(f.path)) or files
    by_part: dict[str, list[Measured]] = defaultdict(list)
    for file in files:
        by_part[posixpath.dirname(file.path) if has_parts else ""].append(file)
    best = min((f.rank for f in files), default=0)
    chosen: list[Measured] = []
    for members in by_part.values():
        preferred = min(f.rank for f in members)
        if preferred < _OTHER_RANK or best == _OTHER_RANK:
            chosen.extend(_distinct([f for f in members if f.rank == preferred]))
    return tuple(sorted(chosen, key=lambda f: f.path))


def dtype_totals(files: Iterable[Measured]) -> tuple[Count, ...]:
    """Return the elements of each dtype over several files."""
    total: Counter[str] = Counter()
    for file in files:
        for count in file.facts.dtypes if file.facts else ():
            total[count.name] += count.number
    return tuple(Count(name, number) for name, number in sorted(total.items()))


def _distinct(files: list[Measured]) -> list[Measured]:
    """Return one file for each name without its variant, the plain and complete one first."""
    groups: dict[str, list[Measured]] = defaultdict(list)
    for file in files:
        groups[_VARIANT.sub("", file.path.removesuffix(".index.json"))].append(file)
    folders = {posixpath.dirname(name) for name in groups if not _has_own_layout(name)}
    return [
        min(members, key=_preference)
        for name, members in groups.items()
        if not (_has_own_layout(name) and posixpath.dirname(name) in folders)
    ]


def _has_own_layout(name: str) -> bool:
    return posixpath.basename(name).startswith(_OWN_LAYOUT)


def _preference(file: Measured) -> tuple[bool, bool, int, str]:
    parameters = file.facts.parameters if file.facts else 0
    return not file.is_complete, bool(_VARIANT.search(file.path)), -parameters, file.path
