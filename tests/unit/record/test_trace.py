"""Trace files are written by the recorded processes, so they may hold anything."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbom.record.recording import RemoteInput
from mlbom.record.snapshot import Stamp
from mlbom.record.trace import merge_remote, read_trace

START: dict[str, Any] = {
    "e": "start",
    "how": "exec",
    "pid": 7,
    "parent": 1,
    "time": 5.0,
    "executable": "/usr/bin/python",
    "prefix": "/usr",
    "prefixes": ["/usr", "/usr/lib"],
    "user_site": "",
    "version": "3.11.7",
    "argv": ["a.py"],
    "variables": {"OMP_NUM_THREADS": "1"},
    "rank": "",
    "hook": True,
}


def write(folder: Path, *events: object, name: str = "7-1.jsonl") -> None:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))


def test_what_a_process_told_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        START,
        {"e": "read", "p": "/a", "s": [1, 2, 30, 4], "m": 0},
        {"e": "read", "p": "/a", "s": [1, 2, 20, 4], "m": 1},
        {"e": "write", "p": "/b"},
        {"e": "seed", "v": {"torch": "1"}},
        {"e": "flag", "v": {"x": "1"}},
        {"e": "flag", "v": {"x": "2"}},
        {"e": "device", "v": [["H200", "uuid"]]},
        {"e": "an event of a later version", "v": 1},
        {"e": "end", "failures": 2},
    )
    trace = read_trace(tmp_path)
    (traced,) = trace.processes
    assert traced.process.finished
    assert traced.flags == {"x": ["1", "2"]}
    assert traced.devices == {("H200", "uuid")}
    assert traced.failures == 2
    assert trace.reads["/a"].stamp == Stamp(1, 2, 20, 4)
    assert trace.reads["/a"].is_module
    assert trace.writes == {"/b"}
    assert trace.malformed == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff\xfe",
        b'{"e":"read","p":5,"s":[1,2,3,4],"m":0}',
        b'{"e":"read","p":"/a","s":[1,2],"m":0}',
        b'{"e":"read","p":"a","s":[1,2,3,4],"m":0}',
        b'{"e":"read","p":"/\\ud800","s":[1,2,3,4],"m":0}',
        b'{"e":"end","failures":1e999}',
        b'{"e":"read","p":"/a\\u0000","s":[1,2,3,4],"m":0}',
        b'{"e":"read","p":"/a","s":[1,2,3,"x"],"m":0}',
        b'{"e":"write"}',
        b'{"e":"seed","v":["torch"]}',
        b'{"e":"device","v":[["a"]]}',
        b'{"e":"start"}',
        b'{"e":"remote","kind":"model"}',
        b'{"e":"end","failures":"many"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_counted_and_the_rest_is_read(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, START, line, {"e": "write", "p": "/b"})
    trace = read_trace(tmp_path)
    assert trace.malformed == 1
    assert trace.writes == {"/b"}


def test_a_line_cut_off_by_a_kill_is_counted(tmp_path: Path) -> None:
    (tmp_path / "7.jsonl").write_bytes(json.dumps(START).encode() + b'\n{"e":"wri')
    trace = read_trace(tmp_path)
    assert (len(trace.processes), trace.malformed) == (1, 1)


def test_an_endless_line_is_one_damaged_line(tmp_path: Path) -> None:
    write(tmp_path, START, b"x" * 9_000_000, {"e": "write", "p": "/b"})
    trace = read_trace(tmp_path)
    assert (trace.malformed, trace.writes) == (1, {"/b"})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_or_a_link_in_the_place_of_a_trace_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert read_trace(tmp_path).malformed == 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["e", "p", "s", "m", "v", "how", "files", "argv", "failures"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.text(max_size=5)
                | st.sampled_from(["read", "write", "start", "seed", "flag", "end", "remote"]),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
                max_leaves=6,
            ),
        ),
        max_size=5,
    )
)
def test_no_line_can_stop_the_reader(tmp_path: Path, events: list[dict[str, object]]) -> None:
    write(tmp_path, START, *events)
    assert len(read_trace(tmp_path).processes) >= 1


def test_the_same_thing_from_a_hub_is_told_once() -> None:
    branch = RemoteInput(kind="model", name="o/n", requested="v1", revision="c", files=("/b",))
    commit = RemoteInput(kind="model", name="o/n", requested="c", revision="c", files=("/a",))
    other = RemoteInput(kind="model", name="o/n", requested="v2", files=("/z",))
    merged = merge_remote([commit, other, branch, branch])
    assert [(one.requested, one.revision, one.files) for one in merged] == [
        ("v2", "", ("/z",)),
        ("v1", "c", ("/a", "/b")),
    ]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    assert read_trace(tmp_path / "gone").is_lost
