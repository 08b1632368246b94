"""Open whatever weight file it is: `open_tensors`, the one entrance to this package."""

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from mlbom.errors import LimitError, MalformedError, UnknownFormatError, UnreadableError
from mlbom.formats.pickle_file import PickleReader
from mlbom.formats.safetensors import SafetensorsReader
from mlbom.formats.sharded import INDEX_SUFFIX, MAX_INDEX_BYTES, ShardedIndex, read_index
from mlbom.formats.strict_zip import read_zip
from mlbom.formats.tensors.file import Fact, Packaging, Placed, TensorFile, labelled
from mlbom.formats.tensors.numpy_file import MAGIC, SUFFIX, open_npy, open_npz
from mlbom.formats.tensors.safetensors_file import open_safetensors
from mlbom.formats.tensors.source import ByteSource
from mlbom.formats.tensors.torch_file import open_torch_legacy, open_torch_zip
from mlbom.formats.weights import HEAD_BYTES, reader_for
from mlbom.openfile import read_regular

# Each shard stays open while it is compared.
MAX_OPEN_SHARDS = 400


def open_tensors(path: Path) -> TensorFile:
    """Open a weight file for reading its tensors; nothing of it is executed.

    Safetensors, torch checkpoints (zip and the old layout), TorchScript, .npz and .npy; an index of
    shards (`*.index.json`) stands for all its shards, which lie beside it.

    Args:
        path: the file or index; links are followed.

    Returns:
        The open file: use it in a `with` statement.

    Raises:
        OSError: missing or unreadable.
        UnknownFormatError: no reader knows the format, or tensors in it.
        MalformedError: damaged, or two readers could read it differently.
        LimitError: more memory, depth or entries than a reader allows.
    """
    if path.name.endswith(INDEX_SUFFIX):
        data = read_regular(path.resolve(), MAX_INDEX_BYTES, path.name)
        return _open_shards(path, read_index(data, path.name))
    return _open_file(path)


def _open_file(path: Path) -> TensorFile:
    with ExitStack() as undo:
        source = undo.enter_context(ByteSource(path))
        with source.stream() as stream:
            try:
                opened = _open(source, stream)
            except UnreadableError as error:
                message = f"{path.name}: {error.message}"
                raise type(error)(message, looked=error.looked, hint=error.hint) from error
        undo.pop_all()
    return opened


def _open(source: ByteSource, stream: BinaryIO) -> TensorFile:
    head = stream.read(HEAD_BYTES)
    if head.startswith(MAGIC):
        return open_npy(source)
    if head.startswith(b"PK\x03\x04"):
        members = read_zip(stream, source.nbytes)
        if members and all(name.endswith(SUFFIX) for name in members):
            return open_npz(source, stream, members)
        return open_torch_zip(source, stream, members)
    reader = reader_for(head, source.path.name)
    if isinstance(reader, SafetensorsReader):
        return open_safetensors(source)
    if isinstance(reader, PickleReader):
        return open_torch_legacy(source, stream)
    message = "no reader for the tensors of this format"
    raise UnknownFormatError(message)


def _open_shards(path: Path, index: ShardedIndex) -> TensorFile:
    if len(index.shards) > MAX_OPEN_SHARDS:
        message = f"{path.name} names {len(index.shards)} shards, the limit is {MAX_OPEN_SHARDS}"
        raise LimitError(message)
    with ExitStack() as undo:
        shards = {
            name: undo.enter_context(_open_file(path.with_name(name))) for name in index.shards
        }
        placed = tuple(_checked(path.name, index, shards))
        undo.pop_all()
    facts: Packaging = {Fact("shards"): ", ".join(index.shards)}
    for shard in shards.values():
        for fact, text in shard.packaging.items():
            facts[fact] = _joined(facts.get(fact), text)
    return TensorFile(
        name=path.name,
        format="+".join(sorted({shard.format for shard in shards.values()})),
        placed=placed,
        packaging=facts | labelled("shard", dict(index.weight_map)),
        sources=tuple(source for shard in shards.values() for source in shard.sources),
    )


def _joined(before: str | None, text: str) -> str:
    """Return what several shards say: once when they agree."""
    if before is None or before == text:
        return text
    return before if text in before.split("; ") else f"{before}; {text}"


def _checked(name: str, index: ShardedIndex, shards: dict[str, TensorFile]) -> list[Placed]:
    """Return the rows of all shards, after checking that the index says the same of them."""
    placed: list[Placed] = []
    for shard, opened in shards.items():
        for one in opened.placed:
            if index.weight_map.get(one.row.name) != shard:
                message = (
                    f"{name} and its shards disagree about {one.row.name[:80]!a}: could not tell"
                )
                raise MalformedError(message)
            placed.append(one)
    if len(placed) < len(index.weight_map):
        found = {one.row.name for one in placed}
        missing = next(tensor for tensor in index.weight_map if tensor not in found)
        message = f"{name} names {missing[:80]!a}, which no shard holds"
        raise MalformedError(message)
    return placed
