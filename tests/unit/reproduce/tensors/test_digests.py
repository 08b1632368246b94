"""The canonical digest: the same for every packaging of the same tensors, and for no others."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlbom.errors import UnreadableError
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.reproduce.tensors.digests import canonical_digest
from tests.fixtures import weights as w

torch = pytest.importorskip("torch", reason="torch is not installed")
library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

Write = Callable[[Path], None]


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "b.weight": torch.randn(30, 20),
        "a.bias": torch.randn(7).bfloat16(),
        "steps": torch.tensor(3),
        "\u00fc\u4e16 odd\nname": torch.ones(2, 2),
    }


def saved(change: Callable[[dict[str, Any]], dict[str, Any]] = dict, **options: Any) -> Write:
    return lambda path: torch.save(change(state()), path, **options)


def turned(told: dict[str, Any]) -> dict[str, Any]:
    return {n: t.t().contiguous().t() if t.dim() == 2 else t for n, t in told.items()}


def windows(told: dict[str, Any]) -> dict[str, Any]:
    """Each tensor as a view of a storage ten times as large."""
    kept = {}
    for name, tensor in told.items():
        big = torch.zeros(10 * tensor.numel(), dtype=tensor.dtype)
        big[3 : 3 + tensor.numel()] = tensor.reshape(-1)
        kept[name] = big[3 : 3 + tensor.numel()].view(tensor.shape)
    return kept


def reordered(told: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(told.items()))


def parameters(told: dict[str, Any]) -> dict[str, Any]:
    return {n: torch.nn.Parameter(t) if t.is_floating_point() else t for n, t in told.items()}


def with_metadata(path: Path) -> None:
    """Five keys of metadata, whose order in the header is random."""
    library.save_file(state(), path, {f"key{i}": str(i) for i in range(5)})


PACKAGINGS: dict[str, Write] = {
    "same name": saved(),
    "other name": saved(),
    "legacy": saved(_use_new_zipfile_serialization=False),
    "other order": saved(reordered),
    "other strides": saved(turned),
    "bigger storages": saved(windows),
    "parameters": saved(parameters),
    "safetensors": lambda path: library.save_file(state(), path),
    "safetensors of another order": lambda path: library.save_file(reordered(state()), path),
    "safetensors with metadata": with_metadata,
}


@pytest.mark.parametrize("name", PACKAGINGS)
def test_every_packaging_of_the_same_tensors(tmp_path: Path, name: str) -> None:
    a = tmp_path / "model.bin"
    (tmp_path / "other").mkdir()
    b = tmp_path / "other" / ("model.bin" if name == "same name" else "another.bin")
    saved()(a)
    PACKAGINGS[name](b)
    assert canonical_digest(a) == canonical_digest(b)
    comparison = compare_files(a, b)
    assert comparison.bits_equal
    assert comparison.a.digest == comparison.b.digest == canonical_digest(a)
    same_bytes = a.read_bytes() == b.read_bytes()
    assert comparison.verdict == ("identical" if same_bytes else "packaging")
    assert bool(comparison.packaging) != same_bytes


def test_saving_twice_under_one_name_gives_the_same_file(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        torch.save(state(), tmp_path / folder / "model.bin")
    comparison = compare_files(tmp_path / "x" / "model.bin", tmp_path / "y" / "model.bin")
    assert comparison.verdict == "identical"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s | {"b.weight": s["b.weight"] * 1.0000001},
        lambda s: s | {"b.weight": s["b.weight"].double()},
        lambda s: s | {"b.weight": s["b.weight"].reshape(20, 30)},
        lambda s: {("c.weight" if n == "b.weight" else n): t for n, t in s.items()},
        lambda s: {n: t for n, t in s.items() if n != "steps"},
        lambda s: s | {"steps": s["steps"].to(torch.complex64).conj()},
    ],
)
def test_other_tensors_have_another_digest(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    saved()(tmp_path / "a.pt")
    saved(change)(tmp_path / "b.pt")
    assert canonical_digest(tmp_path / "a.pt") != canonical_digest(tmp_path / "b.pt")
    assert not compare_files(tmp_path / "a.pt", tmp_path / "b.pt").bits_equal


def test_somebody_else_computes_the_same(tmp_path: Path) -> None:
    """As the module's docstring says, with the libraries that wrote the file and nothing of ours."""
    path = tmp_path / "m.safetensors"
    library.save_file(state(), path)
    header = json.loads(
        path.read_bytes()[8:].split(b"\0")[0][: int.from_bytes(path.read_bytes()[:8], "little")]
    )
    rows = []
    for name, tensor in library.load_file(path).items():
        raw = tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(raw).hexdigest()
        rows.append([name, header[name]["dtype"], list(tensor.shape), digest])
    told = json.dumps(sorted(rows), separators=(",", ":"), ensure_ascii=False)
    assert canonical_digest(path) == hashlib.sha256(told.encode()).hexdigest()


def test_tied_weights_count_as_copies_of_them_do(tmp_path: Path) -> None:
    weight = torch.randn(4, 4)
    torch.save({"e": weight, "h": weight}, tmp_path / "tied.pt")
    torch.save({"e": weight, "h": weight.clone()}, tmp_path / "copied.pt")
    assert canonical_digest(tmp_path / "tied.pt") == canonical_digest(tmp_path / "copied.pt")
    comparison = compare_files(tmp_path / "tied.pt", tmp_path / "copied.pt")
    assert comparison.verdict == "packaging"
    assert ("shared storage", "h") in {(p.kind, p.name) for p in comparison.packaging}


def test_what_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "m.npz", o=np.array([{}], object))
    with pytest.raises(UnreadableError, match="'o' in m.npz cannot be read"):
        canonical_digest(tmp_path / "m.npz")


def test_the_digest_is_pinned(tmp_path: Path) -> None:
    """It is published: another version of mlbom must compute the same."""
    (tmp_path / "m.safetensors").write_bytes(
        w.safetensors_file({"b": ("F32", [2, 3]), "a": ("BF16", [])})
    )
    zeros = [hashlib.sha256(bytes(n)).hexdigest() for n in (2, 24)]
    told = f'[["a","BF16",[],"{zeros[0]}"],["b","F32",[2,3],"{zeros[1]}"]]'
    digest = canonical_digest(tmp_path / "m.safetensors")
    assert digest == hashlib.sha256(told.encode()).hexdigest()
    assert digest == "3fe95d9fca5fcd2518a27fb471b85765fc374a3df4ffd758ae1f6bcdc446b90e"
