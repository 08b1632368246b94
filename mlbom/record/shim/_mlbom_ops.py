"""Writes down every op of certain steps: what went in, what came out, where in the program.

Digests stay on their device and are read in batches, so that a training on a GPU is not stopped at
each op. The numbers of the training are not touched.
"""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import hashlib
import sys
import threading

from _mlbom_opfile import OPS, WATCHING
from _mlbom_opkinds import OpKinds, leaves, tensors_in
from _mlbom_places import Places
from _mlbom_w64 import QUIET, digest, hexed, why_unseen
from _mlbom_window import compiled_sentence, has_compiled, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from _mlbom_opkinds import OpKind
    from _mlbom_places import Place

_BATCH = 128
# Names of records that are no ops: a tensor that no op of the window made, when it is first used.
_OUTSIDE = "outside.tensor"
_WORKER = "worker.tensor"  # of a data loader, say
_KERNEL = "compiled.tensor"  # of a kernel that torch.compile made
_CAPTURED = "ops captured into a CUDA graph were not seen"


class OpRecorder:
    """The handler of a `Window` that writes the ops down.

    Args:
        torch: the module.
        clock: the `StepClock`.
    """

    def __init__(self, torch: "Any", clock: "Any") -> None:
        self._torch = torch
        self._kinds = OpKinds(torch)
        self._places = Places(torch, clock)
        self._known = KnownMemory()
        self._digests = Digests(torch)
        self._lock = threading.RLock()  # each device has its own thread in a backward pass
        self._step = 0
        self._count = 0

    def begin(self, step: int) -> None:
        """Begin with a step."""
        self._places.begin()
        self.step(step, is_first=True)

    def step(self, step: int, is_first: bool = False) -> None:  # noqa: FBT001, FBT002 - one other call
        """Go on to the next step."""
        self._digests.flush()
        self._step = step
        entry = "" if step == 0 and is_first else sys.modules["_mlbom_steps"].STEPS.entry_digest()
        OPS.tell("window", step=step, entry=entry)

    def end(self) -> None:
        """Write what is left."""
        self._digests.flush()
        if has_compiled():
            OPS.unseen(compiled_sentence())

    def take(self, func: "Any", args: "Any", kwargs: "Any") -> "Any":
        """Do one op and write it down."""
        kind, call = self._kinds.of(func), None
        with WATCHING, self._lock:
            call = self._before(kind, args, kwargs)
        result = func(*args, **kwargs)
        if call is not None:
            with WATCHING, self._lock, QUIET:
                self._after(kind, call, result)
        return result

    def _before(self, kind: "OpKind", args: "Any", kwargs: "Any") -> "OpCall | None":
        if kind.is_silent:
            return None
        if is_capturing(self._torch):
            OPS.unseen(_CAPTURED)
            return None
        inputs = kind.inputs(args, kwargs)
        place = self._places.here(inputs)
        if place.frames.is_compiled:
            OPS.unseen(compiled_sentence())
        call = OpCall(kind, place, kind.written(args, kwargs))
        call.others = digest_of_others(args, kwargs)
        if not (kind.has_no_inputs or place.frames.is_transfer):
            with QUIET:
                self._take_inputs(kind, call, inputs)
                if kind.is_seeded:
                    state = self._generator(args, kwargs, inputs).get_state()
                    call.rng = self._digests.take(state)
        return call

    def _take_inputs(self, kind: "OpKind", call: "OpCall", inputs: "list[Any]") -> None:
        for tensor in inputs:
            name = self._known.meet(tensor)
            if name:
                stranger = OpCall(None, call.place, [])
                is_compiled = name == _OUTSIDE and call.place.frames.is_compiled
                stranger.fields["op"] = _KERNEL if is_compiled else name
                stranger.outputs = [self._digests.take(tensor)]
                self._write(stranger)
        if not kind.is_view:
            call.inputs = [self._digests.take(tensor) for tensor in inputs]

    def _after(self, kind: "OpKind", call: "OpCall", result: "Any") -> None:
        made = (*tensors_in(result), *call.written)
        if call.place.frames.is_transfer:
            # Batches arrive in any order; what counts is the order in which they are used.
            self._known.expect(made)
            return
        for tensor in made:
            self._known.meet(tensor)
        if kind.has_outputs:
            results = kind.results(result, call.written)
            call.outputs = [self._digests.take(tensor) for tensor in results]
        self._write(call)

    def _write(self, call: "OpCall") -> None:
        call.fields["i"], call.fields["step"] = self._count, self._step
        self._count += 1
        self._digests.write(call)

    def _generator(self, args: "Any", kwargs: "Any", inputs: "list[Any]") -> "Any":
        """Return the generator that an op draws from."""
        torch = self._torch
        for value in leaves((args, kwargs)):
            if isinstance(value, torch._C.Generator):
                return value
        device = kwargs.get("device") or (inputs[0].device if inputs else None)
        device = torch.device(device if device is not None else "cpu")
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            return torch.cuda.default_generators[index]
        return torch.default_generator


