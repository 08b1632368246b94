"""Whatever the bytes: a weight reader gives facts or an error with a code, and nothing else."""

import bz2
import gzip
import io
import pickle
import zlib
from collections import OrderedDict

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlbom.errors import MlbomError
from mlbom.formats.pickle_file import PickleReader
from mlbom.formats.safetensors import SafetensorsReader
from mlbom.formats.sharded import read_index
from mlbom.formats.strict_yaml import parse_yaml
from mlbom.formats.torch_zip import TorchZipReader
from mlbom.formats.weights import WeightFacts, WeightReader, read_weights
from tests.fixtures import weights as w

T = w.tensor(w.storage("0", 6), [2, 3])
LEGACY = w.tensor(w.storage("0", 6, legacy=True), [2, 3])
BODY = w.dict_of({"a": T, "b": T, "state": w.dict_of({"c": w.parameter(T)}), "epoch": w.number(3)})
MODULE = w.module(("net", "Net"), {"w": T}, {"sub": w.module(("net", "Sub"), {"w": T}, {})})
SEEDS: dict[type[WeightReader], tuple[bytes, ...]] = {
    SafetensorsReader: (
        w.safetensors_file({"a": ("F32", [2, 3]), "b": ("BF16", [4])}, {"format": "pt"}),
        w.safetensors_raw(b"{}"),
    ),
    TorchZipReader: (
        w.torch_zip(BODY, {"0": 24}),
        w.torch_zip(MODULE, {"0": 24}),
        w.zip_of(w.torch_members(pickle.dumps({"a": [1, OrderedDict(b=2)]}, 4), {})),
    ),
    PickleReader: (
        w.pickle_of(BODY),
        w.pickle_of(w.system("id")),
        w.torch_legacy(LEGACY, {"0": (6, 4)}),
        pickle.dumps(
            {"a": [1.5, None, (1, 2), b"x", 2**70], "b": OrderedDict(c=ValueError("x"))}, 0
        ),
        pickle.dumps(
            {"a": [1.5, None, (1, 2), b"x", 2**70], "b": OrderedDict(c=ValueError("x"))}, 5
        ),
        gzip.compress(w.pickle_of(BODY)),
        zlib.compress(w.pickle_of(BODY)),
        bz2.compress(w.pickle_of(BODY)),
    ),
}
READERS = sorted(SEEDS, key=lambda reader: reader.__name__)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def checked(reader: WeightReader, data: bytes) -> None:
    """Read, and use every derived fact: those may not fail either."""
    try:
        facts = reader.read(io.BytesIO(data), len(data))
    except MlbomError as error:
        assert error.message
        assert "\n" not in error.message
        return
    used(facts)


def used(facts: WeightFacts) -> None:
    assert facts.parameters == sum(c.number for c in facts.dtypes)
    assert sum(c.number for c in facts.shapes) == len(facts.tensors)
    assert len({t.name for t in facts.tensors}) == len(facts.tensors)
    assert len(str(facts.digest)) == 71
    assert "\n" not in facts.problem
    assert list(facts.globals) == sorted(set(facts.globals))
    assert facts.globals or facts.code_kind in ("", "torchscript")


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """A seed with some bytes overwritten, inserted, removed, repeated, or cut off."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0:
                part = draw(st.binary(min_size=1, max_size=8))
                data[at : at + len(part)] = part
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case 2:
                del data[at : at + draw(st.integers(1, 16))]
            case 3:
                begin = draw(st.integers(0, len(data)))
                data[at:at] = data[begin : begin + draw(st.integers(1, 64))]
            case _:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize("reader", READERS)
@FEW
@given(data=st.binary(max_size=400))
def test_random_bytes(reader: type[WeightReader], data: bytes) -> None:
    checked(reader(), data)


@pytest.mark.parametrize(
    ("reader", "seed"), [(reader, seed) for reader in READERS for seed in SEEDS[reader]]
)
@FEW
@given(data=st.data())
def test_mutations_of_files_that_are_right(
    reader: type[WeightReader], seed: bytes, data: st.DataObject
) -> None:
    checked(reader(), data.draw(mutated(seed)))


@FEW
@given(data=st.data())
def test_mutations_of_the_pickle_inside_an_archive(data: st.DataObject) -> None:
    """The archive stays right, so that every mutation reaches the opcodes and the tensors."""
    pickled = data.draw(mutated(w.pickle_of(data.draw(st.sampled_from([BODY, MODULE])))))
    checked(TorchZipReader(), w.zip_of(w.torch_members(pickled, {"0": 24})))


OPCODES = b"(.012FIJKLMNPQRSTUVX)]abcdeghijlopqrstu}\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98BCG"
STEPS = st.sampled_from(
    [bytes([code]) for code in OPCODES]
    + [T, w.text("a"), w.number(2), w.name_of("a", "b"), b"K\x01", b"\x8c\x01a", b"h\x00", b"q\x00"]
)


@FEW
@given(st.lists(STEPS, max_size=60).map(b"".join))
@example(b".")
@example(b"(.")
def test_random_programs_of_opcodes(body: bytes) -> None:
    checked(PickleReader(), w.pickle_of(body))
    checked(TorchZipReader(), w.zip_of(w.torch_members(w.pickle_of(body), {"0": 24})))


@FEW
@given(st.binary(max_size=300), st.sampled_from(["m.safetensors", "m.bin", "m.pkl", "m.onnx"]))
def test_choosing_the_reader(data: bytes, path: str) -> None:
    try:
        used(read_weights(io.BytesIO(data), len(data), path))
    except MlbomError as error:
        assert error.message


@FEW
@given(data=st.data())
def test_indexes_and_yaml(data: st.DataObject) -> None:
    seed = b'{"metadata": {"total_size": 32}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}'
    mutation = data.draw(mutated(seed))
    for parse in (read_index, parse_yaml):
        try:
            parse(mutation, "x")
        except MlbomError as error:
            assert error.message.startswith("x ")
