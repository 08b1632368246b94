"""The tensor table of a torch checkpoint, rebuilt from the inert values of its pickle.

Names are the path through the nested containers, joined by dots (`state_dict.encoder.weight`). The
parts `_parameters`, `_buffers` and `_modules` of a whole pickled module leave no trace in a name.

How elements are counted: a tensor is a view of a storage. Two names for the same window of the same
storage (storage, offset, shape, strides: tied weights) are one set of parameters, so the second is
an alias. Two different windows of one storage count each, as they do for whoever loads them. What
lies in an optimiser's state (a dictionary of `state` and `param_groups`), and what lies outside
`state_dict` where a checkpoint has one, is no parameter of the model: it is counted apart, and
named in `views` as everything else.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

from mlbom.errors import LimitError
from mlbom.formats.opcode_values import Call
from mlbom.formats.tensors.rows import Part, part_of
from mlbom.formats.torch_views import Storage, View, rebuilt_view
from mlbom.formats.weights import TensorInfo

MAX_DEPTH = 256
MAX_STEPS = 5_000_000
_MAX_NAME = 4096
_MAX_SIDES = 64
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_OPTIMIZER_KEYS = {"state", "param_groups"}
_MODEL_KEYS = ("state_dict", "model_state_dict")
_SPARSE_PARTS = {2: ("indices", "values"), 3: ("compressed_indices", "plain_indices", "values")}


_APART = (Part.OPTIMIZER, Part.OTHER)


class NamedView(NamedTuple):
    """A tensor by its path: its window, its part, and of which earlier one it is an alias.

    `traits` tells the size of the sparse tensor that it is a part of, else nothing.
    """

    name: str
    view: View
    part: Part
    alias_of: str
    traits: str


@dataclass(slots=True)
class TensorTable:
    """The tensors of one pickled object.

    Args:
        views: all tensors in the order of the file, names unique.
        tensors: rows of those that are part of the model, in the same order.
        aliases: names of rows whose elements an earlier row counts.
        storages: every storage that the pickle announces, by key.
        apart_tensors: how many tensors are no part of the model, as optimiser states.
        apart_elements: how many elements those have.
    """

    views: list[NamedView] = field(default_factory=list)
    tensors: list[TensorInfo] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)
    apart_tensors: int = 0
    apart_elements: int = 0


def tensor_table(value: Any) -> TensorTable:  # noqa: ANN401 - any inert value
    """Return the tensors in the value of a pickle.

    Raises:
        MalformedError: a tensor or storage that torch would not write.
        LimitError: deeper than 256 levels, a name longer than 4096 characters, or references
            among containers without end.
    """
    builder = _Builder()
    builder.visit(value)
    return builder.table


class _Builder:
    def __init__(self) -> None:
        self.table = TensorTable()
        self.names: Counter[str] = Counter()
        self.windows: dict[tuple[Any, ...], str] = {}
        self.apart_windows: dict[tuple[Any, ...], str] = {}
        self.seen: set[int] = set()
        self.steps = 0

    def visit(self, root: Any) -> None:  # noqa: ANN401 - any inert value
        """Go through containers depth first, in order, and each of them once."""
        pending: list[_Step] = [_Step("", "", root, 0, Part.MODEL, "")]
        while pending:
            step = pending.pop()
            value = step.value
            if isinstance(value, Call):
                view = rebuilt_view(value, self.table.storages)
                if view is not None:
                    self.add(step, view)
                    continue
            if isinstance(value, dict | list | tuple | Call) and id(value) not in self.seen:
                self.seen.add(id(value))
                pending.extend(reversed(self.children(step)))

    def children(self, step: "_Step") -> list["_Step"]:
        """Return the steps into a container."""
        path, depth = step.path, step.depth + 1
        model = _model_key(step.value) if not path else None
        traits = _sparse_size(step.value) or step.traits
        found = [
            _Step(path, part, value, depth, _part(step, part, value, model), traits)
            for part, value in named_parts(step.value)
        ]
        self.steps += len(found)
        if depth > MAX_DEPTH or len(path) > _MAX_NAME or self.steps > MAX_STEPS:
            message = f"tensors nest deeper than {MAX_DEPTH} levels, or in {MAX_STEPS} places"
            raise LimitError(message)
        return found

    def add(self, step: "_Step", view: View) -> None:
        """Enter a tensor into the table; a name that is taken gets a number."""
        table, is_apart = self.table, step.section in _APART
        name = self.unique(step.path or "tensor")
        alias = self.alias(name, view, is_apart=is_apart)
        part = part_of(name, view.dtype) if step.section is Part.MODEL else step.section
        table.views.append(NamedView(name, view, part, alias, step.traits))
        if is_apart:
            table.apart_tensors += 1
            table.apart_elements += prod(view.shape)
            return
        table.tensors.append(TensorInfo(name, view.dtype, view.shape))
        if alias:
            table.aliases.append(name)

    def unique(self, name: str) -> str:
        """Return the name, or with a number behind it when an earlier tensor has it."""
        if len(name) > _MAX_NAME:
            message = f"a tensor has a name of {len(name)} characters, the limit is {_MAX_NAME}"
            raise LimitError(message)
        told = name
        while told in self.names:
            self.names[name] += 1
            told = f"{name}~{self.names[name]}"
        self.names[told] = 1
        return told

    def alias(self, name: str, view: View, *, is_apart: bool) -> str:
        """Return the name of the earlier tensor with the same window; a model's is in the model."""
        if view.storage is None:
            return ""
        window = (view.storage.key, view.offset, view.shape, view.strides, view.dtype, view.traits)
        first = self.windows.get(window) or (self.apart_windows.get(window) if is_apart else None)
        if first is None:
            (self.apart_windows if is_apart else self.windows)[window] = name
        return first or ""


