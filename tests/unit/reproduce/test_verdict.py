"""Tests of the ladder of verdicts: each level, and every reason not to say."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbom.record.steps.values import StepTrace
from mlbom.reproduce.tensors.compare import compare_files
from mlbom.reproduce.tolerance import WeightFacts, by_digest, compared
from mlbom.reproduce.values import (
    LADDER,
    Divergence,
    Judgement,
    Level,
    Mismatch,
    Outcome,
    Rerun,
)
from mlbom.reproduce.verdict import Facts, PairFacts, judge
from tests.fixtures.hand_traces import rerun

np = pytest.importorskip("numpy")
save_file = pytest.importorskip("safetensors.numpy").save_file

RUNS = (rerun("run-1"), rerun("run-2"))
EQUAL = WeightFacts(bits_equal=True)
SPLIT = Divergence(step=3, of=8, signals=("losses",), field="losses")
Compare = Callable[..., WeightFacts]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Return a function that compares two real files: values, and those with a change added."""

    def build(change: float, dtype: str = "float32", **tensors: object) -> WeightFacts:
        values = np.linspace(0.5, 1.5, 4096)
        other = values.copy()
        other[7] += change
        for name, array in (("a", values), ("b", other)):
            save_file(
                {"layer.weight": array.astype(dtype), **tensors}, tmp_path / f"{name}.safetensors"
            )
        return compared(compare_files(tmp_path / "a.safetensors", tmp_path / "b.safetensors"))

    return build


def pair(weights: WeightFacts | None = EQUAL, **changes: object) -> PairFacts:
    fields: dict[str, object] = {
        "a": "run-1",
        "b": "run-2",
        "has_traces": True,
        "weights": {"model.safetensors": weights} if weights else {},
    }
    fields.update(changes)
    return PairFacts(**fields)  # type: ignore[arg-type]


def verdict(*pairs: PairFacts, **changes: object) -> Judgement:
    fields: dict[str, object] = {
        "required": Level.EXACT_WEIGHTS,
        "runs": RUNS,
        "asked": 2,
        "pairs": pairs or (pair(),),
    }
    fields.update(changes)
    return judge(Facts(**fields))  # type: ignore[arg-type]


def test_equal_traces_and_weights_are_exact_trace() -> None:
    found = verdict()
    assert (found.level, found.is_met, found.reasons) == (Level.EXACT_TRACE, True, ())


def test_equal_weights_with_another_trace_are_exact_weights_and_say_so() -> None:
    found = verdict(pair(divergence=SPLIT))
    assert found.level is Level.EXACT_WEIGHTS
    assert "step 3" in found.reasons[0]
    assert "weights alone would not have shown it" in found.reasons[0]


def test_equal_weights_without_a_trace_are_exact_weights_and_say_so() -> None:
    found = verdict(pair(has_traces=False))
    assert found.level is Level.EXACT_WEIGHTS
    assert "no trace" in found.reasons[0]


def test_what_rounding_leaves_is_within_tolerance(compare: Compare) -> None:
    found = verdict(pair(compare(1e-6), divergence=SPLIT))
    assert found.level is Level.TOLERANCE
    assert not found.is_met
    assert verdict(pair(compare(1e-6), divergence=SPLIT), required=Level.TOLERANCE).is_met


def test_one_weight_far_off_in_ulp_is_no_reason(compare: Compare) -> None:
    """A weight near zero is thousands of units away from its neighbour: only p99 counts."""
    assert verdict(pair(compare(1e-4), divergence=SPLIT)).level is Level.TOLERANCE


def test_what_is_beyond_tolerance_diverged_and_is_named(compare: Compare) -> None:
    found = verdict(pair(compare(0.5), divergence=SPLIT))
    assert found.level is Level.DIVERGED
    assert any("layer.weight the furthest" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("dtype", "change", "level"),
    [
        ("float64", 1e-12, Level.TOLERANCE),
        ("float64", 1e-6, Level.DIVERGED),
        ("float16", 1e-2, Level.TOLERANCE),
        ("float16", 0.5, Level.DIVERGED),
        ("int64", 1.0, Level.DIVERGED),
    ],
)
def test_tolerance_follows_the_dtype(
    compare: Compare, dtype: str, change: float, level: Level
) -> None:
    assert verdict(pair(compare(change, dtype), divergence=SPLIT)).level is level


def test_a_nan_on_one_side_is_beyond_any_tolerance(compare: Compare) -> None:
    assert verdict(pair(compare(float("nan")), divergence=SPLIT)).level is Level.DIVERGED


