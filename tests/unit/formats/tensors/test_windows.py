"""Windows of storages, read row by row in pieces: against numpy's own gathering."""

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbom.formats.tensors import window as module
from mlbom.formats.tensors.source import MemorySource
from mlbom.formats.tensors.window import Window, plain_strides

STORAGE = 4096


def storage(width: int) -> bytes:
    return np.random.default_rng(width).bytes(STORAGE * width)


def expected(window: Window, data: bytes) -> bytes:
    width = window.bits // 8
    base = np.frombuffer(data, np.dtype((np.void, width)))[window.offset :]
    view = np.lib.stride_tricks.as_strided(
        base, window.shape, [s * width for s in window.strides], writeable=False
    )
    return view.tobytes()


@st.composite
def windows(draw: st.DrawFn) -> Window:
    width = draw(st.sampled_from([1, 2, 4, 8, 16]))
    sides = draw(st.lists(st.integers(1, 6), max_size=4))
    strides = [draw(st.integers(0, 40)) for _ in sides]
    if draw(st.booleans()):  # a permuted plain tensor, as `permute` and `t` make them
        order = draw(st.permutations(range(len(sides))))
        plain = plain_strides(tuple(sides))
        sides, strides = [sides[i] for i in order], [plain[i] for i in order]
    offset = draw(st.integers(0, 50))
    return Window(
        source=MemorySource(storage(width)),
        begin=0,
        bits=8 * width,
        shape=tuple(sides),
        strides=tuple(strides),
        offset=offset,
    )


@settings(max_examples=300, deadline=None)
@given(windows(), st.data(), st.sampled_from([64, 32 * 1024 * 1024]))
def test_any_window_in_any_pieces(window: Window, data: st.DataObject, buffer: int) -> None:
    """A small buffer makes it read run by run, as it does of tensors of gigabytes."""
    want = expected(window, storage(window.bits // 8))
    cuts = data.draw(st.lists(st.integers(0, prod(window.shape)), max_size=4))
    places = sorted({0, *cuts, prod(window.shape)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BUFFER", buffer)
        got = b"".join(window.read(a, b - a) for a, b in pairwise(places))
    assert got == want


def test_a_plain_window_is_known_by_its_strides() -> None:
    def window(shape: tuple[int, ...], strides: tuple[int, ...]) -> Window:
        source = MemorySource(storage(4))
        return Window(source=source, begin=0, bits=32, shape=shape, strides=strides)

    assert window((3, 4), (4, 1)).is_plain
    assert window((), ()).is_plain
    assert window((1, 5), (99, 1)).is_plain  # the stride of a side of 1 says nothing
    assert window((0, 5), (7, 3)).is_plain
    assert not window((3, 4), (1, 3)).is_plain
    assert not window((3, 4), (8, 1)).is_plain
    assert not window((5,), (0,)).is_plain


def test_elements_narrower_than_a_byte_are_read_in_one_run_only() -> None:
    nibbles = Window(
        source=MemorySource(bytes(range(16))), begin=2, bits=4, shape=(3, 8), strides=(8, 1)
    )
    assert nibbles.is_readable
    assert nibbles.read(8, 16) == bytes(range(6, 14))
    apart = Window(source=MemorySource(bytes(16)), begin=0, bits=4, shape=(2, 2), strides=(1, 2))
    odd = Window(
        source=MemorySource(bytes(16)), begin=0, bits=4, shape=(2,), strides=(1,), offset=1
    )
    assert not apart.is_readable
    assert not odd.is_readable
