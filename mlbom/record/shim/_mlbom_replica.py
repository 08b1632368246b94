"""Copies of the inputs of an op, and the state of its generators: to compute it once more."""
# ruff: noqa: INP001, ANN401, SLF001, EM101, TRY003
# mypy: disable-error-code="import-not-found"

from _mlbom_opkinds import leaves, tensors_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_NBYTES = 256 * 1024 * 1024
_ALIGNMENT = 64  # elements; a kernel may go another way for memory that lies otherwise


class Uncopied(Exception):  # noqa: N818 - no error: the reason why an op is not computed again
    """A tensor cannot be copied as it lies in memory."""


class Replica:
    """The arguments of an op as they were before it.

    Args:
        torch: the module.
        args: of the op.
        kwargs: of the op.

    Raises:
        Uncopied: for a tensor without plain memory.
    """

    def __init__(self, torch: "Any", args: "Any", kwargs: "Any") -> None:
        self._torch = torch
        self.args, self.kwargs = self._copy((args, kwargs))
        inputs = tensors_in((args, kwargs))
        self._nbytes = sum(one.numel() * one.element_size() for one in inputs)
        self._generators = _generators(torch, args, kwargs)
        self._before = self._states()
        self._after: list[Any] = []

    def copies(self, count: int) -> "list[tuple[Any, Any]]":
        """Return fresh copies of arguments and keywords, each for one computation.

        Args:
            count: how many are wanted; fewer come when they take much memory.
        """
        room = max(1, min(count, _MOST_NBYTES // (self._nbytes + 1)))
        return [self._copy((self.args, self.kwargs)) for _ in range(room)]

    def rewind(self) -> None:
        """Put every generator where it was before the op."""
        if not self._after:
            self._after = self._states()
        self._restore(self._before)

    def leave(self) -> None:
        """Put the generators where the op itself left them."""
        if self._after:
            self._restore(self._after)

    def _states(self) -> "list[Any]":
        return [generator.get_state() for generator in self._generators]

    def _restore(self, states: "list[Any]") -> None:
        for generator, state in zip(self._generators, states):  # noqa: B905 - not in every Python
            generator.set_state(state)

    def _copy(self, value: "Any") -> "Any":
        copies: dict[int, Any] = {}

        def copied(value: "Any") -> "Any":
            if isinstance(value, (list, tuple)):
                return type(value)([copied(item) for item in value])
            if isinstance(value, dict):
                return {name: copied(item) for name, item in value.items()}
            if not hasattr(value, "untyped_storage"):
                return value
            if id(value) not in copies:
                copies[id(value)] = copy_of(self._torch, value)
            return copies[id(value)]

        return copied(value)


def copy_of(torch: "Any", tensor: "Any") -> "Any":
    """Return a copy of a tensor with equal strides and an equal place in its memory line.

    Raises:
        Uncopied: it has no plain memory.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        raise Uncopied("a tensor without plain memory")
    if getattr(tensor, "_is_zerotensor", bool)():
        raise Uncopied("a tensor of zeros without memory")
    if tensor.is_conj() or tensor.is_neg() or getattr(tensor, "is_nested", False):
        raise Uncopied("a tensor that is a view with a changed sign, or nested")
    with torch.no_grad():
        plain = tensor.detach()
        sizes, strides, offset = plain.size(), plain.stride(), plain.storage_offset()
        span = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides))  # noqa: B905 - not in every Python
        span = 0 if plain.numel() == 0 else span
        start = offset % _ALIGNMENT
        memory = torch.empty(start + span, dtype=plain.dtype, device=plain.device)
        if span:
            memory[start:].copy_(plain.as_strided((span,), (1,), offset))
        copy = memory.as_strided(sizes, strides, start)
    # Some ops choose their kernel by whether a gradient is wanted.
    return copy.requires_grad_(tensor.requires_grad)


def _generators(torch: "Any", args: "Any", kwargs: "Any") -> "list[Any]":
    """Return every generator that an op may draw from."""
    found = [torch.default_generator]
    found += [one for one in leaves((args, kwargs)) if isinstance(one, torch._C.Generator)]
    if torch.cuda.is_initialized():
        places = {one.device.index for one in tensors_in((args, kwargs)) if one.is_cuda}
        places.add(torch.cuda.current_device())
        found += [torch.cuda.default_generators[place] for place in places]
    return found
