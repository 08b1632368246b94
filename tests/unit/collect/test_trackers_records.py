"""Tests of the binary logs of trackers: TensorBoard event files and W&B logs, made by hand."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from mlbom.collect.trackers.events import masked_crc32c
from mlbom.collect.trackers.metric import MeasuredMetric, MetricReading
from mlbom.collect.trackers.reading import read_metrics

EVENTS = "events.out.tfevents.1700000000.host"
LOG = "wandb/offline-run-20260101_000000-abc/run-abc.wandb"


def varint(value: int) -> bytes:
    """Return an unsigned integer in protobuf's form."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*fields: tuple[int, int | bytes | float]) -> bytes:
    """Return a message: integers as varints, floats as 4 bytes, bytes with their length."""
    out = b""
    for number, value in fields:
        match value:
            case int():
                out += varint(number << 3) + varint(value % 2**64)
            case float():
                out += varint(number << 3 | 5) + struct.pack("<f", value)
            case _:
                out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def record(data: bytes) -> bytes:
    """Return a TFRecord."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        )
    )


def scalar(tag: bytes, value: float, step: int) -> bytes:
    """Return the record of an event with one simple value."""
    summary = message((1, message((1, tag), (2, value))))
    return record(b"\x09" + struct.pack("<d", 1.0) + message((2, step), (5, summary)))


def tensor(tag: bytes, *fields: tuple[int, int | bytes | float]) -> bytes:
    """Return the record of an event with one tensor."""
    return record(message((2, 7), (5, message((1, message((1, tag), (8, message(*fields))))))))


VERSION = record(message((3, b"brain.Event:2")))


def read(folder: Path, name: str, data: bytes) -> MetricReading:
    """Read one file with these bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return read_metrics(None, [path], folder)


def test_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, appendix B.4: 32 bytes of zeros, and 0 to 31; masked as TFRecord stores them.
    for data, crc in ((bytes(32), 0x8A9136AA), (bytes(range(32)), 0x46DD794E)):
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        assert masked_crc32c(data) == masked


def test_last_scalar_of_each_tag(tmp_path: Path) -> None:
    data = VERSION + scalar(b"loss", 0.5, 1) + scalar(b"acc", 1.0, 1) + scalar(b"loss", 0.25, 2**40)
    assert read(tmp_path, EVENTS, data) == MetricReading(
        metrics=(
            MeasuredMetric(name="acc", value=1.0, step=1, source=EVENTS, line=3),
            MeasuredMetric(name="loss", value=0.25, step=2**40, source=EVENTS, line=4),
        )
    )


def test_scalars_that_are_tensors(tmp_path: Path) -> None:
    half, double = struct.pack("<f", 0.5), struct.pack("<d", 0.25)
    one_dimension = message((2, message((1, 1))))
    data = b"".join(
        (
            tensor(b"packed", (1, 1), (5, half)),
            tensor(b"unpacked", (1, 1), (2, b""), (5, 0.5)),
            tensor(b"content", (1, 1), (4, half)),
            tensor(b"double", (1, 2), (6, double)),
            tensor(b"two", (1, 1), (5, half + half)),
            tensor(b"vector", (1, 1), (2, one_dimension), (5, half)),
            tensor(b"text", (1, 7), (8, b"half")),
        )
    )
    reading = read(tmp_path, EVENTS, data)
    assert {metric.name: metric.value for metric in reading.metrics} == {
        "packed": 0.5,
        "unpacked": 0.5,
        "content": 0.5,
        "double": 0.25,
    }
    assert reading.gaps == ()


def test_negative_step_and_value_that_is_none(tmp_path: Path) -> None:
    reading = read(tmp_path, EVENTS, scalar(b"a", 0.5, -3) + scalar(b"b", float("nan"), 1))
    assert [(m.name, m.step) for m in reading.metrics] == [("a", -3)]
    assert reading.gaps == (f"{EVENTS}: b is NaN",)


def test_large_record_is_passed_over(tmp_path: Path) -> None:
    data = record(message((4, bytes(100_000)))) + scalar(b"loss", 0.5, 1)
    (metric,) = read(tmp_path, EVENTS, data).metrics
    assert (metric.name, metric.line) == ("loss", 2)


@pytest.mark.parametrize("cut", [1, 3, 20, 30])
def test_file_of_a_run_that_was_killed_gives_what_it_holds(tmp_path: Path, cut: int) -> None:
    reading = read(tmp_path, EVENTS, (scalar(b"a", 0.5, 1) + scalar(b"b", 0.5, 1))[:-cut])
    assert [metric.name for metric in reading.metrics] == ["a"]
    assert reading.gaps == (f"{EVENTS} ends inside record 2",)