@dataclass(frozen=True, slots=True)
class _Step:
    """A value to visit, and where: the name is joined only when it is needed."""

    parent: str
    part: str
    value: Any
    depth: int
    section: Part
    traits: str

    @property
    def path(self) -> str:
        dot = "." if self.parent and self.part else ""
        return self.parent + dot + self.part


def named_parts(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any inert value
    """Yield the children of a container with the part that each adds to the name."""
    match value:
        case dict():
            for key, child in value.items():
                yield ("" if key in _MODULE_PARTS else _text(key)), child
        case list() | tuple():
            yield from ((str(i), child) for i, child in enumerate(value))
        case Call(name="torch._utils._rebuild_sparse_tensor", args=(_, tuple() as data)):
            calls = [item for item in data if isinstance(item, Call)]
            tensors = [call for call in calls if call.name != "torch.Size"]
            parts = _SPARSE_PARTS.get(len(tensors)) or map(str, range(len(tensors)))
            yield from zip(parts, tensors, strict=True)
        case Call():
            yield from _call_parts(value)


def _call_parts(call: Call) -> Iterator[tuple[str, Any]]:
    if call.name == "collections.OrderedDict" and isinstance(call.args, tuple) and call.args:
        # As protocol 0 and Python 2 wrote it: one list of [key, value] pairs.
        pairs = [p for p in _items(call.args[0]) if len(_items(p)) == 2]  # noqa: PLR2004 - a pair
        yield from ((_text(key), child) for key, child in pairs)
    else:
        yield "", call.args
    yield "", call.entries
    yield "", call.elements
    if call.name != "collections.OrderedDict":  # its state is only `_metadata`
        yield "", call.state


def _items(value: Any) -> list[Any] | tuple[Any, ...]:  # noqa: ANN401 - any inert value
    return value if isinstance(value, list | tuple) else ()


def _text(key: Any) -> str:  # noqa: ANN401 - any inert value
    return str(key) if isinstance(key, str | int | None) else "?"


def _part(step: _Step, key: str, value: Any, model: str | None) -> Part:  # noqa: ANN401 - inert
    """Return the part of a training that lies under one key of a container."""
    if _is_optimizer_state(step.value):
        return Part.OPTIMIZER
    if model is not None and key != model:
        return Part.OTHER
    is_buffers = isinstance(step.value, dict) and value is step.value.get("_buffers")
    return Part.BUFFER if is_buffers and step.section is Part.MODEL else step.section


def _sparse_size(value: Any) -> str:  # noqa: ANN401 - any inert value
    """Return the size of a sparse tensor, whose parts do not tell it."""
    if not isinstance(value, Call) or value.name != "torch._utils._rebuild_sparse_tensor":
        return ""
    data = value.args[1] if isinstance(value.args, tuple) and len(value.args) > 1 else ()
    calls = [item for item in _items(data) if isinstance(item, Call) and item.name == "torch.Size"]
    sides = _items(calls[0].args)[:1] if calls else ()
    told = "x".join(str(side) for side in _items(sides[0] if sides else ())[:_MAX_SIDES])
    return f"part of a sparse tensor of {told or 'unknown size'}"


def _is_optimizer_state(value: Any) -> bool:  # noqa: ANN401 - any inert value
    return isinstance(value, dict) and value.keys() == _OPTIMIZER_KEYS


def _model_key(value: Any) -> str | None:  # noqa: ANN401 - any inert value
    """Return the key under which a checkpoint keeps the model's tensors, if it says so."""
    keys = value if isinstance(value, dict) else ()
    return next((key for key in _MODEL_KEYS if key in keys), None)
