"""Tests of the first difference of two traces."""

from dataclasses import replace

import pytest

from mlbom.record.steps.values import FinalState, StepTrace
from mlbom.reproduce.traces.divergence import (
    compare_traces,
    cut,
    first_divergence,
    place_in_step,
    root_divergence,
)
from tests.fixtures.hand_traces import ROOT, process, trace


def changed(number: int, **changes: object) -> StepTrace:
    return trace(process(changes={number: changes}))


def test_equal_traces_have_no_difference() -> None:
    assert first_divergence(trace(), trace()) is None


@pytest.mark.parametrize(
    ("field", "value", "signal"),
    [
        ("batches", ("other",), "batches"),
        ("rng", {"torch": "other"}, "rng:torch"),
        ("losses", ((0.1).hex(),), "losses"),
        ("grads", "other", "grads"),
        ("params", "other", "params"),
        ("state", "other", "state"),
        ("buffers", "other", "buffers"),
        ("flags", {"torch.num_threads": "2"}, "flags"),
        ("optimizer", 1, "optimizer"),
    ],
)
def test_each_field_of_a_step_counts(field: str, value: object, signal: str) -> None:
    found = first_divergence(trace(), changed(4, **{field: value}))
    assert found is not None
    assert (found.step, found.of, found.field) == (4, 8, signal)


@pytest.mark.parametrize(
    "field", ["batches", "losses", "grads", "params", "state", "buffers", "rng"]
)
def test_a_field_that_only_one_trace_has_is_a_difference(field: str) -> None:
    empty: object = {"batches": (), "losses": (), "rng": {}}.get(field, "")
    found = first_divergence(trace(), changed(4, **{field: empty}))
    assert found is not None
    assert found.signals == ("rng:torch" if field == "rng" else field,)


def test_the_earliest_field_of_a_training_is_named_and_all_are_told() -> None:
    other = changed(
        3, params="x", losses=((0.5).hex(),), batches=("batch-3", "more"), rng={"random": "r"}
    )
    found = first_divergence(trace(), other)
    assert found is not None
    assert found.signals == ("batches", "rng:torch", "rng:random", "losses", "params")
    assert found.index == 1


def test_losses_are_compared_bit_by_bit() -> None:
    one, other = changed(2, losses=((0.1 + 0.2).hex(),)), changed(2, losses=((0.3).hex(),))
    found = first_divergence(one, other)
    assert found is not None
    assert (found.step, found.field, found.index) == (2, "losses", 0)


def test_a_gradient_is_named_from_the_end_as_a_backward_pass_goes() -> None:
    tensors = {"grads": ("x", "x"), "params": ("pw-5", "x")}
    found = first_divergence(trace(), changed(5, grads="x", tensors=tensors))
    assert found is not None
    assert found.tensor == "layer.bias"


def test_a_parameter_is_named_from_the_beginning() -> None:
    tensors = {"grads": ("gw-5", "gb-5"), "params": ("x", "x")}
    found = first_divergence(trace(), changed(5, params="x", tensors=tensors))
    assert found is not None
    assert found.tensor == "layer.weight"


def test_the_line_of_the_step_is_told_relative_to_the_project() -> None:
    found = first_divergence(trace(), changed(5, params="x"), ROOT)
    assert found is not None
    assert found.at == "train.py:20"


def test_other_weights_before_the_first_step_come_before_its_batch() -> None:
    other = trace(process(entry={"params": "x"}, changes={0: {"batches": ("x",)}}))
    found = first_divergence(trace(), other)
    assert found is not None
    assert (found.step, found.signals) == (0, ("entry", "batches"))


def test_streams_before_the_first_step_do_not_count() -> None:
    one, other = (trace(process(entry={"rng": {"numpy": text}})) for text in ("a", "b"))
    assert first_divergence(one, other) is None


def test_a_missing_entry_is_a_difference() -> None:
    whole = process()
    found = first_divergence(trace(whole), trace(replace(whole, entries=())))
    assert found is not None
    assert found.field == "entry"


@pytest.mark.parametrize("counts", [(8, 6), (6, 8)])
def test_another_number_of_steps_is_a_difference(counts: tuple[int, int]) -> None:
    one, other = (trace(process(count)) for count in counts)
    found = first_divergence(one, other)
    assert found is not None
    assert (found.step, found.of, found.signals) == (6, 6, ("missing",))


def test_a_process_that_one_run_lacks_is_a_difference() -> None:
    found = first_divergence(trace(process(), process(pid=8)), trace())
    assert found is not None
    assert (found.process, found.field) == (1, "missing")