def test_value_whose_checksum_is_wrong_is_not_believed(tmp_path: Path) -> None:
    damaged = bytearray(scalar(b"loss", 0.5, 1))
    damaged[-6] ^= 0x40
    reading = read(tmp_path, EVENTS, scalar(b"loss", 0.9, 0) + bytes(damaged))
    assert reading.metrics == ()
    assert reading.gaps == (f"{EVENTS} is damaged: record 2 has a wrong checksum",)


def test_length_that_lies(tmp_path: Path) -> None:
    lie = struct.pack("<Q", 2**63) + bytes(4)
    reading = read(tmp_path, EVENTS, scalar(b"a", 0.5, 1) + lie + b"x" * 100)
    assert reading.gaps == (f"{EVENTS} is damaged: record 2 has a wrong length",)
    honest = struct.pack("<Q", 2**62)
    huge = honest + struct.pack("<I", masked_crc32c(honest))
    assert read(tmp_path, EVENTS, huge).gaps == (f"{EVENTS} ends inside record 1",)


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x2a\xff\xff\x03", b"\x0b", b"\x11\x00"])
def test_record_that_is_no_message(tmp_path: Path, data: bytes) -> None:
    reading = read(tmp_path, EVENTS, record(data))
    assert reading.metrics == ()
    (gap,) = reading.gaps
    assert gap.startswith("a message has a")


def test_flood_of_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbom.collect.trackers.tensorboard._MOST_TAGS", 10)
    data = b"".join(scalar(b"t%d" % number, 0.5, 1) for number in range(11))
    (gap,) = read(tmp_path, EVENTS, data).gaps
    assert "more than 10 tags" in gap


def item(value: Any, *names: str) -> bytes:
    """Return an item of a history or a summary."""
    text = json.dumps(value).encode()
    return message((1, message(*((2, name.encode()) for name in names), (16, text))))


def chunk(data: bytes, kind: int = 1) -> bytes:
    """Return one chunk of a log in blocks."""
    return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(bytes([kind]))), len(data), kind) + data


def log(*records: bytes) -> bytes:
    """Return a W&B log, its records split where a block ends."""
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for data in records:
        rest, kind = data, 1
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out += bytes(room)
                room = 32768
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (4 if kind in (2, 3) else 1) if not rest else (3 if kind in (2, 3) else 2)
            out += chunk(part, kind)
            if not rest:
                break
    return bytes(out)


def history(*items: bytes) -> bytes:
    return message((1, 1), (2, b"".join(items)))


def summary(*items: bytes) -> bytes:
    return message((1, 2), (3, b"".join(items)))


def test_log_of_an_offline_run(tmp_path: Path) -> None:
    data = log(
        history(item(1, "_step"), item(0.9, "loss"), item(3, "nested", "a")),
        history(item(2, "_step"), item(0.5, "loss"), item("text", "note")),
        summary(item("histogram", "h", "_type"), item(5, "h", "n"), item(0.25, "best")),
        summary(item({"_type": "table-file", "nrows": 3}, "table"), item({"x": 1}, "object")),
        summary(item(7, "_runtime")),
    )
    reading = read(tmp_path, LOG, data)
    assert [(m.name, m.value, m.step, m.line) for m in reading.metrics] == [
        ("best", 0.25, 2, 3),
        ("loss", 0.5, 2, 2),
        ("nested.a", 3.0, 1, 1),
        ("object.x", 1.0, 2, 4),
    ]
    assert reading.gaps == ()


def test_records_across_blocks(tmp_path: Path) -> None:
    tables = [
        history(item("x" * size, "table"), item(size, "size")) for size in (32700, 40, 80_000)
    ]
    reading = read(tmp_path, LOG, log(*tables, history(item(0.5, "loss"))))
    assert {m.name: m.value for m in reading.metrics} == {"size": 80_000, "loss": 0.5}


def test_not_a_number_in_a_log(tmp_path: Path) -> None:
    reading = read(tmp_path, LOG, log(history(item(float("nan"), "loss"))))
    assert reading.gaps == (f"{LOG}: loss is NaN",)


def test_log_that_is_cut_damaged_or_none(tmp_path: Path) -> None:
    good = log(history(item(0.5, "a")), history(item(0.5, "b")))
    cut = read(tmp_path, LOG, good[:-3])
    assert [metric.name for metric in cut.metrics] == ["a"]
    assert cut.gaps == (f"{LOG} was not read: {LOG} ends inside a record",)
    flipped = bytearray(good)
    flipped[-3] ^= 1
    damaged = read(tmp_path, LOG, bytes(flipped))
    assert [metric.name for metric in damaged.metrics] == ["a"]
    assert "wrong checksum" in damaged.gaps[0]
    for data in (b"", b":W&B", b"x" * 100):
        assert read(tmp_path, LOG, data).gaps == (
            f"{LOG} was not read: {LOG} is no log of a W&B run",
        )
