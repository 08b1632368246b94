"""One record for each step of an optimizer: digests of what went in and what came out.

Gradients are digested before the step, parameters, buffers and streams after it. An optimizer that
computes its gradients in a closure has them digested after it, as they were used last.
"""
# ruff: noqa: INP001, ANN401, SLF001, UP031
# mypy: disable-error-code="import-not-found"

import gc
import os
import sys
import weakref
from collections import deque

from _mlbom_events import program_line
from _mlbom_flags import TorchFlags
from _mlbom_inputs import FIRST_CALL, INTAKE, compiling
from _mlbom_inputs import follow as follow_inputs
from _mlbom_journal import JOURNAL, TRACING
from _mlbom_modules import Buffers, root_modules
from _mlbom_optimizers import Followed, buffer_groups, grads, module_groups
from _mlbom_sheet import Sheet, told
from _mlbom_start import recorder
from _mlbom_streams import STREAMS
from _mlbom_trace import GUARD, TRACE
from _mlbom_w64 import QUIET, hexed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    from _mlbom_sheet import Group

# Records whose numbers may be on their way from the device.
_MOST_PENDING = 16
_OPTIMIZER = "torch.optim.optimizer"
_PRE, _POST = "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook"


class Steps:
    """Follows the optimizers of one process.

    Attributes:
        listeners: have `before_step(number)`, `after_step(number)`, `after_backward(count)`; count
            is the number of backward passes since the last step.
    """

    def __init__(self) -> None:
        self.listeners: list[Any] = []
        self._followed: weakref.WeakKeyDictionary[Any, Followed] = weakref.WeakKeyDictionary()
        self._pending: deque[tuple[dict[str, Any], Sheet]] = deque()
        self._lost: list[Any] = []
        self._seen = 0
        self._flags: dict[str, str] = {}
        self._reader: TorchFlags | None = None
        self._grads: Group | None = None
        self._at = ""
        self._roots = 0
        self._finished = 0

    @property
    def number(self) -> int:
        """Return the number of the step that runs now or comes next, from 0."""
        number: int = JOURNAL.step
        return number

    def begin(self, torch: "Any") -> None:
        """Remember what is needed of torch."""
        self._reader = TorchFlags(torch)
        STREAMS.begin("torch")

    def before(self, optimizer: "Any", closure: "Any") -> None:
        """An optimizer begins a step."""
        with TRACING, QUIET:
            self._at = program_line()
            followed = self._follow(optimizer)
            INTAKE.is_in_step = True
            self._grads = None
            if TRACE and closure is None:
                self._grads = grads(followed, INTAKE.sheet)
        self._tell("before_step", JOURNAL.step)

    def after(self, optimizer: "Any") -> None:
        """An optimizer has made a step."""
        with TRACING, QUIET:
            followed = self._follow(optimizer)
            if TRACE:
                self._record(followed)
            followed.count += 1
        number = JOURNAL.step
        JOURNAL.step += 1
        self._roots = INTAKE.roots
        self._tell("after_step", number)

    def on_roots(self) -> None:
        """A backward pass has ended."""
        self._tell("after_backward", INTAKE.roots - self._roots)

    def entry_digest(self) -> str:
        """Return the digest of parameters, buffers and streams as they are now.

        Without an optimizer so far, those of all modules; streams that nobody used do not count.
        """
        with QUIET:
            sheet = Sheet()
            found = [sheet.group(followed.params()) for followed in self._all()]
            if found:
                found += buffer_groups(self._all(), sheet)
            else:
                found = module_groups(sheet)
            texts = sorted(group.text(sheet.numbers()) for group in found)
            entry: str = hexed(
                [*texts, *("%s=%s" % item for item in sorted(STREAMS.used().items()))]
            )
            return entry

    def finish(self) -> None:
        """Write everything that is not written yet; for who ends the process at once, too."""
        if self._finished == os.getpid():
            return
        self._finished = os.getpid()
        with TRACING, QUIET:
            self._flush(len(self._pending))
        if TRACE and (JOURNAL.step or INTAKE.roots):
            with TRACING, QUIET:
                self._write_final()

    def forget(self) -> None:
        """Begin anew in a fork; what it holds of the device's memory is not ours to give back."""
        self._lost.append((self._pending, INTAKE.sheet))
        self._pending = deque()
        self._followed.clear()
        self._flags.clear()
        self._seen = 0
        INTAKE.forget()

    def _follow(self, optimizer: "Any") -> "Followed":
        followed = self._followed.get(optimizer)
        if followed is None:
            followed = Followed(self._seen, optimizer)
            self._followed[optimizer] = followed
            self._seen += 1
            if TRACE:
                self._write_entry(followed)
        return followed

    def _all(self) -> "list[Followed]":
        return sorted(self._followed.values(), key=lambda followed: followed.number)

    def _tell(self, event: str, number: int) -> None:
        for listener in self.listeners:
            with GUARD:
                getattr(listener, event)(number)

    def _record(self, followed: "Followed") -> None:
        sheet, batches, losses = INTAKE.take()
        fields = {
            "n": JOURNAL.step,
            "o": followed.number,
            "batch": batches,
            "loss": losses,
            "grads": self._grads or grads(followed, sheet),
            "params": sheet.group(followed.params()),
            "state": followed.state(sheet) if followed.wants_state() else "",
            "buffers": buffer_groups([followed], sheet),
            "rng": STREAMS.moved(),
            "flags": self._changed_flags(),
            "at": self._at,
        }
        self._grads = None
        sheet.send()
        self._pending.append((fields, sheet))
        self._flush(len(self._pending) - _MOST_PENDING)

    def _flush(self, at_least: int) -> None:
        """Write the records whose numbers are here, and so many in any case."""
        while self._pending and (at_least > 0 or self._pending[0][1].is_here()):
            fields, sheet = self._pending.popleft()
            at_least -= 1
            numbers = sheet.numbers()
            line = {name: told(value, numbers) for name, value in fields.items()}
            if TRACE == "tensors":
                line["tensors"] = {
                    name: fields[name].texts(numbers) for name in ("grads", "params")
                }
            JOURNAL.write("step", **line)

    def _changed_flags(self) -> "dict[str, str]":
        now = self._reader.read_all() if self._reader else {}
        changed = {name: value for name, value in now.items() if self._flags.get(name) != value}
        self._flags.update(changed)
        return changed

    def _write_entry(self, followed: "Followed") -> None:
        sheet = Sheet()
        fields = {
            "params": sheet.group(followed.params()),
            "state": followed.state(sheet),
            "buffers": buffer_groups([followed], sheet),
        }
        numbers = sheet.numbers()
        JOURNAL.write(
            "entry",
            o=followed.number,
            rank=_rank(),
            rng=STREAMS.all(),
            names=followed.names,
            **{name: told(value, numbers) for name, value in fields.items()},
        )

    def _write_final(self) -> None:
        gc.collect()
        sheet, batches, losses = INTAKE.take()
        fields = {
            "params": module_groups(sheet),
            "buffers": [sheet.group(found.tensors()) for found in map(Buffers, root_modules())],
            "state": [followed.state(sheet) for followed in self._all()],
            "batch": batches,
            "loss": losses,
        }
        numbers = sheet.numbers()
        self._note_unseen()
        JOURNAL.write("final", **{name: told(value, numbers) for name, value in fields.items()})

    def _note_unseen(self) -> None:
        has_compiled = bool(FIRST_CALL) and FIRST_CALL[0].is_off
        if has_compiled and not JOURNAL.step:
            JOURNAL.unseen("steps of an optimizer inside a compiled function were not recorded")
        if has_compiled and not INTAKE.batch_count:
            JOURNAL.unseen("batches of a compiled training without a data loader")


