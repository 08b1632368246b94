"""What is read of a step trace that nobody vouches for, and the one number over it."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbom.record.steps import merkle, reading
from mlbom.record.steps.merkle import leaf, process_root, trace_root, tree_root
from mlbom.record.steps.reading import read_steps
from mlbom.record.steps.values import FinalState, ProcessSteps, StepRecord, StepTrace

HEADER = {"e": "trace", "v": 1, "pid": 7, "rank": "", "world": "", "time": 1.5, "torch": "2"}
DIGEST = "0123456789abcdef"
STEP = {
    "e": "step", "n": 0, "o": 0, "batch": [DIGEST], "loss": ["0x1.8p+0"], "grads": DIGEST,
    "params": DIGEST, "state": "", "buffers": "", "rng": {"torch": DIGEST}, "flags": {"f": "True"},
    "at": "/p/train.py:3 in <module>",
}  # fmt: skip
FINAL = {"e": "final", "params": DIGEST, "buffers": "", "state": "", "batch": [], "loss": []}
ENTRY = {
    "e": "entry", "o": 0, "params": DIGEST, "state": "", "buffers": "", "rng": {"torch": DIGEST},
    "names": [["w", "float32", "2x3"]],
}  # fmt: skip
EVENT = {
    "e": "event", "kind": "seed", "what": "random.seed", "value": "1", "at": "/p/a.py:1 in f",
    "step": 0, "worker": False,
}  # fmt: skip
END = {"e": "end"}


def write(folder: Path, *lines: object, name: str = "7-1.steps") -> StepTrace:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("".join(f"{text}\n" for text in texts))
    return read_steps(folder)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    second = {**STEP, "n": 1, "tensors": {"grads": [DIGEST], "params": ["", DIGEST]}}
    trace = write(tmp_path, HEADER, EVENT, ENTRY, STEP, second, {"e": "new"}, FINAL, END)
    (process,) = trace.processes
    assert process.is_whole
    assert [step.number for step in process.steps] == [0, 1]
    assert process.steps[0].losses == ("0x1.8p+0",)
    assert process.steps[1].tensors == {"grads": (DIGEST,), "params": ("", DIGEST)}
    assert process.entries[0].names == (("w", "float32", "2x3"),)
    assert process.final == FinalState(params=DIGEST)
    assert trace.events[0].pid == 7
    assert trace.unseen == ()
    assert trace.count == 2


def spoiled() -> dict[str, list[Any]]:
    return {
        "no header": [STEP, FINAL, END],
        "other version": [{**HEADER, "v": 2}, STEP, FINAL, END],
        "two headers": [HEADER, HEADER, STEP, FINAL, END],
        "not JSON": [HEADER, STEP, "{", FINAL, END],
        "no object": [HEADER, STEP, "[]", FINAL, END],
        "deep": [HEADER, STEP, "[" * 100_000, FINAL, END],
        "huge number": [HEADER, {**STEP, "o": 2**60}, FINAL, END],
        "a step left out": [HEADER, {**STEP, "n": 1}, FINAL, END],
        "a step twice": [HEADER, STEP, STEP, FINAL, END],
        "a bool for a number": [HEADER, {**STEP, "n": False}, FINAL, END],
        "no digest": [HEADER, {**STEP, "grads": "xyz"}, FINAL, END],
        "no loss": [HEADER, {**STEP, "loss": ["1.5"]}, FINAL, END],
        "losses in a text": [HEADER, {**STEP, "loss": DIGEST}, FINAL, END],
        "a digest with a line end": [HEADER, {**STEP, "grads": DIGEST + "\n"}, FINAL, END],
        "a lone surrogate": [HEADER, {**STEP, "at": "\ud800"}, FINAL, END],
        "a long text": [HEADER, {**STEP, "at": "x" * 9000}, FINAL, END],
        "a field is missing": [HEADER, {k: v for k, v in STEP.items() if k != "rng"}, FINAL, END],
        "an event without a line": [HEADER, {**EVENT, "at": None}, STEP, FINAL, END],
        "names of another form": [HEADER, {**ENTRY, "names": [["w"]]}, STEP, FINAL, END],
        "something after the end": [HEADER, STEP, FINAL, END, STEP],
        "no time": [{**HEADER, "time": float("nan")}, STEP, FINAL, END],
    }


@pytest.mark.parametrize("what", spoiled())
def test_hostile_lines_are_counted_and_leave_nothing_whole(tmp_path: Path, what: str) -> None:
    trace = write(tmp_path, *spoiled()[what])
    assert any("not understood" in text for text in trace.unseen)
    assert not any(process.is_whole for process in trace.processes)
    assert trace_root(trace) == ""


@pytest.mark.parametrize("left_out", [FINAL, END])
def test_a_file_without_its_end_is_not_whole(tmp_path: Path, left_out: dict[str, Any]) -> None:
    trace = write(tmp_path, *(one for one in (HEADER, STEP, FINAL, END) if one is not left_out))
    assert trace.count == 1
    assert not trace.processes[0].is_whole
    assert trace_root(trace) == ""


def test_half_a_line_at_the_end_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    write(tmp_path, HEADER, STEP)
    with (tmp_path / "7-1.steps").open("a") as stream:
        stream.write(json.dumps({**STEP, "n": 1}))
    trace = read_steps(tmp_path)
    assert trace.count == 1


def test_only_processes_that_trained_count_and_ranks_come_in_order(tmp_path: Path) -> None:
    for rank in (2, 0, 1):
        header = {**HEADER, "rank": str(rank), "pid": 10 + rank, "time": 9.0 - rank}
        write(tmp_path, header, STEP, FINAL, END, name=f"{rank}.steps")
    write(tmp_path, HEADER, {**EVENT, "worker": True}, END, name="worker.steps")
    trace = write(tmp_path, {**HEADER, "rank": "x"}, STEP, FINAL, END, name="none.steps")
    assert [process.rank for process in trace.processes] == [0, 1, 2, None]
    assert [event.worker for event in trace.events] == [True]
    assert trace_root(trace)


def test_nothing_is_read_through_links_pipes_or_past_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps(HEADER) + "\n")
    (tmp_path / "a.steps").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "b.steps")
    (tmp_path / "c.steps").mkdir()
    trace = read_steps(tmp_path)
    assert trace.is_empty
    assert trace.unseen == ("3 lines of the step trace were not understood",)
    assert read_steps(tmp_path / "missing") == StepTrace()
    monkeypatch.setattr(reading, "_MOST_NBYTES", 400)
    many = [{**STEP, "n": number} for number in range(50)]
    trace = write(tmp_path, HEADER, *many, FINAL, END)
    assert trace.count < 3
    assert not trace.processes[0].is_whole
    monkeypatch.setattr(reading, "_MOST_FILES", 1)
    assert any("were not read" in text for text in read_steps(tmp_path).unseen)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_tree_is_that_of_the_specification() -> None:
    one, two, three = (hashlib.sha256(b"\x00" + text).digest() for text in (b"a", b"b", b"c"))
    assert tree_root([]) == hashlib.sha256(b"").hexdigest()
    assert tree_root([b"a"]) == one.hex()
    assert tree_root([b"a", b"b"]) == node(one, two).hex()
    assert tree_root([b"a", b"b", b"c"]) == node(node(one, two), three).hex()
    five = node(node(node(one, two), node(one, two)), three)
    assert tree_root([b"a", b"b", b"a", b"b", b"c"]) == five.hex()


def process(count: int) -> ProcessSteps:
    steps = tuple(StepRecord(number=n, params=f"{n:016x}") for n in range(count))
    return ProcessSteps(pid=1, steps=steps, final=FinalState(params=DIGEST), is_whole=True)


def test_a_leaf_holds_what_was_computed_and_not_where() -> None:
    step = StepRecord(number=3, losses=("0x1p+0",), rng={"torch": DIGEST})
    assert leaf(step) == b'{"loss":["0x1p+0"],"n":3,"o":0,"rng":{"torch":"0123456789abcdef"}}'
    assert leaf(replace(step, at="/x.py:1 in f", tensors={"params": (DIGEST,)})) == leaf(step)
    for changed in (
        replace(step, number=4), replace(step, optimizer=1), replace(step, batches=(DIGEST,)),
        replace(step, losses=()), replace(step, grads=DIGEST), replace(step, params=DIGEST),
        replace(step, state=DIGEST), replace(step, buffers=DIGEST), replace(step, rng={}),
        replace(step, flags={"a": "b"}),
    ):  # fmt: skip
        assert leaf(changed) != leaf(step)
    assert leaf(FinalState()) == b'{"final":{}}'


def test_the_root_of_a_run_is_that_of_all_its_processes() -> None:
    first, second = process(2), replace(process(3), rank=None)
    root = trace_root(StepTrace(processes=(first, second)))
    assert root not in ("", trace_root(StepTrace(processes=(second, first))))
    assert trace_root(StepTrace(processes=(first,))) != process_root(first)
    unfinished = replace(second, is_whole=False)
    assert trace_root(StepTrace(processes=(first, unfinished))) == ""
    assert trace_root(StepTrace()) == ""
    assert merkle.trace_root(StepTrace(processes=(replace(first, rank=1),))) != trace_root(
        StepTrace(processes=(first,))
    )
