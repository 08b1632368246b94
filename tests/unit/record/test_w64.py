"""The digest of a tensor: what it must tell apart, and that every way to compute it agrees."""

import hashlib
import struct
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from mlbom.record.launcher import SHIM

torch: Any = pytest.importorskip("torch")

MASK = (1 << 64) - 1
BLOCK = 65536


@pytest.fixture(scope="module")
def w64() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SHIM))
    try:
        import _mlbom_w64  # type: ignore[import-not-found]

        yield _mlbom_w64
    finally:
        sys.path.remove(str(SHIM))


def weights(table: int) -> list[int]:
    """Return a table of weights as the definition says, in Python's own integers."""
    state, found = table << 32, []
    for _ in range(BLOCK):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
        found.append((value ^ (value >> 31)) | 1)
    return found


def defined(tensor: Any) -> int:
    """Return the digest of a tensor by its definition alone."""
    data = bytes(tensor.contiguous().view(-1).view(torch.uint8).tolist())
    data += bytes(-len(data) % 4)
    words = list(struct.unpack(f"<{len(data) // 4}i", data))
    table = 0
    while table == 0 or len(words) > 1:
        by = weights(table)
        sums = [
            sum(a * b for a, b in zip(words[at : at + BLOCK], by, strict=False))
            for at in range(0, len(words), BLOCK)
        ]
        words = [((one + (1 << 63)) & MASK) - (1 << 63) for one in sums]
        table += 1
    text = f"{tensor.dtype} {'x'.join(map(str, tensor.shape))}"
    salt = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return int(words[0] + salt & MASK)


def digest(w64: ModuleType, tensor: Any) -> int:
    with w64.QUIET:
        return int(w64.digest(tensor)) & MASK


