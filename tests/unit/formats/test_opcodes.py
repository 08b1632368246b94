"""The opcode walker: the data it rebuilds, what it only names, and its budgets."""

import io
import pickle
import pickletools
import struct
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbom.evidence.nodes import Count
from mlbom.formats import opcode_machine
from mlbom.formats.opcode_table import HANDLERS
from mlbom.formats.opcode_values import Blob, Call, GlobalRef, PersistentId
from mlbom.formats.opcodes import PickleFacts, walk
from tests.fixtures.weights import SYSTEM, name_of, number, pickle_of, system, text

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**400), 2**400)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
)
KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.integers(-1000, 1000)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


def walked(data: bytes, **options: Any) -> PickleFacts:
    return walk(io.BytesIO(data), len(data), **options)


@given(VALUES, st.integers(0, 5))
def test_plain_data_comes_back(value: object, protocol: int) -> None:
    found = walked(pickle.dumps(value, protocol))
    assert found.values == (value,)
    assert (found.problem, found.globals, found.trailing, found.truncated) == ("", (), 0, False)


def test_every_opcode_is_known() -> None:
    assert set(HANDLERS) - {b""} == {op.code.encode("latin-1") for op in pickletools.opcodes}


OBJECTS = [
    Decimal("1.5"),
    PurePosixPath("a/b"),
    OrderedDict(a=1),
    Counter("aab"),
    deque([1, 2]),
    {1, 2},
    frozenset("a"),
    bytearray(b"x" * 300),
    b"x" * 300,
    slice(1, 2),
    complex(1, 2),
    range(3),
    ValueError("x"),
    GlobalRef("a", "b"),
    [len, OrderedDict, io.BytesIO],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", OBJECTS, ids=repr)
def test_the_globals_are_those_that_pickletools_shows(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert set(walked(data).globals) == globals_by_pickletools(data)


def globals_by_pickletools(data: bytes) -> set[str]:
    """Return what the standard library's disassembler says; enough for what pickle itself writes."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    found = set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            found.add(".".join(str(argument).split(" ", 1)))
        elif opcode.name == "STACK_GLOBAL":
            found.add(".".join(texts[-2:]))
        elif "UNICODE" in opcode.name:
            texts.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else ""
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            texts.append(memo.get(argument, ""))
    return found


def test_a_call_is_inert() -> None:
    found = walked(pickle_of(system("id")))
    call = found.values[0]
    assert isinstance(call, Call)
    assert (call.func, call.args) == (GlobalRef("posix", "system"), ("id",))
    assert found.globals == ("posix.system",)
    assert found.calls == (Count("REDUCE", 1),)


@pytest.mark.parametrize(
    ("body", "opcode"),
    [
        (b"(" + text("id") + b"iposix\nsystem\n", "INST"),
        (b"(" + SYSTEM + text("id") + b"o", "OBJ"),
        (SYSTEM + text("id") + b"\x85\x81", "NEWOBJ"),
        (SYSTEM + text("id") + b"\x85}\x92", "NEWOBJ_EX"),
        (text("posix") + text("system") + b"\x93" + text("id") + b"\x85R", "REDUCE"),
        (
            text("system") + text("posix") + b"q\x010q\x000h\x01h\x00\x93" + text("id") + b"\x85R",
            "REDUCE",
        ),
        (b"\x8c\x05posix\x94\x8c\x06system\x94\x93" + text("id") + b"\x85R", "REDUCE"),
        (b"Vposix\nVsystem\n\x93Vid\n\x85R", "REDUCE"),
        (b"S'posix'\nS'sys\\x74em'\n\x93S'id'\n\x85R", "REDUCE"),
        (b"U\x05posixT\x06\x00\x00\x00system\x93" + text("id") + b"\x85R", "REDUCE"),
    ],
)
def test_every_way_to_call_is_seen(body: bytes, opcode: str) -> None:
    found = walked(pickle_of(body))
    assert found.globals == ("posix.system",)
    assert found.calls == (Count(opcode, 1),)
    assert not found.problem


def test_build_and_items_of_an_object_are_kept() -> None:
    body = (
        name_of("a", "B")
        + b")\x81}"
        + text("k")
        + number(1)
        + b"sb("
        + text("x")
        + number(2)
        + b"u("
        + number(3)
        + b"e"
    )
    call = walked(pickle_of(body)).values[0]
    assert (call.state, call.entries, call.elements) == ({"k": 1}, {"x": 2}, [3])


def test_build_and_items_of_what_is_no_object_are_passed_over() -> None:
    found = walked(pickle_of(SYSTEM + b"Nb" + text("k") + number(1) + b"s" + number(2) + b"a"))
    assert (found.values, found.problem) == ((GlobalRef("posix", "system"),), "")


def test_extension_codes_are_globals_of_the_registry() -> None:
    found = walked(b"\x80\x02\x82\x05)R.")
    assert found.globals == ("copyreg.extension 5",)


def test_persistent_ids_are_inert() -> None:
    found = walked(pickle_of(text("key") + b"QPother\n\x86"))
    first, second = found.values[0]
    assert isinstance(first, PersistentId)
    assert (first.value, second.value, found.persistent_count) == ("key", "other", 2)


def test_keys_that_are_costly_to_hash_are_kept_apart() -> None:
    body = b"}(" + b"(" * 50_000 + b"t" * 50_000 + number(1) + number(2**61 - 1) + number(2) + b"u"
    found = walked(pickle_of(body))
    assert not found.problem
    assert list(found.values[0].values()) == [1, 2]


def test_long_texts_bytes_and_numbers_are_measured_only() -> None:
    value = ["x" * 100_000, b"x" * 100, 10**300]
    found = walked(pickle.dumps(value, 4))
    assert [type(v) for v in found.values[0]] == [Blob, Blob, Blob]
    assert found.values[0][0].nbytes == 100_000


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"\x80\x02N", "the pickle ends without STOP, at byte 3"),
        (b"\x80\x02X\x05\x00\x00\x00ab", "the pickle ends inside an argument, before byte 9"),
        (b"\x80\x02J\x01", "the pickle ends inside an argument"),
        (b"\x80\x02cposix", "the pickle ends inside an argument"),
        (b"\x80\x02\xff.", "b'\\xff' is no pickle opcode, before byte 3"),
        (b"\x80\x09N.", "pickle protocol 9 does not exist"),
        (b"\x80\x02R.", "too little on the stack"),
        (b"\x80\x02N(0R.", "too little on the stack"),
        (b"\x80\x02t.", "too little on the stack"),
        (b"\x80\x02](a.", "too little on the stack"),
        (b"\x80\x02.", "too little on the stack"),
        (b"\x80\x02h\x07.", "memo entry 7 was never set"),
        (b"\x80\x02Iabc\n.", "a wrong argument"),
        (b"\x80\x02I9" + b"9" * 5000 + b"\n.", ""),
        (b"\x80\x02Sabc\n.", "a STRING without quotes"),
        (b"\x80\x02}(Nu.", "a wrong argument"),
        (b"\x80\x02NN\x93.", "a global whose name is no text"),
        (b"\x80\x02\x8b\xff\xff\xff\xff.", "LONG4 announces -1 bytes"),
        (b"\x80\x02T\xff\xff\xff\xff.", "BINSTRING announces -1 bytes"),
        (
            b"\x80\x05\x8e" + struct.pack("<Q", 2**62),
            "announces 4611686018427387904 bytes, 0 are left",
        ),
        (
            b"\x80\x05\x8d" + struct.pack("<Q", 2**63),
            "announces 9223372036854775808 bytes, 0 are left",
        ),
        (b"\x80\x02Np99999999999\n.", "a wrong argument"),
        (b"", "the pickle ends without STOP, at byte 0"),
    ],
)
def test_a_broken_pickle_is_told(body: bytes, problem: str) -> None:
    found = walked(body, max_streams=1)
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)
    assert "\n" not in found.problem


def test_the_globals_before_the_damage_are_listed() -> None:
    found = walked(b"\x80\x02" + system("id") + b"\xff")
    assert found.globals == ("posix.system",)
    assert found.problem
    assert found.values == ()
    assert not found.truncated
    assert walked(b"\x80\x02" + system("id")).truncated


def test_several_streams_are_walked() -> None:
    found = walked(pickle_of(number(1)) + pickle_of(system("id")) + pickle.dumps(3, 0))
    assert (len(found.values), found.globals, found.trailing) == (3, ("posix.system",), 0)
    assert walked(pickle_of(number(1)) * 3, max_streams=2).end == 2 * len(pickle_of(number(1)))


def test_pickles_behind_junk_are_found() -> None:
    data = pickle_of(number(1)) + b"\x00" * 100 + pickle_of(system("id")) + b"\x00" * 5
    found = walked(data)
    assert found.globals == ("posix.system",)
    assert (found.trailing, bool(found.problem)) == (5, True)
    assert walked(b"junk" + pickle_of(system("id"))).globals == ("posix.system",)


def test_random_bytes_behind_a_pickle_make_up_no_globals() -> None:
    noise = b"\x80\x02c\x01\x02\n\x03\xff\n" + b"\x80\x03c os\nsys tem\n" + bytes(range(256))
    assert walked(pickle_of(number(1)) + noise).globals == ()


@pytest.mark.parametrize(
    ("name", "limit", "data"),
    [
        ("MAX_OPCODES", 100, pickle_of(b"N0" * 100 + b"N")),
        ("MAX_CONTAINERS", 100, pickle_of(b"]0" * 101 + b"N")),
        ("MAX_TEXT_BYTES", 100, pickle_of((text("0123456789") + b"0") * 11 + b"N")),
        (
            "MAX_GLOBALS",
            2,
            pickle_of(b"".join(name_of("a", f"b{i}") + b"0" for i in range(3)) + b"N"),
        ),
        ("MAX_LINE", 10, pickle_of(b"Vabcdefghijkl\n")),
    ],
)
def test_budgets_end_the_walk(
    name: str, limit: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not walked(data).problem
    monkeypatch.setattr(opcode_machine, name, limit)
    found = walked(data)
    assert "limit" in found.problem
    assert found.values == ()


def test_budgets_hold_over_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcode_machine, "MAX_OPCODES", 100)
    found = walked(pickle_of(b"N") * 1000)
    assert "more than 100 opcodes" in found.problem
    assert len(found.values) == 33
