"""The tensor table of a torch checkpoint, rebuilt from the inert values of its pickle.

Names are the path through the nested containers, joined by dots (`state_dict.encoder.weight`). The
parts `_parameters`, `_buffers` and `_modules` of a whole pickled module leave no trace in a name.

How elements are counted: a tensor is a view of a storage. Two names for the same window of the same
storage (storage, offset, shape, strides: tied weights) are one set of parameters, so the second is
an alias. Two different windows of one storage count each, as they do for whoever loads them. What
lies in an optimiser's state (a dictionary of `state` and `param_groups`) is no parameter of the
model: it is counted apart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mlbom.errors import LimitError, MalformedError
from mlbom.formats.opcode_values import Call, GlobalRef, PersistentId
from mlbom.formats.torch_names import DTYPES, STORAGE_DTYPES
from mlbom.formats.weights import MAX_ELEMENTS, SAFETENSORS_BITS, TORCH_BITS, TensorInfo

MAX_DEPTH = 256
_MAX_DIMENSIONS = 64
_MAX_NAME = 4096
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_OPTIMIZER_KEYS = {"state", "param_groups"}
_SPARSE_PARTS = {2: ("indices", "values"), 3: ("compressed_indices", "plain_indices", "values")}
BITS = {**SAFETENSORS_BITS, **TORCH_BITS}


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as the pickle announces it: bytes for an untyped one, else elements of a dtype."""

    key: str
    dtype: str
    numel: int

    @property
    def nbytes(self) -> int:
        """Return the bytes that the storage takes in the file."""
        return self.numel * BITS[self.dtype] // 8


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: a window of a storage, or one without storage when that is None."""

    dtype: str
    shape: tuple[int, ...]
    storage: Storage | None = None
    offset: int = 0
    strides: tuple[int, ...] = ()


@dataclass(slots=True)
class TensorTable:
    """The tensors of one pickled object.

    Args:
        tensors: rows in the order of the file, names unique.
        aliases: names of rows whose elements an earlier row counts.
        storages: every storage that the pickle announces, by key.
        optimizer_tensors: how many tensors lie in optimiser states.
        optimizer_elements: how many elements those have.
    """

    tensors: list[TensorInfo] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)
    optimizer_tensors: int = 0
    optimizer_elements: int = 0


def tensor_table(value: Any) -> TensorTable:  # noqa: ANN401 - any inert value
    """Return the tensors in the value of a pickle.

    Raises:
        MalformedError: a tensor or storage that torch would not write, two tensors of one name.
        LimitError: deeper than 256 levels, or a name longer than 4096 characters.
    """
    builder = _Builder()
    builder.visit(value)
    return builder.table


class _Builder:
    def __init__(self) -> None:
        self.table = TensorTable()
        self.names: set[str] = set()
        self.views: set[tuple[Any, ...]] = set()
        self.seen: set[int] = set()

    def visit(self, root: Any) -> None:  # noqa: ANN401 - any inert value
        """Go through containers depth first, in order, and each of them once."""
        pending = [("", root, 0, False)]
        while pending:
            path, value, depth, in_optimizer = pending.pop()
            if isinstance(value, Call):
                view = self.view(value, path)
                if view is not None:
                    self.add(path, view, in_optimizer=in_optimizer)
                    continue
            if not isinstance(value, dict | list | tuple | Call) or id(value) in self.seen:
                continue
            self.seen.add(id(value))
            if depth > MAX_DEPTH or len(path) > _MAX_NAME:
                message = f"tensors nest deeper than {MAX_DEPTH} levels, the limit"
                raise LimitError(message)
            inside = in_optimizer or _is_optimizer_state(value)
            children = [(_joined(path, part), v, depth + 1, inside) for part, v in _parts(value)]
            pending.extend(reversed(children))

    def add(self, path: str, view: _View, *, in_optimizer: bool) -> None:
        """Enter a tensor into the table."""
        table = self.table
        if in_optimizer:
            table.optimizer_tensors += 1
            table.optimizer_elements += prod(view.shape)
            return
        name = path or "tensor"
        if name in self.names:
            message = f"two tensors have the name {name[:80]!r}"
            raise MalformedError(message)
        self.names.add(name)
        table.tensors.append(TensorInfo(name, view.dtype, view.shape))
        if view.storage is None:
            return
        window = (view.storage.key, view.offset, view.shape, view.strides, view.dtype)
        if window in self.views:
            table.aliases.append(name)
        self.views.add(window)

    def view(self, call: Call, path: str) -> _View | None:
        """Return the tensor that a call rebuilds, or None when it does not rebuild one."""
        for _ in range(8):  # a parameter of a subclass of a tensor, and the like
            args = call.args if isinstance(call.args, tuple) else ()
            if call.name == "torch._tensor._rebuild_from_type_v2" and len(args) > 2:  # noqa: PLR2004 - func, type, args
                call = Call(args[0], args[2])
            elif call.name in _WRAPPERS and args and isinstance(args[0], Call):
                call = args[0]
            else:
                break
        make = _REBUILDERS.get(call.name)
        if make is None:
            return None
        try:
            return make(self, call.args)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            message = f"tensor {path[:80]!r} is not built as torch builds tensors"
            raise MalformedError(message) from error

    def storage(self, told: Any) -> Storage:  # noqa: ANN401 - any inert value
        """Return the storage of a persistent id ("storage", class, key, device, elements, ...)."""
        if not isinstance(told, PersistentId):
            raise TypeError
        _, kind, key, _, numel, *_ = told.value
        if not isinstance(kind, GlobalRef) or not isinstance(key, str):
            raise TypeError
        storage = Storage(key, STORAGE_DTYPES[kind.name], _size(numel))
        known = self.table.storages.setdefault(key, storage)
        if known.nbytes != storage.nbytes:
            message = f"storage {key[:80]!r} has two sizes, {known.nbytes} and {storage.nbytes} bytes"
            raise MalformedError(message)
        return storage

    def strided(self, args: tuple[Any, ...]) -> _View:
        """_rebuild_tensor, _v2, _qtensor: storage, offset, size, strides, ..."""
        storage = self.storage(args[0])
        return _inside(_View(storage.dtype, _shape(args[2]), storage, args[1], _shape(args[3])))

    def typed(self, args: tuple[Any, ...]) -> _View:
        """_rebuild_tensor_v3: untyped storage, offset, size, strides, grad, hooks, dtype, ..."""
        storage, dtype = self.storage(args[0]), _dtype(args[6])
        return _inside(_View(dtype, _shape(args[2]), storage, args[1], _shape(args[3])))

    def meta(self, args: tuple[Any, ...]) -> _View:
        """_rebuild_meta_tensor_no_storage: dtype, size, strides, grad."""
        return _View(_dtype(args[0]), _shape(args[1]))

    def subclass(self, args: tuple[Any, ...]) -> _View:
        """_rebuild_wrapper_subclass: class, dtype, size, ..."""
        return _View(_dtype(args[1]), _shape(args[2]))


_WRAPPERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
)
_REBUILDERS = {
    "torch._utils._rebuild_tensor": _Builder.strided,
    "torch._utils._rebuild_tensor_v2": _Builder.strided,
    "torch._utils._rebuild_tensor_v3": _Builder.typed,
    "torch._utils._rebuild_qtensor": _Builder.strided,
    "torch._utils._rebuild_meta_tensor_no_storage": _Builder.meta,
    "torch._utils._rebuild_wrapper_subclass": _Builder.subclass,
}


def _parts(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any inert value
    """Yield the children of a container with the part that each adds to the name."""
    match value:
        case dict():
            for key, child in value.items():
                yield ("" if key in _MODULE_PARTS else _text(key)), child
        case list() | tuple():
            yield from ((str(i), child) for i, child in enumerate(value))
        case Call(name="torch._utils._rebuild_sparse_tensor", args=(_, tuple() as data)):
            tensors = [item for item in data if isinstance(item, Call) and item.name != "torch.Size"]
            yield from zip(_SPARSE_PARTS.get(len(tensors), ()), tensors, strict=False)
        case Call():
            yield from _call_parts(value)


def _call_parts(call: Call) -> Iterator[tuple[str, Any]]:
    if call.name == "collections.OrderedDict" and isinstance(call.args, tuple) and call.args:
        # As protocol 0 and Python 2 wrote it: one list of [key, value] pairs.
        pairs = [p for p in _items(call.args[0]) if len(_items(p)) == 2]  # noqa: PLR2004 - a pair
        yield from ((_text(key), child) for key, child in pairs)
    elif not isinstance(call.func, GlobalRef) or not call.name.startswith("collections."):
        yield from _parts(call.args)
    yield from _parts(call.entries)
    yield from _parts(call.elements)
    if call.name != "collections.OrderedDict":  # its state is only `_metadata`
        yield from _parts(call.state)


def _items(value: Any) -> list[Any] | tuple[Any, ...]:  # noqa: ANN401 - any inert value
    return value if isinstance(value, list | tuple) else ()


def _text(key: Any) -> str:  # noqa: ANN401 - any inert value
    return str(key) if isinstance(key, str | int | None) else "?"


def _joined(path: str, part: str) -> str:
    return f"{path}.{part}" if path and part else path + part


def _is_optimizer_state(value: Any) -> bool:  # noqa: ANN401 - any inert value
    return isinstance(value, Mapping) and value.keys() == _OPTIMIZER_KEYS


def _size(value: Any) -> int:  # noqa: ANN401 - any inert value
    if type(value) is not int or not 0 <= value <= MAX_ELEMENTS:
        raise ValueError
    return value


def _shape(value: Any) -> tuple[int, ...]:  # noqa: ANN401 - any inert value
    if isinstance(value, Call) and value.name == "torch.Size":
        value = value.args[0]
    if not isinstance(value, tuple) or len(value) > _MAX_DIMENSIONS:
        raise TypeError
    return tuple(map(_size, value))


def _dtype(value: Any) -> str:  # noqa: ANN401 - any inert value
    if not isinstance(value, GlobalRef) or value.module != "torch":
        raise TypeError
    return DTYPES[value.name]


def _inside(view: _View) -> _View:
    """Return the view, after checking that it lies inside its storage and is no giant."""
    storage, offset = view.storage, _size(view.offset)
    if storage is None or len(view.strides) != len(view.shape) or prod(view.shape) > MAX_ELEMENTS:
        raise ValueError
    reach = offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + 1
    if 0 not in view.shape and reach * BITS[view.dtype] // 8 > storage.nbytes:
        message = f"a tensor reaches beyond the {storage.nbytes} bytes of its storage"
        raise MalformedError(message)
    return view
