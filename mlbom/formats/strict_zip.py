"""Strict zip: the directory of an archive, believed only when the archive itself agrees with it.

Source: PKWARE APPNOTE 6.3.10. Zip readers differ in which of two directories, two headers or two
members of one name they believe, and scanners have been blinded by that. So an archive is refused
as soon as two readers could see different members in it: we could not tell what a loader would see.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from mlbom.errors import LimitError, MalformedError

MAX_MEMBERS = 1_000_000
MAX_DIRECTORY_BYTES = 256 * 1024 * 1024
MAX_RATIO = 200
# Below this a high ratio harms nobody.
_RATIO_FREE_BYTES = 1024 * 1024
STORED = 0
DEFLATED = 8
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_COMMENT = 65535
_ESCAPE4 = 0xFFFFFFFF
_ESCAPE2 = 0xFFFF
_ZIP64 = 0x0001
_UNICODE_NAME = 0x7075
_ENCRYPTED = 0x2041  # bits 0, 6 and 13: encrypted, strongly encrypted, masked headers
_DESCRIPTOR = 0x0008
_DESCRIPTOR_SIZES = (12, 16, 20, 24)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member of an archive.

    Args:
        name: as written; bytes that are not UTF-8 are escaped.
        method: 0 stored, 8 deflated, others as in the APPNOTE.
        flags: general purpose bits.
        crc: CRC-32 of the content.
        packed: bytes in the archive.
        nbytes: bytes of the content.
        offset: where its local header begins.
        begin: where its bytes begin.
    """

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    nbytes: int
    offset: int
    begin: int = 0

    @property
    def encrypted(self) -> bool:
        """Return whether a flag says that the member is encrypted."""
        return bool(self.flags & _ENCRYPTED)


def read_zip(stream: BinaryIO, nbytes: int) -> dict[str, ZipMember]:
    """Return the members of a zip archive by name, in the order of its directory.

    Args:
        stream: seekable.
        nbytes: size of the archive; it must begin with its first member and end with its directory.

    Raises:
        MalformedError: no zip archive, or one that two readers could read differently.
        LimitError: too many members, or a member that unpacks to more than 200 times its size.
    """
    count, begin, end = _directory_span(stream, nbytes)
    members: dict[str, ZipMember] = {}
    for member in _central(stream, count, begin, end):
        if member.name in members:
            message = f"the archive has two members {member.name[:80]!a}: could not tell"
            raise MalformedError(message)
        members[member.name] = member
    placed = _checked_layout(stream, sorted(members.values(), key=lambda m: m.offset), begin)
    return {name: placed[name] for name in members}


def read_member(stream: BinaryIO, member: ZipMember, limit: int) -> bytes:
    """Return the content of a stored or deflated member.

    Raises:
        LimitError: more than `limit` bytes.
        MalformedError: encrypted, packed by another method, or not of its size or checksum.
    """
    name = f"{member.name[:80]!a}"
    if max(member.nbytes, member.packed) > limit:
        message = f"{name} has {member.nbytes} bytes, more than the limit of {limit}"
        raise LimitError(message)
    if member.encrypted or member.method not in (STORED, DEFLATED):
        message = f"{name} is encrypted or packed by method {member.method}: could not tell"
        raise MalformedError(message)
    stream.seek(member.begin)
    data = stream.read(member.packed)
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, member.nbytes + 1)
        except zlib.error as error:
            message = f"{name} cannot be unpacked: {error}"
            raise MalformedError(message) from error
    if len(data) != member.nbytes or zlib.crc32(data) != member.crc:
        message = f"{name} does not have the size or checksum of its header: could not tell"
        raise MalformedError(message)
    return data


def _directory_span(stream: BinaryIO, nbytes: int) -> tuple[int, int, int]:
    """Return the number of members, and where the central directory begins and ends."""
    tail_begin = max(0, nbytes - _END.size - _MAX_COMMENT)
    stream.seek(tail_begin)
    tail = stream.read(nbytes - tail_begin)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        message = "the archive has no end record: it is no zip archive, or cut off"
        raise MalformedError(message)
    _, disk, first_disk, here, count, size, begin, _ = _END.unpack_from(tail, at)
    if [at] != list(_fitting_ends(tail)):
        message = "the archive has two end records, or bytes behind its end: could not tell"
        raise MalformedError(message)
    end = tail_begin + at
    located = _end64(stream, end)
    if located is not None:
        end, disk, first_disk, here, count64, size64, begin64 = located
        short = ((count, count64, _ESCAPE2), (size, size64, _ESCAPE4), (begin, begin64, _ESCAPE4))
        if any(told not in (told64, escape) for told, told64, escape in short):
            message = "the two end records of the archive disagree: could not tell"
            raise MalformedError(message)
        count, size, begin = count64, size64, begin64
    if disk or first_disk or here not in (count, _ESCAPE2) or begin + size != end:
        message = "the archive has several parts, or its directory is not where its end says"
        raise MalformedError(message)
    if count > MAX_MEMBERS or size > MAX_DIRECTORY_BYTES:
        message = f"the archive has {count} members, more than the limit of {MAX_MEMBERS}"
        raise LimitError(message)
    return count, begin, end


