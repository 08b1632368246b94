"""A place where a training runs again: clean files, fresh folders, and what it is confined to."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbom.errors import EnvironmentFailureError, PathNotFoundError
from mlbom.git.clone import clone_commit, set_times
from mlbom.reproduce.sandbox.confine import Confinement
from mlbom.reproduce.sandbox.files import copy_in, copy_project, find_file, is_inside, room
from mlbom.reproduce.sandbox.keys import find_keys
from mlbom.reproduce.sandbox.place import Place
from mlbom.reproduce.sandbox.plan import SandboxPlan
from mlbom.reproduce.sandbox.variables import Relocation, sandbox_variables, user_caches

_PYTHON = re.compile(r"python(3(\.[0-9]+)?)?")
# Of every file where there is no commit to take a time from: the oldest that zip knows, 1980 UTC.
_NO_TIME = 315532800


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox as it was built.

    Args:
        ground: the folder that holds all of it.
        project: the project's copy.
        cwd: where the command starts.
        command: with the paths of the copy.
        variables: all that the command gets.
        confinement: what it is confined to.
        unlike: how its files differ from those of the user, each one sentence.
    """

    ground: Path
    project: Path
    cwd: Path
    command: tuple[str, ...]
    variables: Mapping[str, str]
    confinement: Confinement
    unlike: tuple[str, ...] = ()


def build_sandbox(
    plan: SandboxPlan, place: Place, ground: Path, trace: Path, environment: Mapping[str, str]
) -> Sandbox:
    """Build a sandbox; nothing of the project is executed.

    Args:
        plan: what is to run.
        place: how this run differs from others.
        ground: an empty folder of ours.
        trace: folder that the recorder inside the training writes to, `LABEL/trace` of the folder
            in which the runs are kept.
        environment: the caller's variables.

    Raises:
        EnvironmentFailureError: it cannot be written, an input is not there, or the program lies
            where keys are.
        PathNotFoundError: the interpreter is not there.
        RepositoryError: the repository has not got the commit, or is damaged.
    """
    _check_programs(plan, find_keys(environment, plan.hidden))
    old = plan.repository.top if plan.repository else plan.source or plan.project
    top = ground / "src" / (place.name or old.name or "project")
    home = ground / "home" / (place.home or "home")
    try:
        for folder in (top.parent, home.parent, ground / "tmp", ground / "void", *_homes(home)):
            folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        message = f"cannot make the sandbox: {error.strerror}"
        raise EnvironmentFailureError(message) from error
    seconds, unlike = _fill(plan, top)
    project = _inside(top, os.path.relpath(plan.project, old))
    _add_inputs(plan, project, seconds)
    cwd = _inside(project, plan.folder)
    relocation = Relocation(old=old, new=top)
    return Sandbox(
        ground=ground,
        project=project,
        cwd=cwd,
        command=_command(plan, relocation, cwd),
        variables=sandbox_variables(plan, place, relocation, home, environment),
        confinement=_confinement(plan, ground, cwd, trace, environment),
        unlike=unlike,
    )


def _check_programs(plan: SandboxPlan, hidden: Sequence[str]) -> None:
    """Refuse a program that lies where keys are: no wish of a project uncovers them."""
    if plan.python_prefix and not (plan.python and plan.python.exists()):
        message = f"there is no Python at {plan.python_prefix}"
        raise PathNotFoundError(message)
    program = Path(plan.command[0])
    is_path = os.sep in plan.command[0]
    started = plan.project / plan.folder / program if is_path else None
    for path in filter(None, (plan.python_prefix, plan.python, started)):
        # Where the name is, which may be a link, and where it leads.
        places = [os.path.join(os.path.realpath(p), "") for p in (path.parent, path)]
        for key in hidden:
            if any(place.startswith(os.path.join(key, "")) for place in places):
                message = f"the program {path} lies in {key}, which no training may read"
                hint = "name a program that lies where no keys are"
                raise EnvironmentFailureError(message, hint=hint)


def _homes(home: Path) -> tuple[Path, ...]:
    return (home, home / ".cache", home / ".config", home / ".runtime")


def _fill(plan: SandboxPlan, top: Path) -> tuple[int, tuple[str, ...]]:
    """Bring the files of the project, and return their time and how they differ from the user's."""
    if plan.repository and plan.commit:
        clone = clone_commit(plan.repository, plan.commit, top)
        return clone.committed, clone.unlike
    if plan.source:
        copy_project(plan.source, top)
        return _NO_TIME, ()
    top.mkdir()
    return _NO_TIME, ()


def _inside(top: Path, name: str) -> Path:
    """Return a folder of the sandbox, made where it is missing, that no link leads out of it."""
    folder = Path(os.path.realpath(top / name))
    if not is_inside(name) or not folder.is_relative_to(os.path.realpath(top)):
        message = f"the folder {name} leads outside of the project"
        raise EnvironmentFailureError(message)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {name} cannot be made: {error.strerror}"
        raise EnvironmentFailureError(message) from error
    return folder


def _add_inputs(plan: SandboxPlan, project: Path, seconds: int) -> None:
    for name, source in sorted(plan.inputs.items()):
        copy_in(project, name, source)
    # A result that the repository holds already must not pass for one of this training.
    for name in plan.outputs:
        found = None if name in plan.inputs else find_file(project, name)
        if found:
            found.unlink()
    try:
        set_times(project, seconds)
    except OSError as error:
        message = f"cannot set the times of the files: {error.strerror}"
        raise EnvironmentFailureError(message) from error


def _command(plan: SandboxPlan, relocation: Relocation, cwd: Path) -> tuple[str, ...]:
    """Return the command with the paths of the copy; environments stay where they are."""
    program, *arguments = plan.command
    if plan.python and _PYTHON.fullmatch(os.path.basename(program)):
        program = os.fspath(plan.python)
    elif os.path.isabs(program):
        program = relocation.move(program)
    elif os.sep in program and not os.path.lexists(cwd / program):
        original = plan.project / plan.folder / program
        program = os.fspath(original) if original.exists() else program
    return (program, *map(relocation.move_text, arguments))


def _confinement(
    plan: SandboxPlan, ground: Path, cwd: Path, trace: Path, environment: Mapping[str, str]
) -> Confinement:
    caches = [Path(path) for path in user_caches(environment).values()]
    layers = [_layer(ground / "layers" / str(i), cache) for i, cache in enumerate(caches)]
    old = plan.repository.top if plan.repository else plan.project
    writable = [ground / name for name in ("src", "home", "tmp", "layers")]
    keep = trace.parents[1]
    most = max(room(ground), room(Path("/dev/shm")))  # noqa: S108 - a mount, not a file
    return Confinement(
        cwd=cwd,
        void=ground / "void",
        writable=[*(path for path in writable if path.is_dir()), trace],
        protected=[old, plan.project],
        needed=[ground, old, *caches, Path(sys.executable), Path(sys.prefix)],
        hidden=find_keys(environment, plan.hidden),
        # The answer: what was recorded, and what earlier runs have made.
        closed=[old / ".mlbom", plan.project / ".mlbom", keep],
        layers=layers,
        limits={"CORE": 0, "FSIZE": most} if most else {"CORE": 0},
    )


def _layer(folder: Path, cache: Path) -> tuple[Path, Path, Path]:
    upper, work = folder / "upper", folder / "work"
    for part in (upper, work):
        part.mkdir(parents=True)
    return cache, upper, work
