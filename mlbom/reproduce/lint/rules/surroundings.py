"""Rules about the process: variables set too late, thread counts taken from the machine."""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.draws import draws_in_datasets
from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Hit, Project, Rule, argument, constant, tail
from mlbom.reproduce.values import CauseKind

_HASH_SEED = "PYTHONHASHSEED"
# Read by a library when it is loaded or first used: the libraries whose import is too late for it.
_BY_NUMBERS = ("torch", "numpy", "scipy", "sklearn", "pandas", "transformers", "torchvision")
_BY_TORCH = ("torch", "torchvision", "transformers", "lightning", "pytorch_lightning")
_READ_BY = {
    "OMP_NUM_THREADS": _BY_NUMBERS,
    "MKL_NUM_THREADS": _BY_NUMBERS,
    "OPENBLAS_NUM_THREADS": _BY_NUMBERS,
    "MKL_CBWR": _BY_NUMBERS,
    "ATEN_CPU_CAPABILITY": _BY_TORCH,
    "ONEDNN_MAX_CPU_ISA": _BY_TORCH,
    "CUBLAS_WORKSPACE_CONFIG": _BY_TORCH,
    "NVIDIA_TF32_OVERRIDE": _BY_TORCH,
}
_STARTS_AGAIN = frozenset("execv execve execvp execvpe execl execle execlp Popen run call".split())
_COUNTS = frozenset({"cpu_count", "sched_getaffinity", "process_cpu_count"})
_THREADS = frozenset({"set_num_threads", "set_num_interop_threads"})
_THREAD_VARIABLES = frozenset({"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"})


def _variables(project: Project) -> Iterator[tuple[Module, ast.expr, object, ast.expr]]:
    """Yield each variable that the program sets: file, place, name, value."""
    for module in project.modules:
        for target, value in module.assignments:
            if isinstance(target, ast.Subscript) and module.dotted(target.value) == "os.environ":
                yield module, target, constant(module, target.slice), value
        for name, call in module.calls:
            if name in {"os.environ.setdefault", "os.putenv"} and len(call.args) == 2:  # noqa: PLR2004
                yield module, call, constant(module, call.args[0]), call.args[1]
            elif name == "os.environ.update" and call.args and isinstance(call.args[0], ast.Dict):
                told = call.args[0]
                for key, value in zip(told.keys, told.values, strict=True):
                    yield module, call, constant(module, key), value


def late_variable(project: Project) -> Iterator[Hit]:
    """Yield variables that are set after the moment at which they are read."""
    for module, place, name, _ in _variables(project):
        if name == _HASH_SEED:
            if not module.tails & _STARTS_AGAIN:
                message = f"{name} is read when Python starts: here it changes nothing any more"
                yield Hit(module, place, message)
        elif name in _READ_BY:
            early = _imported_before(module, place, _READ_BY[str(name)])
            if early:
                message = f"{name} is set after the import of {early}, which may have read it"
                yield Hit(module, place, message)


def _imported_before(module: Module, place: ast.expr, libraries: tuple[str, ...]) -> str:
    """Return a library that is imported at the top of the file before a place, or an empty text.

    A function runs after all imports at the top of its file.
    """
    limit = None if module.function_of(place) is not None else place.lineno
    for line, name in module.imports:
        first = name.partition(".")[0]
        if first in libraries and (limit is None or line < limit):
            return first
    return ""


def machine_threads(project: Project) -> Iterator[Hit]:
    """Yield numbers of threads, or of workers that draw numbers, that this machine decides."""
    message = "the number of {} is that of the machine's processors, and results hang on it"
    drawn = draws_in_datasets(project)
    for module, name, call in project.calls():
        if tail(name) in _THREADS:
            given = argument(call, 0, "int")
            if given is not None and _counts(module, given):
                yield Hit(module, call, message.format("threads"))
        elif drawn and tail(name) == "DataLoader":
            workers = argument(call, 5, "num_workers")
            if workers is not None and _counts(module, workers):
                yield Hit(module, call, message.format("workers"))
    for module, place, variable, value in _variables(project):
        if variable in _THREAD_VARIABLES and _counts(module, value):
            yield Hit(module, place, message.format("threads"))


def _counts(module: Module, node: ast.expr) -> bool:
    """Return whether a value comes from the number of processors, also through one name."""
    if isinstance(node, ast.Name):
        values = [value for value in module.values_of(node) if value is not None]
        return any(_counts_here(module, value) for value in values)
    return _counts_here(module, node)


def _counts_here(module: Module, node: ast.expr) -> bool:
    """Return whether a processor count, or a scheduler's variable of one, stands in a value."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            name = module.dotted(part.func)
            if tail(name) in _COUNTS:
                return True
            told = part.args[0] if name in {"os.getenv", "os.environ.get"} and part.args else None
        elif isinstance(part, ast.Subscript) and module.dotted(part.value) == "os.environ":
            told = part.slice
        else:
            continue
        if "CPU" in str(constant(module, told)):
            return True
    return False


RULES = (
    Rule(
        name="late-variable",
        kind=CauseKind.ENVIRONMENT,
        fix="set the variable before Python starts",
        find=late_variable,
    ),
    Rule(
        name="machine-threads",
        kind=CauseKind.ENVIRONMENT,
        fix="write a fixed number, or take it from a configuration file",
        find=machine_threads,
    ),
)
