"""The digests of one record on their way to the host: one transfer for each device and record.

On an accelerator nothing waits: the numbers are copied into pinned memory while the program goes
on, and the record is written when they have arrived.
"""
# ruff: noqa: INP001, ANN401
# mypy: disable-error-code="import-not-found"

import struct
import sys

from _mlbom_journal import JOURNAL, TRACING
from _mlbom_w64 import held, hexed, measure, why_unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MASK = (1 << 64) - 1
_UNSEEN = "?"


class Sheet:
    """Numbers that belong to one record; everything here is called inside `QUIET`."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._salts: list[int] = []
        self._waiting: dict[Any, list[tuple[int, Any]]] = {}
        self._sent: list[tuple[list[int], Any, Any]] = []

    def group(self, values: "Iterable[Any]") -> "Group":
        """Take in tensors, and texts for what is no tensor; None is text too."""
        return Group([self._part(value) for value in values])

    def root(self, tensor: "Any") -> "Any":
        """Take in the root of a backward pass: a real number as such, else a digest."""
        torch = sys.modules["torch"]
        tensor = held(tensor)
        if why_unseen(tensor) or tensor.numel() != 1 or not tensor.dtype.is_floating_point:
            return self.group([tensor])
        if tensor.device.type == "cpu":
            return float(tensor.detach()).hex()
        wide = tensor.detach().reshape(()).to(torch.float64, copy=True)
        return Number(self._wait(wide.view(torch.int64), 0))

    def send(self) -> None:
        """Start all transfers; nothing can be taken in after that."""
        for device, waiting in self._waiting.items():
            slots = [slot for slot, _ in waiting]
            numbers = sys.modules["torch"].stack([number for _, number in waiting])
            self._sent.append((slots, *_sent(device, numbers)))
        self._waiting.clear()

    def is_here(self) -> bool:
        """Return whether every number has arrived."""
        return all(event is None or event.query() for _, _, event in self._sent)

    def numbers(self) -> "list[int]":
        """Return all numbers, and wait for those that have not arrived."""
        if self._waiting:
            self.send()
        for slots, numbers, event in self._sent:
            if event is not None:
                event.synchronize()
            for slot, number in zip(slots, numbers.tolist()):  # noqa: B905 - Python 3.9
                self._numbers[slot] = number
        self._sent.clear()
        return [number + salt for number, salt in zip(self._numbers, self._salts)]  # noqa: B905

    def _part(self, value: "Any") -> "Any":
        if isinstance(value, str):
            return value
        if value is None or sys.modules["torch"].nn.parameter.is_lazy(value):
            return "-"
        why = why_unseen(value)
        if why:
            JOURNAL.unseen(why)
            return _UNSEEN
        with TRACING:
            number, salt = measure(value)
            return self._wait(number, salt)
        return _UNSEEN

    def _wait(self, number: "Any", salt: int) -> int:
        slot = len(self._numbers)
        self._salts.append(salt)
        if isinstance(number, int):
            self._numbers.append(number)
        else:
            self._numbers.append(0)
            self._waiting.setdefault(number.device, []).append((slot, number))
        return slot


class Group:
    """Several tensors with one digest: the places of their numbers on a sheet, or texts."""

    def __init__(self, parts: "list[Any]") -> None:
        self.parts = parts

    def text(self, numbers: "list[int]") -> str:
        """Return 16 hexadecimal digits, or nothing when there was nothing or nothing was seen."""
        if all(part == _UNSEEN for part in self.parts):
            return ""
        told = [part if isinstance(part, str) else numbers[part] for part in self.parts]
        text: str = hexed(told)
        return text

    def texts(self, numbers: "list[int]") -> "list[str]":
        """Return the digest of each tensor, empty for what is none."""
        return [
            "" if isinstance(part, str) else "%016x" % (numbers[part] & _MASK)
            for part in self.parts
        ]


class Number:
    """A floating-point number, as bits on a sheet."""

    def __init__(self, place: int) -> None:
        self._place = place

    def text(self, numbers: "list[int]") -> str:
        """Return it as `float.hex`."""
        bits = struct.pack("<Q", numbers[self._place] & _MASK)
        value: float = struct.unpack("<d", bits)[0]
        return value.hex()


def told(value: "Any", numbers: "list[int]") -> "Any":
    """Return a field of a record as it is written.

    A list of groups is one of modules: in no order of their own, so by their digests.
    """
    if isinstance(value, list):
        texts: list[str] = sorted(filter(None, (group.text(numbers) for group in value)))
        return hexed(texts) if texts else ""
    if isinstance(value, Group):
        return value.text(numbers)
    return value.texts(numbers) if hasattr(value, "texts") else value


def _sent(device: "Any", numbers: "Any") -> "tuple[Any, Any]":
    """Return where the numbers will be on the host, and the event after which they are."""
    torch = sys.modules["torch"]
    if device.type != "cuda":
        return numbers, None
    with torch.cuda.device(device):
        here = torch.empty(numbers.shape, dtype=numbers.dtype, device="cpu", pin_memory=True)
        here.copy_(numbers, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
    return here, event
