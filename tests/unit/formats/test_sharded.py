"""The index of shards: plain names only, and what it says against what the shards hold."""

import json

import pytest

from mlbom.errors import LimitError, MalformedError
from mlbom.evidence.nodes import Pair
from mlbom.formats import sharded
from mlbom.formats.sharded import ShardedIndex, disagreements, join_shards, read_index
from mlbom.formats.weights import TensorInfo, WeightFacts

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
A, B = TensorInfo("a", "F32", (2, 3)), TensorInfo("b", "BF16", (4,))
INDEX = ShardedIndex({"a": ONE, "b": TWO}, 32)


def shard(*tensors: TensorInfo, **more: object) -> WeightFacts:
    return WeightFacts(format="safetensors", tensors=tensors, **more)  # type: ignore[arg-type]


def index_of(weight_map: object, **metadata: object) -> bytes:
    return json.dumps({"metadata": metadata, "weight_map": weight_map}).encode()


def test_an_index_is_read() -> None:
    index = read_index(index_of({"a": ONE, "b": TWO, "c": ONE}, total_size=32), "x")
    assert index.shards == (ONE, TWO)
    assert index.total_size == 32
    assert read_index(index_of({"a": ONE}), "x").total_size is None
    assert read_index(index_of({"a": ONE}, total_size=32.0), "x").total_size == 32


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/etc/passwd",
        "sub/x.safetensors",
        "..",
        ".",
        "",
        "a\\b",
        "C:x",
        "a\nb",
        "a\x00",
        "x" * 300,
        5,
        None,
        ["x"],
    ],
)
def test_a_shard_is_a_plain_name_beside_the_index(name: object) -> None:
    with pytest.raises(MalformedError, match="no file name beside it") as raised:
        read_index(index_of({"a": ONE, "b": name}), "model.safetensors.index.json")
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"weight_map": []}',
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": "b", "a": "c"}}',
        b"{",
        b'{"weight_map": {"a": "b"}, "metadata": {"total_size": "5"}}',
        b'{"weight_map": {"a": "b"}, "metadata": {"total_size": -5}}',
    ],
)
def test_what_is_no_index_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match="^x "):
        read_index(data, "x")


def test_the_number_of_shards_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded, "MAX_SHARDS", 1)
    with pytest.raises(LimitError, match="2 shards, more than the limit of 1"):
        read_index(index_of({"a": ONE, "b": TWO}), "x")


def test_shards_join_to_one_table() -> None:
    first = shard(
        A, metadata=(Pair("format", "pt"), Pair("shard", "1")), globals=("b",), code_kind="k"
    )
    second = shard(B, metadata=(Pair("format", "pt"),), globals=("a",), problem="cut off")
    joined = join_shards({TWO: second, ONE: first})
    assert joined.tensors == (A, B)
    assert (joined.parameters, joined.globals, joined.code_kind) == (10, ("a", "b"), "k")
    assert joined.metadata == (Pair("format", "pt"),)
    assert joined.problem == f"{TWO}: cut off"
    assert join_shards({ONE: shard(A, B)}).digest == joined.digest


def test_index_and_shards_that_agree() -> None:
    assert list(disagreements(INDEX, {ONE: shard(A), TWO: shard(B)})) == []


def test_both_ways_of_counting_tied_tensors_agree() -> None:
    tied = shard(A, TensorInfo("c", "F32", (2, 3)), aliases=("c",))
    for total in (24, 48):
        index = ShardedIndex({"a": ONE, "c": ONE}, total)
        assert list(disagreements(index, {ONE: tied})) == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({ONE: shard(A), TWO: shard()}, "1 tensor is in the index but in no shard: 'b'"),
        (
            {ONE: shard(A, TensorInfo("c", "F32", ())), TWO: shard(B)},
            "1 tensor is in a shard but not in the index: 'c'",
        ),
        (
            {ONE: shard(B), TWO: shard(A)},
            "2 tensors are in another shard than the index says: 'a', 'b'",
        ),
        ({ONE: shard(A, B), TWO: shard(B)}, "1 tensor is in several shards: 'b'"),
        (
            {ONE: shard(A), TWO: shard(TensorInfo("b", "F32", (4,)))},
            "the index says 32 bytes of tensors, the shards hold 40",
        ),
    ],
)
def test_disagreements_are_named(facts: dict[str, WeightFacts], said: str) -> None:
    assert said in list(disagreements(INDEX, facts))


def test_long_lists_are_shortened() -> None:
    index = ShardedIndex({f"t{i}": ONE for i in range(9)}, None)
    assert list(disagreements(index, {ONE: shard()})) == [
        "9 tensors are in the index but in no shard: 't0', 't1', 't2', ..."
    ]