def test_close_metrics_are_metric_and_far_ones_are_told(compare: Compare) -> None:
    far = compare(0.5)
    close = pair(far, divergence=SPLIT, metrics={"accuracy": (0.912, 0.915)})
    assert verdict(close).level is Level.METRIC
    found = verdict(pair(far, divergence=SPLIT, metrics={"accuracy": (0.912, 0.8)}))
    assert found.level is Level.DIVERGED
    assert any("accuracy: 0.912 and 0.8" in reason for reason in found.reasons)
    nan = pair(far, divergence=SPLIT, metrics={"loss": (float("nan"), float("nan"))})
    assert verdict(nan).level is Level.DIVERGED


def test_a_metric_that_only_one_run_told_is_close_to_nothing(compare: Compare) -> None:
    told = {"metrics": {"loss": (0.5, 0.5)}, "lone_metrics": ("eval/accuracy",)}
    found = verdict(pair(compare(0.5), divergence=SPLIT, **told))
    assert found.level is Level.DIVERGED
    assert any("only one of them told the metric eval/accuracy" in r for r in found.reasons)
    told["lone_metrics"] = ("train_runtime",)
    assert verdict(pair(compare(0.5), divergence=SPLIT, **told)).level is Level.METRIC


def test_counters_settings_and_times_are_no_quality(compare: Compare) -> None:
    constants = dict.fromkeys(("epoch", "train/global_step", "seed", "learning_rate"), (3.0, 3.0))
    found = verdict(pair(compare(0.5), divergence=SPLIT, metrics=constants))
    assert found.level is Level.DIVERGED
    slower = {"eval_loss": (0.5, 0.5), "eval_samples_per_second": (10.0, 90.0)}
    found = verdict(pair(compare(0.5), divergence=SPLIT, metrics=slower))
    assert found.level is Level.METRIC


def saved(tmp_path: Path, *beside: object) -> WeightFacts:
    """Return two files of the same tensors compared, each with its own value beside them."""
    torch = pytest.importorskip("torch")
    paths = [tmp_path / folder / "model.pt" for folder in ("ours", "theirs")]
    for path, value in zip(paths, beside, strict=True):
        path.parent.mkdir(exist_ok=True)
        torch.save({"w": torch.ones(3), "beside": value}, path)
    return compared(compare_files(*paths))


