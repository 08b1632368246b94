"""Distances of tensors against plain references: one number after the other in Python, and torch."""

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbom.reproduce.tensors import numbers as module
from mlbom.reproduce.tensors.histogram import RELATIVE_ERROR, UlpHistogram
from mlbom.reproduce.tensors.kinds import Kind, kind_of
from mlbom.reproduce.tensors.numbers import Measured

# dtype -> bytes of one number, its value from these bytes, whether it has a sign and a magnitude.
_Value = Callable[[bytes], float]


def unpacked(code: str) -> _Value:
    return lambda data: float(struct.unpack("<" + code, data)[0])


def bfloat16(data: bytes) -> float:
    return float(struct.unpack("<f", b"\0\0" + data)[0])


FLOATS: dict[str, tuple[int, _Value]] = {
    "F64": (8, unpacked("d")),
    "F32": (4, unpacked("f")),
    "F16": (2, unpacked("e")),
    "BF16": (2, bfloat16),
}
INTEGERS = {"BOOL": "B", "U8": "B", "I8": "b", "U16": "H", "I16": "h", "U32": "I", "I32": "i",
            "U64": "Q", "I64": "q"}  # fmt: skip
TORCH_FLOATS8 = {
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}


def known(dtype: str) -> Kind:
    kind = kind_of(dtype)
    assert kind is not None
    return kind


def magnitude(data: bytes) -> int:
    """The bits of a float as an integer in the order of the floats, both zeros at 0."""
    bits = int.from_bytes(data, "little")
    top = 1 << (8 * len(data) - 1)
    return bits if bits < top else top - bits


def cut(data: bytes, width: int) -> list[bytes]:
    return [data[i : i + width] for i in range(0, len(data), width)]


def percentile(distances: list[int], share: float) -> int:
    return sorted(distances)[max(math.ceil(share * len(distances)), 1) - 1] if distances else 0


def reference(dtype: str, a: bytes, b: bytes) -> dict[str, Any]:
    """Everything measured, one number after the other."""
    width, value = FLOATS[dtype]
    pairs = list(zip(cut(a, width), cut(b, width), strict=True))
    values = [(value(x), value(y)) for x, y in pairs]
    finite = [i for i, (x, y) in enumerate(values) if math.isfinite(x) and math.isfinite(y)]
    distances = [abs(magnitude(pairs[i][0]) - magnitude(pairs[i][1])) for i in finite]
    unequal = [i for i, (x, y) in enumerate(pairs) if x != y]
    chosen = [values[i] for i in finite]
    with np.errstate(all="ignore"):
        left, right = np.array([x for x, _ in chosen]), np.array([y for _, y in chosen])
        gap = left - right
    return {
        "differing": len(unequal),
        "first": unequal[0] if unequal else -1,
        "distances": distances,
        "largest": float(np.abs(gap).max(initial=0.0)),
        "rel_l2": (left, gap),
        "nan_a": sum(math.isnan(x) for x, _ in values),
        "nan_b": sum(math.isnan(y) for _, y in values),
        "inf_a": sum(math.isinf(x) for x, _ in values),
        "inf_b": sum(math.isinf(y) for _, y in values),
        "nan_payloads": sum(all(map(math.isnan, values[i])) for i in unequal),
        "zero_signs": sum(values[i] == (0.0, 0.0) for i in unequal),
        "sign_flips": sum(x < 0 < y or y < 0 < x for x, y in chosen),
        "not_finite": sum(
            i not in set(finite) and not all(map(math.isnan, values[i])) for i in unequal
        ),
    }


def assert_percentile(got: int, want: int) -> None:
    assert want <= got <= want * (1 + RELATIVE_ERROR)
    assert got == want or want >= 128


