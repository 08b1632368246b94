"""Sharded weights: the Hugging Face index, and whether its shards hold what it says.

Source: transformers 5 and diffusers, `*.safetensors.index.json` and `*.bin.index.json`: an object
with `weight_map` (tensor name -> shard file) and `metadata.total_size` (bytes of all tensors).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.strict_json import parse_json
from mlbom.formats.weights import SAFETENSORS_BITS, TORCH_BITS, TensorInfo, WeightFacts

INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 64 * 1024 * 1024
MAX_SHARDS = 10_000
# One path segment that every system reads as one: no separators, drives, control characters.
_PLAIN_NAME = re.compile(r"(?!\.{1,2}$)[^/\\:\x00-\x1f\x7f-\x9f]{1,255}")
_BITS = {**SAFETENSORS_BITS, **TORCH_BITS}
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ShardedIndex:
    """An index.

    Args:
        weight_map: tensor name -> file name of its shard.
        total_size: bytes of all tensors as the index says, None when it does not say.
    """

    weight_map: Mapping[str, str]
    total_size: int | None

    @property
    def shards(self) -> tuple[str, ...]:
        """Return the file names of the shards, sorted."""
        return tuple(sorted(set(self.weight_map.values())))


def read_index(data: bytes, what: str) -> ShardedIndex:
    """Parse an index.

    Args:
        data: content of the index.
        what: how messages name it.

    Raises:
        MalformedError: no such index, or a shard that is no plain file name in the same directory.
        LimitError: too large, or more than 10,000 shards.
    """
    told = parse_json(data, what, max_bytes=MAX_INDEX_BYTES)
    weight_map = told.get("weight_map") if isinstance(told, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        message = f"{what} has no weight_map: it is no index of shards"
        raise MalformedError(message)
    for shard in weight_map.values():
        if not isinstance(shard, str) or not _PLAIN_NAME.fullmatch(shard):
            shown = f"{shard[:80]!a}" if isinstance(shard, str) else type(shard).__name__
            message = f"{what} names the shard {shown}, which is no file name beside it"
            raise MalformedError(message)
    index = ShardedIndex(weight_map, _total_size(told, what))
    if len(index.shards) > MAX_SHARDS:
        message = f"{what} names {len(index.shards)} shards, more than the limit of {MAX_SHARDS}"
        raise LimitError(message)
    return index


def join_shards(facts: Mapping[str, WeightFacts]) -> WeightFacts:
    """Return the facts of all shards as of one file; a tensor in two shards is counted once.

    Args:
        facts: the facts of each shard by file name, at least one.
    """
    tensors: dict[str, TensorInfo] = {}
    for name in sorted(facts):
        for tensor in facts[name].tensors:
            tensors.setdefault(tensor.name, tensor)
    every = [facts[name] for name in sorted(facts)]
    shared = set.intersection(*(set(f.metadata) for f in every))
    return WeightFacts(
        format="+".join(sorted({f.format for f in every})),
        tensors=tuple(tensors.values()),
        aliases=tuple(sorted({alias for f in every for alias in f.aliases})),
        metadata=tuple(sorted(shared)),
        globals=tuple(sorted({name for f in every for name in f.globals})),
        code_kind=next((f.code_kind for f in every if f.code_kind), ""),
        has_table=all(f.has_table for f in every),
        problem=next((f"{n}: {facts[n].problem}" for n in sorted(facts) if facts[n].problem), ""),
    )


def disagreements(index: ShardedIndex, facts: Mapping[str, WeightFacts]) -> Iterator[str]:
    """Yield one sentence for each way in which index and shards contradict each other.

    Args:
        index: the index.
        facts: the facts of every shard that the index names, safetensors or torch.
    """
    place: dict[str, list[str]] = {}
    for shard in sorted(facts):
        for tensor in facts[shard].tensors:
            place.setdefault(tensor.name, []).append(shard)
    weight_map = index.weight_map
    found = {
        "in several shards": [name for name, shards in place.items() if len(shards) > 1],
        "in a shard but not in the index": [name for name in place if name not in weight_map],
        "in the index but in no shard": [name for name in weight_map if name not in place],
        "in another shard than the index says": [
            name for name, shard in weight_map.items() if name in place and shard not in place[name]
        ],
    }
    for where, names in found.items():
        if names:
            shown = [f"{name[:80]!a}" for name in sorted(names)[:_NAMES_SHOWN]]
            shown += ["..."] * (len(names) > _NAMES_SHOWN)
            many = "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"
            yield f"{many} {where}: {', '.join(shown)}"
    # Tied tensors are counted by some writers and not by others: both sums are right.
    sizes = {_nbytes(t for f in facts.values() for t in f.tensors)}
    sizes.add(_nbytes(t for f in facts.values() for t in f.counted))
    if index.total_size is not None and index.total_size not in sizes:
        yield f"the index says {index.total_size} bytes of tensors, the shards hold {max(sizes)}"


def _total_size(told: Mapping[str, Any], what: str) -> int | None:
    metadata = told.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(size, float) and size.is_integer():  # transformers wrote 1e10 for some time
        size = int(size)
    if size is not None and (type(size) is not int or size < 0):
        message = f"{what} has a total_size that is no number of bytes"
        raise MalformedError(message)
    return size


def _nbytes(tensors: Iterable[TensorInfo]) -> int:
    return sum(-(-t.elements * _BITS[t.dtype] // 8) for t in tensors)