SHAPES = [(1,), (3, 5), (4096,), (4097,), (BLOCK,), (BLOCK + 1,), (3, BLOCK)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_way_to_compute_it_is_the_definition(w64: ModuleType, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    wanted = defined(tensor)
    assert digest(w64, tensor) == wanted
    salt = w64.measure(tensor)[1]
    for sums in (w64._sums_in_torch, w64._block_sums):
        found = w64._reduced(w64._words(tensor), sums, w64._table)
        assert found + salt & MASK == wanted


DTYPES = [
    torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16,
    torch.float64, torch.complex64, torch.complex128, torch.float8_e4m3fn,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_has_one_also_where_it_fills_no_word(w64: ModuleType, dtype: Any) -> None:
    tensor = torch.arange(7).to(dtype)
    for part in (tensor, tensor[1:], tensor[1:4:2], tensor[3], tensor[:0]):
        if part.numel():
            assert digest(w64, part) == defined(part)
    assert digest(w64, tensor[:0]) != digest(w64, tensor[:0].reshape(0, 2))


def test_one_flipped_bit_always_changes_it(w64: ModuleType) -> None:
    tensor = torch.randn(300, 700, generator=torch.Generator().manual_seed(1))
    before, words = digest(w64, tensor), tensor.view(torch.int32)
    places = torch.randint(0, tensor.numel(), (300,), generator=torch.Generator().manual_seed(2))
    for number, place in enumerate(places.tolist()):
        bit = torch.tensor(1 << number % 32, dtype=torch.int64).to(torch.int32)
        words.view(-1)[place] ^= bit
        assert digest(w64, tensor) != before
        words.view(-1)[place] ^= bit
    assert digest(w64, tensor) == before


def changes(tensor: Any) -> dict[str, Any]:
    half = tensor.clone()
    half[::2] *= -1
    swapped = tensor.clone()
    swapped[[0, 1]] = swapped[[1, 0]]
    zeros = torch.zeros_like(tensor)
    signed = zeros.clone()
    signed[:2] = -0.0
    return {
        "itself": tensor,
        "permuted": tensor.flatten().flip(0).view_as(tensor),
        "transposed": tensor.t(),
        "reshaped": tensor.reshape(-1),
        "negated": -tensor,
        "half negated": half,
        "rows swapped": swapped,
        "zeros": zeros,
        "two signs of zeros": signed,
        "all signs of zeros": -zeros,
        "ones": torch.ones_like(tensor),
        "other dtype": tensor.view(torch.int64),
        "longer": torch.cat([tensor, zeros[:1]]),
    }


def test_order_sign_shape_and_dtype_are_told_apart(w64: ModuleType) -> None:
    # In float64 the sign is the highest bit of each word of 64: an even number of them would
    # vanish in a sum of such words.
    tensor = torch.randn(64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = {name: digest(w64, changed) for name, changed in changes(tensor).items()}
    assert len(set(found.values())) == len(found)


def test_only_the_values_count_not_how_they_lie(w64: ModuleType) -> None:
    tensor = torch.randn(6, 5, 4, 4)
    wanted = digest(w64, tensor)
    assert digest(w64, tensor.to(memory_format=torch.channels_last)) == wanted
    assert digest(w64, torch.cat([tensor, tensor])[6:]) == wanted
    assert digest(w64, torch.nn.Parameter(tensor)) == wanted
    turned = torch.randn(5, dtype=torch.complex64)
    assert digest(w64, turned.conj()) == digest(w64, turned.conj().resolve_conj())
    assert digest(w64, turned.conj().imag) == digest(w64, -turned.imag)


def unseen_tensors() -> dict[str, Any]:
    return {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(3, device="meta"),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "none": "text",
    }


def test_what_has_no_digest_says_why(w64: ModuleType) -> None:
    for name, tensor in unseen_tensors().items():
        assert w64.why_unseen(tensor), name
    assert not w64.why_unseen(torch.ones(3))
    assert not w64.why_unseen(torch.nn.Parameter(torch.ones(3)))
    asked: list[str] = []

    def look(one: Any) -> Any:
        asked.append(w64.why_unseen(one))
        return one

    torch.func.vmap(look)(torch.ones(2, 2))
    assert all(asked)
    assert asked


def test_no_mode_of_the_program_sees_the_work_of_the_recorder(w64: ModuleType) -> None:
    seen: list[Any] = []

    def notes(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        seen.append(func)
        return func(*args, **(kwargs or {}))

    base = import_module("torch.utils._python_dispatch").TorchDispatchMode
    mode: Any = type("Mode", (base,), {"__torch_dispatch__": notes})
    tensor = torch.randn(3, BLOCK, requires_grad=True)
    with mode(), torch.device("meta"):
        found = digest(w64, tensor)
        assert seen == []
        assert w64.QUIET.busy == 0
        assert torch.is_grad_enabled()
    assert found == digest(w64, tensor)


def test_a_group_is_told_apart_by_order_and_place(w64: ModuleType) -> None:
    groups: list[list[Any]] = [[1, 2], [2, 1], [1], [1, "-", 2], ["-", 1, 2], [-1], []]
    found = {w64.hexed(group) for group in groups}
    assert len(found) == len(groups)
    assert w64.hexed([-1]) == w64.hexed([MASK])


def test_numbers_of_a_device_arrive_in_their_places(w64: ModuleType) -> None:
    sheets = import_module("_mlbom_sheet")
    sheet, ones = sheets.Sheet(), torch.ones(3)
    with w64.QUIET:
        first = sheet.group([ones, None, "text"])
        # What an accelerator would hand in: numbers that are tensors still.
        late = sheets.Group([sheet._wait(torch.tensor(5), 2), sheet._wait(torch.tensor(-1), 0)])
        bits = torch.tensor(-0.75, dtype=torch.float64).view(torch.int64)
        number = sheets.Number(sheet._wait(bits, 0))
        sheet.send()
        assert sheet.is_here()
        numbers = sheet.numbers()
    assert first.text(numbers) == w64.hexed([digest(w64, ones), "-", "text"])
    assert first.texts(numbers) == [f"{digest(w64, ones):016x}", "", ""]
    assert late.text(numbers) == w64.hexed([7, MASK])
    assert number.text(numbers) == (-0.75).hex()
    assert sheets.Group(["?", "?"]).text(numbers) == ""
