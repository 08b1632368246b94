"""A release in a ZIP file: unpacked into a private folder, and only when nobody could be misled.

The archive holds one release directory of plain files, stored or deflated. Whatever two programs
could unpack differently is refused before a byte of it is written (`mlbom.formats.strict_zip`).
"""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlbom.attest.statement import unsafe_name
from mlbom.errors import LimitError, PathNotFoundError, UnreadableError
from mlbom.formats.strict_zip import ZipMember, read_member, read_zip
from mlbom.openfile import open_regular
from mlbom.outdir import MARK
from mlbom.verify.refusal import Refusal

# A release without its model: documents, images, bundles.
MAX_MEMBERS = 20_000
MAX_MEMBER = 256 * 1024 * 1024
MAX_TOTAL = 2 * 1024 * 1024 * 1024
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
            yield Path(folder) / _unpack(stream, Path(folder))
        except LimitError as error:
            raise Refusal(error.message, "too-large") from error
        except UnreadableError as error:
            raise Refusal(error.message, "unsafe-archive") from error


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
            message = f"{name[:200]!a} lies outside the release directory of the archive"
            raise Refusal(message, "unsafe-archive")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = read_member(stream, members[name], MAX_MEMBER)
        with place.open("xb") as target:
            target.write(data)
    return top


def _check_members(stream: BinaryIO, members: dict[str, ZipMember]) -> None:
    total = sum(member.nbytes for member in members.values())
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL:
        message = f"the archive has {len(members)} members of {total} bytes, more than a release"
        raise LimitError(message)
    folded: set[str] = set()
    folders = {str(above) for name in members for above in PurePosixPath(name).parents}
    for name in members:
        if name in folders:
            message = f"{name[:200]!a} is a file and a folder in the archive"
            raise Refusal(message, "unsafe-archive")
        if reason := unsafe_name(name.removesuffix("/")):
            message = f"the archive's member {name[:200]!a} {reason}"
            raise Refusal(message, "unsafe-archive")
        if name.casefold() in folded:
            message = f"two members of the archive differ from {name[:200]!a} in case only"
            raise Refusal(message, "unsafe-archive")
        folded.add(name.casefold())
    # The mode of a member stands in the directory only; an unpacker would make a link of it.
    with zipfile.ZipFile(stream) as listing:
        for item in listing.infolist():
            kind = stat.S_IFMT(item.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                message = f"{item.filename[:200]!a} is a link or device in the archive"
                raise Refusal(message, "unsafe-archive")
