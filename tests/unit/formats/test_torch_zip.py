"""Torch archives: tensors, aliases, checkpoints, code, and what is refused."""

import io
import struct
import zipfile

import pytest

from mlbom.errors import LimitError, MalformedError, UnknownFormatError
from mlbom.evidence.nodes import Count, Pair
from mlbom.formats import torch_zip as reader_module
from mlbom.formats.torch_zip import TorchZipReader
from mlbom.formats.weights import TensorInfo, WeightFacts
from tests.fixtures import weights as w
from tests.fixtures.weights import storage, tensor

T = tensor(storage("0", 6), [2, 3])
SIZE = {"0": 24}


def read(data: bytes) -> WeightFacts:
    return TorchZipReader().read(io.BytesIO(data), len(data))


def names(facts: WeightFacts) -> list[str]:
    return [t.name for t in facts.tensors]


def test_a_state_dict() -> None:
    facts = read(w.state_dict_zip({"encoder.weight": [2, 3], "encoder.bias": [2]}))
    assert facts.format == "torch-zip"
    assert facts.tensors == (
        TensorInfo("encoder.weight", "F32", (2, 3)),
        TensorInfo("encoder.bias", "F32", (2,)),
    )
    assert (facts.parameters, facts.problem, facts.code_kind) == (8, "", "")
    assert facts.metadata == (Pair("archive.version", "3"), Pair("archive.byteorder", "little"))
    assert "torch._utils._rebuild_tensor_v2" in facts.globals


def test_the_same_tensors_have_the_same_digest_as_in_safetensors() -> None:
    from mlbom.formats.safetensors import SafetensorsReader

    data = w.safetensors_file({"a": ("F32", [2, 3]), "b": ("F32", [2])})
    other = SafetensorsReader().read(io.BytesIO(data), len(data))
    assert read(w.state_dict_zip({"b": [2], "a": [2, 3]})).digest == other.digest


def test_names_are_the_path_through_containers() -> None:
    def at(index: int) -> bytes:
        return tensor(storage(str(index), 1), [1])

    body = w.dict_of(
        {
            "list": w.list_of([at(0), w.dict_of({"x": at(1)})]),
            "tuple": w.tuple_of([w.number(5), at(2)]),
            "ordered": w.ordered_dict({"p.q": at(3)}),
            "net": w.module(
                ("net", "Net"),
                {"w": at(4)},
                {"sub": w.module(("net", "Sub"), {"w": w.parameter(at(5))}, {})},
            ),
        }
    )
    facts = read(w.torch_zip(body, {str(i): 4 for i in range(6)}))
    assert names(facts) == ["list.0", "list.1.x", "tuple.1", "ordered.p.q", "net.w", "net.sub.w"]
    assert facts.globals[-2:] == (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
    )
    assert (facts.code_kind, facts.problem) == ("pickle-globals", "")
    assert {"net.Net", "net.Sub"} <= set(facts.globals)


def test_a_bare_tensor() -> None:
    assert names(read(w.torch_zip(T, SIZE))) == ["tensor"]


@pytest.mark.parametrize(
    ("kind", "size", "dtype"),
    [
        ("HalfStorage", 2, "F16"),
        ("BFloat16Storage", 2, "BF16"),
        ("LongStorage", 8, "I64"),
        ("BoolStorage", 1, "BOOL"),
        ("QInt8Storage", 1, "QINT8"),
        ("ComplexDoubleStorage", 16, "C128"),
    ],
)
def test_dtypes_of_storage_classes(kind: str, size: int, dtype: str) -> None:
    facts = read(w.torch_zip(tensor(storage("0", 5, kind), [5]), {"0": 5 * size}))
    assert (facts.dtypes, facts.problem) == ((Count(dtype, 5),), "")


