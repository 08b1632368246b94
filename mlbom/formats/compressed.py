"""Unpack a compressed file into memory, bounded: gzip, zlib, bzip2, xz and lzma.

joblib writes pickles in these; zstd and lz4 are recognised and reported, not unpacked.
"""

import bz2
import lzma
import zlib
from io import BytesIO
from typing import Any, BinaryIO

from mlbom.errors import LimitError, MalformedError, UnreadableError

MAX_BYTES = 256 * 1024 * 1024
MAX_RATIO = 200
# Below this a high ratio harms nobody: arrays of zeros pack a thousand to one.
_RATIO_FREE_BYTES = 16 * 1024 * 1024
_CHUNK = 256 * 1024
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}


def compression(head: bytes) -> str:
    """Return the name of the compression that the first bytes announce, or empty text."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def first_bytes(head: bytes, count: int) -> bytes:
    """Return up to `count` unpacked bytes of a file that begins with `head`; empty if it fails."""
    try:
        unpacked: bytes = _decompressor(compression(head)).decompress(head, count)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnreadableError):
        return b""
    return unpacked


def unpack(stream: BinaryIO, head: bytes) -> BytesIO:
    """Return the unpacked content of a compressed stream.

    Raises:
        UnreadableError: a compression that mlbom does not unpack.
        LimitError: more than 256 MiB, or more than 200 times the packed size.
        MalformedError: damaged, cut off, or with bytes behind its end.
    """
    kind = compression(head)
    decompressor = _decompressor(kind)
    content = BytesIO()
    packed = 0
    try:
        while not decompressor.eof:
            chunk = stream.read(_CHUNK)
            if not chunk:
                message = f"the {kind} data is cut off"
                raise MalformedError(message)
            packed += len(chunk)
            _feed(decompressor, chunk, content)
            _check_size(kind, packed, content.tell())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        message = f"the {kind} data is damaged: {error}"
        raise MalformedError(message) from error
    if decompressor.unused_data or stream.read(1):
        message = f"bytes follow the end of the {kind} data: could not tell"
        raise MalformedError(message)
    content.seek(0)
    return content


def _decompressor(kind: str) -> Any:  # noqa: ANN401 - three classes with the same methods
    match kind:
        case "gzip":
            return zlib.decompressobj(31)
        case "zlib":
            return zlib.decompressobj(15)
        case "bzip2":
            return bz2.BZ2Decompressor()
        case "xz" | "lzma":
            return lzma.LZMADecompressor(memlimit=MAX_BYTES)
    message = f"mlbom does not unpack {kind or 'this compression'}"
    raise UnreadableError(message)


def _feed(decompressor: Any, chunk: bytes, content: BytesIO) -> None:  # noqa: ANN401 - see above
    """Unpack one chunk, never more than a little beyond the limit at once."""
    while True:
        room = MAX_BYTES + 1 - content.tell()
        if room <= 0:
            return
        content.write(decompressor.decompress(chunk, min(room, _RATIO_FREE_BYTES)))
        if decompressor.eof:
            return
        # zlib hands back what it did not take; the others keep it and say whether they need more.
        chunk = getattr(decompressor, "unconsumed_tail", b"")
        if not chunk and getattr(decompressor, "needs_input", True):
            return


def _check_size(kind: str, packed: int, unpacked: int) -> None:
    if unpacked > MAX_BYTES:
        message = f"the {kind} data unpacks to more than {MAX_BYTES} bytes, the limit"
        raise LimitError(message)
    if unpacked > _RATIO_FREE_BYTES and unpacked > MAX_RATIO * packed:
        sizes = f"{packed} bytes to {unpacked}"
        message = f"the {kind} data unpacks {sizes}, the limit is {MAX_RATIO}:1"
        raise LimitError(message)
