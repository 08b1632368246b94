"""Tests of trainings that went on from a checkpoint."""

from dataclasses import replace

from mlbom.record.steps.values import FinalState, ProcessSteps, StepRecord
from mlbom.reproduce.traces.segments import compare_segment, segment_offset
from tests.fixtures.hand_traces import process, trace

WHOLE = process(8)


def resumed(offset: int, count: int = 3, **first: object) -> ProcessSteps:
    """Return a training that repeats steps of the whole one, its first step changed."""
    steps: list[StepRecord] = [
        replace(WHOLE.steps[offset + number], number=number, flags={}) for number in range(count)
    ]
    all_flags = {"torch.num_threads": "1"}
    steps[0] = replace(steps[0], flags=all_flags, **first)  # type: ignore[arg-type]
    before = WHOLE.steps[offset - 1].params if offset else WHOLE.entries[0].params
    entry = replace(WHOLE.entries[0], params=before, state=f"state-{offset - 1}")
    return replace(WHOLE, steps=tuple(steps), entries=(entry,), final=FinalState(params="cut"))


def test_a_segment_is_found_by_the_weights_that_it_began_with() -> None:
    assert segment_offset(trace(WHOLE), trace(resumed(3))) == 3
    assert segment_offset(trace(WHOLE), trace(resumed(0))) == 0


def test_a_segment_of_another_training_has_no_place() -> None:
    other = replace(resumed(3), entries=(replace(WHOLE.entries[0], params="other"),))
    found = compare_segment(trace(WHOLE), trace(other))
    assert (found.offset, found.compared, found.divergence) == (None, 0, None)


def test_a_segment_that_restores_everything_agrees() -> None:
    found = compare_segment(trace(WHOLE), trace(resumed(3)))
    assert (found.offset, found.compared, found.divergence) == (3, 3, None)
    assert not found.reaches_end
    assert set(found.restored) >= {"parameters", "optimizer", "buffers", "data position"}
    assert all(found.restored.values())


def test_a_segment_to_the_end_is_held_against_the_end() -> None:
    whole = resumed(5)
    found = compare_segment(trace(WHOLE), trace(whole))
    assert found.reaches_end
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.field) == (8, "params")
    exact = replace(whole, final=WHOLE.final)
    assert compare_segment(trace(WHOLE), trace(exact)).divergence is None


def test_a_stream_that_was_not_restored_is_told() -> None:
    found = compare_segment(trace(WHOLE), trace(resumed(3, rng={"torch": "fresh"})))
    assert found.restored["rng:torch"] is False
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.field) == (3, "rng:torch")


def test_an_optimizer_without_its_state_is_told_where_the_whole_did_not_take_it() -> None:
    assert WHOLE.steps[3].state == ""
    found = compare_segment(trace(WHOLE), trace(resumed(4, params="other")))
    assert found.restored["parameters"] is True
    assert found.restored["optimizer"] is False
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.field) == (4, "params")


def test_the_state_of_the_optimizer_is_told_where_the_whole_took_it() -> None:
    lost = resumed(3)
    lost = replace(lost, entries=(replace(lost.entries[0], state="empty"),))
    assert compare_segment(trace(WHOLE), trace(lost)).restored["optimizer"] is False


def test_an_optimizer_is_unknown_when_other_gradients_came_in() -> None:
    found = compare_segment(trace(WHOLE), trace(resumed(4, grads="other", params="other")))
    assert found.restored["optimizer"] is None


def test_a_loader_that_begins_anew_is_told() -> None:
    found = compare_segment(trace(WHOLE), trace(resumed(3, batches=("batch-0",))))
    assert found.restored["data position"] is False


def test_more_steps_than_the_whole_has_are_a_difference() -> None:
    longer = resumed(6, 2)
    extra = replace(longer.steps[-1], number=2)
    found = compare_segment(trace(WHOLE), trace(replace(longer, steps=(*longer.steps, extra))))
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.field) == (8, "missing")


def test_all_ranks_must_agree_on_the_place() -> None:
    whole = trace(replace(WHOLE, rank=0), replace(WHOLE, rank=1))
    one = trace(replace(resumed(3), rank=0), replace(resumed(3), rank=1))
    other = trace(replace(resumed(3), rank=0), replace(resumed(4), rank=1))
    assert segment_offset(whole, one) == 3
    assert segment_offset(whole, other) is None
    assert segment_offset(whole, trace(resumed(3))) is None


def test_each_optimizer_must_have_the_weights_of_that_step() -> None:
    turns = {n: {"optimizer": n % 2} for n in range(8)}
    base = process(8, changes=turns)
    whole = replace(base, entries=(base.entries[0], replace(base.entries[0], optimizer=1)))
    steps = tuple(replace(whole.steps[4 + n], number=n) for n in range(2))
    entries = (
        replace(whole.entries[0], params="params-2"),
        replace(whole.entries[1], params="params-3"),
    )
    segment = replace(whole, steps=steps, entries=entries, final=None)
    assert segment_offset(trace(whole), trace(segment)) == 4
    wrong = replace(segment, entries=(entries[0], replace(entries[1], params="params-1")))
    assert segment_offset(trace(whole), trace(wrong)) is None


def test_a_segment_of_which_a_line_was_lost_is_not_equal() -> None:
    found = compare_segment(trace(WHOLE), replace(trace(resumed(3)), malformed=1))
    assert found.divergence is None
    assert "not whole" in found.untold
    assert not compare_segment(trace(WHOLE), trace(resumed(3))).untold