class OpCall:
    """One op on its way into the file; digests are not read yet.

    Args:
        kind: of the op; None for a tensor that no op made.
        place: where it runs.
        written: the tensors that it changes.
    """

    def __init__(self, kind: "OpKind | None", place: "Place", written: "list[Any]") -> None:
        self.fields: dict[str, Any] = {
            "op": kind.name if kind else "",
            "module": place.module,
            "phase": place.phase,
            "at": place.at,
            "seeded": kind is not None and kind.is_seeded,
            "source": kind is None or kind.is_source,
        }
        self.place = place
        self.written = written
        self.inputs: list[Any] = []
        self.others = ""
        self.outputs: list[Any] = []
        self.rng: Any = None


class Digests:
    """Takes digests, reads them in batches, and writes the records that wait for them.

    Args:
        torch: the module.
    """

    def __init__(self, torch: "Any") -> None:
        self._torch = torch
        self._waiting: list[OpCall] = []

    def take(self, tensor: "Any") -> "Any":
        """Return the digest of a tensor, still on its device, or None where it has none."""
        why = why_undigested(tensor)
        if not why:
            return digest(tensor)
        if tensor.device.type != "meta":
            OPS.unseen(why)
        return None

    def write(self, call: OpCall) -> None:
        """Write a record, once its digests are read."""
        self._waiting.append(call)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Read the digests of all records that wait, and write them."""
        waiting, self._waiting = self._waiting, []
        digests = [one for call in waiting for one in (*call.inputs, *call.outputs, call.rng)]
        with QUIET:
            texts = iter(read(self._torch, digests))
        for call in waiting:
            fields = call.fields
            fields["in"] = [next(texts) for _ in call.inputs] + [call.others] * bool(call.others)
            fields["out"] = [next(texts) for _ in call.outputs]
            fields["rng"] = next(texts)
            OPS.tell("op", **fields)


class KnownMemory:
    """The memory of all tensors that were met; a weak reference keeps its address from reuse."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}
        self._expected: dict[int, Any] = {}

    def meet(self, tensor: "Any") -> str:
        """Return what a tensor is whose memory is new here, and remember it."""
        key, reference = _reference(tensor)
        if not key or key in self._known:
            return ""
        self._known[key] = reference
        return _WORKER if self._expected.pop(key, None) is not None else _OUTSIDE

    def expect(self, tensors: "Iterable[Any]") -> None:
        """Remember tensors that a worker sent."""
        for tensor in tensors:
            key, reference = _reference(tensor)
            self._expected[key] = reference


def _reference(tensor: "Any") -> "tuple[int, Any]":
    """Return the address of what describes a tensor's memory, and a weak reference to it."""
    reductions: Any = sys.modules.get("torch.multiprocessing.reductions")
    if reductions is None:
        return 0, None
    weak: Any = reductions.StorageWeakRef
    try:
        storage = tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return 0, None
    return storage._cdata, weak(storage)


def read(torch: "Any", digests: "list[Any]") -> "list[str]":
    """Return digests as texts, empty where there is none, with one transfer for each device."""
    texts = [""] * len(digests)
    places: dict[Any, list[int]] = {}
    for place, one in enumerate(digests):
        if one is not None:
            places.setdefault(one.device, []).append(place)
    for device, at in places.items():
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # digests were taken on whichever stream was current
        values = torch.stack([digests[place] for place in at]).tolist()
        for place, value in zip(at, values):  # noqa: B905 - not in every Python
            texts[place] = hexed([value])
    return texts


def digest_of_others(args: "Any", kwargs: "Any") -> str:
    """Return a digest of the numbers, sizes and flags among the arguments; empty for none."""
    values = [
        repr(value)
        for value in leaves((args, kwargs))
        if isinstance(value, (bool, int, float, complex, str))
    ]
    return hashlib.sha256("\n".join(values).encode()).hexdigest()[:16] if values else ""


def why_undigested(tensor: "Any") -> str:
    """Return why a tensor has no digest, as a sentence, or nothing when it has one."""
    if getattr(tensor, "_is_zerotensor", bool)():
        return "a tensor of zeros without memory was not digested"
    return str(why_unseen(tensor))


def is_capturing(torch: "Any") -> bool:
    """Return whether ops go into a CUDA graph, where nothing may be read."""
    cuda = torch.cuda
    return bool(cuda.is_initialized() and cuda.is_current_stream_capturing())


def follow(torch: "Any", clock: "Any", steps: "tuple[int, int]") -> None:
    """Write down the ops of certain steps.

    Args:
        torch: the module.
        clock: the `StepClock`.
        steps: the first and the last, from 0.
    """
    watch(torch, clock, OpRecorder(torch, clock), steps)