def test_dtypes_without_storage_class() -> None:
    body = w.dict_of(
        {
            "f8": w.typed_tensor(storage("0", 4, "UntypedStorage"), [2, 2], "float8_e4m3fn"),
            "u16": w.typed_tensor(storage("1", 4, "UntypedStorage"), [2], "uint16"),
            "meta": w.call(
                w.name_of("torch._utils", "_rebuild_meta_tensor_no_storage"),
                w.name_of("torch", "float32"),
                w.tuple_of([w.number(7)]),
                w.tuple_of([w.number(1)]),
                b"\x89",
            ),
        }
    )
    facts = read(w.torch_zip(body, {"0": 4, "1": 4}))
    assert [(t.dtype, t.shape) for t in facts.tensors] == [
        ("F8_E4M3", (2, 2)),
        ("U16", (2,)),
        ("F32", (7,)),
    ]
    assert not facts.problem


def test_tied_weights_count_once_and_views_of_one_storage_each() -> None:
    body = w.dict_of(
        {
            "embed": tensor(storage("0", 6), [2, 3]),
            "head": tensor(storage("0", 6), [2, 3]),
            "query": tensor(storage("0", 6), [3]),
            "key": tensor(storage("0", 6), [3], offset=3),
            "transposed": tensor(storage("0", 6), [3, 2], strides=[1, 3]),
        }
    )
    facts = read(w.torch_zip(body, SIZE))
    assert facts.aliases == ("head",)
    assert facts.parameters == 6 + 3 + 3 + 6
    assert facts.dtypes == (Count("F32", 18),)
    assert sum(c.number for c in facts.shapes) == len(facts.tensors) == 5


def test_one_tensor_object_under_two_names_is_an_alias() -> None:
    body = b"}(" + w.text("a") + T + b"q\x05" + w.text("b") + b"h\x05u"
    facts = read(w.torch_zip(body, SIZE))
    assert (names(facts), facts.aliases, facts.parameters) == (["a", "b"], ("b",), 6)


def test_an_expanded_tensor_has_the_elements_that_it_shows() -> None:
    facts = read(w.torch_zip(tensor(storage("0", 1), [10, 10], strides=[0, 0]), {"0": 4}))
    assert (facts.parameters, facts.problem) == (100, "")


def test_a_lightning_checkpoint() -> None:
    optimizer = w.dict_of({"state": w.dict_of({"0": T}), "param_groups": w.list_of([])})
    body = w.dict_of(
        {
            "epoch": w.number(3),
            "global_step": w.number(2**40),
            "pytorch-lightning_version": w.text("2.6.0"),
            "state_dict": w.ordered_dict({"net.weight": tensor(storage("1", 2), [2])}),
            "optimizer_states": w.list_of([optimizer]),
            "callbacks": w.dict_of({"best": tensor(storage("2", 1), [])}),
        }
    )
    facts = read(w.torch_zip(body, {"0": 24, "1": 8, "2": 4}))
    assert names(facts) == ["state_dict.net.weight"]
    told = {p.name: p.text for p in facts.metadata}
    assert told["epoch"] == "3"
    assert told["global_step"] == str(2**40)
    assert told["pytorch-lightning_version"] == "2.6.0"
    assert (told["training-state.tensors"], told["training-state.elements"]) == ("2", "7")


def test_an_optimizer_beside_a_model_is_counted_apart() -> None:
    optimizer = w.dict_of({"state": w.dict_of({"0": T}), "param_groups": w.list_of([])})
    facts = read(
        w.torch_zip(
            w.dict_of({"model": w.dict_of({"w": tensor(storage("1", 1), [1])}), "opt": optimizer}),
            {"0": 24, "1": 4},
        )
    )
    assert (names(facts), facts.parameters) == (["model.w"], 1)


def test_a_metadata_value_that_is_a_call_is_left_out() -> None:
    facts = read(w.torch_zip(w.dict_of({"epoch": w.system("id"), "a": T}), SIZE))
    assert "epoch" not in {p.name for p in facts.metadata}
    assert facts.code_kind == "pickle-globals"


def test_taken_names_get_a_number() -> None:
    body = w.dict_of({"a.b": T, "a": w.dict_of({"b": tensor(storage("0", 6), [6])})})
    assert names(read(w.torch_zip(body, SIZE))) == ["a.b", "a.b~2"]


