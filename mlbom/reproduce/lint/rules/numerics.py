"""Rules about settings that let a kernel choose, or round, differently."""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Hit, Project, Rule, argument, constant, keyword, tail
from mlbom.reproduce.values import CauseKind

_LOWER = frozenset({"tf32", "bf16", "high", "medium"})
# Functions that switch deterministic algorithms: their argument, and what switches off.
_SWITCHES: dict[str, tuple[str, tuple[object, ...]]] = {
    "use_deterministic_algorithms": ("mode", (False,)),
    "set_deterministic_debug_mode": ("debug_mode", (0, "default")),
}
_TUNES = frozenset({"max-autotune", "max-autotune-no-cudagraphs"})


def _set(project: Project) -> Iterator[tuple[Module, ast.expr, str, object]]:
    """Yield each assignment of a constant to a setting: file, target, dotted name, value."""
    for module in project.modules:
        for target, value in module.assignments:
            if isinstance(target, ast.Attribute) and isinstance(value, ast.Constant):
                yield module, target, module.dotted(target), value.value


def cudnn_benchmark(project: Project) -> Iterator[Hit]:
    """Yield where cuDNN, or Lightning, is told to try out which convolution is fastest."""
    message = "cuDNN times its algorithms and takes the fastest, which need not be the same again"
    for module, target, name, value in _set(project):
        if name.endswith("cudnn.benchmark") and value is True:
            yield Hit(module, target, message)
    for module, name, call in project.calls():
        if tail(name) == "Trainer" and constant(module, keyword(call, "benchmark")) is True:
            yield Hit(module, call, message)


def tf32(project: Project) -> Iterator[Hit]:
    """Yield where matrices of float32 may be multiplied in fewer bits."""
    message = (
        "float32 is multiplied in fewer bits where the hardware can: other GPUs, other results"
    )
    for module, target, name, value in _set(project):
        last = tail(name)
        is_allowed = last == "allow_tf32" and value is True
        if is_allowed or (last == "fp32_precision" and value in _LOWER):
            yield Hit(module, target, message)
    for module, name, call in project.calls():
        if tail(name) != "set_float32_matmul_precision":
            continue
        if constant(module, argument(call, 0, "precision")) in _LOWER:
            yield Hit(module, call, message)


def determinism_off(project: Project) -> Iterator[Hit]:
    """Yield where deterministic algorithms are switched off."""
    message = "deterministic algorithms are switched off here"
    for module, target, name, value in _set(project):
        if name.endswith("cudnn.deterministic") and value is False:
            yield Hit(module, target, message)
    for module, name, call in project.calls():
        parameter, off = _SWITCHES.get(tail(name), ("", ()))
        given = constant(module, argument(call, 0, parameter)) if parameter else None
        if given is not None and given in off:
            yield Hit(module, call, message)


def autotune(project: Project) -> Iterator[Hit]:
    """Yield where the compiler is told to choose kernels by timing them."""
    for module, name, call in project.calls():
        if name == "torch.compile" and constant(module, keyword(call, "mode")) in _TUNES:
            message = "the compiler times kernels and takes the fastest, which may differ next time"
            yield Hit(module, call, message)


RULES = (
    Rule(
        name="cudnn-benchmark",
        kind=CauseKind.KERNEL,
        fix="set torch.backends.cudnn.benchmark = False",
        find=cudnn_benchmark,
    ),
    Rule(
        name="tf32",
        kind=CauseKind.ENVIRONMENT,
        fix='call torch.set_float32_matmul_precision("highest"), or expect exact results on one'
        " kind of GPU only",
        find=tf32,
    ),
    Rule(
        name="determinism-off",
        kind=CauseKind.KERNEL,
        fix="leave deterministic algorithms on",
        find=determinism_off,
    ),
    Rule(
        name="autotune",
        kind=CauseKind.KERNEL,
        fix="compile with the default mode, or call torch.use_deterministic_algorithms(True)",
        find=autotune,
    ),
)
