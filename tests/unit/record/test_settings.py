"""Which of several processes tells the seeds and flags of a step."""

from typing import Any

from mlbom.record.recording import PythonProcess
from mlbom.record.settings import settle
from mlbom.record.trace import TracedProcess


def traced(pid: int, rank: int | None = None, **told: Any) -> TracedProcess:
    process = PythonProcess(
        pid=pid, parent=1, executable="python", prefix="/", version="3.11.7", rank=rank
    )
    return TracedProcess(process=process, **told)


def test_a_worker_does_not_hide_the_seed_of_its_parent() -> None:
    main = traced(1, seeds={"torch": "42"})
    worker = traced(2, is_worker=True, seeds={"torch": "7", "numpy": "8"})
    assert settle([main, worker]).seeds == {"numpy": "8", "torch": "42"}


def test_ranks_count_before_their_launcher() -> None:
    launcher = traced(1, flags={"torch.x": ["False"]})
    ranks = [traced(2 + r, rank=r, flags={"torch.x": ["False", "True"]}) for r in (0, 1)]
    assert settle([launcher, *ranks]).flags == {"torch.x": "False -> True"}


def test_the_process_that_trained_counts_first_and_differences_are_shown() -> None:
    spawned = [
        traced(2, is_worker=True, has_stepped=True, seeds={"torch": "1"}),
        traced(3, is_worker=True, has_stepped=True, seeds={"torch": "2"}),
    ]
    assert settle([traced(1, seeds={"torch": "0"}), *spawned]).seeds == {"torch": "1 | 2"}


def test_a_variable_set_on_the_way_was_unset_before() -> None:
    one = traced(1, variables={"A": "1"}, flags={"A": ["2"], "B": ["3", "3"], "torch.t": ["4"]})
    assert settle([one]).flags == {"A": "1 -> 2", "B": "unset -> 3", "torch.t": "4"}


def test_each_accelerator_is_counted_once() -> None:
    ranks = [
        traced(1, rank=0, devices={("H200", "a"), ("H200", "b")}),
        traced(2, rank=1, devices={("H200", "b"), ("L4", "c")}),
    ]
    assert settle(ranks).devices == {"H200": 2, "L4": 1}
