"""The tensors of a torch checkpoint, new and old layout, in place and never loaded."""

from collections.abc import Mapping
from hashlib import sha256
from typing import BinaryIO

from mlbom.errors import MalformedError
from mlbom.formats.pickle_file import open_legacy
from mlbom.formats.strict_zip import STORED, ZipMember, read_member
from mlbom.formats.tensors.file import (
    Fact,
    Packaging,
    Placed,
    TensorFile,
    check_unfolding,
    labelled,
    layout_facts,
)
from mlbom.formats.tensors.plain_values import plain_values
from mlbom.formats.tensors.rows import BITS, Part, TensorRow
from mlbom.formats.tensors.source import ByteSource
from mlbom.formats.tensors.window import Window
from mlbom.formats.torch_checkpoint import Checkpoint, checkpoint_table
from mlbom.formats.torch_names import REBUILDING
from mlbom.formats.torch_tensors import NamedView
from mlbom.formats.torch_zip import MAX_PICKLE_BYTES, TorchArchive, open_archive, open_constants
from mlbom.formats.weights import without_cycle_search

_NARROW = "elements narrower than a byte that lie apart"
# Of the members of an archive: what the tensors and facts already tell, or what torch derives.
_TOLD = ("data.pkl", "constants.pkl", "byteorder", "version", ".data/serialization_id")


def open_torch_zip(
    source: ByteSource, stream: BinaryIO, members: dict[str, ZipMember]
) -> TensorFile:
    """Return the tensors of a torch zip archive, those of an optimizer's state too.

    Args:
        source: the archive.
        stream: the same, for its small members.
        members: its directory.

    Raises:
        UnknownFormatError: no `data.pkl` in it.
        MalformedError: anything in it that two readers could read differently, or big-endian data.
        LimitError: more tensors, depth or text than a reader allows.
    """
    archive = open_archive(stream, members)
    storages = archive.storages()
    placed = _placed(source, archive.checkpoint, _begins(storages))
    spare = sum(m.nbytes for m in storages.values()) - sum(
        p.row.nbytes for p in placed if not p.row.alias_of
    )
    packaging: Packaging = {}
    if archive.is_script:
        constants = open_constants(stream, archive)
        begins = _begins(archive.storages("constants/"))
        placed += [_constant(p) for p in _placed(source, constants, begins)]
        packaging |= _imports(constants) | labelled("code", _code(stream, archive))
    packaging |= _packaging(archive.checkpoint, placed)
    packaging[Fact("archive prefix")] = archive.root.rstrip("/")
    if spare > 0:
        packaging[Fact("bytes of no tensor")] = str(spare)
    packaging |= labelled("member", _others(archive))
    return _file(source, archive.checkpoint.format, placed, packaging)


def open_torch_legacy(source: ByteSource, stream: BinaryIO) -> TensorFile:
    """Return the tensors of a file in torch's old layout.

    Raises:
        UnknownFormatError: another kind of pickle.
        MalformedError, LimitError: as `open_torch_zip`.
    """
    legacy = open_legacy(stream, source.nbytes)
    placed = _placed(source, legacy.checkpoint, legacy.begins)
    return _file(source, legacy.checkpoint.format, placed, _packaging(legacy.checkpoint, placed))


def _file(source: ByteSource, kind: str, placed: list[Placed], packaging: Packaging) -> TensorFile:
    check_unfolding(placed, source.nbytes)
    return TensorFile(
        name=source.path.name,
        format=kind,
        placed=tuple(placed),
        packaging=packaging,
        sources=(source,),
    )


def _begins(members: Mapping[str, ZipMember]) -> dict[str, int]:
    for member in members.values():
        if member.encrypted or member.method != STORED:
            message = f"{member.name[:80]!a} is encrypted or compressed: could not tell"
            raise MalformedError(message)
    return {key: member.begin for key, member in members.items()}


def _placed(source: ByteSource, checkpoint: Checkpoint, begins: Mapping[str, int]) -> list[Placed]:
    order = {pair.name: pair.text for pair in checkpoint.metadata}.get("archive.byteorder")
    if order not in (None, "little"):
        message = f"its numbers are written in {order[:20]!a} order, only little is read"
        raise MalformedError(message)
    with without_cycle_search():
        table = checkpoint_table(checkpoint)
        return [_row(source, named, begins) for named in table.views]


def _row(source: ByteSource, named: NamedView, begins: Mapping[str, int]) -> Placed:
    view = named.view
    window = None
    problem = view.problem
    if view.storage is not None and not problem:
        window = Window(
            source=source,
            begin=begins[view.storage.key],
            bits=BITS[view.dtype],
            shape=view.shape,
            strides=view.strides,
            offset=view.offset,
        )
        problem = "" if window.is_readable else _NARROW
    row = TensorRow(
        name=named.name,
        dtype=view.dtype,
        shape=view.shape,
        part=named.part,
        alias_of=named.alias_of,
        traits=" ".join(filter(None, (view.traits, named.traits))),
        problem=problem,
    )
    return Placed(row, None if problem else window)


def _constant(placed: Placed) -> Placed:
    """Return a constant of a TorchScript module under a name that no attribute has."""
    row = placed.row
    renamed = TensorRow(
        name=f"<constants>.{row.name}",
        dtype=row.dtype,
        shape=row.shape,
        part=Part.OTHER,
        traits=row.traits,
        problem=row.problem,
    )
    return Placed(renamed, placed.window)


def _packaging(checkpoint: Checkpoint, placed: list[Placed]) -> Packaging:
    facts: Packaging = {Fact("format"): checkpoint.format}
    facts |= labelled("metadata", {p.name: p.text for p in checkpoint.metadata})
    facts |= _imports(checkpoint)
    facts |= labelled("value", plain_values(checkpoint.value))
    return facts | layout_facts(placed)


def _imports(checkpoint: Checkpoint) -> Packaging:
    """Return what a pickle imports besides that which rebuilds tensors."""
    code = [name for name in checkpoint.found.globals if name not in REBUILDING]
    return labelled("import", dict.fromkeys(code, "can run code when loaded"))


def _code(stream: BinaryIO, archive: TorchArchive) -> dict[str, str]:
    """Return the code of a TorchScript module; its SHA-256, as a checksum can be made to fit."""
    return {
        name: f"SHA-256 {sha256(read_member(stream, member, MAX_PICKLE_BYTES)).hexdigest()}"
        for full, member in archive.members.items()
        if _is_code(archive, name := full.removeprefix(archive.root))
    }


def _is_code(archive: TorchArchive, name: str) -> bool:
    """Return whether a member is run; what maps it back to source lines is not."""
    is_run = name.startswith("code/") or name == "bytecode.pkl"
    return archive.is_script and is_run and not name.endswith(".debug_pkl")


def _others(archive: TorchArchive) -> dict[str, str]:
    """Return the members that are neither tensors nor code nor read."""
    named = {n.removeprefix(archive.root): m for n, m in archive.members.items()}
    folders = ("data/", "constants/")
    return {
        name: f"{member.nbytes} bytes, CRC-32 {member.crc:08x}"
        for name, member in named.items()
        if name not in _TOLD and not name.startswith(folders) and not _is_code(archive, name)
    }
