"""Strict zip: what it lists, and every archive that two readers could read differently."""

import io
import struct
import zipfile
from collections.abc import Callable

import pytest

from mlbom.errors import LimitError, MalformedError
from mlbom.formats import strict_zip
from mlbom.formats.strict_zip import ZipMember, read_member, read_zip
from tests.fixtures.weights import zip_of

MEMBERS = [("a/x.txt", b"hello"), ("a/empty", b""), ("b", bytes(5000))]
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def listed(data: bytes) -> dict[str, ZipMember]:
    return read_zip(io.BytesIO(data), len(data))


def content(data: bytes) -> list[tuple[str, bytes]]:
    stream = io.BytesIO(data)
    return [(n, read_member(stream, m, 10_000)) for n, m in read_zip(stream, len(data)).items()]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_it_reads_what_python_writes(method: int) -> None:
    assert content(zip_of(MEMBERS, method)) == MEMBERS


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_behind_the_data_are_understood(method: int) -> None:
    """A writer that cannot seek puts a data descriptor behind each member."""

    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, part: bytes) -> int:  # type: ignore[override]
            self.data += bytes(part)
            return len(part)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, data in MEMBERS:
            archive.writestr(name, data)
    assert content(pipe.data) == MEMBERS


def test_zip64_members_are_understood() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in MEMBERS:
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    assert content(stream.getvalue()) == MEMBERS


def test_a_comment_and_no_members() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"remark"
    assert listed(stream.getvalue()) == {}


def test_bytes_before_an_empty_directory_belong_to_no_member() -> None:
    data = b"x" * 10 + END + struct.pack("<4H2IH", 0, 0, 0, 0, 0, 10, 0)
    with pytest.raises(MalformedError, match="bytes that belong to no member"):
        listed(data)


def test_many_members_need_zip64() -> None:
    data = zip_of((f"m{i}", b"") for i in range(70_000))
    assert len(listed(data)) == 70_000


def put(marker: bytes, offset: int, change: bytes, which: int = 0) -> Callable[[bytes], bytes]:
    """Return a change of some bytes at an offset behind the n-th marker."""

    def apply(data: bytes) -> bytes:
        at = -1
        for _ in range(which + 1):
            at = data.index(marker, at + 1)
        return data[: at + offset] + change + data[at + offset + len(change) :]

    return apply


def twice_named(data: bytes) -> bytes:
    return data.replace(b"a/x.txt", b"a/empty")


def hidden_member(data: bytes) -> bytes:
    """Leave the second member out of the directory."""
    begin = data.index(CENTRAL)
    first = data.index(CENTRAL, begin + 1)
    second = data.index(CENTRAL, first + 1)
    end = data.index(END)
    directory = data[begin:first] + data[second:end]
    record = END + struct.pack("<4H2IH", 0, 0, 2, 2, len(directory), begin, 0)
    return data[:begin] + directory + record


def two_ends(data: bytes) -> bytes:
    """An archive whose comment is a second end record."""
    end = data.index(END)
    return data[: end + 20] + struct.pack("<H", 22) + data[end:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: b"MZ" + d, "its directory is not where its end says"),
        (lambda d: d + b"\0", "bytes behind its end"),
        (two_ends, "two end records"),
        (twice_named, "two members 'a/empty'"),
        (hidden_member, "bytes behind 'a/x.txt' belong to no member"),
        (lambda d: d[:-5], "no end record"),
        (lambda d: d[:40], "no end record"),
        (put(END, 10, b"\x02\x00"), "several parts"),
        (put(END, 4, b"\x01"), "several parts"),
        (put(END, 8, b"\x02\x00\x02\x00"), "more bytes than its members take"),
        (put(END, 8, b"\x04\x00\x04\x00"), "less members than it says"),
        (put(LOCAL, 30, b"b/x.txt"), "described differently"),
        (put(LOCAL, 8, b"\x08"), "described differently"),
        (put(LOCAL, 6, b"\x01"), "described differently"),
        (put(LOCAL, 14, b"\xff"), "described differently"),
        (put(LOCAL, 0, b"XX"), "not where the directory says"),
        (put(CENTRAL, 20, b"\x04\x00\x00\x00\x04"), "described differently"),
        (put(CENTRAL, 42, b"\x01"), "does not follow the member before it"),
        (put(CENTRAL, 42, b"\xff\xff\xff\xff", which=2), "does not follow the member before it"),
        (
            put(CENTRAL, 42, b"\x00\x00\x00\x00", which=1),
            "bytes behind 'a/x.txt' belong to no member",
        ),
    ],
)
def test_an_archive_with_two_readings_is_refused(
    change: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(MalformedError) as raised:
        listed(change(zip_of(MEMBERS)))
    assert reason in raised.value.message


def zip64() -> bytes:
    return zip_of((f"m{i}", b"") for i in range(65_536))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put(b"PK\x06\x07", 8, b"\x01"), "not where its locator says"),
        (put(b"PK\x06\x07", 4, b"\x01"), "not where its locator says"),
        (put(b"PK\x06\x06", 0, b"XX"), "no zip64 end record"),
        (put(b"PK\x06\x06", 32, b"\x05"), "several parts"),
        (put(END, 12, b"\x05"), "end records of the archive disagree"),
    ],
)
def test_a_zip64_archive_with_two_readings_is_refused(
    change: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(MalformedError) as raised:
        listed(change(zip64()))
    assert reason in raised.value.message


def test_an_archive_inside_an_archive_is_no_second_end() -> None:
    assert set(listed(zip_of([("inner.zip", zip_of(MEMBERS))]))) == {"inner.zip"}


def test_a_second_name_in_an_extra_field_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a")
        info.extra = struct.pack("<2HBI", 0x7075, 6, 1, 0) + b"b"
        archive.writestr(info, b"")
    with pytest.raises(MalformedError, match="second name"):
        listed(stream.getvalue())


@pytest.mark.parametrize("flag", [b"\x01\x00", b"\x40\x00", b"\x00\x20"])
def test_an_encrypted_member_is_not_read(flag: bytes) -> None:
    data = put(CENTRAL, 8, flag)(put(LOCAL, 6, flag)(zip_of(MEMBERS)))
    member = listed(data)["a/x.txt"]
    assert member.encrypted
    with pytest.raises(MalformedError, match="encrypted or packed by method 0: could not tell"):
        read_member(io.BytesIO(data), member, 100)


def test_a_checksum_that_does_not_hold_is_refused() -> None:
    data = zip_of(MEMBERS).replace(b"hello", b"hallo")
    with pytest.raises(MalformedError, match="size or checksum"):
        read_member(io.BytesIO(data), listed(data)["a/x.txt"], 100)


def test_damaged_deflate_is_refused() -> None:
    data = zip_of([("a", bytes(range(256)) * 9)], zipfile.ZIP_DEFLATED)
    at = data.index(b"a", 30) + 1
    damaged = data[:at] + b"\xff" * 8 + data[at + 8 :]
    with pytest.raises(MalformedError, match="cannot be unpacked"):
        read_member(io.BytesIO(damaged), listed(damaged)["a"], 10_000)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zip_of(MEMBERS)
    with pytest.raises(LimitError, match="5000 bytes, more than the limit of 4999"):
        read_member(io.BytesIO(data), listed(data)["b"], 4999)
    monkeypatch.setattr(strict_zip, "MAX_MEMBERS", 2)
    with pytest.raises(LimitError, match="3 members, more than the limit of 2"):
        listed(data)