def test_sparse_tensors_are_their_parts() -> None:
    layout = w.call(w.name_of("torch.serialization", "_get_layout"), w.text("torch.sparse_coo"))
    size = w.call(w.name_of("torch", "Size"), w.tuple_of([w.number(9), w.number(9)]))
    parts = w.tuple_of(
        [tensor(storage("1", 2, "LongStorage"), [2, 1]), tensor(storage("2", 1), [1]), size]
    )
    body = w.dict_of(
        {"s": w.call(w.name_of("torch._utils", "_rebuild_sparse_tensor"), layout, parts)}
    )
    facts = read(w.torch_zip(body, {"1": 16, "2": 4}))
    assert (names(facts), facts.code_kind) == (["s.indices", "s.values"], "")


def test_sparse_tensors_of_three_parts() -> None:
    layout = w.call(w.name_of("torch.serialization", "_get_layout"), w.text("torch.sparse_csr"))
    parts = w.tuple_of(tensor(storage(str(i), 1), [1]) for i in range(3))
    body = w.call(w.name_of("torch._utils", "_rebuild_sparse_tensor"), layout, parts)
    facts = read(w.torch_zip(body, {str(i): 4 for i in range(3)}))
    assert names(facts) == ["compressed_indices", "plain_indices", "values"]


def test_subclasses_and_tensors_from_arrays() -> None:
    shape = w.tuple_of([w.number(2), w.number(3)])
    float16 = w.name_of("torch", "float16")
    state = w.tuple_of([w.number(1), shape, w.name_of("numpy", "float32"), b"\x89", b"N"])
    array = w.call(w.name_of("numpy._core.multiarray", "_reconstruct")) + state + b"b"
    body = w.dict_of(
        {
            "wrapped": w.call(
                w.name_of("torch._tensor", "_rebuild_from_type_v2"),
                w.name_of("torch._utils", "_rebuild_wrapper_subclass"),
                w.name_of("ao", "Quantised"),
                w.tuple_of([w.name_of("ao", "Quantised"), float16, shape]),
                b"}",
            ),
            "device": w.call(
                w.name_of("torch._utils", "_rebuild_device_tensor_from_numpy"), array, float16
            ),
            "moved": w.call(
                w.name_of("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"), T, float16
            ),
        }
    )
    facts = read(w.torch_zip(body, SIZE))
    assert [(t.name, t.dtype, t.shape) for t in facts.tensors] == [
        ("wrapped", "F16", (2, 3)),
        ("device", "F16", (2, 3)),
        ("moved", "F32", (2, 3)),
    ]


def test_an_ordered_dict_as_python_2_pickled_it() -> None:
    pairs = w.list_of([w.list_of([w.text("a"), T]), w.list_of([w.number(5), w.number(1)])])
    body = w.call(w.name_of("collections", "OrderedDict"), pairs)
    assert names(read(w.torch_zip(body, SIZE))) == ["a"]


def test_keys_that_are_no_text() -> None:
    body = b"}(" + w.tuple_of([w.number(1)]) + T + w.number(3) + T + b"N" + T + b"u"
    assert names(read(w.torch_zip(body, SIZE))) == ["?", "3", "None"]


def test_a_script_module() -> None:
    state = w.dict_of({"training": b"\x88", "weight": T})
    body = w.name_of("__torch__.net", "Net") + b")\x81" + state + b"b"
    members = [
        *w.torch_members(w.pickle_of(body), SIZE),
        ("archive/constants.pkl", w.pickle_of(w.tuple_of([w.name_of("__torch__", "Extra")]))),
        ("archive/code/__torch__/net.py", b"class Net(Module):\n"),
    ]
    facts = read(w.zip_of(members))
    assert (facts.format, facts.code_kind, names(facts)) == (
        "torchscript",
        "torchscript",
        ["weight"],
    )
    assert {"__torch__.net.Net", "__torch__.Extra"} <= set(facts.globals)


