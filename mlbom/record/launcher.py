"""Records one step: starts its command unmodified, watches it, and tells what happened."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mlbom.errors import CommandNotStartedError, EnvironmentFailureError, PathNotFoundError
from mlbom.guard import PASSPHRASE_VARIABLE
from mlbom.record.attribution import Evidence
from mlbom.record.child import Command, Ended, run_child
from mlbom.record.energy.meter import EnergyMeter, EnergyReading
from mlbom.record.leftover import count_running
from mlbom.record.observers.observer import Observed
from mlbom.record.observers.observing import begin_watch
from mlbom.record.own_files import OwnFiles, skipped_folders
from mlbom.record.probe import VARIABLE, TraceLevel
from mlbom.record.pythons import PythonWatch, is_python
from mlbom.record.recording import Recording, StepPlan
from mlbom.record.settings import settle
from mlbom.record.snapshot import Snapshot, Stamp, await_tick, take_snapshot
from mlbom.record.trace import Trace, merge_remote, read_trace
from mlbom.record.unseen import Sight, unseen_sentences

SHIM = Path(__file__).parent / "shim"
HOOK = "audit hook"
DIFFERENCE = "stat difference"
# Set for the command by us; never part of what is recorded of its environment.
_DIR, _ROOT, _SKIP = "MLBOM_RECORD_DIR", "MLBOM_RECORD_ROOT", "MLBOM_RECORD_SKIP"
_TRACE = "MLBOM_RECORD_TRACE"
_OURS = (_DIR, _ROOT, _SKIP, _TRACE, VARIABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What is known before the command starts.

    Args:
        plan: what was asked for.
        root: the project's folder, links resolved.
        program: file of the command, links not resolved.
        variables: of the command, as they are recorded.
        trace: folder of the trace files.
        outputs: declared outputs, links resolved.
        declared: files of the declared inputs.
    """

    plan: StepPlan
    root: str
    program: str
    variables: Mapping[str, str]
    trace: Path
    outputs: tuple[str, ...]
    declared: Mapping[str, Stamp]

    def snapshot(self) -> Snapshot:
        """Return the files of the project and of the declared outputs as they are now."""
        return take_snapshot([self.root, *self.outputs])

    def command(self) -> Command:
        """Return the command with the variables that start the recorder in each Python."""
        variables = dict(self.variables)
        given = variables.get("PYTHONPATH")
        # An empty entry would be the working directory.
        variables["PYTHONPATH"] = os.pathsep.join([str(SHIM), *([given] if given else [])])
        variables[_DIR], variables[_ROOT] = str(self.trace), self.root
        variables[_SKIP] = os.pathsep.join(skipped_folders(self.root))
        plan = self.plan
        if plan.trace is not TraceLevel.OFF:
            variables[_TRACE] = plan.trace.value
        if probe := plan.probe.variable():
            variables[VARIABLE] = probe
        return Command(
            argv=(*plan.wrapper, *plan.argv),
            cwd=plan.cwd,
            environment=variables,
            logs=plan.folder,
            timeout_s=plan.timeout_s,
            is_apart=plan.is_apart,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the watchers of a step saw.

    Args:
        observer: name of the outside observer, or empty.
        ended: how the command ended.
        observed: by the outside observer.
        energy: what it took.
        pythons: every Python that was met below the command: process id -> executable.
    """

    observer: str
    ended: Ended
    observed: Observed
    energy: EnergyReading
    pythons: Mapping[int, str]


def record_step(plan: StepPlan, environment: Mapping[str, str] | None = None) -> Recording:
    """Run the command of a plan to its end and return what happened, whatever became of it.

    The command inherits our standard input, process group and terminal, unless it runs apart. Its
    variables are those given, and some of ours that start the recorder inside each Python
    (`mlbom/record/shim`).

    Args:
        plan: what to run, and where; its folder gets stdout.log, stderr.log and `trace/`.
        environment: variables of the command; those of this process when None. The passphrase of
            a key is never among them.

    Raises:
        PathNotFoundError: a declared input is not there.
        CommandNotStartedError: there is no such command, or it cannot be executed.
        UsageError: no such observer.
        EnvironmentFailureError: the observer asked for cannot be used, or the run's folder cannot
            be written.
    """
    prepared = _prepare(plan, os.environ if environment is None else environment)
    before = prepared.snapshot()
    with _writing():
        began_ns = await_tick(plan.folder)
    seen = _run(prepared)
    after, ended_ns = prepared.snapshot(), time.time_ns()
    trace = read_trace(prepared.trace)
    evidence = Evidence(
        root=prepared.root,
        own=OwnFiles(prepared.root, _prefixes(prepared, seen, trace), prepared.variables),
        trace=trace,
        observed=seen.observed,
        declared=prepared.declared,
        outputs=prepared.outputs,
        program=os.path.realpath(prepared.program),
        before=before,
        after=after,
        began_ns=began_ns,
        ended_ns=ended_ns,
        is_seen_whole=bool(seen.observer) and not seen.observed.unseen,
    )
    return _recording(prepared, seen, evidence)


def _prepare(plan: StepPlan, environment: Mapping[str, str]) -> _Prepared:
    variables = _recorded(environment)
    program = _find_program(plan, variables)
    declared = _declared(plan.inputs)
    trace = plan.folder / "trace"
    with _writing():
        trace.mkdir(mode=0o700)
    return _Prepared(
        plan=plan,
        root=os.path.realpath(plan.project_root),
        program=program,
        variables=variables,
        trace=trace,
        outputs=tuple(os.path.realpath(path) for path in plan.outputs),
        declared=declared,
    )


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write into the folder of the run: {error.strerror}"
        raise EnvironmentFailureError(message) from error


def _recorded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the command without our own, also those of a recorder around us."""
    variables = {k: v for k, v in environment.items() if k not in (*_OURS, PASSPHRASE_VARIABLE)}
    if "PYTHONPATH" in variables and _DIR in environment:
        entries = variables.pop("PYTHONPATH").split(os.pathsep)
        if kept := [entry for entry in entries if entry != str(SHIM)]:
            variables["PYTHONPATH"] = os.pathsep.join(kept)
    return variables


def _find_program(plan: StepPlan, variables: Mapping[str, str]) -> str:
    """Return the file that will be started, absolute."""
    name = plan.argv[0]
    if os.path.dirname(name):
        found = shutil.which(os.path.join(plan.cwd, name))
    else:
        found = shutil.which(name, path=variables.get("PATH", os.defpath))
    if found is None:
        message = f"cannot start {name}: no such program, or it may not be executed"
        raise CommandNotStartedError(message)
    return os.path.join(plan.cwd, found)


def _declared(inputs: Iterable[Path]) -> Mapping[str, Stamp]:
    """Return the files of the declared inputs as they are before the step."""
    places = [os.path.realpath(path) for path in inputs]
    for given, place in zip(inputs, places, strict=True):
        if not os.path.exists(place):
            message = f"declared input not found: {given}"
            raise PathNotFoundError(message)
    return take_snapshot(places).files


def _run(prepared: _Prepared) -> _Seen:
    """Run the command under all its watchers, and end them whatever happens."""
    command = prepared.command()
    watch = begin_watch(prepared.plan.observe, prepared.plan.folder)
    meter, pythons = EnergyMeter(), PythonWatch()

    def on_start(pid: int) -> None:
        watch.follow(pid)
        pythons.start(pid)

    try:
        meter.start()
        ended = run_child(replace(command, argv=watch.wrap(command.argv)), on_start)
    finally:
        met = pythons.stop()
        energy = meter.stop()
        observed = watch.stop()
    return _Seen(observer=watch.name, ended=ended, observed=observed, energy=energy, pythons=met)


def _prefixes(prepared: _Prepared, seen: _Seen, trace: Trace) -> list[str]:
    """Return the folders of every interpreter that took part, and of the recorder in it."""
    told = [prefix for traced in trace.processes for prefix in traced.prefixes]
    programs = [prepared.program, os.path.realpath(prepared.program), *seen.pythons.values()]
    met = [os.path.dirname(os.path.dirname(path)) for path in programs if is_python(path)]
    return [*told, *met, str(SHIM)]


def _recording(prepared: _Prepared, seen: _Seen, evidence: Evidence) -> Recording:
    ended, trace, files = seen.ended, evidence.trace, evidence.use()
    settings = settle(trace.processes)
    methods = (HOOK if trace.processes else "", seen.observer, DIFFERENCE)
    sight = Sight(
        observer=seen.observer,
        pythons=seen.pythons,
        program=prepared.program,
        ended=ended,
        evidence=evidence,
        running_count=count_running(_DIR, str(prepared.trace)),
    )
    energy = seen.energy
    usage = replace(ended.usage, energy_j=energy.energy_j, gpu_max_nbytes=energy.gpu_max_nbytes)
    return Recording(
        plan=prepared.plan,
        started=ended.started,
        finished=ended.finished,
        exit_code=ended.exit_code,
        signal=ended.signal,
        usage=usage,
        processes=tuple(traced.process for traced in trace.processes),
        reads=files.reads,
        overwritten=files.overwritten,
        writes=files.writes,
        modules=files.modules,
        observers=tuple(filter(None, methods)),
        unseen=(*unseen_sentences(sight), *seen.observed.unseen, *energy.unseen),
        environment=prepared.variables,
        loaded=settings.loaded,
        seeds=settings.seeds,
        flags=settings.flags,
        remote=merge_remote(trace.remote),
        devices=settings.devices,
        stdout=ended.stdout,
        stderr=ended.stderr,
        timed_out=ended.timed_out,
    )
