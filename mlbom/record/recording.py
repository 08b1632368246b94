"""What the recording of one step yields: plain values, absolute paths, nothing hashed or signed.

The launcher fills a `Recording`; the pipeline hashes what it names, passes its texts through the
guard and states it (`mlbom.attest.run_claim`). What could not be observed is a sentence in
`unseen`, never an empty field that looks like an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbom.record.probe import Probe, TraceLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step as the user asked for it.

    Args:
        argv: the command, unmodified.
        cwd: where it runs, absolute.
        project_root: folder whose files are watched for outputs, absolute.
        folder: where the run's own files go, `.mlbom/runs/ID`; it exists.
        inputs: files or folders that the user declares as read, absolute.
        outputs: files or folders that the user declares as written, absolute.
        observe: auto, hook, fanotify or strace.
        trace: how much of each training step is written into the folder `trace/` of the run.
        probe: what the recorder does beside watching; nothing in a recorded step.
        wrapper: a command that starts the command (a sandbox); it is no part of what is recorded.
        timeout_s: seconds after which the command and all that it started are ended, or None.
        is_apart: whether the command runs in a session of its own, its input empty and its output
            in the logs only.
    """

    argv: tuple[str, ...]
    cwd: Path
    project_root: Path
    folder: Path
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    observe: str = "auto"
    trace: TraceLevel = TraceLevel.OFF
    probe: Probe = field(default_factory=Probe)
    wrapper: tuple[str, ...] = ()
    timeout_s: float | None = None
    is_apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonProcess:
    """A Python that the shim saw start.

    Args:
        pid: process id.
        parent: id of its parent.
        executable: `sys.executable`.
        prefix: `sys.prefix`.
        version: `3.11.7`.
        argv: `sys.argv` when the script started.
        rank: `RANK` of a distributed job, or None.
        finished: whether it ran to its end; a killed process does not.
    """

    pid: int
    parent: int
    executable: str
    prefix: str
    version: str
    argv: tuple[str, ...] = ()
    rank: int | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteInput:
    """Something downloaded from a hub, as its library resolved it.

    Args:
        kind: model or dataset.
        name: `org/name`.
        requested: the revision that the code asked for, or empty.
        revision: the commit that it was resolved to, or empty when that was not seen.
        files: absolute paths of the files that were handed over.
        config: of a dataset, where it has several.
        split: of a dataset, as the code asked for it.
    """

    kind: str
    name: str
    requested: str = ""
    revision: str = ""
    files: tuple[str, ...] = ()
    config: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a step used.

    Args:
        wall_s: seconds from start to end.
        cpu_user_s: CPU seconds in user mode, of the child and all its children.
        cpu_system_s: CPU seconds in the kernel.
        max_rss_nbytes: largest resident set of any one process, in bytes.
        energy_j: joules by domain, for example `gpu:0`, `cpu:package-0`; only what was readable.
        gpu_max_nbytes: most memory in use on each GPU, in bytes, by `gpu:N`.
    """

    wall_s: float
    cpu_user_s: float | None = None
    cpu_system_s: float | None = None
    max_rss_nbytes: int | None = None
    energy_j: Mapping[str, float] = field(default_factory=dict)
    gpu_max_nbytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One step as it ran.

    Args:
        plan: what was asked for.
        started: seconds since 1970 UTC.
        finished: seconds since 1970 UTC.
        exit_code: of the command; None when a signal ended it.
        signal: number of the signal that ended it, or None.
        processes: every Python that the shim saw.
        reads: absolute paths of files that the step read and that were there before it started,
            sorted; neither the interpreter's and the system's own files nor `.mlbom`.
        overwritten: those of `reads` that were changed, renamed or removed, so that the bytes read
            are not what that name has now.
        writes: absolute paths of files that the step made or changed and that are still there.
        modules: those of `reads` that are Python sources imported or run.
        observers: methods that saw the step, for example `audit hook`, `fanotify`.
        unseen: what could not be observed, each one sentence.
        environment: variables of the child as it was started, unscrubbed.
        loaded: libraries as loaded: torch, cuda, cudnn, nccl -> version.
        seeds: generator -> seed, as last set: `torch`, `random`, `numpy`.
        flags: determinism flags as they were during the run, name -> text. A flag that changed on
            the way holds every value, in order, joined by ` -> `.
        remote: what came from a hub.
        devices: accelerators that the process saw in use, name -> count.
        usage: what it used.
        stdout: log file of standard output, or None when it could not be kept.
        stderr: log file of standard error, or None.
        timed_out: whether it was ended because it took longer than planned.
    """

    plan: StepPlan
    started: float
    finished: float
    exit_code: int | None
    signal: int | None
    usage: Usage
    processes: tuple[PythonProcess, ...] = ()
    reads: tuple[str, ...] = ()
    overwritten: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    loaded: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    remote: tuple[RemoteInput, ...] = ()
    devices: Mapping[str, int] = field(default_factory=dict)
    stdout: Path | None = None
    stderr: Path | None = None
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """Return whether the command ended with 0."""
        return self.exit_code == 0
