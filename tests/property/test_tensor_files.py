"""Whatever the bytes: opening tensors gives rows that can all be read, or an error with a code."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbom.errors import MlbomError
from mlbom.formats.tensors.opening import open_tensors
from mlbom.reproduce.tensors.digests import canonical_digest
from tests.fixtures import weights as w
from tests.property.test_readers import BODY, LEGACY, MODULE, mutated


def npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.arange(6.0).reshape(2, 3), b=np.zeros(0, "<i4"))
    return content.getvalue()


TURNED = w.tensor(w.storage("0", 6), [3, 2], strides=[1, 3])
OPTIMIZER = w.dict_of(
    {"state": w.dict_of({"m": w.parameter(TURNED)}), "param_groups": w.list_of([w.number(1)])}
)
CHECKPOINT = w.dict_of({"model": BODY, "optimizer": OPTIMIZER, "wide": w.typed_tensor(
    w.storage("1", 24, "UntypedStorage"), [3], "complex64")})  # fmt: skip
SEEDS = {
    "m.safetensors": w.safetensors_file({"a": ("F32", [2, 3]), "b": ("BF16", [4])}, {"x": "y"}),
    "m.pt": w.torch_zip(CHECKPOINT, {"0": 24, "1": 24}),
    "n.pt": w.torch_zip(MODULE, {"0": 24}),
    "l.pt": w.torch_legacy(LEGACY, {"0": (6, 4)}),
    "m.npz": npz(),
    "m.npy": zipfile.ZipFile(io.BytesIO(npz())).read("a.npy"),
}
FEW = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def checked(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        with open_tensors(path) as opened:
            assert len({row.name for row in opened.rows}) == len(opened.rows)
            for row in opened.rows:
                told = b"".join(piece for _, piece in opened.chunks(row, 16))
                assert len(told) == row.nbytes
            problems = any(row.problem for row in opened.rows)
        if not problems:
            assert len(canonical_digest(path)) == 64
    except MlbomError as error:
        assert error.message
        assert "\n" not in error.message


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_the_seeds_themselves_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SEEDS[name])
    assert len(canonical_digest(tmp_path / name)) == 64


@pytest.mark.parametrize("name", sorted(SEEDS))
@FEW
@given(data=st.data())
def test_mutations_of_files_that_are_right(tmp_path: Path, name: str, data: st.DataObject) -> None:
    checked(tmp_path / name, data.draw(mutated(SEEDS[name])))


@FEW
@given(data=st.data())
def test_mutations_of_the_pickle_inside_an_archive(tmp_path: Path, data: st.DataObject) -> None:
    pickled = data.draw(mutated(w.pickle_of(data.draw(st.sampled_from([CHECKPOINT, MODULE])))))
    checked(tmp_path / "m.pt", w.zip_of(w.torch_members(pickled, {"0": 24, "1": 24})))


@FEW
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(SEEDS)))
def test_random_bytes(tmp_path: Path, data: bytes, name: str) -> None:
    checked(tmp_path / name, data)
