"""The safetensors header: what it tells, and every rule that a file can break."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.nodes import Count, Pair
from mlbom.formats import safetensors
from mlbom.formats.safetensors import SafetensorsReader
from mlbom.formats.weights import TensorInfo, WeightFacts
from tests.fixtures.weights import safetensors_file, safetensors_header, safetensors_raw

Header = dict[str, Any]
TWO = {"a": ("F32", [2, 3]), "b": ("BF16", [4])}


def read(data: bytes) -> WeightFacts:
    return SafetensorsReader().read(io.BytesIO(data), len(data))


def test_the_header_tells_tensors_and_metadata() -> None:
    facts = read(safetensors_file(TWO, {"format": "pt", "licence": "MIT"}))
    assert facts.format == "safetensors"
    assert facts.tensors == (TensorInfo("a", "F32", (2, 3)), TensorInfo("b", "BF16", (4,)))
    assert facts.metadata == (Pair("format", "pt"), Pair("licence", "MIT"))
    assert facts.parameters == 10
    assert facts.dtypes == (Count("BF16", 4), Count("F32", 6))
    assert facts.shapes == (Count("2x3", 1), Count("4", 1))
    assert not facts.problem
    assert not facts.globals


def test_scalars_empty_tensors_and_no_tensors() -> None:
    facts = read(safetensors_file({"s": ("F32", []), "e": ("F32", [0, 3]), "t": ("U8", [1])}))
    assert facts.parameters == 2
    assert Count("scalar", 1) in facts.shapes
    assert read(safetensors_raw(b"{}")).tensors == ()


@pytest.mark.parametrize(
    ("dtype", "shape", "nbytes"), [("F4", [3, 2], 3), ("F6_E3M2", [4], 3), ("F8_E8M0", [5], 5)]
)
def test_dtypes_below_a_byte(dtype: str, shape: list[int], nbytes: int) -> None:
    header = {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, nbytes]}}
    assert read(safetensors_raw(json.dumps(header).encode(), bytes(nbytes))).dtypes[0].name == dtype


def test_the_order_in_the_header_is_free_and_padding_is_allowed() -> None:
    header, nbytes = safetensors_header(TWO)
    swapped = json.dumps(dict(reversed(header.items()))).encode() + b"   "
    facts = read(safetensors_raw(swapped, bytes(nbytes)))
    assert [t.name for t in facts.tensors] == ["b", "a"]
    assert facts.digest == read(safetensors_file(TWO)).digest


def _change(name: str, key: str, value: object) -> Callable[[Header], None]:
    def change(header: Header) -> None:
        header[name][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_change("a", "data_offsets", [4, 28]), "leaves a gap before it: it begins at 4, not at 0"),
        (_change("b", "data_offsets", [20, 28]), "'b' overlaps the tensor before it"),
        (_change("b", "data_offsets", [24, 33]), "takes 64 bits by dtype and shape, 9 bytes"),
        (_change("b", "data_offsets", [32, 24]), "takes 64 bits"),
        (_change("b", "data_offsets", [24]), "no lists of sizes"),
        (_change("b", "data_offsets", [24, 32.0]), "no lists of sizes"),
        (_change("b", "shape", [-4]), "no lists of sizes"),
        (_change("b", "shape", [True, 4]), "no lists of sizes"),
        (_change("b", "shape", [2**63, 2]), "no lists of sizes"),
        (_change("b", "shape", [2**32, 2**32]), "takes 295147905179352825856 bits"),
        (_change("b", "shape", [1] * 100_000), "no lists of sizes"),
        (_change("b", "dtype", "F24"), "unknown dtype 'F24'"),
        (_change("b", "dtype", ["F32"]), "unknown dtype of type list"),
        (_change("b", "dtype", "QINT8"), "unknown dtype"),
        (_change("b", "more", 1), "exactly dtype, shape and data_offsets"),
        (lambda h: h["b"].pop("dtype"), "exactly dtype, shape and data_offsets"),
        (lambda h: h.update(b=[]), "exactly dtype, shape and data_offsets"),
        (lambda h: h.update(__metadata__={"n": 1}), "no map of texts"),
        (lambda h: h.update(__metadata__=["n"]), "no map of texts"),
        (lambda h: h.pop("b"), "the file has 32 bytes of data, more than its tensors' 24"),
    ],
)
def test_a_broken_rule_is_named(change: Callable[[Header], None], reason: str) -> None:
    header, nbytes = safetensors_header(TWO)
    change(header)
    with pytest.raises(MalformedError, match="^[^\n]+$") as raised:
        read(safetensors_raw(json.dumps(header).encode(), bytes(nbytes)))
    assert reason in raised.value.message
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file has 0 bytes"),
        (b"\x02\x00\x00", "the file has 3 bytes"),
        (safetensors_raw(b"{}", length=3), "announces 3 bytes, the file has 2"),
        (safetensors_raw(b"[]"), "does not begin with {"),
        (safetensors_raw(b" {}"), "does not begin with {"),
        (safetensors_raw(b"{]"), "the header is not valid JSON"),
        (safetensors_raw(b"{}", b"x"), "more than its tensors' 0"),
        (safetensors_raw(b'{"\\ud800":1}'), "lone surrogate"),
    ],
)
def test_a_broken_frame_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError) as raised:
        read(data)
    assert reason in raised.value.message


def test_a_cut_off_file_is_malformed_at_every_byte() -> None:
    whole = safetensors_file(TWO)
    for length in range(len(whole)):
        with pytest.raises(MalformedError):
            read(whole[:length])


def test_the_header_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "MAX_HEADER_BYTES", 100)
    with pytest.raises(LimitError, match="more than the limit of 100"):
        read(safetensors_raw(b"{" + b" " * 100 + b"}"))


@pytest.mark.parametrize("item", [b"[],", b"{},", b"1,"])
def test_a_header_that_would_fill_memory_is_refused_before_it_is_parsed(item: bytes) -> None:
    data = safetensors_raw(b'{"a":[' + item * 9_000_000 + b"0]}")
    before = time.process_time()
    with pytest.raises(LimitError, match="more than the limit of"):
        read(data)
    assert time.process_time() - before < 2


def test_only_the_header_is_read() -> None:
    header, _ = safetensors_header({"a": ("F32", [1024, 1024])})
    data = safetensors_raw(json.dumps(header).encode())
    stream = io.BytesIO(data)
    assert SafetensorsReader().read(stream, len(data) + 4 * 1024 * 1024).parameters == 1024**2
    assert stream.tell() == len(data)


def test_a_hundred_thousand_tensors_take_little_time() -> None:
    data = safetensors_file({f"model.layers.{i}.mlp.weight": ("U8", [1]) for i in range(100_000)})
    before = time.process_time()
    facts = read(data)
    assert facts.parameters == 100_000
    assert time.process_time() - before < 4


@pytest.mark.parametrize("indent", [None, 1])
def test_no_length_is_mistaken_for_pickle_opcodes(indent: int | None) -> None:
    """The length may begin with PROTO, GLOBAL, EXT1 or any other opcode."""
    text = json.dumps(safetensors_header(TWO)[0], indent=indent).encode()
    for length in range(512, 1024):
        assert read(safetensors_raw(text.ljust(length), bytes(32))).parameters == 10


def test_it_is_recognised_by_its_bytes() -> None:
    reader = SafetensorsReader()
    assert reader.matches(safetensors_file(TWO), "model.bin")
    assert reader.matches(b"\xff" * 7 + b"\x7f{", "model.safetensors")
    assert not reader.matches(b"\xff" * 7 + b"\x7f{", "model.bin")
    assert not reader.matches(b"PK\x03\x04aaaaaaaa", "model.safetensors")
    assert not reader.matches(b"\x80\x04aaaaaaaa", "model.safetensors")


def test_a_file_that_shrinks_while_it_is_read() -> None:
    data = safetensors_file(TWO)
    with pytest.raises(MalformedError, match="ends inside its header"):
        SafetensorsReader().read(io.BytesIO(data[:20]), len(data))
