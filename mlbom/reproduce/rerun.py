"""Runs a training again: in a sandbox, under the recorder, and tells how it went."""

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbom.errors import CommandNotStartedError, EnvironmentFailureError, LimitError
from mlbom.record.launcher import record_step
from mlbom.record.probe import Probe, TraceLevel
from mlbom.record.recording import Recording, StepPlan, Usage
from mlbom.record.steps.op_reading import read_ops
from mlbom.record.steps.reading import read_steps
from mlbom.reproduce.sandbox.confine import Isolation, Jail
from mlbom.reproduce.sandbox.files import is_inside, take_out
from mlbom.reproduce.sandbox.ground import open_ground
from mlbom.reproduce.sandbox.outcome import judge_end
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.sandbox.sandbox import Sandbox, build_sandbox
from mlbom.reproduce.values import Rerun

# As a shell says that there is no such command.
_NOT_FOUND = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run that is asked for.

    Args:
        label: what it is called: `run-1`.
        probe: what is changed or looked at inside it.
        trace: how much of each step is written down.
        place: where it runs.
    """

    label: str
    probe: Probe = field(default_factory=Probe)
    trace: TraceLevel = TraceLevel.TENSORS
    place: Place = field(default_factory=Place)


class Rerunner:
    """Runs one training as often as it is asked to, each time in a fresh sandbox.

    Args:
        plan: what is run.
        keep: folder for the logs, traces and outputs of each run, absolute; it is made.
        measure: is told of each run while its files are still where they were.
        environment: the caller's variables; those of this process when None.
    """

    def __init__(
        self,
        plan: SandboxPlan,
        keep: Path,
        measure: Callable[[Recording], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._plan = plan
        self._keep = Path(os.path.realpath(keep))
        self._measure = measure or _pass_over
        self._environment = os.environ if environment is None else environment

    def run(self, attempt: Attempt) -> Rerun:
        """Run once, whatever becomes of the training.

        Raises:
            EnvironmentFailureError: no sandbox can be made or closed.
            PathNotFoundError: the interpreter of the plan is not there.
            RepositoryError: the commit cannot be cloned.
            KeyboardInterrupt: a signal asked for the end; nothing of the run is left but its folder
                below `keep`.
        """
        folder = self._folder(attempt.label)
        trace = folder / "trace"
        with open_ground(self._plan.scratch, os.fspath(self._keep), trace) as ground:
            sandbox = build_sandbox(self._plan, attempt.place, ground, trace, self._environment)
            rerun = self._run(attempt, sandbox, folder)
            self._measure(rerun.recording)
            most = sandbox.confinement.limits.get("FSIZE")
            return self._with_outputs(rerun, folder / "outputs", most)

    def _folder(self, label: str) -> Path:
        """Make the folder of one run."""
        name = re.sub(r"[^\w.-]+", "-", label).strip("-.") or "run"
        try:
            self._keep.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = {entry.name for entry in self._keep.iterdir()}
            numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
            folder = self._keep / next(n for n in (name, *numbered) if n not in taken)
            folder.mkdir(mode=0o700)
        except OSError as error:
            message = f"cannot keep what a run leaves: {error.strerror}"
            raise EnvironmentFailureError(message) from error
        return folder

    def _run(self, attempt: Attempt, sandbox: Sandbox, folder: Path) -> Rerun:
        trace = folder / "trace"
        with Jail(sandbox.confinement) as jail:
            plan = self._step(attempt, sandbox, (folder, jail.wrapper()))
            recording, why = _record(plan, sandbox)
            isolation = _not_started(why) if why else jail.isolation(recording)
        steps = read_steps(trace)
        places = {os.fspath(sandbox.project) + os.sep: "", os.fspath(sandbox.ground): "SANDBOX"}
        outcome, detail = judge_end(recording, steps, attempt.probe, places)
        unlike = (*sandbox.unlike, *isolation.said)
        return Rerun(
            label=attempt.label,
            outcome=outcome,
            detail=why or detail,
            trace=steps,
            ops=read_ops(trace),
            root=sandbox.project,
            recording=replace(recording, unseen=(*recording.unseen, *unlike)),
            network=isolation.network,
            isolated=isolation.isolated,
        )

    def _step(
        self, attempt: Attempt, sandbox: Sandbox, where: tuple[Path, tuple[str, ...]]
    ) -> StepPlan:
        folder, wrapper = where
        return StepPlan(
            argv=sandbox.command,
            cwd=sandbox.cwd,
            project_root=sandbox.project,
            folder=folder,
            # What an observer outside sees are the paths of another mount namespace.
            observe="hook",
            trace=attempt.trace,
            probe=attempt.probe,
            wrapper=(*wrapper, *attempt.place.wrapper),
            timeout_s=self._plan.timeout_s,
            is_apart=True,
        )

    def _with_outputs(self, rerun: Rerun, folder: Path, most: int | None) -> Rerun:
        """Move what the training wrote, and was asked for, out of the sandbox."""
        root, wanted = rerun.root, self._plan.outputs
        names = [
            Path(path).relative_to(root).as_posix()
            for path in rerun.recording.writes
            if Path(path).is_relative_to(root)
        ]
        kept: dict[str, Path] = {}
        unseen = list(rerun.recording.unseen)
        for name in names:
            if not wanted or any(_is_below(name, output) for output in wanted):
                try:
                    path = take_out(root, name, folder, most)
                except LimitError as error:
                    unseen.append(error.message)
                    continue
                kept |= {name: path} if path else {}
        return replace(
            rerun, outputs=kept, recording=replace(rerun.recording, unseen=tuple(unseen))
        )


def _record(plan: StepPlan, sandbox: Sandbox) -> tuple[Recording, str]:
    """Record the training, and return why it could not even be started, or nothing."""
    try:
        return record_step(plan, sandbox.variables), ""
    except CommandNotStartedError as error:
        now = time.time()
        usage = Usage(wall_s=0.0)
        never = Recording(
            plan=plan, started=now, finished=now, exit_code=_NOT_FOUND, signal=None, usage=usage
        )
        return never, error.message


def _not_started(why: str) -> Isolation:
    return Isolation(network=f"nothing ran: {why}", isolated=False)


def _is_below(name: str, output: str) -> bool:
    return is_inside(output) and Path(name).is_relative_to(output)


def _pass_over(_: Recording) -> None:
    """Measure nothing."""
