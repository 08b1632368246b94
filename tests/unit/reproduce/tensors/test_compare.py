"""Two files compared level by level: names, kinds, bits, parts, packaging, and what is not known."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbom.errors import MissingExtraError
from mlbom.evidence.canonical import canonical_json
from mlbom.formats.tensors.rows import Part
from mlbom.reproduce.tensors import contents, digests
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.reproduce.tensors.comparison import FileComparison
from mlbom.reproduce.tensors.totals import layer_of

Arrays = dict[str, np.ndarray[Any, Any]]


def npz(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def weights() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "h.0.w": draw.standard_normal((30, 20)).astype("<f4"),
        "h.0.b": draw.standard_normal(30).astype("<f4"),
        "h.1.w": draw.standard_normal((30, 20)).astype("<f4"),
        "head.w": draw.standard_normal(5),
        "count": np.arange(3),
    }


def compared(tmp_path: Path, a: Arrays, b: Arrays, **options: Any) -> FileComparison:
    return compare_files(npz(tmp_path / "a.npz", a), npz(tmp_path / "b.npz", b), **options)


def test_bits_of_one_tensor(tmp_path: Path) -> None:
    changed = weights()
    changed["h.1.w"][3, 7] = np.nextafter(changed["h.1.w"][3, 7], np.float32(9))
    changed["h.1.w"][9, 0] *= -1
    found = compared(tmp_path, weights(), changed)
    (told,) = found.differing
    assert (found.verdict, found.bits_equal, len(found.equal)) == ("different", False, 4)
    assert (told.name, told.layer, told.part, told.first) == ("h.1.w", "h.1", Part.MODEL, 67)
    assert (told.differing, told.elements, told.fraction) == (2, 600, 2 / 600)
    assert told.counts
    assert told.counts["sign_flips"] == 1
    old, new = weights()["h.1.w"].astype(float), changed["h.1.w"].astype(float)
    assert told.max_abs == np.abs(old - new).max()
    assert told.rel_l2 == pytest.approx(np.linalg.norm(old - new) / np.linalg.norm(old))
    assert told.sha256_a != told.sha256_b
    assert found.parts[Part.MODEL].differing_tensors == 1
    assert found.parts[Part.BUFFER].tensors == 1


def test_names_and_kinds(tmp_path: Path) -> None:
    changed = weights()
    changed["moved.w"] = changed.pop("h.0.w")
    changed["new"] = changed.pop("h.0.b") + 1
    changed["head.w"] = changed["head.w"].astype("<f4")
    changed["count"] = changed["count"].reshape(3, 1)
    found = compared(tmp_path, weights(), changed)
    assert found.renamed == (("h.0.w", "moved.w"),)
    assert (found.removed, found.added) == (("h.0.b",), ("new",))
    assert [(a.dtype, b.dtype) for a, b in found.unlike] == [("F64", "F32"), ("I64", "I64")]
    assert not found.within(1.0, 10**9)


def test_equal_tensors_are_matched_in_order_when_several_were_renamed(tmp_path: Path) -> None:
    zeros = np.zeros(3)
    found = compared(tmp_path, {"a": zeros, "b": zeros}, {"c": zeros, "d": zeros, "e": zeros})
    assert found.renamed == (("a", "c"), ("b", "d"))
    assert found.added == ("e",)


def test_what_cannot_be_read_is_not_called_equal(tmp_path: Path) -> None:
    same = {"w": np.ones(2), "s": np.array(["x"])}
    other = {"w": np.ones(2), "s": np.array(["y"])}
    found = compared(tmp_path, same, other)
    assert (found.verdict, found.bits_equal) == ("unknown", False)
    assert found.unread == (("s", "its dtype '<U1' is none of tensors"),)
    assert found.document()["a"]["digest"] is None
    # The very same bytes are the same, whatever is in them.
    npz(tmp_path / "again.npz", same)
    assert compare_files(tmp_path / "a.npz", tmp_path / "again.npz").verdict == "identical"


@pytest.mark.parametrize("at", [0, 700, 1499])
def test_a_difference_in_any_piece_gives_the_norms_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """What was equal before the first difference belongs to the norm too."""
    monkeypatch.setattr(contents, "CHUNK", 256)
    monkeypatch.setattr(digests, "CHUNK", 256)
    a = {"w": np.random.default_rng(0).standard_normal(1500)}
    b = {"w": a["w"].copy()}
    b["w"][at] += 1
    (told,) = compared(tmp_path, a, b).differing
    assert told.first == at
    assert told.differing == 1
    assert told.rel_l2 == pytest.approx(1 / np.linalg.norm(a["w"]))
    assert told.cosine == pytest.approx(
        a["w"] @ b["w"] / np.linalg.norm(a["w"]) / np.linalg.norm(b["w"])
    )


def test_threads_change_nothing(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    a = {f"w{i}": draw.standard_normal(100) for i in range(40)}
    b = {n: t + (1e-9 if int(n[1:]) % 3 else 0) for n, t in a.items()}
    documents = [compared(tmp_path, a, b, threads=n).document() for n in (1, 2, 5)]
    assert documents[0] == documents[1] == documents[2]
    assert len(documents[0]["tensors"]) == 26


def test_the_document_is_canonical_json(tmp_path: Path) -> None:
    a = {"w": np.array([1e308, -1e308, np.nan, np.inf, 5e-324]), "i": np.array([2**63 - 1, 0])}
    b = {"w": np.array([-1e308, 1e308, 1.0, -np.inf, -5e-324]), "i": np.array([-(2**63), 0])}
    document = compared(tmp_path, a, b).document()
    assert canonical_json(document)
    by_name = {t["name"]: t for t in document["tensors"]}
    assert by_name["i"]["ulp"]["max"] == float(2**64 - 1)
    assert by_name["w"]["relL2"] is None
    assert by_name["w"]["counts"]["nan"] == {"a": 1, "b": 0}
    assert document["schema"] == "urn:mlbom:tensor-diff/1"


def test_bounds_hold_for_numbers_that_are_known(tmp_path: Path) -> None:
    a = {"w": np.linspace(1, 2, 1000)}
    near = {"w": np.nextafter(a["w"], 3)}
    assert compared(tmp_path, a, near).within(1e-12, 1)
    assert not compared(tmp_path, a, near).within(1e-12, 0)
    assert not compared(tmp_path, a, near).within(1e-20, 1)
    near["w"][5] = np.nan
    assert not compared(tmp_path, a, near).within(1e300, 2**60)
    assert not compared(tmp_path, a, near, numbers=False).within(1e300, 2**60)


def test_totals_of_parts_and_layers(tmp_path: Path) -> None:
    changed = weights()
    changed["h.0.w"] += 1e-3
    changed["h.0.b"] += 1e-3
    document = compared(tmp_path, weights(), changed).document()
    model = document["parts"]["model"]
    assert (model["tensors"], model["differingTensors"], model["elements"]) == (4, 2, 1235)
    histogram = model["ulpHistogram"]
    assert histogram["zero"] + sum(o["count"] for o in histogram["octaves"]) == 1235
    assert "ulp" not in document["parts"]["buffer"]
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert list(layers) == ["h.0", "h.1", "head", "count"]
    assert layers["h.0"]["differingTensors"] == 2
    assert layers["h.0"]["relL2"] > 0
    assert layers["h.1"]["relL2"] == 0


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.3.attn.q.weight", "model.layers.3"),
        ("optimizer.state.0.exp_avg", "optimizer.state.0"),
        ("head.weight", "head"),
        ("weight", "weight"),
        ("0.weight", "0"),
        ("list.3", "list"),
        ("", ""),
    ],
)
def test_layers_end_with_the_first_number(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_without_numpy_only_the_distance_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = weights(), weights()
    b["h.0.b"][4] = 9
    npz(tmp_path / "a.npz", a)
    npz(tmp_path / "same.npz", weights())
    npz(tmp_path / "b.npz", b)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert compare_files(tmp_path / "a.npz", tmp_path / "same.npz").bits_equal
    with pytest.raises(MissingExtraError, match="needs numpy") as caught:
        compare_files(tmp_path / "a.npz", tmp_path / "b.npz")
    assert "pip install 'mlbom[reproduce]'" in caught.value.hint
    found = compare_files(tmp_path / "a.npz", tmp_path / "b.npz", numbers=False)
    (told,) = found.differing
    assert (told.name, told.first, told.differing, told.ulp) == ("h.0.b", 4, None, None)
    assert canonical_json(found.document())


def test_metadata_is_cleaned_and_names_of_tensors_are_not(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    name = "https://user:pw@host/x?token=1"
    token = "hf_" + "a" * 34
    library.save_file({name: np.ones(2)}, tmp_path / "a.safetensors", {"note": token})
    library.save_file({name: np.ones(2)}, tmp_path / "b.safetensors", {"note": "other"})
    document = compare_files(tmp_path / "a.safetensors", tmp_path / "b.safetensors").document()
    assert token not in str(document)
    assert document["equal"][0]["name"] == name


def test_equal_facts_and_unequal_bytes_are_still_told(tmp_path: Path) -> None:
    text = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    spaced = text.replace(b'"U8","shape"', b'"U8", "shape"')
    for name, header in (("a", text + b" "), ("b", spaced)):
        data = len(header).to_bytes(8, "little") + header + b"\7"
        (tmp_path / name).write_bytes(data)
    found = compare_files(tmp_path / "a", tmp_path / "b")
    assert found.verdict == "packaging"
    assert [p.kind for p in found.packaging] == ["padding of the header"]


PEAK = """
import sys
from pathlib import Path
from mlbom.reproduce.tensors.compare import compare_files
found = compare_files(Path(sys.argv[1]), Path(sys.argv[2]))
assert [t.first for t in found.differing] == [2**24 - 1]
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Two sparse files of 128 MiB; the peak is that of Python, numpy and a few pieces."""
    header = b'{"w":{"dtype":"F64","shape":[16777216],"data_offsets":[0,134217728]}}'
    for name in ("a.safetensors", "b.safetensors"):
        with (tmp_path / name).open("wb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header)
            stream.truncate(8 + len(header) + 2**27)
    with (tmp_path / "b.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x40")
    command = [sys.executable, "-c", PEAK, *(str(tmp_path / f"{n}.safetensors") for n in "ab")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024