def _fitting_ends(tail: bytes) -> Iterator[int]:
    """Yield where end records are whose comment ends with the archive, as a reader may look."""
    at = tail.find(b"PK\x05\x06")
    while at >= 0 and len(tail) - at >= _END.size:
        if len(tail) - at == _END.size + int(_END.unpack_from(tail, at)[7]):
            yield at
        at = tail.find(b"PK\x05\x06", at + 1)


def _end64(stream: BinaryIO, end: int) -> tuple[int, int, int, int, int, int, int] | None:
    """Return what the zip64 end record before the end record tells, if there is one."""
    locator_at = end - _LOCATOR.size
    if locator_at < 0:
        return None
    stream.seek(locator_at)
    signature, disk, at, _ = _LOCATOR.unpack(stream.read(_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return None
    if disk or at + _END64.size != locator_at:
        message = "the zip64 end record of the archive is not where its locator says"
        raise MalformedError(message)
    stream.seek(at)
    told = _END64.unpack(stream.read(_END64.size))
    if told[0] != b"PK\x06\x06":
        message = "the archive has no zip64 end record where its locator says"
        raise MalformedError(message)
    return at, *told[4:]


def _central(stream: BinaryIO, count: int, begin: int, end: int) -> Iterator[ZipMember]:
    stream.seek(begin)
    data = stream.read(end - begin)
    at = 0
    for _ in range(count):
        if len(data) - at < _CENTRAL.size or data[at : at + 4] != b"PK\x01\x02":
            message = "the directory of the archive has less members than it says"
            raise MalformedError(message)
        told = _CENTRAL.unpack_from(data, at)
        at += _CENTRAL.size
        flags, method, crc, packed, nbytes = told[3], told[4], *told[7:10]
        name_size, extra_size, comment_size, offset = *told[10:13], told[16]
        name = data[at : at + name_size]
        extra = data[at + name_size : at + name_size + extra_size]
        at += name_size + extra_size + comment_size
        if extra:
            nbytes, packed, offset = _wide(extra, (nbytes, packed, offset))
        if nbytes > MAX_RATIO * packed and nbytes > _RATIO_FREE_BYTES:
            sizes = f"{packed} bytes to {nbytes}"
            message = f"{_text(name)[:80]!a} unpacks {sizes}, the limit is {MAX_RATIO}:1"
            raise LimitError(message)
        yield ZipMember(_text(name), method, flags, crc, packed, nbytes, offset)
    if at != len(data):
        message = "the directory of the archive has more bytes than its members take"
        raise MalformedError(message)


def _wide(extra: bytes, told: tuple[int, ...]) -> list[int]:
    """Return sizes and offset with those that did not fit taken from the zip64 extra field."""
    at, values = 0, list(told)
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        content = extra[at + 4 : at + 4 + size]
        if kind == _UNICODE_NAME:
            message = "a member of the archive has a second name: could not tell"
            raise MalformedError(message)
        if kind == _ZIP64:
            wide = iter(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
            values = [next(wide, _ESCAPE4) if v == _ESCAPE4 else v for v in told]
        at += 4 + size
    return values


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _checked_layout(stream: BinaryIO, members: list[ZipMember], end: int) -> dict[str, ZipMember]:
    """Return the members with their place, after checking that they fill the archive in turn."""
    placed: dict[str, ZipMember] = {}
    position = 0
    for index, member in enumerate(members):
        limit = members[index + 1].offset if index + 1 < len(members) else end
        if member.offset != position or limit > end:
            message = f"{member.name[:80]!a} does not follow the member before it: could not tell"
            raise MalformedError(message)
        begin = _checked_local(stream, member)
        allowed = _DESCRIPTOR_SIZES if member.flags & _DESCRIPTOR else (0,)
        if limit - begin - member.packed not in allowed:
            message = f"bytes behind {member.name[:80]!a} belong to no member: could not tell"
            raise MalformedError(message)
        placed[member.name] = replace(member, begin=begin)
        position = limit
    if position != end:
        message = "the archive has bytes that belong to no member: could not tell"
        raise MalformedError(message)
    return placed


def _checked_local(stream: BinaryIO, member: ZipMember) -> int:
    """Return where the bytes of a member begin, after comparing its header with the directory."""
    stream.seek(member.offset)
    header = stream.read(_LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        message = f"{member.name[:80]!a} is not where the directory says"
        raise MalformedError(message)
    told = _LOCAL.unpack(header)
    flags, method, crc, packed, nbytes, name_size, extra_size = *told[2:4], *told[6:11]
    rest = stream.read(name_size + extra_size)
    name, extra = rest[:name_size], rest[name_size:]
    if extra:
        nbytes, packed = _wide(extra, (nbytes, packed))
    same = (_text(name), flags, method) == (member.name, member.flags, member.method)
    stated = (crc, packed, nbytes)
    unstated = flags & _DESCRIPTOR and stated in ((0, 0, 0), (crc, 0, 0))
    if not same or not (unstated or stated == (member.crc, member.packed, member.nbytes)):
        message = f"{member.name[:80]!a} is described differently in its header: could not tell"
        raise MalformedError(message)
    return stream.tell()
