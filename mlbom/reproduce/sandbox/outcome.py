"""How a training ended, told from its exit status and its last words."""

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path

from mlbom import guard
from mlbom.record.probe import STOPPED, Probe
from mlbom.record.recording import Recording
from mlbom.record.steps.values import ProcessSteps, StepTrace
from mlbom.reproduce.values import Outcome

_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|\[Errno (?:28|122|27)\]"
)
_TAIL_NBYTES = 16 * 1024
_LINES = 3
_MOST_TEXT = 500
_LEAST_FREE_NBYTES = 4 * 1024 * 1024
# What often sends a signal that nobody sent.
_SENDERS = {
    "SIGKILL": "often the system, when memory runs out",
    "SIGXFSZ": "a file grew larger than allowed",
    "SIGXCPU": "it used more processor time than allowed",
    "SIGSEGV": "a defect in native code",
    "SIGBUS": "often a full /dev/shm",
}


def judge_end(
    recording: Recording, trace: StepTrace, probe: Probe, places: Mapping[str, str]
) -> tuple[Outcome, str]:
    """Return how a training ended, and why when it did not finish: one sentence.

    Args:
        recording: what the launcher saw.
        trace: its steps.
        probe: what was asked of it.
        places: text of a path -> what stands for it in the sentence.
    """
    if recording.timed_out:
        return Outcome.TIMEOUT, f"it did not end within {recording.plan.timeout_s:g} seconds"
    if recording.succeeded:
        return Outcome.FINISHED, ""
    if _has_stopped(recording, trace, probe):
        return Outcome.STOPPED, ""
    return _judge_failure(recording, _last_lines(recording.stderr, places))


def _judge_failure(recording: Recording, told: str) -> tuple[Outcome, str]:
    if _FULL.search(told) or _is_full(recording.plan.project_root):
        return Outcome.NO_SPACE, told or "the disk of the sandbox is full"
    if recording.signal is not None:
        name = _signal_name(recording.signal)
        if name == "SIGXFSZ":
            return Outcome.NO_SPACE, _SENDERS[name]
        hint = f" ({_SENDERS[name]})" if name in _SENDERS else ""
        return Outcome.KILLED, f"killed by signal {recording.signal}, {name}{hint}"
    return Outcome.FAILED, f"exit status {recording.exit_code}{': ' * bool(told)}{told}"


def _has_stopped(recording: Recording, trace: StepTrace, probe: Probe) -> bool:
    """Return whether it went as far as was asked.

    The status alone does not say so, a program may have it for its own reasons; and a launcher of
    ranks has a status of its own.
    """
    if not probe.stop_after:
        return False
    made = [count for process in trace.processes if (count := _steps_made(process))]
    enough = any if recording.exit_code == STOPPED else all
    return bool(made) and enough(count >= probe.stop_after for count in made)


def _steps_made(process: ProcessSteps) -> int:
    """Return the steps as a probe counts them: backward passes where no optimizer makes any."""
    if process.steps or process.final is None:
        return len(process.steps)
    return len(process.final.losses)


def _last_lines(log: Path | None, places: Mapping[str, str]) -> str:
    """Return the end of a log as one line fit to be shown."""
    if log is None:
        return ""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_NBYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    for path, short in places.items():
        text = text.replace(path, short)
    lines = [line.strip() for line in guard.clean_text(text).splitlines() if line.strip()]
    return " | ".join(lines[-_LINES:])[-_MOST_TEXT:]


def _is_full(folder: Path) -> bool:
    try:
        free = os.statvfs(folder)
    except (OSError, AttributeError):
        return False
    return free.f_bavail * free.f_frsize < _LEAST_FREE_NBYTES


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
