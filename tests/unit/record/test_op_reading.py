"""The files of the ops are read as what a hostile process may have written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlbom.record.steps import op_reading
from mlbom.record.steps.op_reading import read_ops
from mlbom.record.steps.ops import DoubledOp, WarnedOp

BEGIN = {"e": "ops", "v": 1, "pid": 7, "rank": "", "time": 1.5}
END = {"e": "end", "steps": 2}
OP = {
    "e": "op",
    "i": 0,
    "step": 1,
    "op": "aten.add.Tensor",
    "in": ["0" * 16, ""],
    "out": ["f" * 16],
    "module": "net.0",
    "phase": "forward",
    "at": ["/p/train.py:3 in forward"],
    "seeded": False,
    "rng": "",
    "source": False,
}


def write(folder: Path, name: str, *lines: object) -> Path:
    """Write a file of JSON lines; a text goes in as it is."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path = folder / name
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def changed(**fields: Any) -> dict[str, Any]:
    return {**OP, **fields}


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    doubled = {"e": "double", "op": "a", "times": 9, "distinct": 2, "module": "m", "phase": "f"}
    write(
        tmp_path,
        "7-1.ops",
        BEGIN,
        {"e": "window", "step": 1, "entry": "a" * 16},
        OP,
        {**doubled, "at": ["x"]},
        {"e": "doubled", "count": 3, "skipped": {"aten.view.default": "is a view"}},
        {"e": "warned", "op": "put_", "message": "put_ does not", "at": []},
        {"e": "unseen", "why": "a compiled region"},
        {"e": "news from a later version"},
        END,
    )
    (trace,) = read_ops(tmp_path)
    assert (trace.pid, trace.rank) == (7, None)
    assert trace.entries == {1: "a" * 16}
    (op,) = trace.ops
    assert (op.name, op.module, op.inputs) == ("aten.add.Tensor", "net.0", ("0" * 16, ""))
    assert trace.doubled == (
        DoubledOp(name="a", times=9, distinct=2, module="m", phase="f", at=("x",)),
    )
    assert (trace.doubled_count, trace.skipped) == (3, {"aten.view.default": "is a view"})
    assert trace.warned == (WarnedOp(name="put_", message="put_ does not"),)
    assert trace.unseen == ("a compiled region",)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no JSON",
        "[" * 100_000,
        "[1]",
        "null",
        '{"e": "op"}',
        '{"e": ["op"]}',
        '{"e": "op", "i": 1e999}',
        "\x00",
        changed(i=-1),
        changed(i=True),
        changed(step="1"),
        changed(op=3),
        changed(op="x" * 9000),
        changed(op="\ud800"),
        changed(out=["f" * 15]),
        changed(out="f" * 16),
        {**OP, "in": [None]},
        changed(at="x"),
        changed(at=[1]),
        changed(rng=7),
        {"e": "window", "step": 1, "entry": "zz"},
        {"e": "doubled", "count": 1, "skipped": ["x"]},
        {"e": "warned", "op": "x", "message": 3, "at": []},
        BEGIN,
    ],
)
def test_a_line_that_is_not_understood_is_counted(tmp_path: Path, line: object) -> None:
    write(tmp_path, "7-1.ops", BEGIN, line, OP, END)
    (trace,) = read_ops(tmp_path)
    assert len(trace.ops) == 1
    assert trace.unseen == ("1 lines of the ops were not understood",)


def test_a_process_that_was_killed_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "7-1.ops", BEGIN, OP, OP)
    path.write_bytes(path.read_bytes()[:-20])
    (trace,) = read_ops(tmp_path)
    assert len(trace.ops) == 1
    assert any("not understood" in sentence for sentence in trace.unseen)
    assert any("ended" in sentence for sentence in trace.unseen)


def test_processes_come_by_rank_and_without_those_that_did_not_train(tmp_path: Path) -> None:
    for pid, rank, steps in ((1, "", 0), (2, "1", 2), (3, "0", 2), (4, "x", 2), (5, "", 0)):
        write(
            tmp_path,
            f"{pid}-1.ops",
            {**BEGIN, "pid": pid, "rank": rank, "time": pid},
            {**END, "steps": steps},
        )
    assert [(trace.pid, trace.rank) for trace in read_ops(tmp_path)] == [(3, 0), (2, 1), (4, None)]
    for pid in (2, 3, 4):
        (tmp_path / f"{pid}-1.ops").unlink()
    assert [trace.pid for trace in read_ops(tmp_path)] == [1, 5]


def test_more_than_is_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op_reading, "_MOST_OPS", 2)
    write(tmp_path, "7-1.ops", BEGIN, OP, OP, OP, END)
    (trace,) = read_ops(tmp_path)
    assert len(trace.ops) == 2
    assert "there are more ops than are read" in trace.unseen


def test_what_is_no_file_of_ops_is_passed_over(tmp_path: Path) -> None:
    assert read_ops(tmp_path / "none") == ()
    write(tmp_path, "7-1.jsonl", BEGIN)
    write(tmp_path, "8-1.ops", OP)
    (tmp_path / "folder.ops").mkdir()
    os.mkfifo(tmp_path / "pipe.ops")
    (tmp_path / "link.ops").symlink_to("/etc/passwd")
    assert read_ops(tmp_path) == ()
