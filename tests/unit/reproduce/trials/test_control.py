"""The control run: told apart, not told apart, or saying nothing; and exact agreement."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlbom.record.steps.values import SourceEvent, StepTrace
from mlbom.reproduce.rerun import Attempt
from mlbom.reproduce.trials.agreement import agreement, without_flags
from mlbom.reproduce.trials.control import judge_control, run_control, wrong_seed
from mlbom.reproduce.values import Outcome, Rerun
from tests.fixtures.reruns import rerun, step_trace
from tests.fixtures.weights import safetensors_raw

NOTHING = StepTrace()


def with_weights(run: Rerun, folder: Path, data: bytes, name: str = "model.safetensors") -> Rerun:
    """Return a run that wrote one file of weights."""
    path = folder / run.label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return replace(run, outputs={**run.outputs, name: path})


def weights(value: int, **metadata: str) -> bytes:
    """Return a small file of weights."""
    tensor = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
    header = {"__metadata__": metadata, "w": tensor} if metadata else {"w": tensor}
    return safetensors_raw(json.dumps(header).encode(), bytes([value, 1]))


OTHER = step_trace({2: {"losses": ("0x1p-3",)}})


def test_a_control_that_differs_is_detected() -> None:
    found = judge_control(rerun("run-1"), rerun("control", OTHER))
    assert found.is_detected is True
    assert found.divergence is not None
    assert found.divergence.step == 2
    document = found.document()
    assert document["detected"] is True
    assert document["divergence"]["step"] == 2
    assert "step 2" in document["reason"]


def test_a_control_that_changes_nothing_is_not_detected() -> None:
    found = judge_control(rerun("run-1"), rerun("control"))
    assert found.is_detected is False
    assert found.document()["divergence"] is None


def test_without_a_generator_a_control_says_nothing() -> None:
    quiet = step_trace({n: {"rng": {}} for n in range(8)})
    found = judge_control(rerun("run-1", quiet), rerun("control", quiet))
    assert found.is_detected is None
    assert "no generator" in found.reason


def test_a_seed_that_was_set_is_a_generator_in_use() -> None:
    seeded = replace(
        step_trace({n: {"rng": {}} for n in range(8)}),
        events=(SourceEvent(kind="seed", what="torch.manual_seed", value="1"),),
    )
    assert judge_control(rerun("run-1", seeded), rerun("control", seeded)).is_detected is False


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.KILLED, Outcome.TIMEOUT])
def test_a_control_that_does_not_end_says_nothing(outcome: Outcome) -> None:
    found = judge_control(rerun("run-1"), rerun("control", OTHER, outcome=outcome, detail="why"))
    assert found.is_detected is None
    assert "why" in found.reason


def test_weights_alone_can_tell_a_control_apart(tmp_path: Path) -> None:
    base = with_weights(rerun("run-1", NOTHING), tmp_path, weights(1))
    base = replace(base, trace=NOTHING)
    control = replace(with_weights(rerun("control"), tmp_path, weights(2)), trace=NOTHING)
    assert judge_control(base, control).is_detected is True


def test_nothing_to_compare_says_nothing() -> None:
    base, control = (replace(rerun(name), trace=NOTHING) for name in ("run-1", "control"))
    found = judge_control(base, control)
    assert found.is_detected is None
    assert found.reason == "there is nothing to compare"


def test_the_control_overrides_every_seed_with_one_that_is_not_in_use() -> None:
    base = rerun("run-1")
    seed = wrong_seed(base)
    taken = replace(base, recording=replace(base.recording, seeds={"torch": f"1 -> {seed}"}))
    asked: list[Attempt] = []

    def runner(attempt: Attempt) -> Rerun:
        asked.append(attempt)
        return rerun(attempt.label, OTHER)

    assert run_control(runner, taken)["detected"] is True
    (attempt,) = asked
    assert attempt.probe.overrides_seeds
    assert attempt.probe.seed not in (None, seed)


def test_equal_tensors_in_another_packaging_are_equal_weights(tmp_path: Path) -> None:
    a = with_weights(rerun("a"), tmp_path, weights(1, format="pt"))
    b = with_weights(rerun("b"), tmp_path, weights(1, format="np"))
    found = agreement(a, b)
    assert found.are_weights_equal is True
    assert found.divergence is None
    assert agreement(a, with_weights(rerun("c"), tmp_path, weights(3))).are_weights_equal is False
    assert agreement(a, rerun("d")).are_weights_equal is False


def test_weights_that_cannot_be_read_are_equal_by_their_bytes_or_not_known(tmp_path: Path) -> None:
    a, same, other = (
        with_weights(rerun(name), tmp_path, data, "model.safetensors")
        for name, data in (("a", b"no tensors"), ("b", b"no tensors"), ("c", b"neither"))
    )
    assert agreement(a, same).are_weights_equal is True
    assert agreement(a, other).are_weights_equal is None


def test_without_files_the_parameters_at_the_end_count() -> None:
    assert agreement(rerun("a"), rerun("b")).are_weights_equal is True
    other = step_trace(steps=7)
    assert agreement(rerun("a"), rerun("b", other)).are_weights_equal is False
    none = replace(rerun("b"), trace=NOTHING)
    assert agreement(rerun("a"), none).are_weights_equal is None
    assert not agreement(rerun("a"), none).has_traces


def test_settings_can_be_taken_out_of_a_trace() -> None:
    other = rerun("b", step_trace({0: {"flags": {"torch.num_threads": "2"}}}))
    assert agreement(rerun("a"), other).divergence is not None
    assert agreement(without_flags(rerun("a")), without_flags(other)).divergence is None


def test_traces_that_are_not_whole_tell_no_control_apart() -> None:
    part = replace(step_trace(steps=6), malformed=1)
    found = judge_control(rerun("run-1"), rerun("control", part))
    assert found.divergence is None
    assert found.is_detected is not False


def test_weights_are_the_files_that_the_verdict_compares(tmp_path: Path) -> None:
    a = with_weights(rerun("a"), tmp_path, weights(1))
    b = with_weights(rerun("b"), tmp_path, weights(1))
    a = with_weights(a, tmp_path, b"one", "optimizer.pt")
    b = with_weights(b, tmp_path, b"other", "optimizer.pt")
    assert agreement(a, b).are_weights_equal is True
