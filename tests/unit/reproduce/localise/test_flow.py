"""Tests of what is named without a further run."""

from dataclasses import replace

import pytest

from mlbom.record.steps.values import StepTrace
from mlbom.reproduce.localise.ladder import localise
from mlbom.reproduce.localise.values import Localisation
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.values import CauseKind, LintFinding, Outcome, Rerun
from tests.fixtures.hand_traces import process, rerun, trace


def no_run(attempt: Attempt) -> Rerun:
    pytest.fail(f"{attempt.label} is not needed")


def named(b: Rerun, *lint: LintFinding) -> Localisation:
    return localise(no_run, rerun("run-1"), b, lint)


def test_another_number_of_steps_is_control_flow_at_the_line_of_the_step() -> None:
    culprit = named(rerun("run-2", trace(process(6)))).culprit
    assert (culprit.kind, culprit.path, culprit.line) == (CauseKind.CONTROL_FLOW, "train.py", 20)
    assert culprit.what == "the training makes 8 steps in one run and 6 in the other"
    assert culprit.is_sure


def test_a_loop_that_the_clock_ends_is_named_and_not_shown() -> None:
    finding = LintFinding(
        rule="clock-loop", kind=CauseKind.CONTROL_FLOW, path="a.py", line=3, message="m", fix="f"
    )
    culprit = named(rerun("run-2", trace(process(6))), finding).culprit
    assert (culprit.kind, culprit.path, culprit.line) == (CauseKind.CONTROL_FLOW, "a.py", 3)
    assert not culprit.is_sure


def test_another_optimizer_is_control_flow() -> None:
    culprit = named(rerun("run-2", trace(process(changes={4: {"optimizer": 1}})))).culprit
    assert (culprit.kind, culprit.step) == (CauseKind.CONTROL_FLOW, 4)


def test_a_run_that_was_killed_is_no_control_flow() -> None:
    killed = rerun("run-2", trace(process(6)), outcome=Outcome.KILLED, detail="killed by signal 9")
    culprit = named(killed).culprit
    assert culprit.kind is CauseKind.UNKNOWN
    assert "run-2 did not come to its end" in culprit.what


def test_an_end_that_was_not_seen_is_no_control_flow() -> None:
    culprit = named(rerun("run-2", trace(replace(process(), final=None)))).culprit
    assert culprit.kind is CauseKind.UNKNOWN
    assert "8 steps" not in culprit.what


def test_another_number_of_processes_is_not_sure() -> None:
    culprit = named(rerun("run-2", trace(process(), process(pid=8)))).culprit
    assert culprit.what == "1 processes trained in one run and 2 in the other"
    assert not culprit.is_sure


def test_equal_traces_have_no_culprit_but_what_was_not_seen() -> None:
    unseen = replace(trace(), unseen=("a compiled region",))
    found = named(rerun("run-2", unseen))
    assert found.divergence is None
    assert (found.culprit.kind, found.culprit.evidence) == (
        CauseKind.UNKNOWN,
        ("a compiled region",),
    )


def test_trainings_of_which_nothing_was_seen_say_so() -> None:
    found = localise(no_run, rerun("run-1", StepTrace()), rerun("run-2", StepTrace()))
    assert "nothing of the training was seen" in found.culprit.what