def check(dtype: str, a: bytes, b: bytes, pieces: int = 1) -> Measured:
    width = FLOATS[dtype][0]
    measured, count = Measured(), len(a) // width
    step = max(count // pieces, 1)
    for start in range(0, count, step):
        part = slice(start * width, (start + step) * width)
        measured.add(known(dtype), a[part], b[part], start)
    want = reference(dtype, a, b)
    assert (measured.differing, measured.first) == (want["differing"], want["first"])
    for name in ("nan_a", "nan_b", "inf_a", "inf_b", "nan_payloads", "zero_signs", "sign_flips",
                 "not_finite"):  # fmt: skip
        assert getattr(measured.counts, name) == want[name], name
    assert measured.ulps.total == len(want["distances"])
    assert measured.ulps.largest == max(want["distances"], default=0)
    for share in (0.5, 0.99, 1.0):
        assert_percentile(measured.ulps.percentile(share), percentile(want["distances"], share))
    assert measured.sums.largest == want["largest"]
    left, gap = want["rel_l2"]
    norm = float(np.sqrt(np.sum(left * left)))
    if measured.rel_l2 is not None and want["largest"]:
        assert measured.rel_l2 == pytest.approx(float(np.sqrt(np.sum(gap * gap))) / norm, rel=1e-9)
    return measured


@st.composite
def bit_patterns(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """Any bits: NaN with payloads, infinities, both zeros, numbers below normal."""
    dtype = draw(st.sampled_from(sorted(FLOATS)))
    width = FLOATS[dtype][0]
    special = [bytes(width), bytes(width - 1) + b"\x80", b"\1" + bytes(width - 1)]
    number = st.one_of(st.binary(min_size=width, max_size=width), st.sampled_from(special))
    pairs = draw(st.lists(st.tuples(number, number, st.booleans()), min_size=1, max_size=40))
    a = b"".join(x for x, _, _ in pairs)
    b = b"".join(x if same else y for x, y, same in pairs)
    return dtype, a, b


@settings(max_examples=300, deadline=None)
@given(bit_patterns(), st.integers(1, 5), st.sampled_from([3, 16 * 1024]))
def test_any_bits(pair: tuple[str, bytes, bytes], pieces: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(module, "_BLOCK", block)
        check(*pair, pieces)


@pytest.mark.parametrize("dtype", sorted(FLOATS))
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_tensors_that_drift_apart(dtype: str, share: float) -> None:
    width = FLOATS[dtype][0]
    draw = np.random.default_rng(width)
    a = np.frombuffer(draw.bytes(5000 * width), f"<u{width}").copy()
    a &= ~np.array(1 << (8 * width - 2), a.dtype)  # below 2: all finite
    b = a.copy()
    chosen = draw.random(len(a)) < share
    b[chosen] ^= draw.integers(1, 1000, int(chosen.sum())).astype(b.dtype)
    measured = check(dtype, a.tobytes(), b.tobytes(), pieces=3)
    assert measured.differing == int(chosen.sum())


@pytest.mark.parametrize("dtype", sorted(INTEGERS))
def test_integers_are_compared_by_value(dtype: str) -> None:
    code = np.dtype("<" + INTEGERS[dtype])
    draw = np.random.default_rng(1)
    a, b = (np.frombuffer(draw.bytes(300 * code.itemsize), code).copy() for _ in range(2))
    if dtype == "BOOL":
        a, b = a & 1, b & 1
    b[::3] = a[::3]
    measured = Measured()
    measured.add(known(dtype), a.tobytes(), b.tobytes(), 0)
    pairs = [(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    distances = [abs(x - y) for x, y in pairs]
    assert measured.differing == sum(x != y for x, y in pairs)
    assert measured.ulps.largest == max(distances)
    assert_percentile(measured.ulps.percentile(0.5), percentile(distances, 0.5))
    assert measured.sums.largest == pytest.approx(max(distances))
    assert measured.counts.sign_flips == sum(x < 0 < y or y < 0 < x for x, y in pairs)
    want = math.sqrt(sum(d * d for d in distances)) / math.sqrt(sum(x * x for x, _ in pairs))
    assert measured.rel_l2 == pytest.approx(want, rel=1e-9)


def test_complex_numbers_are_pairs() -> None:
    a = np.array([1 + 2j, 3 - 4j, 5 + 6j], "<c8")
    b = np.array([1 + 2j, 3 + 4j, np.nextafter(np.float32(5), np.float32(6)) + 6j], "<c8")
    measured = Measured()
    measured.add(known("C64"), a.tobytes(), b.tobytes(), 10)
    assert (measured.differing, measured.first) == (2, 11)
    assert measured.ulps.total == 6
    assert measured.counts.sign_flips == 1
    want = float(np.linalg.norm(a.astype("c16") - b) / np.linalg.norm(a.astype("c16")))
    assert measured.rel_l2 == pytest.approx(want)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F4_X2", "BITS8", "QUINT4X2", ""])
def test_what_has_no_numbers_is_not_measured(dtype: str) -> None:
    assert kind_of(dtype) is None


def test_a_norm_that_float64_cannot_tell_is_no_number() -> None:
    huge, tiny = np.array([1e200, -1e200]), np.array([1e-200, 2e-200])
    for one in (huge, tiny):
        measured = Measured()
        measured.add(known("F64"), one.tobytes(), (-one).tobytes(), 0)
        assert measured.differing == 2
        assert measured.rel_l2 is None
        assert measured.cosine is None


def test_a_number_that_became_nan_has_no_distance() -> None:
    a, b = np.ones(4, "<f4"), np.ones(4, "<f4")
    b[2] = np.nan
    measured = Measured()
    measured.add(known("F32"), a.tobytes(), b.tobytes(), 0)
    assert (measured.differing, measured.first, measured.counts.not_finite) == (1, 2, 1)
    assert (measured.rel_l2, measured.cosine, measured.max_abs) == (None, None, None)


# torch as the second opinion.


@pytest.mark.parametrize(("dtype", "name"), sorted(TORCH_FLOATS8.items()))
def test_eight_bit_floats_are_those_of_torch(dtype: str, name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    codes = torch.arange(256, dtype=torch.uint8)
    want = codes.view(getattr(torch, name)).to(torch.float64).numpy()
    kind = known(dtype)
    values = kind.values(np.arange(256, dtype=np.uint8))
    assert np.array_equal(values, want, equal_nan=True)
    keys = kind.keys(np.arange(256, dtype=np.uint8))
    finite = np.isfinite(values)
    by_value = sorted(set(zip(values[finite].tolist(), keys[finite].tolist(), strict=True)))
    assert [key for _, key in by_value] == list(
        range(by_value[0][1], by_value[0][1] + len(by_value))
    )


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_norms_and_cosine_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    dtype = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}[name]
    a = torch.randn(20_000).to(getattr(torch, name))
    b = (a.double() + 1e-3 * torch.randn(20_000, dtype=torch.float64)).to(a.dtype)
    measured = Measured()
    raw = [t.view(torch.uint8).numpy().tobytes() for t in (a, b)]
    measured.add(known(dtype), raw[0], raw[1], 0)
    x, y = a.double(), b.double()
    assert measured.rel_l2 == pytest.approx(float((x - y).norm() / x.norm()), rel=1e-12)
    assert measured.cosine == pytest.approx(
        float(torch.nn.functional.cosine_similarity(x, y, dim=0)), abs=1e-12
    )
    assert measured.max_abs == float((x - y).abs().max())


def test_a_step_of_nextafter_is_one_ulp() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, 65504.0])
    for target in (math.inf, -math.inf):
        b = torch.nextafter(a, torch.full_like(a, target))
        measured = Measured()
        measured.add(known("F32"), a.numpy().tobytes(), b.numpy().tobytes(), 0)
        assert measured.ulps.percentile(0.01) == measured.ulps.largest == 1


# The histogram.


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60))
def test_percentiles_of_a_stream(distances: list[int]) -> None:
    histogram = UlpHistogram()
    for part in (distances[::2], distances[1::2]):
        if part:
            histogram.add(np.array(part, np.uint64))
    assert histogram.total == len(distances)
    assert histogram.largest == max(distances)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        got, want = histogram.percentile(share), percentile(distances, share)
        # Beyond 2^53 a distance is rounded before it is counted.
        assert want * (1 - 2**-52) <= got <= want * (1 + RELATIVE_ERROR)
    zeros = sum(d == 0 for d in distances)
    assert sum(count for _, count in histogram.by_octave()) == len(distances) - zeros
    assert histogram.percentile(0.5, more_zeros=10**9) == 0


def test_octaves_are_powers_of_two() -> None:
    histogram = UlpHistogram()
    histogram.add(np.array([0, 1, 2, 3, 4, 127, 128, 2**40], np.uint64))
    assert histogram.by_octave() == [(0, 1), (1, 2), (2, 1), (6, 1), (7, 1), (40, 1)]
    assert histogram.zeros == 1
