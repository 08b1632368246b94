"""Pickle files: plain, compressed, joblib's with raw arrays inside, torch's old layout."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import zlib

import pytest

from mlbom.errors import LimitError, MalformedError, UnreadableError
from mlbom.evidence.nodes import Pair
from mlbom.formats import compressed
from mlbom.formats.pickle_file import PickleReader
from mlbom.formats.weights import HEAD_BYTES, WeightFacts
from tests.fixtures import weights as w
from tests.fixtures.weights import storage, tensor


def read(data: bytes) -> WeightFacts:
    return PickleReader().read(io.BytesIO(data), len(data))


def test_a_pickle_tells_its_imports_and_not_its_tensors() -> None:
    facts = read(w.pickle_of(w.system("id")))
    assert (facts.format, facts.has_table, facts.problem) == ("pickle", False, "")
    assert (facts.globals, facts.code_kind) == (("posix.system",), "pickle-globals")
    assert facts.metadata == (Pair("pickle.protocol", "2"),)


def test_plain_data_runs_no_code() -> None:
    assert read(pickle.dumps({"a": [1, 2]})).code_kind == ""


def test_the_version_of_scikit_learn() -> None:
    estimator = w.name_of("sklearn.linear_model", "Lasso") + b")\x81"
    facts = read(w.pickle_of(estimator + w.dict_of({"_sklearn_version": w.text("1.7.0")}) + b"b"))
    assert Pair("sklearn.version", "1.7.0") in facts.metadata


def array(code: str, shape: tuple[int, ...], *, aligned: bool = True, flags: int = 0) -> bytes:
    """Return the object that joblib writes before the raw bytes of an array."""
    dtype = w.call(w.name_of("numpy", "dtype"), w.text(code), b"\x89", b"\x88")
    state = [
        w.number(3),
        w.text("<"),
        b"N",
        b"N",
        b"N",
        w.number(-1),
        w.number(-1),
        w.number(flags),
    ]
    told = {
        "shape": w.tuple_of(map(w.number, shape)),
        "order": w.text("C"),
        "dtype": dtype + w.tuple_of(state) + b"b",
        "allow_mmap": b"\x88",
        "numpy_array_alignment_bytes": w.number(16) if aligned else b"N",
    }
    return w.name_of("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81" + w.dict_of(told) + b"b"


@pytest.mark.parametrize(
    ("code", "shape", "aligned", "raw"),
    [
        ("f8", (3,), True, b"\x05" + b"\xff" * 5 + b"\xff" * 24),
        ("f4", (2, 2), True, b"\x00" + b"\xfe" * 16),
        ("f4", (2, 2), False, b"\xfe" * 16),
        ("U3", (2,), False, b"\xfe" * 24),
        ("S5", (2,), False, b"\xfe" * 10),
        ("V12", (2,), False, b"\xfe" * 24),
        ("M8[D]", (1,), False, b"\xfe" * 8),
        ("f8", (0, 3), False, b""),
        ("f8", (), False, b"\xfe" * 8),
    ],
)
def test_raw_arrays_of_joblib_are_passed_over(
    code: str, shape: tuple[int, ...], aligned: bool, raw: bytes
) -> None:
    body = b"]" + array(code, shape, aligned=aligned) + raw + b"a" + w.system("id") + b"a"
    facts = read(w.pickle_of(body))
    assert facts.problem == ""
    assert "posix.system" in facts.globals


@pytest.mark.parametrize(("code", "flags"), [("O8", 63), ("V16", 27)])
def test_an_array_of_objects_is_a_pickle_inside(code: str, flags: int) -> None:
    inside = w.pickle_of(w.system("id"))
    facts = read(
        w.pickle_of(
            b"]" + array(code, (2,), flags=flags) + inside + b"a" + w.name_of("a", "b") + b"a"
        )
    )
    assert facts.problem == ""
    assert {"posix.system", "a.b"} <= set(facts.globals)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (array("f8", (3,)) + b"\x00" * 5, "an argument announces 24 bytes, 5 are left"),
        (array("f8", (2**53, 2**9)) + b"\x00" * 5, "are left"),
        (array("f8", (-3,)), "no shape"),
        (array("q8", (3,)), "dtype that mlbom does not know"),
        (array("f8", (3,)).replace(b"dtype", b"DTYPE"), "dtype that mlbom does not know"),
        (
            w.name_of("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81Nb",
            "does not describe itself",
        ),
    ],
)
def test_an_array_that_cannot_be_passed_over_is_told(body: bytes, problem: str) -> None:
    assert problem in read(w.pickle_of(body)).problem


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        zlib.compress,
        bz2.compress,
        lzma.compress,
        lambda d: lzma.compress(d, lzma.FORMAT_ALONE),
    ],
)
def test_compressed_pickles_are_unpacked(pack: object) -> None:
    data = pack(w.pickle_of(w.system("id") + b"0" + w.text("x" * 50_000)))  # type: ignore[operator]
    assert PickleReader().matches(data[:HEAD_BYTES], "whatever")
    assert read(data).globals == ("posix.system",)
    for broken in (data[:-4], data + b"x"):
        with pytest.raises(MalformedError, match=r"cut off|bytes follow|damaged"):
            read(broken)


@pytest.mark.parametrize("magic", [b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"])
def test_a_compression_without_codec_is_unreadable(magic: bytes) -> None:
    data = magic + bytes(50)
    assert PickleReader().matches(data, "model.pkl")
    assert not PickleReader().matches(data, "data.arrow")
    with pytest.raises(UnreadableError, match="does not unpack"):
        read(data)


def test_unpacking_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="the limit is 200:1"):
        read(gzip.compress(bytes(40_000_000)))
    monkeypatch.setattr(compressed, "MAX_BYTES", 1000)
    with pytest.raises(LimitError, match="more than 1000 bytes"):
        read(zlib.compress(bytes(range(256)) * 8))


T = tensor(storage("0", 6, legacy=True), [2, 3])


def test_the_old_layout_of_torch() -> None:
    facts = read(w.torch_legacy(w.dict_of({"a": T, "b": T}), {"0": (6, 4)}))
    assert (facts.format, facts.code_kind, facts.problem) == ("torch-legacy", "", "")
    assert [t.name for t in facts.tensors] == ["a", "b"]
    assert (facts.aliases, facts.parameters) == (("b",), 6)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (w.torch_legacy(T, {"0": (5, 4)}), "storage '0' has 20 bytes in the file, not 24"),
        (w.torch_legacy(T, {"0": (6, 4), "1": (1, 4)}), "does not fit the tensors"),
        (w.torch_legacy(T, {"0": (6, 4)}) + b"x", "end 1 bytes before the end"),
        (w.torch_legacy(T, {"0": (6, 4)})[:-1], "end 1 bytes behind the end"),
        (w.torch_legacy(T, {"0": (6, 4)})[:-30], "does not fit the tensors"),
        (w.torch_legacy(T, {"0": (6, 4)})[:-60], "ends"),
        (w.torch_legacy(T, {}), "storage '0' has nothing in the file"),
        (
            w.torch_legacy(T, {"0": (6, 4)})[:-32] + struct.pack("<Q", 2**63) + bytes(24),
            "behind the end",
        ),
        (w.torch_legacy(w.text("x") + b"\xff", {}), "no pickle opcode"),
    ],
)
def test_a_broken_old_layout_is_told(data: bytes, problem: str) -> None:
    facts = read(data)
    assert problem in facts.problem
    assert facts.format == "torch-legacy"


def test_code_in_the_old_layout_is_listed() -> None:
    facts = read(w.torch_legacy(w.system("id"), {}))
    assert (facts.code_kind, "posix.system" in facts.globals) == ("pickle-globals", True)


@pytest.mark.parametrize(
    ("head", "path", "is_pickle"),
    [
        (pickle.dumps(1, 4), "x.weights", True),
        (pickle.dumps({"a": 1}, 0), "pytorch_model.bin", True),
        (pickle.dumps(OSError("x"), 0), "m.pkl", True),
        (pickle.dumps({"a": 1}, 0), "x.txt", False),
        (bytes(100), "pytorch_model.bin", False),
        (b"\x00\x00" + w.pickle_of(w.system("id")), "pytorch_model.bin", True),
        (b"GGUF\x03\x00\x00\x00" + bytes(100), "model.bin", False),
        (b"ONNX" * 100, "model.bin", False),
        (gzip.compress(b"text" * 100), "x.pkl", False),
        (b"", "x.pkl", False),
    ],
)
def test_it_is_recognised_by_its_bytes(head: bytes, path: str, is_pickle: bool) -> None:
    assert PickleReader().matches(head[:HEAD_BYTES], path) is is_pickle
