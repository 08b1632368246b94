"""Where a training is while an op runs: the module, the phase, the lines of the program."""
# ruff: noqa: INP001, ANN401, SLF001
# mypy: disable-error-code="import-not-found"

import os
import sys
import weakref

from _mlbom_events import program_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORWARD, BACKWARD, OPTIMIZER, OUTSIDE = "forward", "backward", "optimizer", "outside"
_MOST_LINES = 8
_MOST_REMEMBERED = 200_000
_ENGINE = os.path.join("torch", "autograd", "__init__.py")
_COMPILED = os.path.join("torch", "_dynamo", "eval_frame.py")
_GENERATED = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or os.sep + "torchinductor_"
_TRANSFER = os.path.join("torch", "multiprocessing", "reductions.py")
_WRAPPER = "_orig_mod"  # what torch.compile puts around a module


class Place:
    """Where one op runs.

    Attributes:
        module: its name below the outermost running module, or empty.
        phase: forward, backward, optimizer or outside.
        at: lines of the program, innermost first.
        frames: what else is running.
    """

    def __init__(self, module: str, phase: str, at: "list[str]", frames: "Frames") -> None:
        self.module = module
        self.phase = phase
        self.at = at
        self.frames = frames


class Frames:
    """What is running, as the frames of a thread tell it.

    Args:
        frame: the innermost.
        call: code of `torch.nn.Module` that calls a module's forward.

    Attributes:
        modules: those that are running, innermost first.
        is_backward: whether a backward pass is running.
        is_compiled: whether a compiled function is running.
        is_transfer: whether tensors are taken over from a worker.
    """

    def __init__(self, frame: "Any", call: "Any") -> None:
        self.modules: list[Any] = []
        self.is_backward = self.is_compiled = self.is_transfer = False
        while frame is not None:
            code = frame.f_code
            if code is call:
                self.modules.append(frame.f_locals.get("self"))
            elif code.co_name == "backward" and code.co_filename.endswith(_ENGINE):
                self.is_backward = True
            elif code.co_filename.endswith(_TRANSFER):
                self.is_transfer = True
            elif _is_compiled(code):
                self.is_compiled = True
            frame = frame.f_back


class Places:
    """Tells where each op runs, and of a backward op where its forward op ran.

    The number that autograd gives to a forward op (`_sequence_nr`) leads from one to the other.

    Args:
        torch: the module.
        clock: the `StepClock`.
    """

    def __init__(self, torch: "Any", clock: "Any") -> None:
        self._torch = torch
        self._clock = clock
        self._node = getattr(torch._C, "_current_autograd_node", lambda: None)
        self._next = getattr(torch.autograd, "_get_sequence_nr", lambda: 0)
        self._call = torch.nn.Module._call_impl.__code__
        self._names = ModuleNames()
        self._forward: dict[int, tuple[str, list[str]]] = {}
        self._backward: list[str] = []

    def begin(self) -> None:
        """Forget what ran before; whatever comes next was not seen."""
        self._forward = {self._next() - 1: ("", [])}

    def here(self, inputs: "list[Any]") -> Place:
        """Return where an op runs that gets these tensors; call it from the dispatch mode.

        Not inside `QUIET`: whether gradients are wanted tells something.
        """
        node = self._node()
        frames = Frames(sys._getframe(1), self._call)
        module = self._names.name(frames.modules)
        if node is not None:
            known = self._forward.get(getattr(node, "_sequence_nr", lambda: -1)())
            if known is not None and known[1]:
                return Place(known[0], BACKWARD, known[1], frames)
            # The thread of a device runs no line of the program.
            return Place(module, BACKWARD, _lines() or self._backward, frames)
        at = _lines()
        if frames.is_backward:
            self._backward = at
        if len(self._forward) < _MOST_REMEMBERED:
            self._forward.setdefault(self._next() - 1, (module, at))
        return Place(module, self._phase(frames, inputs), at, frames)

    def _phase(self, frames: "Frames", inputs: "list[Any]") -> str:
        if frames.is_backward:
            return BACKWARD
        if frames.modules:
            return FORWARD
        if self._clock.is_in_step:
            return OPTIMIZER
        needs = self._torch.is_grad_enabled() and any(one.requires_grad for one in inputs)
        return FORWARD if needs else OUTSIDE


def _is_compiled(code: "Any") -> bool:
    """Return whether code is what torch.compile made, or runs that."""
    if _GENERATED in code.co_filename:
        return True
    # The same file runs what must not be compiled.
    qualified = getattr(code, "co_qualname", "")
    runs = code.co_name == "compile_wrapper" or qualified.startswith("_TorchDynamoContext.")
    return runs and bool(code.co_filename.endswith(_COMPILED))


def _lines() -> "list[str]":
    """Return the lines of the program that are running; generated ones are nobody's."""
    return [line for line in program_lines(_MOST_LINES) if _GENERATED not in line]


class ModuleNames:
    """Names of modules as their outermost module has them."""

    def __init__(self) -> None:
        self._roots: Any = weakref.WeakKeyDictionary()

    def name(self, modules: "list[Any]") -> str:
        """Return the name of the innermost module; of the outermost one that of its class.

        Args:
            modules: those that are running, innermost first.
        """
        if not modules:
            return ""
        root = modules[-1]
        for module in modules[:-1]:
            name = self._find(root, module)
            if name:
                return name
        return type(root).__name__

    def _find(self, root: "Any", module: "Any") -> str:
        known = self._roots.get(root)
        if known is None or id(module) not in known:
            known = {id(one): name for name, one in root.named_modules()}
            known.setdefault(id(module), "")
            self._roots[root] = known
        parts = known[id(module)].split(".")
        return ".".join(part for part in parts if part != _WRAPPER)
