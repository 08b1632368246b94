"""Tests of what is named when runs agree with each other and not with the record."""

from collections.abc import Mapping
from dataclasses import replace

from mlbom.attest.run_claim import RunClaim, StepKind
from mlbom.record.steps.values import SourceEvent, StepTrace
from mlbom.reproduce.localise.explain import explain_difference
from mlbom.reproduce.original import Original
from mlbom.reproduce.values import CauseKind, Rerun
from tests.fixtures.hand_traces import process, rerun, trace
from tests.unit.reproduce.localise.simulator import at

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "seeds": {"torch": "1729"},
    "determinism": {"torch.num_threads": "1", "torch.cudnn.benchmark": "False"},
    "libraries": {"torch": "2.13.0+cpu"},
    "environmentVariables": {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
}


def original(traced: StepTrace | None = None) -> Original:
    claim = RunClaim(
        name="train",
        kind=StepKind.TRAIN,
        command=("python", "train.py"),
        folder=".",
        invocation="i",
        started=0,
        finished=1,
        exit_code=0,
        signal=None,
        tool_version="0",
        parameters=PARAMETERS,
    )
    return Original(claim=claim, sha256="ab" * 32, trace=traced)


def again(traced: StepTrace | None = None, **changes: Mapping[str, str]) -> Rerun:
    """Return a run as it was recorded, but for some parameters."""
    made = rerun("run-1", traced)
    told = {
        "seeds": PARAMETERS["seeds"],
        "flags": PARAMETERS["determinism"],
        "loaded": PARAMETERS["libraries"],
        "environment": {"OMP_NUM_THREADS": "1", "LANG": "de_DE.UTF-8", "HOME": "/sandbox/home"},
        **changes,
    }
    return replace(made, recording=replace(made.recording, **told))  # type: ignore[arg-type]


def test_another_seed_is_named_with_the_line_that_sets_it() -> None:
    event = SourceEvent(kind="seed", what="torch.manual_seed", value="4", at=at(12), pid=7)
    culprit = explain_difference(original(), again(trace(events=(event,)), seeds={"torch": "4"}))
    assert (culprit.kind, culprit.path, culprit.line) == (CauseKind.SEED, "train.py", 12)
    assert culprit.fix == "seed torch with 1729"
    assert not culprit.is_sure


def test_another_number_of_threads_is_named_with_the_line_that_sets_it() -> None:
    event = SourceEvent(kind="threads", what="torch.set_num_threads", value="2", at=at(3), pid=7)
    flags = {**PARAMETERS["determinism"], "torch.num_threads": "1 -> 2"}
    culprit = explain_difference(original(), again(trace(events=(event,)), flags=flags))
    assert (culprit.kind, culprit.line) == (CauseKind.ENVIRONMENT, 3)
    assert "torch.num_threads was 1 in the recorded run and is 2 now" in culprit.what


def test_another_version_of_a_library_is_named() -> None:
    culprit = explain_difference(original(), again(loaded={"torch": "2.14.0"}))
    assert culprit.what == "library torch was 2.13.0+cpu in the recorded run and is 2.14.0 now"


def test_only_variables_that_change_numbers_are_compared() -> None:
    flags = {**PARAMETERS["determinism"], "MKL_CBWR": "AVX2", "TORCH_HOME": "/root/.cache/torch"}
    quiet = {"HF_HOME": "/root/hf", "XDG_CACHE_HOME": "/root/.cache", "PYTHONUSERBASE": "/root"}
    culprit = explain_difference(original(), again(flags={**flags, **quiet}))
    assert culprit.what == "MKL_CBWR was unset in the recorded run and is AVX2 now"
    assert not any("/root" in sentence for sentence in culprit.evidence)


def test_a_place_on_the_machine_is_never_told() -> None:
    flags = {**PARAMETERS["determinism"], "NCCL_TOPO_FILE": "/root/topology.xml"}
    culprit = explain_difference(original(), again(flags=flags))
    assert "NCCL_TOPO_FILE" in culprit.what
    assert not any("/root" in sentence for sentence in (culprit.what, *culprit.evidence))


def test_a_seed_comes_before_all_else_and_the_rest_is_evidence() -> None:
    culprit = explain_difference(original(), again(seeds={"torch": "4"}, loaded={"torch": "2.14"}))
    assert culprit.kind is CauseKind.SEED
    assert any(
        sentence.startswith("also: library torch was 2.13.0+cpu") for sentence in culprit.evidence
    )


def test_where_the_traces_part_is_told() -> None:
    culprit = explain_difference(
        original(trace(process(changes={5: {"grads": "x"}}))), again(seeds={"torch": "4"})
    )
    assert culprit.step == 5
    assert culprit.evidence[-1] == "the traces part at step 5 (grads)"


def test_nothing_is_named_when_everything_agrees() -> None:
    culprit = explain_difference(original(), again())
    assert culprit.kind is CauseKind.UNKNOWN
    assert culprit.evidence == ("the trace of the recorded run is not here",)
