"""The step trace of a recorded training: its digest, its root, and what it could not see."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mlbom.attest.resource import Resource
from mlbom.attest.run_claim import TRACE_NAME, TRACE_ROOT
from mlbom.openfile import open_regular
from mlbom.record.probe import TraceLevel
from mlbom.record.recording import Recording
from mlbom.record.steps.merkle import trace_root
from mlbom.record.steps.reading import read_steps, step_files

_BLOCK = 1024 * 1024
_MOST_GAPS = 16


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What the record says of the step trace, or None; and what was not seen, sentences."""

    resource: Resource | None = None
    gaps: tuple[str, ...] = ()


def measure_trace(recording: Recording) -> TraceFacts:
    """Return what the record of a step says of its trace; nothing when none was asked for.

    Args:
        recording: what the launcher saw.
    """
    if recording.plan.trace is TraceLevel.OFF:
        return TraceFacts()
    folder = recording.plan.folder / "trace"
    trace = read_steps(folder)
    told = [*trace.unseen, *(why for process in trace.processes for why in process.unseen)]
    if trace.is_empty:
        return TraceFacts(None, ("no step of a training was seen, so there is no step trace",))
    root = trace_root(trace)
    if not root:
        told.append("the step trace is not whole: a process of the training did not end as it does")
    try:
        digest = _sha256(step_files(folder))
    except OSError as error:
        return TraceFacts(None, (f"the step trace could not be read: {error.strerror}",))
    notes = {
        TRACE_ROOT: root,
        "mlbom_steps": trace.count,
        "mlbom_traceProcesses": len(trace.processes),
    }
    resource = Resource(
        name=TRACE_NAME,
        digests={"sha256": digest},
        annotations={name: value for name, value in notes.items() if value != ""},
    )
    return TraceFacts(resource, tuple(dict.fromkeys(told))[:_MOST_GAPS])


def _sha256(files: tuple[Path, ...]) -> str:
    """Return the digest of the files one after the other.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        with open(open_regular(path), "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
