"""What goes into a step: the batches, and the losses from which gradients are computed."""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import functools
import hashlib
import sys
from collections.abc import Mapping
from types import CodeType

from _mlbom_journal import JOURNAL, TRACING
from _mlbom_leaves import leaves
from _mlbom_sheet import Sheet
from _mlbom_trace import TRACE
from _mlbom_w64 import QUIET, why_unseen
from _mlbom_wrap import after, argument, before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType
    from typing import Any

# So many wait for their numbers before they are fetched from the device.
_MOST_WAITING = 64
# So many of one record are told one by one; the digest of all later ones follows as one more.
_MOST_TOLD = 1024
_CONTAINERS = (list, tuple, Mapping)


class Told:
    """The batches, or the losses, of one record."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._waiting: list[Any] = []
        self._rest: Any = None

    def add(self, item: "Any") -> int:
        """Take in a text or what will have one; return how many wait."""
        self._waiting.append(item)
        return len(self._waiting)

    def settle(self, numbers: "list[int]") -> None:
        """Turn everything into texts."""
        for item in self._waiting:
            text = item if isinstance(item, str) else item.text(numbers)
            if len(self._texts) < _MOST_TOLD:
                self._texts.append(text)
            else:
                self._rest = self._rest or hashlib.sha256()
                self._rest.update(text.encode() + b"\n")
        self._waiting.clear()

    def texts(self, numbers: "list[int]") -> "list[str]":
        """Return all of them, in order."""
        self.settle(numbers)
        return self._texts + ([self._rest.hexdigest()[:16]] if self._rest else [])


class Intake:
    """Collects what comes in between two steps.

    Attributes:
        sheet: of the record that comes next.
        batches: of that record.
        losses: likewise.
        roots: how many backward passes began in this process.
        batch_count: how many batches came in.
        is_in_step: whether an optimizer is at work: it has numbers of its own on the sheet.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.roots = 0
        self.is_in_step = False
        self.batch_count = 0
        self.sheet = Sheet()
        self.batches = Told()
        self.losses = Told()

    def add_batch(self, value: "Any") -> None:
        """Take in a batch; call it in `QUIET`."""
        self.batch_count += 1
        if self.batches.add(self.sheet.group(leaves(value))) >= _MOST_WAITING:
            self._settle()

    def add_roots(self, tensors: "Any") -> None:
        """Take in the roots of a backward pass; call it in `QUIET`."""
        torch = sys.modules["torch"]
        for tensor in [tensors] if isinstance(tensors, torch.Tensor) else tensors:
            if not isinstance(tensor, torch.Tensor):
                continue  # a place in the graph, torch.autograd.graph.GradientEdge
            if self.losses.add(self.sheet.root(tensor)) >= _MOST_WAITING:
                self._settle()

    def take(self) -> "tuple[Sheet, Told, Told]":
        """Return the sheet, batches and losses of a record, and begin the next."""
        self.is_in_step = False
        taken = self.sheet, self.batches, self.losses
        self.sheet, self.batches, self.losses = Sheet(), Told(), Told()
        return taken

    def _settle(self) -> None:
        numbers = self.sheet.numbers()
        self.batches.settle(numbers)
        self.losses.settle(numbers)
        if not self.is_in_step:
            self.sheet = Sheet()


INTAKE = Intake()


