"""Tests of the first op that explains why two runs differ."""

from dataclasses import replace

import pytest

from mlbom.record.steps.ops import OpRecord, OpTrace
from mlbom.reproduce.localise.op_difference import OpCause, first_op_difference

ADD = OpRecord(number=0, step=0, name="aten.add.Tensor", inputs=("a", "b"), outputs=("c",))
RAND = OpRecord(
    number=1, step=0, name="aten.randn.default", outputs=("r",), is_seeded=True, rng="s0"
)
LIFT = OpRecord(number=2, step=0, name="aten.lift_fresh.default", outputs=("h",), is_source=True)
VIEW = OpRecord(number=3, step=0, name="aten.select.int", inputs=("index-1",))
TAIL = OpRecord(number=4, step=0, name="aten.mul.Tensor", inputs=("c", "r"), outputs=("t",))
OPS = (ADD, RAND, LIFT, VIEW, TAIL)


def traces(at: int, **changes: object) -> tuple[OpTrace, OpTrace]:
    """Return two windows; in the second the op at a place and all after it differ."""
    changed = [
        replace(op, outputs=tuple(f"{o}'" for o in op.outputs), inputs=(*op.inputs, "'"))
        for op in OPS[at + 1 :]
    ]
    other = (*OPS[:at], replace(OPS[at], **changes), *changed)  # type: ignore[arg-type]
    return OpTrace(pid=1, ops=OPS), OpTrace(pid=2, ops=other)


def test_equal_windows_have_no_difference() -> None:
    assert first_op_difference(OpTrace(pid=1, ops=OPS), OpTrace(pid=2, ops=OPS)) is None


@pytest.mark.parametrize(
    ("at", "changes", "cause"),
    [
        (0, {"outputs": ("x",)}, OpCause.KERNEL),
        (0, {"outputs": ("x",), "inputs": ("a", "x")}, OpCause.OUTSIDE),
        (1, {"outputs": ("x",), "rng": "s1"}, OpCause.DRAWN),
        (1, {"outputs": ("x",)}, OpCause.KERNEL),
        (2, {"outputs": ("x",)}, OpCause.SOURCE),
        (3, {"inputs": ("index-2",)}, OpCause.SOURCE),
        (0, {"name": "aten.sub.Tensor"}, OpCause.CONTROL_FLOW),
    ],
)
def test_the_first_op_that_differs_tells_its_cause(
    at: int, changes: dict[str, object], cause: OpCause
) -> None:
    found = first_op_difference(*traces(at, **changes))
    assert found is not None
    assert (found.cause, found.op, found.compared) == (cause, OPS[at], at)


def test_unfilled_memory_that_goes_into_an_op_explains_nothing() -> None:
    ours = replace(ADD, inputs=("garbage-1", "b"))
    theirs = replace(ADD, inputs=("garbage-2", "b"))
    assert first_op_difference(OpTrace(pid=1, ops=(ours,)), OpTrace(pid=2, ops=(theirs,))) is None


def test_a_stream_that_stands_elsewhere_and_gives_the_same_explains_nothing() -> None:
    other = replace(RAND, rng="s9")
    assert first_op_difference(OpTrace(pid=1, ops=(RAND,)), OpTrace(pid=2, ops=(other,))) is None


@pytest.mark.parametrize("shorter", [0, 1])
def test_an_op_that_only_one_run_has_is_control_flow(shorter: int) -> None:
    windows = [OpTrace(pid=1, ops=OPS), OpTrace(pid=2, ops=OPS)]
    windows[shorter] = replace(windows[shorter], ops=OPS[:-1])
    found = first_op_difference(*windows)
    assert found is not None
    assert (found.cause, found.op) == (OpCause.CONTROL_FLOW, TAIL)
