"""Reader of torch's zip checkpoints (.pt, .pth, .ckpt, .bin): the pickle in them, never loaded.

Source: torch 2.13, `torch/serialization.py` (`_save`, `_load`). An archive holds one folder with
`data.pkl`, the storages `data/KEY`, `version` and `byteorder`; TorchScript adds `constants.pkl` and
`code/`. Only the pickles and the two small texts are read.
"""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

from mlbom.errors import MalformedError, UnknownFormatError
from mlbom.evidence.nodes import Pair
from mlbom.formats.opcodes import PickleFacts, walk
from mlbom.formats.strict_zip import STORED, ZipMember, read_member, read_zip
from mlbom.formats.torch_checkpoint import Checkpoint, checkpoint_facts
from mlbom.formats.weights import WeightFacts

MAX_PICKLE_BYTES = 64 * 1024 * 1024
_MAX_TEXT_BYTES = 64
_PICKLE = "data.pkl"
_CONSTANTS = "constants.pkl"
TORCHSCRIPT = "torchscript"


class TorchZipReader:
    """Reads the pickle of a torch zip archive; it is asked last among the readers of zips."""

    name = "torch-zip"

    def matches(self, head: bytes, path: str) -> bool:  # noqa: ARG002 - the bytes tell
        """Return whether this is a zip archive."""
        return head.startswith(b"PK\x03\x04")

    def read(self, stream: BinaryIO, nbytes: int) -> WeightFacts:
        """Return the facts of a torch zip archive.

        The tensors of a TorchScript module are named by its attributes; its constants count as
        tensors of no module, and are left out. Arrays of numpy are no tensors.

        Raises:
            UnknownFormatError: a zip archive without `data.pkl`.
            MalformedError: an archive that two readers could read differently, several `data.pkl`,
                or one that is encrypted or compressed (torch writes none).
            LimitError: too many members, a bomb, or a pickle larger than 64 MiB.
        """
        archive = open_archive(stream, read_zip(stream, nbytes))
        facts = checkpoint_facts(archive.checkpoint)
        return _with_code(facts, stream, archive) if archive.is_script else facts


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchArchive:
    """A torch zip archive whose pickle has been walked.

    Args:
        members: of the archive, by name.
        root: the folder in it that holds everything, with its slash.
        checkpoint: the pickle `data.pkl`.
    """

    members: dict[str, ZipMember]
    root: str
    checkpoint: Checkpoint

    @property
    def is_script(self) -> bool:
        """Return whether it is a TorchScript module, which brings its code."""
        return self.root + _CONSTANTS in self.members

    def storages(self, folder: str = "data/") -> dict[str, ZipMember]:
        """Return the storages in a folder of the archive, by key."""
        prefix = self.root + folder
        members = self.members.items()
        return {n.removeprefix(prefix): m for n, m in members if n.startswith(prefix)}


def open_archive(stream: BinaryIO, members: dict[str, ZipMember]) -> TorchArchive:
    """Walk the pickle of a torch zip archive.

    Raises:
        UnknownFormatError, MalformedError, LimitError: as `TorchZipReader.read`.
    """
    pickle = _pickle_name(members)
    root = pickle[: -len(_PICKLE)]
    is_script = root + _CONSTANTS in members
    checkpoint = _checkpoint(stream, members, pickle)
    name = TORCHSCRIPT if is_script else TorchZipReader.name
    return TorchArchive(members=members, root=root, checkpoint=replace(checkpoint, format=name))


def open_constants(stream: BinaryIO, archive: TorchArchive) -> Checkpoint:
    """Walk the pickle that holds the constants of a TorchScript module."""
    return _checkpoint(stream, archive.members, archive.root + _CONSTANTS)


def _checkpoint(stream: BinaryIO, members: dict[str, ZipMember], name: str) -> Checkpoint:
    """Walk one of the pickles, whose storages lie in the folder of its name."""
    found = _walked(stream, members[name])
    root, pickle = name[: name.rfind("/") + 1], name[name.rfind("/") + 1 :].lower()
    folder = root + pickle.removesuffix(".pkl") + "/"
    stored = {n.removeprefix(folder): m.nbytes for n, m in members.items() if n.startswith(folder)}
    many = f"{pickle} holds {len(found.values)} pickles, and torch reads one"
    return Checkpoint(
        format=TORCHSCRIPT,
        found=found,
        value=found.values[0] if found.values else None,
        stored=lambda _: stored,
        metadata=_texts(stream, members, root),
        problem=many if len(found.values) > 1 else "",
    )


def _pickle_name(members: dict[str, ZipMember]) -> str:
    """Return the name of the one `data.pkl`."""
    if len({name.lower() for name in members}) < len(members):
        # torch looks members up without regard to case.
        message = "the archive has two members whose names differ in case only: could not tell"
        raise MalformedError(message)
    pickles = [name for name in members if name.rpartition("/")[2].lower() == _PICKLE]
    if not pickles:
        message = f"no reader for this format: a zip archive without {_PICKLE}"
        raise UnknownFormatError(message)
    if len(pickles) > 1:
        message = f"the archive has {len(pickles)} members {_PICKLE}: could not tell"
        raise MalformedError(message)
    return pickles[0]


def _walked(stream: BinaryIO, member: ZipMember) -> PickleFacts:
    if member.encrypted or member.method != STORED:
        message = f"{member.name[:80]!a} is encrypted or compressed: could not tell"
        raise MalformedError(message)
    data = read_member(stream, member, MAX_PICKLE_BYTES)
    return walk(BytesIO(data), len(data))


def _texts(stream: BinaryIO, members: dict[str, ZipMember], root: str) -> tuple[Pair, ...]:
    told = []
    for name in ("version", "byteorder"):
        member = members.get(root + name)
        if member is not None:
            data = read_member(stream, member, _MAX_TEXT_BYTES)
            told.append(Pair(f"archive.{name}", data.decode("utf-8", "backslashreplace").strip()))
    return tuple(told)


def _with_code(facts: WeightFacts, stream: BinaryIO, archive: TorchArchive) -> WeightFacts:
    """Return the facts of a TorchScript archive, whose own code runs when it is used."""
    constants = open_constants(stream, archive).found
    return replace(
        facts,
        globals=tuple(sorted({*facts.globals, *constants.globals})),
        code_kind=TORCHSCRIPT,
        problem=facts.problem or constants.problem,
    )