class FirstCall:
    """Takes the tensors of the first module called after a backward pass for the batch.

    Only where no data loader gave one since. The hook stands for as long as it is needed and goes
    for good when the program compiles: torch warns of compiling beside such hooks.

    Args:
        torch: the module.
    """

    def __init__(self, torch: "Any") -> None:
        self._torch = torch
        self._module = sys.modules["torch.nn.modules.module"]
        self._handle: Any = None
        self._compiling = compiling(torch)
        self.is_off = False

    def arm(self) -> None:
        """Wait for the next call of a module."""
        if self._handle is None and not self.is_off and TRACE:
            self._handle = self._module.register_module_forward_pre_hook(self._on_call)

    def disarm(self) -> None:
        """Wait no longer."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()

    def end(self) -> None:
        """Never wait again."""
        self.is_off = True
        self.disarm()

    def _on_call(self, _: "Any", args: "Any") -> None:
        if self._compiling() or not self._torch.is_grad_enabled() or is_transforming(self._torch):
            return
        with TRACING, QUIET:
            if self._has_tensors(args):
                self.disarm()
                INTAKE.add_batch(args)

    def _has_tensors(self, args: "Any") -> bool:
        kinds = (self._torch.Tensor, *_CONTAINERS)
        found = [leaf for arg in args if isinstance(arg, kinds) for leaf in leaves(arg)]
        tensors = [leaf for leaf in found if not isinstance(leaf, str)]
        return bool(tensors) and not any(map(why_unseen, tensors))


FIRST_CALL: "list[FirstCall]" = []


def follow(torch: "Any", on_roots: "Callable[[], None]") -> None:
    """Follow the backward passes and the first calls of modules.

    Args:
        torch: the module.
        on_roots: is called after each backward pass.
    """
    FIRST_CALL.append(FirstCall(torch))
    FIRST_CALL[0].arm()
    before(torch, "compile", lambda *_: FIRST_CALL[0].end())
    after(torch, "compile", lambda *_: stay_out())
    for name, keyword in (("backward", "tensors"), ("grad", "outputs")):
        _follow_roots(torch, name, keyword, on_roots)


def stay_out() -> None:
    """Keep the compiler out of the recorder, which compiled would record the compilation only."""
    skip = getattr(sys.modules.get("torch._dynamo.eval_frame"), "skip_code", None)
    if skip is None:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("_mlbom_"):
            for code in codes(vars(module).values(), name):
                skip(code)


def codes(things: "Iterable[Any]", module: str) -> "Iterator[CodeType]":
    """Yield the code of functions and classes of a module, and all code within it."""
    for thing in things:
        if getattr(thing, "__module__", None) != module:
            continue
        if isinstance(thing, type):
            members = (getattr(member, "fget", member) for member in vars(thing).values())
            yield from codes(members, module)
        else:
            yield from _within(getattr(thing, "__code__", None))


def _within(code: "Any") -> "Iterator[CodeType]":
    if isinstance(code, CodeType):
        yield code
        for constant in code.co_consts:
            yield from _within(constant)


def _follow_roots(torch: "Any", name: str, keyword: str, on_roots: "Callable[[], None]") -> None:
    original = getattr(torch.autograd, name)
    is_compiling = compiling(torch)
    # A backward pass inside another one (checkpointing) has no root of its own.
    task = getattr(torch._C, "_current_graph_task_id", lambda: -1)

    @functools.wraps(original)
    def followed(*args: "Any", **kwargs: "Any") -> "Any":
        if is_compiling() or task() != -1 or is_transforming(torch):
            return original(*args, **kwargs)
        INTAKE.roots += 1
        if TRACE:
            with TRACING, QUIET:
                INTAKE.add_roots(argument(args, kwargs, 0, keyword))
        result = original(*args, **kwargs)
        with TRACING:
            FIRST_CALL[0].arm()
            on_roots()
        return result

    setattr(torch.autograd, name, followed)


def after_dataloader(module: "ModuleType") -> None:
    """Follow the data loaders; where they changed, the first calls of modules tell of batches."""
    if not TRACE:
        return
    loader: Any = getattr(module, "_BaseDataLoaderIter", None)
    if loader is None or not hasattr(loader, "__next__"):
        JOURNAL.unseen("this version of torch has other data loaders: batches as modules get them")
        return

    def note(batch: "Any", _: "Any", __: "Any") -> None:
        with TRACING, QUIET:
            INTAKE.add_batch(batch)
            if FIRST_CALL:
                FIRST_CALL[0].disarm()

    after(loader, "__next__", note)


def compiling(torch: "Any") -> "Callable[[], bool]":
    """Return the function that says whether torch compiles or traces what runs now."""
    found = getattr(getattr(torch, "compiler", None), "is_compiling", None)
    return found or bool


def is_transforming(torch: "Any") -> bool:
    """Return whether tensors stand for others now: a trace, or a transform of functions."""
    if torch._C._get_tracing_state() is not None:
        return True
    functorch = getattr(torch._C, "_functorch", None)
    peek = getattr(functorch, "peek_interpreter_stack", None)
    return peek is not None and peek() is not None
