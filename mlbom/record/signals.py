"""What becomes of signals that are sent to mlbom while a command runs.

They reach the command instead, or, when the command is mlbom's own business (a training that runs
again), they end mlbom's work in order.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
# SIGCONT: whoever continues us means the command that stopped, and us with it.
_NAMES = (*_ENDING, "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGWINCH")
# Those that a terminal sends to every process of its foreground group, the command included.
_OF_TERMINAL = frozenset({"SIGINT", "SIGQUIT"})


class SignalForwarding:
    """While it is entered, no signal that can be caught ends this process.

    A signal that was ignored before (`nohup`) stays so, for the command too. Outside of the main
    thread, where Python lets nobody catch signals, it does nothing.

    Args:
        on_resize: called when the terminal has another size.
    """

    def __init__(self, on_resize: Iterable[Callable[[], None]]) -> None:
        self._on_resize = tuple(on_resize)
        self._pid: int | None = None
        self._is_over = False
        self.is_interrupted = False
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Catch the signals."""
        if threading.current_thread() is not threading.main_thread():
            return self
        for name in _NAMES:
            number = getattr(signal, name, None)
            # None: not set from Python, so that it could not be set back.
            handler = None if number is None else signal.getsignal(number)
            is_alarm_of_caller = name == "SIGALRM" and handler is not signal.SIG_DFL
            if (
                is_alarm_of_caller
                or number is None
                or signal.getsignal(number) in (signal.SIG_IGN, None)
            ):
                continue
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put everything back as it was."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def direct_to(self, pid: int | None) -> None:
        """Send on to a process, first what came before it was there; None once it has ended.

        From then on a signal that would end a process only sets `is_interrupted`.
        """
        self._pid, self._is_over = pid, pid is None
        early, self._early = self._early, []
        for number in early:
            self._send(number)

    def _take(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == "SIGWINCH":
            for resize in self._on_resize:
                resize()
        if self._is_over:
            self.is_interrupted |= name in _ENDING
            return
        if name in _OF_TERMINAL and is_in_foreground():
            return
        if self._pid is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, number)


class Interruption:
    """While it is entered, the first signal that would end this process is a KeyboardInterrupt.

    Later ones are passed over, so that what was started can be ended. Outside of the main thread it
    does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._has_come = False

    def __enter__(self) -> Self:
        """Catch the signals."""
        if threading.current_thread() is threading.main_thread():
            for name in _ENDING:
                number = getattr(signal, name, None)
                if number and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put everything back as it was."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if not self._has_come:
            self._has_come = True
            raise KeyboardInterrupt


def is_in_foreground() -> bool:
    """Return whether a terminal controls this process and its group is the one in front."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