def test_a_rank_that_one_run_lacks_is_a_difference() -> None:
    found = first_divergence(trace(process(rank=0), process(rank=1)), trace(process(rank=0)))
    assert found is not None
    assert (found.rank, found.field) == (1, "missing")


def test_of_several_ranks_the_earliest_step_then_the_earliest_field_counts() -> None:
    ranks = [process(rank=rank, pid=rank) for rank in range(3)]
    other = [
        process(rank=0, pid=0, changes={4: {"grads": "x"}}),
        process(rank=1, pid=1, changes={4: {"batches": ("x",)}}),
        process(rank=2, pid=2, changes={5: {"batches": ("x",)}}),
    ]
    found = first_divergence(trace(*ranks), trace(*other))
    assert found is not None
    assert (found.rank, found.step, found.field) == (1, 4, "batches")


def test_ranks_are_paired_by_their_number_and_not_by_their_place() -> None:
    ranks = [process(rank=rank, changes={1: {"batches": (str(rank),)}}) for rank in range(2)]
    assert first_divergence(trace(*ranks), trace(*reversed(ranks))) is None


def test_of_trainings_one_after_the_other_the_first_one_counts() -> None:
    one = trace(process(), process(pid=8))
    other = trace(process(changes={6: {"grads": "x"}}), process(pid=8, changes={0: {"grads": "x"}}))
    found = first_divergence(one, other)
    assert found is not None
    assert (found.process, found.step) == (0, 6)


def test_losses_after_the_last_step_count() -> None:
    by_hand = replace(process(0), entries=(), final=FinalState(losses=((1.0).hex(), (0.5).hex())))
    other = replace(by_hand, final=FinalState(losses=((1.0).hex(), (0.25).hex())))
    found = first_divergence(trace(by_hand), trace(other))
    assert found is not None
    assert (found.step, found.of, found.field, found.index) == (0, 0, "losses", 1)


def test_an_end_that_only_one_run_reached_is_a_difference() -> None:
    killed = replace(process(), final=None, is_whole=False)
    found = first_divergence(trace(), trace(killed))
    assert found is not None
    assert (found.step, found.field) == (8, "missing")


def test_the_first_step_of_a_second_optimizer_brings_its_entry() -> None:
    base = process(4, changes={1: {"optimizer": 1}, 3: {"optimizer": 1}})
    second = replace(base.entries[0], optimizer=1)
    one = replace(base, entries=(*base.entries, second))
    other = replace(base, entries=(*base.entries, replace(second, params="x")))
    found = first_divergence(trace(one), trace(other))
    assert found is not None
    assert (found.step, found.field) == (1, "entry")


def lost(traced: StepTrace) -> StepTrace:
    """Return a trace of which a line was lost."""
    return replace(traced, malformed=1)


def test_only_whole_traces_are_equal() -> None:
    assert compare_traces(trace(), trace()).is_equal
    part = trace(replace(process(), is_whole=False))
    for one, other in ((part, part), (lost(trace()), lost(trace())), (trace(), part)):
        found = compare_traces(one, other)
        assert not found.is_equal
        assert found.divergence is None
        assert "not whole" in found.untold
    assert not compare_traces(StepTrace(), StepTrace()).is_equal


def test_what_was_lost_is_no_difference_and_what_was_seen_is() -> None:
    assert compare_traces(trace(), lost(trace(process(6)))).divergence is None
    found = compare_traces(trace(), lost(changed(4, grads="x"))).divergence
    assert found is not None
    assert (found.step, found.field) == (4, "grads")


def test_ranks_that_come_twice_count_in_their_order() -> None:
    jobs = [process(rank=rank, pid=job) for job, rank in enumerate((0, 0, 1, 1))]
    other = [*jobs[:3], process(rank=1, pid=3, changes={2: {"grads": "x"}})]
    found = first_divergence(trace(*jobs), trace(*other))
    assert found is not None
    assert (found.process, found.rank, found.step) == (3, 1, 2)
    found = first_divergence(trace(*jobs), trace(*jobs[:3]))
    assert found is not None
    assert (found.process, found.field) == (3, "missing")


def test_a_trace_can_be_cut_to_its_first_steps() -> None:
    whole, few = trace(), trace(process(3))
    assert compare_traces(whole, few).divergence is not None
    assert compare_traces(whole, few, steps=3).is_equal
    assert compare_traces(changed(2, grads="x"), few, steps=2).is_equal
    assert compare_traces(changed(1, grads="x"), few, steps=2).divergence is not None
    (part,) = cut(whole, 2).processes
    assert (len(part.steps), part.final) == (2, None)


def test_roots_differ_at_no_place() -> None:
    found = root_divergence()
    assert (found.signals, found.field) == (("root",), "root")
    assert place_in_step(found.field) > place_in_step("flags")
