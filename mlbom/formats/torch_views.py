"""One tensor of a torch checkpoint: the call that rebuilds it, read as a view of a storage.

Source: torch 2.13, the `_rebuild_*` functions of `torch/_utils.py` and `torch/_tensor.py`, and the
persistent ids of `torch/serialization.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from mlbom.errors import MalformedError
from mlbom.formats.opcode_values import Call, GlobalRef, PersistentId
from mlbom.formats.torch_names import DTYPES, STORAGE_DTYPES
from mlbom.formats.weights import MAX_ELEMENTS, SAFETENSORS_BITS, TORCH_BITS

_MAX_DIMENSIONS = 64
_MAX_WRAPPERS = 8
_BITS = {**SAFETENSORS_BITS, **TORCH_BITS}
_METADATA = 6  # place of the traits among the arguments of `_rebuild_tensor_v2`
_MAX_TRAITS = 200
_ELSEWHERE = "its values are kept in no storage of torch"
_WRAPPERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
)


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as the pickle announces it: bytes for an untyped one, else elements of a dtype."""

    key: str
    dtype: str
    numel: int

    @property
    def element_bytes(self) -> int:
        """Return the bytes of one element; a storage of packed elements counts bytes."""
        return -(-_BITS[self.dtype] // 8)

    @property
    def nbytes(self) -> int:
        """Return the bytes that the storage takes in the file."""
        return self.numel * self.element_bytes


@dataclass(frozen=True, slots=True)
class View:
    """A tensor: a window of a storage, counted in elements, or one without storage (None).

    Args:
        dtype, shape: of the tensor.
        storage: where its elements lie; None when it has none of its own.
        offset, strides: of the window, in elements.
        traits: what else decides its values: `conj`, `neg`, the scale of a quantised tensor.
        problem: why its values cannot be told from the storage alone; empty when they can.
    """

    dtype: str
    shape: tuple[int, ...]
    storage: Storage | None = None
    offset: int = 0
    strides: tuple[int, ...] = ()
    traits: str = ""
    problem: str = ""


Storages = dict[str, Storage]


def rebuilt_view(call: Call, storages: Storages) -> View | None:
    """Return the tensor that a call rebuilds, or None when it rebuilds none.

    Args:
        call: any inert call.
        storages: every storage met so far, by key; the tensor's own is added.

    Raises:
        MalformedError: torch would not write such a tensor, or it reaches beyond its storage.
    """
    name = call.name
    for _ in range(_MAX_WRAPPERS):  # a parameter of a subclass of a tensor, and the like
        args = call.args if isinstance(call.args, tuple) else ()
        if name == "torch._tensor._rebuild_from_type_v2" and len(args) > 2:  # noqa: PLR2004 - func, type, args
            call = Call(args[0], args[2])
        elif name in _WRAPPERS and args and isinstance(args[0], Call):
            call = args[0]
        else:
            break
        name = call.name
    rebuild = _REBUILDERS.get(name)
    if rebuild is None:
        return None
    try:
        return rebuild(call.args, storages)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        message = f"a tensor is not built as {name} of torch builds tensors"
        raise MalformedError(message) from error


def _strided(args: Any, storages: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_tensor, _rebuild_tensor_v2: storage, offset, size, strides, grad, hooks, traits."""
    storage = _storage(args[0], storages)
    view = View(storage.dtype, _shape(args[2]), storage, args[1], _shape(args[3]))
    return _inside(replace(view, traits=_traits(args[_METADATA:])))


def _quantised(args: Any, storages: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_qtensor: as `_strided`, with a scheme, its scale and its zero point in fifth place.

    A scheme by channel keeps its scales in tensors, which are not read.
    """
    view = _strided(args[:_METADATA], storages)
    scheme = args[4] if isinstance(args[4], tuple) else ()
    traits = " ".join(str(v) for v in scheme if isinstance(v, GlobalRef | float | int))
    plain = 1 < len(scheme) == len(traits.split())
    problem = "" if plain else "quantised by channel: its scales are not read"
    return replace(view, traits=traits[:_MAX_TRAITS], problem=problem)


def _typed(args: Any, storages: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_tensor_v3: untyped storage, offset, size, strides, grad, hooks, dtype, ..."""
    storage = _storage(args[0], storages)
    view = View(_dtype(args[6]), _shape(args[2]), storage, args[1], _shape(args[3]))
    return _inside(replace(view, traits=_traits(args[_METADATA + 1 :])))


def _meta(args: Any, _: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_meta_tensor_no_storage: dtype, size, strides, grad."""
    return View(_dtype(args[0]), _shape(args[1]), traits="meta")


def _subclass(args: Any, _: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_wrapper_subclass: class, dtype, size, ..."""
    return View(_dtype(args[1]), _shape(args[2]), problem=_ELSEWHERE)


def _from_numpy(args: Any, _: Storages) -> View:  # noqa: ANN401 - inert values
    """_rebuild_device_tensor_from_numpy: array (its state holds the shape), dtype, ..."""
    if not isinstance(args[0], Call):
        raise TypeError
    return View(_dtype(args[1]), _shape(args[0].state[1]), problem=_ELSEWHERE)


_REBUILDERS: dict[str, Callable[[Any, Storages], View]] = {
    "torch._utils._rebuild_tensor": _strided,
    "torch._utils._rebuild_tensor_v2": _strided,
    "torch._utils._rebuild_tensor_v3": _typed,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_wrapper_subclass": _subclass,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
}


def _storage(told: Any, storages: Storages) -> Storage:  # noqa: ANN401 - inert values
    """Return the storage of a persistent id ("storage", class, key, device, elements, ...)."""
    if not isinstance(told, PersistentId):
        raise TypeError
    _, kind, key, _, numel, *window = told.value
    # Before torch 0.4 a storage could be a window of another one: that is read by nobody any more.
    if not isinstance(kind, GlobalRef) or not isinstance(key, str) or any(window):
        raise TypeError
    storage = Storage(key, STORAGE_DTYPES[kind.name], _size(numel))
    known = storages.setdefault(key, storage)
    if known.nbytes != storage.nbytes:
        sizes = f"{known.nbytes} and {storage.nbytes} bytes"
        message = f"storage {key[:80]!a} has two sizes, {sizes}"
        raise MalformedError(message)
    return storage


def _size(value: Any) -> int:  # noqa: ANN401 - inert values
    if type(value) is not int or not 0 <= value <= MAX_ELEMENTS:
        raise ValueError
    return value


def _shape(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - inert values
    if isinstance(value, Call) and value.name == "torch.Size":
        value = value.args[0]
    if not isinstance(value, tuple) or len(value) > _MAX_DIMENSIONS:
        raise TypeError
    shape = tuple(map(_size, value))
    if prod(shape) > MAX_ELEMENTS:
        raise ValueError
    return shape


def _traits(told: Any) -> str:  # noqa: ANN401 - inert values
    """Return what torch sets lazily on a tensor (`get_tensor_metadata`): conjugated, negated."""
    metadata = told[0] if told else None
    if not isinstance(metadata, dict):
        return ""
    return " ".join(sorted(str(key)[:_MAX_TRAITS] for key, is_set in metadata.items() if is_set))


def _dtype(value: Any) -> str:  # noqa: ANN401 - inert values
    if not isinstance(value, GlobalRef) or value.module != "torch":
        raise TypeError
    return DTYPES[value.name]


def _inside(view: View) -> View:
    """Return the view, after checking that it lies inside its storage."""
    storage, offset = view.storage, _size(view.offset)
    if storage is None or len(view.strides) != len(view.shape):
        raise ValueError
    reach = offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + 1
    if 0 not in view.shape and reach * _BITS[view.dtype] > 8 * storage.nbytes:
        message = f"a tensor reaches beyond the {storage.nbytes} bytes of its storage"
        raise MalformedError(message)
    return view
