"""Each cause is named with its kind, file and line; twins repeat themselves.

A selection: `python -m tests.culprits.sweep` runs all of them, and each twin ten times.
"""

from pathlib import Path

import pytest

from mlbom.reproduce.values import Outcome
from tests.culprits.bench import SCRIPT, train_twice
from tests.culprits.cases import CASES, SCRIPTS, TWINS, Case

FAST = [case for case in CASES if case.is_fast]


def check_culprit(case: Case, room: Path) -> None:
    pair = train_twice(case, SCRIPTS / f"{case.name}.py", room)
    assert [run.outcome for run in pair.runs] == [Outcome.FINISHED] * 2, pair.runs[0].detail
    found = pair.localise()
    culprit = found.culprit
    assert (culprit.kind, culprit.path, culprit.line) == (case.kind, SCRIPT, case.line), culprit
    assert culprit.is_sure or not case.is_shown, culprit
    assert case.step is None or culprit.step == case.step
    assert not case.op or culprit.op == case.op
    assert culprit.fix


def check_twin(case: Case, room: Path) -> None:
    pair = train_twice(case, TWINS / f"{case.name}.py", room)
    assert [run.outcome for run in pair.runs] == [Outcome.FINISHED] * 2, pair.runs[0].detail
    assert not pair.runs[0].trace.is_empty
    assert pair.divergence is None
    assert pair.has_equal_weights


@pytest.mark.parametrize("case", FAST, ids=lambda case: case.name)
def test_the_cause_is_named_with_its_line(case: Case, tmp_path: Path) -> None:
    check_culprit(case, tmp_path)


@pytest.mark.parametrize("case", FAST[:2], ids=lambda case: case.name)
def test_a_twin_repeats_itself(case: Case, tmp_path: Path) -> None:
    check_twin(case, tmp_path)


def test_every_script_has_its_case_and_its_twin() -> None:
    names = {case.name for case in CASES}
    for folder in (SCRIPTS, TWINS):
        assert {path.stem for path in folder.glob("[!_]*.py")} == names