def _rank() -> str:
    """Return the rank of this process where the program, and no variable, gave it one."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return ""
    return str(distributed.get_rank())


STEPS = Steps()


def follow(torch: "Any") -> None:
    """Hang in what tells of steps; nothing in it costs a compiled program a line.

    Args:
        torch: the module.
    """
    STEPS.begin(torch)
    recorder().in_fork.append(STEPS.forget)
    recorder().at_end.insert(0, STEPS.finish)
    follow_inputs(torch, STEPS.on_roots)
    module = sys.modules.get(_OPTIMIZER)
    if not hasattr(module, _PRE):
        JOURNAL.unseen("this version of torch tells of no steps of its optimizers")
        return
    is_compiling = compiling(torch)

    def before(optimizer: "Any", args: "Any", kwargs: "Any") -> None:
        if is_compiling():
            return
        with TRACING:
            if _is_outermost(torch, sys._getframe(1).f_code):
                STEPS.before(optimizer, args[1] if len(args) > 1 else kwargs.get("closure"))

    def after(optimizer: "Any", *_: "Any") -> None:
        if is_compiling():
            return
        with TRACING:
            if _is_outermost(torch, sys._getframe(1).f_code):
                STEPS.after(optimizer)

    getattr(module, _PRE)(before)
    getattr(module, _POST)(after)


def _is_outermost(torch: "Any", wrapper: "CodeType") -> bool:
    """Return whether a step is no part of the step of an optimizer around it.

    Args:
        torch: the module.
        wrapper: code around each step, which calls the hooks.
    """
    depth = 0
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        depth += frame.f_code is wrapper
        frame = frame.f_back
    if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
        JOURNAL.unseen("steps inside a captured CUDA graph were not recorded")
        return False
    return depth == 1
