"""Tests of the ladder over trainings that differ for known reasons."""

import itertools
from dataclasses import replace

import pytest

from mlbom.record.steps.ops import DoubledOp, OpRecord
from mlbom.record.steps.values import SourceEvent
from mlbom.reproduce.localise.lab import MOST_RUNS
from mlbom.reproduce.values import CauseKind, LintFinding, Outcome
from tests.fixtures.hand_traces import process
from tests.unit.reproduce.localise.simulator import (
    STEPS,
    Changes,
    Training,
    at,
    is_hashed,
    is_listed,
    is_seeded,
)


def batches(own: str) -> Changes:
    """Return batches that differ from step 3 on, and all that follows from them."""
    return {
        n: {"batches": (own,), "losses": (own,), "grads": own, "params": own}
        for n in range(3, STEPS)
    }


def streams(own: str) -> Changes:
    return {n: {"rng": {"torch": own}, **told} for n, told in batches(own).items()}


def losses(own: str) -> Changes:
    return {n: {"losses": (own,), "grads": own, "params": own} for n in range(3, STEPS)}


def op(name: str, line: int, **changes: object) -> OpRecord:
    base = OpRecord(number=0, step=3, name=name, inputs=("in",), outputs=("out",), at=(at(line),))
    return replace(base, **changes)  # type: ignore[arg-type]


def finding(rule: str, line: int, kind: CauseKind = CauseKind.DATA_ORDER) -> LintFinding:
    return LintFinding(rule=rule, kind=kind, path="train.py", line=line, message="m", fix="f")


def test_a_seed_that_nobody_sets_is_shown_by_setting_one() -> None:
    drawn = lambda own: (op("aten.randn.default", 5, is_seeded=True, rng=own, outputs=(own,)),)  # noqa: E731
    training = Training(changes=streams, held_by=is_seeded, ops=drawn)
    culprit = training.localise().culprit
    assert (culprit.kind, culprit.path, culprit.line) == (CauseKind.SEED, "train.py", 5)
    assert culprit.is_sure
    assert culprit.op == "aten.randn.default"


def test_a_seed_that_changes_needs_no_run() -> None:
    def events(own: str) -> tuple[SourceEvent, ...]:
        return (SourceEvent(kind="seed", what="torch.manual_seed", value=own, at=at(7), pid=7),)

    training = Training(changes=streams, events=events)
    found = training.localise()
    assert (found.culprit.kind, found.culprit.line) == (CauseKind.SEED, 7)
    assert found.culprit.is_sure
    assert not found.runs


def test_entropy_in_a_worker_is_a_loader_worker() -> None:
    def events(own: str) -> tuple[SourceEvent, ...]:
        return entropy_in_two_places(own)[1:]

    culprit = Training(changes=batches, held_by=is_seeded, events=events).localise().culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.LOADER_WORKER, 14, True)


def entropy_in_two_places(_: str) -> tuple[SourceEvent, ...]:
    main = SourceEvent(kind="entropy", what="random.Random", at=at(2), pid=7)
    inside = SourceEvent(kind="entropy", what="numpy.default_rng", at=at(14), pid=99, worker=True)
    return (main, inside)


def test_of_several_generators_that_one_seed_stills_none_is_told_as_the_one() -> None:
    training = Training(changes=batches, held_by=is_seeded, events=entropy_in_two_places)
    culprit = training.localise().culprit
    assert (culprit.kind, culprit.path, culprit.line) == (CauseKind.SEED, "", 0)
    assert culprit.is_sure
    assert any("train.py:2" in sentence for sentence in culprit.evidence)
    assert any("train.py:14" in sentence for sentence in culprit.evidence)


def test_of_several_candidates_the_one_at_the_differing_op_is_named() -> None:
    ops = lambda own: (op("aten.lift_fresh.default", 4, is_source=True, outputs=(own,)),)  # noqa: E731
    training = Training(changes=batches, held_by=is_hashed, ops=ops)
    lint = (finding("set-order", 9), finding("hash-value", 4, CauseKind.HOST_DATA))
    culprit = training.localise(*lint).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.HOST_DATA, 4, True)
    training = Training(changes=batches, held_by=is_hashed)
    culprit = training.localise(finding("set-order", 9), finding("set-order", 4)).culprit
    assert (culprit.kind, culprit.path, culprit.is_sure) == (CauseKind.DATA_ORDER, "", True)
    assert sum("train.py:" in sentence for sentence in culprit.evidence) == 2


