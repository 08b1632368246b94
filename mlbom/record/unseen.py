"""What could not be observed of a step, each one sentence; no file is named in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlbom.record.attribution import Evidence
from mlbom.record.child import Ended
from mlbom.record.pythons import is_python
from mlbom.record.trace import Trace

_HIDDEN = "options -I, -E or -S, a cleared environment, or older than 3.6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How well a step was seen.

    Args:
        observer: name of the outside observer, or empty.
        pythons: every Python that was met below the command: process id -> executable.
        program: file of the command.
        ended: how the command ended.
        evidence: what is known of its files.
        running_count: processes of the step that still ran when the record was made.
    """

    observer: str
    pythons: Mapping[int, str]
    program: str
    ended: Ended
    evidence: Evidence
    running_count: int


def unseen_sentences(sight: Sight) -> tuple[str, ...]:
    """Return what could not be observed."""
    return (
        *_about_method(sight),
        *_about_pythons(sight),
        *_about_trace(sight.evidence.trace),
        *_about_files(sight),
        *_about_doubts(sight),
        *_about_outputs(sight),
        *_about_end(sight),
    )


def _about_method(sight: Sight) -> Iterator[str]:
    if sight.observer:
        return
    if not sight.evidence.trace.processes:
        yield (
            "nothing told which files the step opened: only declared inputs and the difference of"
            " the project's files before and after are known"
        )
        return
    yield (
        "files that programs other than Python opened, or native code by itself outside of the"
        " readers that the recorder follows, were not seen"
    )


def _about_pythons(sight: Sight) -> Iterator[str]:
    told = {traced.process.pid for traced in sight.evidence.trace.processes}
    silent = set(sight.pythons) - told | set(_replaced(sight.evidence.trace))
    if is_python(sight.program) and sight.ended.pid not in told:
        silent.discard(sight.ended.pid)
        yield (
            f"the Python of the command started without the recorder ({_HIDDEN}): its seeds, flags"
            f" and libraries were not seen{_and_files(sight)}"
        )
    if silent:
        count = len(silent)
        yield (
            f"{count} Python process{'es' * (count > 1)} started without the recorder ({_HIDDEN}):"
            f" seeds, flags and libraries were not seen{_and_files(sight)}"
        )
    old = sum(not traced.has_hook for traced in sight.evidence.trace.processes)
    if old:
        yield f"{old} Python processes, older than 3.8, could not tell which files they opened"


def _replaced(trace: Trace) -> Iterator[int]:
    """Yield the processes that became a Python which told nothing."""
    last = {traced.process.pid: traced for traced in trace.processes}
    for pid, traced in last.items():
        if traced.became_python and not traced.process.finished:
            yield pid


def _and_files(sight: Sight) -> str:
    return "" if sight.observer else ", nor the files that it opened"


def _about_trace(trace: Trace) -> Iterator[str]:
    if trace.is_lost:
        yield "the recorder's trace was removed by the step: what its Pythons told is lost"
    failures = sum(traced.failures for traced in trace.processes)
    if failures:
        yield f"the recorder failed {failures} times inside the step: something may be missing"
    if trace.malformed:
        yield f"{trace.malformed} lines of the trace were damaged: something may be missing"
    if any(traced.used_network for traced in trace.processes):
        yield (
            "the step used the network: what came over it is known only where huggingface_hub or"
            " datasets fetched it"
        )


def _about_files(sight: Sight) -> Iterator[str]:
    before, after = sight.evidence.before, sight.evidence.after
    if not (after.is_whole and before.is_whole):
        yield "the project holds too many files to compare them all: outputs may be missing"
    unclaimed = len(sight.evidence.unclaimed)
    if unclaimed:
        yield f"{unclaimed} files of the project changed that the step was not seen to write"
    if after.unreadable_count:
        yield f"{after.unreadable_count} folders of the project could not be listed"
    if after.link_count and not sight.observer:
        yield (
            f"{after.link_count} links in the project lead to folders: what was written there is"
            " known only where a Python wrote it"
        )


def _about_doubts(sight: Sight) -> Iterator[str]:
    count = 0 if sight.observer else len(sight.evidence.trace.doubts)
    if count:
        yield f"{count} files were opened by a name relative to a folder that was not seen"


def _about_outputs(sight: Sight) -> Iterator[str]:
    """Compare what was declared as output with what changed."""
    missing, unchanged = sight.evidence.doubtful_outputs()
    if missing:
        yield f"{missing} of the declared outputs are not there after the step"
    if unchanged:
        yield (
            f"{unchanged} of the declared outputs are as they were before the step: that it made"
            " them is declared, not seen"
        )


def _about_end(sight: Sight) -> Iterator[str]:
    if sight.running_count:
        yield (
            f"{sight.running_count} processes of the step were still running when the record was"
            " made"
        )
    if sight.ended.left_open:
        yield "the command left processes running: what they did after it had ended was not seen"
    logs = {"standard output": sight.ended.stdout, "standard error": sight.ended.stderr}
    for name, log in logs.items():
        if log is None:
            yield f"the log of {name} could not be kept to its end"
