"""What sort of op it is that torch dispatches: which of its tensors mean something, and when.

Names are those of the operator registry of PyTorch (native_functions.yaml); aliases and writes come
from the schema of each op.
"""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Tell the profiler something, compute nothing.
_SILENT = ("profiler",)
_COLLECTIVE = ("c10d", "_c10d_functional", "_c10d_functional_autograd", "symm_mem", "_dtensor")
_WAIT = "wait_tensor"
# Give memory that nobody has written yet: its bits are those of whoever had it before.
_FRESH = frozenset(
    "empty empty_like empty_strided empty_permuted empty_quantized new_empty new_empty_strided"
    " resize resize_ resize_as_ resize_output_ _resize_output_".split()
)
_SOURCES = frozenset("lift lift_fresh lift_fresh_copy set_ from_file".split())
# Outputs of these that come first mean something; the rest is left unwritten, or is scratch memory.
_MEANT = {
    "_cudnn_attention_forward": 2,
    "_cudnn_rnn": 3,
    "_ctc_loss": 1,
    "_efficient_attention_forward": 1,
    "_embedding_bag": 1,
    "_embedding_bag_forward_only": 1,
    "_flash_attention_forward": 2,
    "_scaled_dot_product_cudnn_attention": 2,
    "_scaled_dot_product_efficient_attention": 1,
    "_scaled_dot_product_flash_attention": 2,
    "_batch_norm_with_update": 3,
    "_batch_norm_no_update": 3,
    "cudnn_batch_norm": 3,
    "miopen_batch_norm": 3,
    "miopen_rnn": 3,
    "mkldnn_rnn_layer": 3,
}


class OpKind:
    """One op, as its schema and the lists here describe it.

    Args:
        func: the overload, as a dispatch mode gets it.
        seeded: the tag of ops that draw from a generator.

    Attributes:
        name: `aten.index_put.default`.
        is_silent: whether it is passed over.
        is_view: whether its outputs are its inputs' own memory, unchanged.
        is_source: whether it brings data of the host into a tensor.
        is_fresh: whether it gives memory that nobody has written yet.
        is_collective: whether other processes take part.
        is_wait: whether it ends a collective.
        is_seeded: whether it draws from a generator.
        has_no_inputs: whether what goes in says nothing.
        has_outputs: whether what comes out says something, and is there when the op returns.
    """

    def __init__(self, func: "Any", seeded: "Any") -> None:
        self.name = str(func)
        plain = self.name.split(".")[1] if "." in self.name else self.name
        self.is_silent = func.namespace in _SILENT
        self.is_collective = func.namespace in _COLLECTIVE
        self.is_wait = self.is_collective and plain == _WAIT
        self.is_source = plain in _SOURCES
        self.is_fresh = plain in _FRESH
        self.is_seeded = seeded is not None and seeded in func.tags
        self._meant = _MEANT.get(plain)
        schema = func._schema
        self._written = tuple(
            (place, argument.name)
            for place, argument in enumerate(schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        self._out = frozenset(one.name for one in schema.arguments if one.is_out)
        returned = [one.alias_info for one in schema.returns]
        self.is_view = bool(returned) and not any(
            alias is None or alias.is_write for alias in returned
        )
        self.has_no_inputs = self.is_source or self.is_wait or self.is_fresh
        says_nothing = self.is_view or self.is_fresh or self.is_collective
        self.has_outputs = self.is_source or self.is_wait or not says_nothing

    def inputs(self, args: "Any", kwargs: "Any") -> "list[Any]":
        """Return the tensors that go in; where results are to be put is nothing that does."""
        given = {name: value for name, value in kwargs.items() if name not in self._out}
        return tensors_in((args, given))

    def written(self, args: "Any", kwargs: "Any") -> "list[Any]":
        """Return the tensors among the arguments that the op changes."""
        found = []
        for place, name in self._written:
            value = args[place] if place < len(args) else kwargs.get(name)
            found += tensors_in(value)
        return found

    def results(self, result: "Any", written: "list[Any]") -> "list[Any]":
        """Return the tensors that the op gave or changed, each once; no scratch memory.

        Args:
            result: what it returned.
            written: as of `written`.
        """
        if self._meant is not None and isinstance(result, tuple):
            result = result[: self._meant]
        found: dict[int, Any] = {}
        for tensor in (*tensors_in(result), *written):
            found.setdefault(id(tensor), tensor)
        return list(found.values())


class OpKinds:
    """The kinds of all ops that were met.

    Args:
        torch: the module.
    """

    def __init__(self, torch: "Any") -> None:
        self._seeded = getattr(getattr(torch, "Tag", None), "nondeterministic_seeded", None)
        self._known: dict[Any, OpKind] = {}

    def of(self, func: "Any") -> OpKind:
        """Return the kind of an op."""
        kind = self._known.get(func)
        if kind is None:
            kind = self._known[func] = OpKind(func, self._seeded)
        return kind


def tensors_in(value: "Any") -> "list[Any]":
    """Return the tensors in an argument or a result, which may be nested."""
    return [leaf for leaf in leaves(value) if hasattr(leaf, "untyped_storage")]


def leaves(value: "Any") -> "Iterator[Any]":
    """Yield what an argument or a result holds, dictionaries in the order of their names."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for name in sorted(value):
            yield from leaves(value[name])
    else:
        yield value
