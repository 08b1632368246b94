"""The whole suite with its table: every cause named, every twin the same ten times of ten."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mlbom.reproduce.traces.divergence import first_divergence
from mlbom.reproduce.values import Outcome, Rerun
from tests.culprits.bench import SCRIPT, train_twice
from tests.culprits.cases import CASES, SCRIPTS, TWINS, Case

_ROW = "{:18} {:14} {:24} {:6} {:5} {:>4} {:>7}  {}"


def name_cause(case: Case, room: Path) -> tuple[bool, str]:
    """Return whether the cause of a script is named as it should be, and the row of the table."""
    began = time.monotonic()
    pair = train_twice(case, SCRIPTS / f"{case.name}.py", room)
    found = pair.localise()
    culprit = found.culprit
    is_right = (
        (culprit.kind, culprit.path, culprit.line) == (case.kind, SCRIPT, case.line)
        and (culprit.is_sure or not case.is_shown)
        and (case.step is None or culprit.step == case.step)
        and (not case.op or culprit.op == case.op)
    )
    row = _ROW.format(
        case.name,
        culprit.kind.value,
        f"{culprit.path}:{culprit.line} (want :{case.line})",
        f"step {culprit.step}",
        "shown" if culprit.is_sure else "told",
        len(found.runs),
        f"{time.monotonic() - began:.1f} s",
        "right" if is_right else "WRONG",
    )
    return is_right, row


def repeat_twin(case: Case, room: Path, times: int) -> tuple[int, str]:
    """Return how many runs of a twin are equal to its first run, and what differed if one did."""
    pair = train_twice(case, TWINS / f"{case.name}.py", room)
    first = pair.runs[0]
    others = [pair.runs[1]]
    for number in range(3, times + 1):
        attempt = pair.attempts[number % 2]
        others.append(pair.rerunner.run(replace(attempt, label=f"run-{number}")))
    problems = [problem for run in others if (problem := _problem(first, run))]
    return times - len(problems), "; ".join(problems[:3])


def _problem(first: Rerun, run: Rerun) -> str:
    """Return what is not equal to the first run, or an empty text."""
    if run.outcome is not Outcome.FINISHED or run.trace.is_empty:
        return f"{run.label}: {run.outcome.value} {run.detail}"
    divergence = first_divergence(first.trace, run.trace)
    if divergence is not None:
        return f"{run.label}: step {divergence.step}, {', '.join(divergence.signals)}"
    weights = [one.outputs["model.pt"].read_bytes() for one in (first, run)]
    return "" if weights[0] == weights[1] else f"{run.label}: other weights"


def _rooms() -> Iterator[Path]:
    while True:
        with tempfile.TemporaryDirectory(prefix="mlbom-culprits-") as folder:
            yield Path(folder)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, and return 1 when anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of scripts; all by default")
    parser.add_argument("--times", type=int, default=10, help="runs of each twin; 0 for none")
    asked = parser.parse_args(arguments)
    cases = [case for case in CASES if not asked.names or case.name in asked.names]
    rooms, wrong = _rooms(), 0
    for case in cases:
        is_right, row = name_cause(case, next(rooms))
        wrong += not is_right
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
    for case in cases if asked.times else ():
        equal, problem = repeat_twin(case, next(rooms), asked.times)
        wrong += equal != asked.times
        sys.stdout.write(f"twin of {case.name:18} {equal} of {asked.times} {problem}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{wrong} of {len(cases) * (1 + bool(asked.times))} are wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