class Payload:
    """Calls a program when it is unpickled, which nobody here does."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


@pytest.mark.parametrize("order", [1, -1])
def test_a_payload_beside_equal_tensors_is_not_reproduced(tmp_path: Path, order: int) -> None:
    facts = saved(tmp_path, *(Payload(), 0)[::order])
    found = verdict(pair(facts, metrics={"accuracy": (0.9, 0.9)}), required=Level.METRIC)
    assert (facts.bits_equal, found.level, found.is_met) == (False, Level.DIVERGED, False)
    (reason,) = found.reasons
    which = "first" if order == 1 else "second"
    assert f"the tensors are equal, and the {which} file imports {os.name}.system" in reason


def test_files_that_import_the_same_are_equal(tmp_path: Path) -> None:
    facts = saved(tmp_path, Payload(), Payload())
    assert (facts.bits_equal, facts.code) == (True, "")


def test_a_payload_among_the_constants_or_code_of_a_script_is_not_reproduced(
    tmp_path: Path,
) -> None:
    torch = pytest.importorskip("torch")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    payload = pickle.dumps((Payload(),), protocol=2)
    members: dict[str, Callable[[bytes], bytes]] = {
        "constants.pkl": lambda _: payload,
        ".py": lambda data: data + b"# more",
    }
    for end, change in members.items():
        with (
            zipfile.ZipFile(tmp_path / "a.pt") as whole,
            zipfile.ZipFile(tmp_path / "b.pt", "w") as other,
        ):
            for name in whole.namelist():
                data = whole.read(name)
                other.writestr(name, change(data) if name.endswith(end) else data)
        facts = compared(compare_files(tmp_path / "a.pt", tmp_path / "b.pt"))
        assert facts.bits_equal is False, end
        assert verdict(pair(facts)).level is Level.DIVERGED
        assert ("system" if end == "constants.pkl" else ".py") in facts.code


def test_another_packaging_of_equal_tensors_is_equal_and_told(tmp_path: Path) -> None:
    found = verdict(pair(saved(tmp_path, 1, 2)))
    assert found.level is Level.EXACT_TRACE
    assert found.reasons == (
        "run-1 and run-2: model.safetensors is repackaged: the same tensors, and another SHA-256",
    )
    assert verdict(pair(saved(tmp_path, 1, 1))).reasons == ()


def test_weights_that_only_one_run_wrote_diverged() -> None:
    found = verdict(pair(missing=("extra.safetensors",), metrics={"loss": (1.0, 1.0)}))
    assert found.level is Level.DIVERGED
    assert "only one of them wrote extra.safetensors" in found.reasons[0]


def test_the_weakest_pair_decides() -> None:
    found = verdict(pair(), pair(b="run-3", divergence=SPLIT))
    assert found.level is Level.EXACT_WEIGHTS
    assert all("run-3" in reason for reason in found.reasons)


def test_a_trace_of_a_few_steps_stands_alone_without_weights() -> None:
    assert verdict(pair(None), is_partial=True).level is Level.EXACT_TRACE
    # Of a whole training that left no weights in the project nobody knows them.
    assert verdict(pair(None)).level is Level.INCONCLUSIVE
    assert verdict(pair(None, divergence=SPLIT)).level is Level.DIVERGED
    assert verdict(pair(None, has_traces=False)).level is Level.INCONCLUSIVE


def test_the_digest_alone_can_say_equal_and_never_different() -> None:
    assert verdict(pair(by_digest("ab", "ab"))).level is Level.EXACT_TRACE
    found = verdict(pair(by_digest("ab", "cd")))
    assert found.level is Level.INCONCLUSIVE
    assert "the recorded file is not here" in found.reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"doubts": ("the work tree differs from the commit",)}, "the work tree differs"),
        ({"asked": 3}, "2 of 3 runs came to their end"),
        ({"is_control_detected": False}, "control run"),
        ({"pairs": ()}, "no two trainings"),
        (
            {"mismatches": (Mismatch(name="torch", recorded="2.12", found="2.13"),)},
            "torch 2.12 -> 2.13",
        ),
        ({"runs": (RUNS[0], rerun("run-2", StepTrace()))}, "run-2: nothing of a training was seen"),
    ],
)
def test_every_reason_not_to_say_is_inconclusive_and_told(
    changes: dict[str, object], reason: str
) -> None:
    for required in LADDER:
        found = verdict(**{"required": required, **changes})
        assert found.level is Level.INCONCLUSIVE
        assert not found.is_met
        assert any(reason in sentence for sentence in found.reasons)


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILED, Outcome.KILLED, Outcome.TIMEOUT, Outcome.NO_SPACE]
)
def test_a_run_that_did_not_end_is_inconclusive(outcome: Outcome) -> None:
    broken: Rerun = rerun("run-2", outcome=outcome, detail="because")
    found = verdict(runs=(RUNS[0], broken))
    assert found.level is Level.INCONCLUSIVE
    assert f"run-2: {outcome.value} (because)" in found.reasons


def test_an_environment_that_was_allowed_to_differ_decides_nothing() -> None:
    mismatches = (Mismatch(name="torch", recorded="2.12", found="2.13"),)
    assert verdict(mismatches=mismatches, allows_mismatch=True).level is Level.EXACT_TRACE


def test_a_control_that_was_told_apart_changes_nothing() -> None:
    assert verdict(is_control_detected=True).level is Level.EXACT_TRACE


def test_on_another_cpu_exact_claims_are_open_and_tolerance_is_not(compare: Compare) -> None:
    near = pair(compare(1e-6), a="original", b="run-1", divergence=SPLIT)
    found = verdict(pair(), near, other_isa=True)
    assert found.level is Level.INCONCLUSIVE
    assert "different ISA" in found.reasons[0]
    assert verdict(pair(), near, other_isa=True, required=Level.TOLERANCE).is_met
    far = pair(compare(0.5), a="original", b="run-1", divergence=SPLIT)
    assert verdict(pair(), far, other_isa=True, required=Level.TOLERANCE).level is Level.DIVERGED


def test_equal_bits_on_another_cpu_are_equal() -> None:
    same = pair(a="original", b="run-1")
    assert verdict(pair(), same, other_isa=True).level is Level.EXACT_TRACE


def test_runs_that_differ_from_each_other_are_no_matter_of_the_cpu(compare: Compare) -> None:
    far = pair(compare(0.5), divergence=SPLIT)
    assert verdict(far, other_isa=True).level is Level.DIVERGED


def test_the_thresholds_are_told() -> None:
    told = verdict().thresholds
    assert told["tolerance"]["F32"] == {"relL2": 1e-5, "ulpP99": 1024}
    assert told["metric"] == {"relative": 0.01}


def test_traces_that_are_not_whole_are_never_an_exact_trace() -> None:
    found = verdict(pair(untold="a trace is not whole"))
    assert found.level is Level.EXACT_WEIGHTS
    assert found.reasons == ("run-1 and run-2: a trace is not whole",)
    assert verdict(pair(None, untold="a trace is not whole")).level is Level.INCONCLUSIVE


def test_other_roots_are_told_without_a_step() -> None:
    root = Divergence(step=0, of=0, signals=("root",), field="root")
    (reason, *_) = verdict(pair(divergence=root)).reasons
    assert "somewhere: their roots are not equal" in reason
    assert "step" not in reason
