"""The contract of weight readers: derived totals, and choosing the reader by the first bytes."""

import gc
import hashlib
import io
import json
import pickle

import pytest

from mlbom.errors import MalformedError, UnknownFormatError
from mlbom.evidence.nodes import Count
from mlbom.formats.weights import HEAD_BYTES, TensorInfo, WeightFacts, read_weights, reader_for
from tests.fixtures import weights as w

FACTS = WeightFacts(
    format="x",
    tensors=(
        TensorInfo("b", "F32", (2, 3)),
        TensorInfo("a", "BF16", (3,)),
        TensorInfo("tied", "F32", (2, 3)),
        TensorInfo("n", "I64", ()),
    ),
    aliases=("tied",),
)


def test_totals_count_aliases_once() -> None:
    assert FACTS.parameters == 9
    assert FACTS.dtypes == (Count("BF16", 3), Count("F32", 6), Count("I64", 1))
    assert FACTS.shapes == (Count("2x3", 2), Count("3", 1), Count("scalar", 1))


def test_the_digest_is_that_of_the_sorted_table() -> None:
    table = [["a", "BF16", [3]], ["b", "F32", [2, 3]], ["n", "I64", []], ["tied", "F32", [2, 3]]]
    text = json.dumps(table, separators=(",", ":")).encode()
    assert FACTS.digest.value == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("data", "path", "name"),
    [
        (w.safetensors_file({"a": ("F32", [1])}), "model.safetensors", "safetensors"),
        (w.safetensors_file({"a": ("F32", [1])}), "model.bin", "safetensors"),
        (w.state_dict_zip({"a": [1]}), "pytorch_model.bin", "torch-zip"),
        (w.state_dict_zip({"a": [1]}), "model.safetensors", "torch-zip"),
        (w.torch_legacy(b"N", {}), "model.pt", "pickle"),
        (w.pickle_of(b"N"), "model.safetensors", "pickle"),
        (pickle.dumps([1], 0), "model.pkl", "pickle"),
        (b"GGUF\x03\x00\x00\x00", "model.gguf", None),
        (b"", "model.safetensors", "safetensors"),
        (b"", "model.bin", None),
        (b"text", "model.onnx", None),
    ],
)
def test_the_bytes_choose_the_reader_before_the_name(
    data: bytes, path: str, name: str | None
) -> None:
    reader = reader_for(data[:HEAD_BYTES], path)
    assert (reader.name if reader else None) == name


def test_a_file_is_read_by_its_reader() -> None:
    data = w.state_dict_zip({"a": [5]})
    assert read_weights(io.BytesIO(data), len(data), "x").parameters == 5
    with pytest.raises(UnknownFormatError, match="no reader for this format"):
        read_weights(io.BytesIO(b"text"), 4, "model.onnx")


@pytest.mark.parametrize("data", [w.state_dict_zip({"a": [5]}), b"PK\x03\x04"])
def test_the_garbage_collector_is_left_as_it_was(data: bytes) -> None:
    for switch in (gc.disable, gc.enable):
        switch()
        before = gc.isenabled()
        try:
            read_weights(io.BytesIO(data), len(data), "x")
        except MalformedError:
            assert len(data) == 4
        assert gc.isenabled() is before