@pytest.mark.parametrize(
    ("body", "sizes", "problem"),
    [
        (T, {"0": 20}, "storage '0' has 20 bytes in the file, not 24 bytes"),
        (T, {}, "storage '0' has nothing in the file, not 24 bytes"),
        (tensor(storage("0", 6), [7]), SIZE, "reaches beyond the 24 bytes of its storage"),
        (tensor(storage("0", 6), [2, 3], offset=1), SIZE, "reaches beyond"),
        (tensor(storage("0", 6), [2, 3], strides=[4, 1]), SIZE, "reaches beyond"),
        (tensor(storage("0", 6), [2, 3], strides=[1]), SIZE, "not built as"),
        (tensor(storage("0", 6), [-1]), SIZE, "not built as"),
        (tensor(storage("0", 6), [2**40, 2**40], strides=[0, 0]), SIZE, "not built as"),
        (tensor(storage("0", 6, "PickleStorage"), [6]), SIZE, "not built as"),
        (tensor(w.text("0"), [6]), SIZE, "not built as"),
        (
            w.call(w.name_of("torch._utils", "_rebuild_device_tensor_from_numpy"), T, T),
            SIZE,
            "not built as",
        ),
        (w.call(w.name_of("torch._utils", "_rebuild_tensor_v2"), b"N"), SIZE, "not built as"),
        (
            tensor(w.tuple_of([w.text("storage"), b"N", b"N", b"N", w.number(6)]) + b"Q", [6]),
            SIZE,
            "not built as",
        ),
        (tensor(w.number(1) + b"Q", [6]), SIZE, "not built as"),
        (
            w.typed_tensor(storage("0", 4, "UntypedStorage"), [4], "float32").replace(
                b"ctorch\nfloat32", b"cnumpy\nfloat32"
            ),
            SIZE,
            "not built as",
        ),
        (w.tuple_of([T, tensor(storage("0", 5), [5])]), SIZE, "has two sizes, 24 and 20 bytes"),
        (w.typed_tensor(storage("0", 4, "UntypedStorage"), [4], "float99"), SIZE, "not built as"),
        (b"]" * 300 + b"a" * 299, {}, "nest deeper than 256 levels"),
        (w.dict_of({"x" * 5000: T}), SIZE, "name of 5000 characters"),
    ],
)
def test_what_torch_would_not_write_is_told(
    body: bytes, sizes: dict[str, int], problem: str
) -> None:
    facts = read(w.torch_zip(body, sizes))
    assert problem in facts.problem
    assert "\n" not in facts.problem


def test_globals_are_listed_although_the_tensors_are_broken() -> None:
    broken = tensor(storage("0", 6), [7])
    facts = read(w.torch_zip(w.tuple_of([broken, w.system("id")]), SIZE))
    assert "posix.system" in facts.globals
    assert (facts.has_table, facts.code_kind) == (False, "pickle-globals")


def test_a_second_pickle_behind_the_first_is_told() -> None:
    data = w.pickle_of(T) + w.pickle_of(w.system("id"))
    facts = read(w.zip_of(w.torch_members(data, SIZE)))
    assert "posix.system" in facts.globals
    assert "data.pkl holds 2 pickles" in facts.problem


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ([("other/data.pkl", b"")], "2 members data.pkl"),
        ([("archive/sub/data.pkl", b"")], "2 members data.pkl"),
        ([("archive/DATA.PKL", b"")], "differ in case only"),
        ([("x/Data.pkl", b"")], "2 members data.pkl"),
    ],
)
def test_several_pickles_are_refused(extra: list[tuple[str, bytes]], reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read(w.zip_of([*w.torch_members(w.pickle_of(T), SIZE), *extra]))


def test_a_compressed_pickle_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"encrypted or compressed: could not tell"):
        read(w.zip_of(w.torch_members(w.pickle_of(T), SIZE), zipfile.ZIP_DEFLATED))


def test_an_encrypted_pickle_is_refused() -> None:
    data = bytearray(w.torch_zip(T, SIZE))
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", data, data.index(marker) + offset, 1)
    with pytest.raises(MalformedError, match="encrypted"):
        read(bytes(data))


def test_a_large_pickle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(LimitError, match="more than the limit of 10"):
        read(w.torch_zip(T, SIZE))


def test_another_zip_is_an_unknown_format() -> None:
    with pytest.raises(UnknownFormatError, match="zip archive without data.pkl"):
        read(w.zip_of([("weights.npy", b"")]))


def test_references_among_shared_containers_end() -> None:
    """Thirty lists, each holding the one before ten times, are ten to the thirtieth places."""
    body = (
        b"](Nq\x00e0" + b"]q\x00" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x00" for _ in range(30))
    )
    facts = read(w.torch_zip(body, {}))
    assert facts.tensors == ()
