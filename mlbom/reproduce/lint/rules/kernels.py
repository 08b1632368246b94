"""Rule about ops without a fixed order of summation, where nobody asked for deterministic ones.

The list is that of torch.use_deterministic_algorithms (torch 2.13), without what only shows in odd
uses.
"""

import ast
from collections.abc import Iterator

from mlbom.reproduce.lint.module import Module
from mlbom.reproduce.lint.rule import Hit, Project, Rule, constant, keyword, tail
from mlbom.reproduce.values import CauseKind

_BLURS = frozenset({"linear", "bilinear", "bicubic", "trilinear"})
_ON_CPU_TOO = frozenset({"index_put_", "index_put", "put_"})
# Methods that only tensors have.
_METHODS = frozenset(
    "index_add_ index_add scatter_add_ scatter_add scatter_reduce_ scatter_reduce".split()
)
_FUNCTIONS = frozenset(
    """index_add scatter_add scatter_reduce histc nn.functional.ctc_loss nn.CTCLoss
    nn.functional.grid_sample nn.MaxUnpool1d nn.MaxUnpool2d nn.MaxUnpool3d
    nn.functional.max_unpool2d nn.FractionalMaxPool2d nn.ReflectionPad1d nn.ReflectionPad2d
    nn.ReflectionPad3d nn.ReplicationPad1d nn.ReplicationPad2d nn.ReplicationPad3d
    nn.AdaptiveAvgPool2d nn.AdaptiveAvgPool3d nn.AdaptiveMaxPool2d nn.AvgPool3d
    nn.MaxPool3d""".split()
)


def nondeterministic_op(project: Project) -> Iterator[Hit]:
    """Yield ops that may add up in another order each time; nothing when that is switched off."""
    if any(_is_switched_on(module, name, call) for module, name, call in project.calls()):
        return
    for module, name, call in project.calls():
        where = _where(module, name, call)
        if where:
            yield Hit(module, call, f"{tail(name)} may add up in another order each time, {where}")


def _is_switched_on(module: Module, name: str, call: ast.Call) -> bool:
    if tail(name) == "use_deterministic_algorithms":
        given = call.args[0] if call.args else keyword(call, "mode")
        return constant(module, given) is not False
    if tail(name) == "set_deterministic_debug_mode":
        return True
    return tail(name) == "Trainer" and keyword(call, "deterministic") is not None


def _where(module: Module, name: str, call: ast.Call) -> str:
    """Return on which devices an op has no fixed order, or an empty text."""
    last = tail(name)
    in_torch = name.removeprefix("torch.") if name.startswith("torch.") else ""
    if last in _ON_CPU_TOO:
        given = keyword(call, "accumulate") or (call.args[-1] if call.args else None)
        return "on a CPU too" if constant(module, given) is True else ""
    if last in {"interpolate", "Upsample"} and in_torch:
        return "in its backward pass on a GPU" if _mode(module, call) in _BLURS else ""
    if last == "EmbeddingBag" and in_torch:
        return "in its backward pass on a GPU" if _mode(module, call) == "max" else ""
    if in_torch == "bincount":
        has_weights = len(call.args) > 1 or keyword(call, "weights") is not None
        return "on a GPU" if has_weights else ""
    is_method = last in _METHODS and "." in name and not in_torch
    return "on a GPU" if in_torch in _FUNCTIONS or is_method else ""


def _mode(module: Module, call: ast.Call) -> object:
    return constant(module, keyword(call, "mode"))


RULES = (
    Rule(
        name="nondeterministic-op",
        kind=CauseKind.KERNEL,
        fix="call torch.use_deterministic_algorithms(True)",
        find=nondeterministic_op,
    ),
)