def test_an_order_of_files_is_shown_by_sorting_them() -> None:
    def events(own: str) -> tuple[SourceEvent, ...]:
        return (SourceEvent(kind="listing", what="os.listdir", value=own, at=at(9), pid=7),)

    found = Training(changes=batches, held_by=is_listed, events=events).localise()
    assert (found.culprit.kind, found.culprit.line) == (CauseKind.DATA_ORDER, 9)
    assert found.culprit.is_sure
    assert len(found.runs) == 2


def test_an_order_of_files_that_differs_and_does_no_harm_is_not_blamed() -> None:
    def events(own: str) -> tuple[SourceEvent, ...]:
        return (SourceEvent(kind="listing", what="os.listdir", value=own, at=at(9), pid=7),)

    training = Training(changes=batches, held_by=is_hashed, events=events)
    culprit = training.localise(finding("set-order", 4)).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.DATA_ORDER, 4, True)
    assert "PYTHONHASHSEED" in culprit.evidence[0]


def test_a_kernel_is_named_by_one_run() -> None:
    doubled = DoubledOp(name="aten.index_put.default", times=13, distinct=4, at=(at(11),))
    found = Training(changes=losses, doubled=(doubled,)).localise()
    assert (found.culprit.kind, found.culprit.line) == (CauseKind.KERNEL, 11)
    assert found.culprit.is_sure
    assert len(found.runs) == 1


def test_a_kernel_that_doubling_misses_is_named_by_the_ops_of_two_runs() -> None:
    ops = lambda own: (op("aten.mm.default", 6), op("aten.bmm.default", 8, outputs=(own,)))  # noqa: E731
    culprit = Training(changes=losses, ops=ops).localise().culprit
    assert (culprit.kind, culprit.op, culprit.line) == (CauseKind.KERNEL, "aten.bmm.default", 8)
    assert culprit.is_sure


def test_a_set_in_the_code_is_not_blamed_for_a_kernel() -> None:
    doubled = DoubledOp(name="aten.index_put.default", times=13, distinct=4, at=(at(11),))
    culprit = Training(changes=losses, doubled=(doubled,)).localise(finding("set-order", 4)).culprit
    assert culprit.kind is CauseKind.KERNEL


def test_a_generator_of_the_program_is_named_where_it_took_its_seed() -> None:
    ops = lambda own: (op("aten.randn.generator", 15, is_seeded=True, rng=own, outputs=(own,)),)  # noqa: E731
    training = Training(changes=losses, held_by=is_seeded, ops=ops)
    culprit = training.localise(finding("unseeded-generator", 9, CauseKind.RNG_STREAM)).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.RNG_STREAM, 9, True)


def test_data_of_the_host_that_nothing_stills_are_told_and_not_shown() -> None:
    ops = lambda own: (op("aten.lift_fresh.default", 5, is_source=True, outputs=(own,)),)  # noqa: E731
    culprit = Training(changes=batches, ops=ops).localise().culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.HOST_DATA, 5, False)
    assert any("hash seed, listings" in sentence for sentence in culprit.evidence)


def test_an_order_of_threads_is_named_when_the_rest_is_excluded() -> None:
    ops = lambda own: (op("aten.lift_fresh.default", 5, is_source=True, outputs=(own,)),)  # noqa: E731
    culprit = Training(changes=batches, ops=ops).localise(finding("thread-order", 3)).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.DATA_ORDER, 3, False)


def test_a_hash_order_without_a_finding_is_named_where_the_data_enter() -> None:
    ops = lambda own: (op("aten.lift_fresh.default", 5, is_source=True, outputs=(own,)),)  # noqa: E731
    culprit = Training(changes=batches, held_by=is_hashed, ops=ops).localise().culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.DATA_ORDER, 5, True)


