"""A release in a ZIP file: unpacked into a private folder, and only when nobody could be misled.

The archive holds one release directory of plain files, stored or deflated. Whatever two programs
could unpack differently is refused before a byte of it is written (`mlbom.formats.strict_zip`).
"""

import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlbom.attest.statement import unsafe_name
from mlbom.errors import LimitError, OutputError, PathNotFoundError, UnreadableError
from mlbom.formats.strict_zip import ZipMember, read_member, read_zip
from mlbom.openfile import open_regular
from mlbom.outdir import MARK
from mlbom.verify.refusal import Refusal

# A release without its model: documents, images, bundles.
MAX_MEMBERS = 20_000
MAX_MEMBER = 256 * 1024 * 1024
MAX_TOTAL = 2 * 1024 * 1024 * 1024
# What file systems take: a part of a path, and a whole one, in bytes.
_MAX_PART, _MAX_NAME = 255, 1024
# What the library that reads the directory raises at bytes made by hand.
_FAILURES = (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, LookupError)
_MAGIC = b"PK\x03\x04"


def is_archive(path: Path) -> bool:
    """Return whether a file looks like a ZIP file by its name or its first bytes."""
    if path.suffix.lower() == ".zip":
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the release directory of an archive, in a folder that is removed afterwards.

    Raises:
        PathNotFoundError: there is no such file.
        UnreadableError: it cannot be read.
        OutputError: there is no room for it.
        Refusal: `unsafe-archive`, or `too-large`.
    """
    try:
        descriptor = open_regular(path.resolve())
    except FileNotFoundError as error:
        message = f"archive not found: {path}"
        raise PathNotFoundError(message, looked=[str(path.absolute())]) from error
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise UnreadableError(message) from error
    with os.fdopen(descriptor, "rb") as stream, tempfile.TemporaryDirectory("-mlbom") as folder:
        try:
            top = _unpack(stream, Path(folder))
        except LimitError as error:
            raise Refusal(error.message, "too-large") from error
        except UnreadableError as error:
            raise Refusal(error.message, "unsafe-archive") from error
        yield Path(folder) / top


def _unpack(stream: BinaryIO, folder: Path) -> str:
    """Write the members into a folder, and return the path of the release in it."""
    members = read_zip(stream, os.fstat(stream.fileno()).st_size)
    _check_members(stream, members)
    files = [name for name in members if not name.endswith("/")]
    marks = [name for name in files if name == MARK or name.endswith(f"/{MARK}")]
    if len(marks) != 1:
        message = f"the archive holds {len(marks)} release directories, not one"
        raise Refusal(message, "unsafe-archive")
    top = marks[0].removesuffix(MARK)
    for name in files:
        if not name.startswith(top):
            message = (
                f"{name[:200]!a} lies outside the release directory of the archive; a ZIP holds "
                "mlbom-out alone: unpack the model beside it and name it by --root"
            )
            raise Refusal(message, "unsafe-archive")
        _write(folder / name, read_member(stream, members[name], MAX_MEMBER), name)
    return top


def _write(place: Path, data: bytes, name: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with place.open("xb") as target:
            target.write(data)
    except FileExistsError as error:
        message = f"{name[:200]!a} is one file with another member of the archive here"
        raise Refusal(message, "unsafe-archive") from error
    except OSError as error:
        message = f"cannot unpack {name[:200]!a}: {error.strerror or error}"
        raise OutputError(message) from error


def _check_members(stream: BinaryIO, members: dict[str, ZipMember]) -> None:
    total = sum(member.nbytes for member in members.values())
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL:
        message = f"the archive has {len(members)} members of {total} bytes, more than a release"
        raise LimitError(message)
    folded: set[str] = set()
    folders = {str(above) for name in members for above in PurePosixPath(name).parents}
    for name, member in members.items():
        if name in folders or (name.endswith("/") and (member.nbytes or member.packed)):
            message = f"{name[:200]!a} is a file and a folder in the archive"
            raise Refusal(message, "unsafe-archive")
        if _too_long(name):
            message = f"the archive's member {name[:200]!a} has a name too long for a file"
            raise Refusal(message, "unsafe-archive")
        if reason := unsafe_name(name.removesuffix("/")):
            message = f"the archive's member {name[:200]!a} {reason}"
            raise Refusal(message, "unsafe-archive")
        if name.casefold() in folded:
            message = f"two members of the archive differ from {name[:200]!a} in case only"
            raise Refusal(message, "unsafe-archive")
        folded.add(name.casefold())
    # The mode of a member stands in the directory only; an unpacker would make a link of it.
    try:
        with zipfile.ZipFile(stream) as listing:
            modes = [(i.filename, stat.S_IFMT(i.external_attr >> 16)) for i in listing.infolist()]
    except _FAILURES as error:
        message = f"the directory of the archive cannot be read: {str(error)[:200]}"
        raise Refusal(message, "unsafe-archive") from error
    for name, kind in modes:
        if kind not in (0, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
            message = f"{name[:200]!a} is a link, a device or of two kinds in the archive"
            raise Refusal(message, "unsafe-archive")


def _too_long(name: str) -> bool:
    parts = name.encode("utf-8", "surrogatepass").split(b"/")
    return (
        len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME or max(map(len, parts)) > _MAX_PART
    )