def test_of_two_causes_the_first_is_named_and_the_second_told() -> None:
    training = Training(changes=losses)

    def changes(own: str) -> Changes:
        attempt = training.made[-1]
        told: dict[str, object] = {}
        if not is_seeded(attempt):
            told |= {"rng": {"torch": str(len(training.made))}}
        if not is_hashed(attempt):
            told |= {"losses": (str(len(training.made)),)}
        return {3: told}

    training.changes = changes
    culprit = training.localise(
        finding("unseeded-torch", 2, CauseKind.SEED), finding("set-order", 4)
    ).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.SEED, 2, True)
    assert any("second cause" in s and "train.py:4" in s for s in culprit.evidence)


def test_nothing_is_named_when_nothing_is_known() -> None:
    found = Training(changes=losses).localise()
    assert found.culprit.kind is CauseKind.UNKNOWN
    assert not found.culprit.is_sure
    assert any("60 times" in sentence for sentence in found.culprit.evidence)
    assert len(found.runs) <= MOST_RUNS


@pytest.mark.parametrize("changes", [batches, streams, losses])
def test_the_number_of_runs_is_bounded(changes: object) -> None:
    def events(own: str) -> tuple[SourceEvent, ...]:
        kinds = (("listing", "os.listdir"), ("entropy", "random.Random"), ("seed", "numpy.seed"))
        return tuple(
            SourceEvent(kind=kind, what=what, value=own, at=at(n), pid=7)
            for n, (kind, what) in enumerate(kinds, 1)
        )

    training = Training(changes=changes, events=events)  # type: ignore[arg-type]
    found = training.localise(finding("set-order", 4))
    assert len(found.runs) <= MOST_RUNS
    assert not found.culprit.is_sure


def test_runs_of_the_search_stop_soon_after_the_difference() -> None:
    training = Training(changes=batches)
    found = training.localise()
    assert found.runs
    assert {a.probe.stop_after for a in training.made} <= {4, 5, 13}
    assert len({a.label for a in training.made}) == len(training.made)


@pytest.mark.parametrize("changes", [batches, streams, losses])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_difference_of_one_run_alone_is_blamed_on_nothing(changes: object, odd: int) -> None:
    """A counter in a file, a rare race: gone with anything held still, and with nothing."""
    training = Training(changes=changes)  # type: ignore[arg-type]
    plain = training.run
    count = itertools.count()

    def once(attempt: object) -> object:
        is_odd = next(count) == odd
        training.held_by = lambda _: not is_odd
        return plain(attempt)  # type: ignore[arg-type]

    training.run = once  # type: ignore[method-assign,assignment]
    found = training.localise(
        finding("set-order", 4),
        finding("unseeded-torch", 2, CauseKind.SEED),
        finding("thread-order", 3),
    )
    assert (found.culprit.kind, found.culprit.is_sure) == (CauseKind.UNKNOWN, False)
    assert found.culprit.what == "the difference did not come back in further runs"
    assert any("3 further runs" in sentence for sentence in found.culprit.evidence)
    assert sum("-free" in run.label for run in found.runs) == 3
    assert len(found.runs) <= MOST_RUNS


def test_a_cause_with_two_outcomes_has_a_third_run_to_come_back_in() -> None:
    training = Training(changes=batches, held_by=is_hashed)
    plain = training.run

    def alike(attempt: object) -> object:
        made = plain(attempt)  # type: ignore[arg-type]
        if made.label.endswith("-free"):
            free = sum(a.label.endswith("-free") for a in training.made)
            outcome = process(STEPS, pid=7, changes=batches("a" if free < 3 else "b"))
            return replace(made, trace=replace(made.trace, processes=(outcome,)))
        return made

    training.run = alike  # type: ignore[method-assign,assignment]
    culprit = training.localise(finding("set-order", 4)).culprit
    assert (culprit.kind, culprit.line, culprit.is_sure) == (CauseKind.DATA_ORDER, 4, True)


def test_a_run_that_fails_shows_nothing() -> None:
    training = Training(changes=batches, held_by=is_hashed)
    plain = training.run

    def failing(attempt: object) -> object:
        made = plain(attempt)  # type: ignore[arg-type]
        return replace(made, outcome=Outcome.FAILED) if made.label.startswith("search") else made

    training.run = failing  # type: ignore[method-assign,assignment]
    assert not training.localise(finding("set-order", 4)).culprit.is_sure
