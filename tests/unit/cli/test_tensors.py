"""`mlbom tensors diff`: exit codes, formats, and names made to mislead a terminal or a browser."""

import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbom.cli.main import run

HOSTILE = '<script>alert(1)</script>" onload="x\x1b[31m\nnew line\x9b1m\u202e{{ 7*7 }}'
LONG = "layer." * 900 + "weight"


def safetensors(
    path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None
) -> Path:
    """A file of float32 tensors, written by hand: no library takes such names."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, values in tensors.items():
        raw = np.asarray(values, "<f4").tobytes()
        shape = list(np.asarray(values).shape)
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[dict[str, Any], dict[str, Any]], list[str]]:
    def made(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
        return [
            str(safetensors(tmp_path / "a.safetensors", a)),
            str(safetensors(tmp_path / "b.safetensors", b)),
        ]

    return made


Pair = Callable[[dict[str, Any], dict[str, Any]], list[str]]


def diff(*arguments: str) -> int:
    try:
        return run(["tensors", "diff", *arguments])
    except SystemExit as stop:
        return int(str(stop.code))


def test_equal_files(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    files = pair({"w": [1, 2]}, {"w": [1, 2]})
    assert diff(*files) == 0
    told = capsys.readouterr()
    assert told.out.startswith("identical: the files are the same, byte for byte (1 tensor)\n")
    assert told.err == ""


def test_packaging_is_told_and_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = safetensors(tmp_path / "a.safetensors", {"w": [1], "v": [2]}, {"by": "x"})
    b = safetensors(tmp_path / "b.safetensors", {"v": [2], "w": [1]}, {"by": "y"})
    assert diff(str(a), str(b)) == 0
    out = capsys.readouterr().out
    assert out.startswith("same tensors, different packaging: 2 tensors, every bit equal\n")
    assert "  order of tensors: w -> v\n" in out
    assert "  metadata by: x -> y\n" in out


def test_a_difference_is_1_and_the_verdict_comes_first(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    files = pair({"w": [1, 2], "v": [0], "u": [1]}, {"w": [1, -2.5], "v": [-0.0], "u": [1]})
    assert diff(*files) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "different: 2 of 3 tensors in both files differ in their bits"
    (row,) = [line.split() for line in lines if line.startswith("  w ")]
    assert row[:7] == ["w", "F32", "2", "1", "of", "2", "(50"]
    assert any("1 signs flipped" in line for line in lines)
    assert any("1 zeros of another sign" in line for line in lines)
    assert diff(*files, "-q") == 1
    assert capsys.readouterr().out == lines[0] + "\n"


def test_the_farthest_apart_comes_first_and_optimizer_state_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    value = {"model": {"x": torch.ones(4), "y": torch.ones(4)},
             "optimizer": {"state": {0: {"m": torch.ones(4)}}, "param_groups": []}}  # fmt: skip
    torch.save(value, tmp_path / "a.pt")
    value["model"]["x"][0] += 1e-6
    value["model"]["y"][0] += 1e-3
    value["optimizer"]["state"][0]["m"][1] = 2
    torch.save(value, tmp_path / "b.pt")
    assert diff(str(tmp_path / "a.pt"), str(tmp_path / "b.pt")) == 1
    out = capsys.readouterr().out
    assert out.index("tensors that differ most") < out.index("  model.y") < out.index("  model.x")
    assert out.index("  model.x") < out.index("optimizer state that differs most")
    assert out.index("optimizer state that") < out.index("  optimizer.state.0.m")


def test_what_could_not_be_told_is_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "x"), ("b", "y")):
        np.savez(tmp_path / f"{name}.npz", w=np.ones(2), s=np.array([text]))
    assert diff(str(tmp_path / "a.npz"), str(tmp_path / "b.npz")) == 4
    assert capsys.readouterr().out.startswith("could not tell: 1 cannot be compared")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["gone", "gone"], 2, "E0101"),
        ([".", "."], 2, "is a folder"),
        (["text", "text"], 4, "error[E0206]: text: no reader for the tensors of this format"),
        (["cut.safetensors", "cut.safetensors"], 4, "error[E0201]: cut.safetensors: the header"),
        (["only-one"], 2, "required: B"),
        (["text", "text", "--format", "xml"], 2, "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("no weights")
    Path("cut.safetensors").write_bytes((500).to_bytes(8, "little") + b"{}")
    assert diff(*arguments) == status
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


def test_without_numpy_the_bits_can_still_be_compared(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    equal, unequal = pair({"w": [1]}, {"w": [1]}), [{"w": [1]}, {"w": [2]}]
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert diff(*equal) == 0
    monkeypatch.undo()
    files = pair(*unequal)
    monkeypatch.setitem(sys.modules, "numpy", None)
    capsys.readouterr()
    assert diff(*files) == 5
    told = capsys.readouterr()
    assert "error[E0511]" in told.err
    assert "pip install 'mlbom[reproduce]'" in told.err
    assert diff(*files, "--bits") == 1
    out = capsys.readouterr().out
    assert out.startswith("different: 1 of 1 tensor in both files differ")
    assert "not counted" in out


def test_json_is_all_that_stdout_holds(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    files = pair({HOSTILE: [1], LONG: [1]}, {HOSTILE: [2], LONG: [3]})
    assert diff(*files, "--format", "json") == 1
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["schema"] == "urn:mlbom:tensor-diff/1"
    assert {t["name"] for t in document["tensors"]} == {HOSTILE, LONG}
    assert told.out.isascii()  # so that no control character reaches a terminal
    assert told.err == ""


def test_hostile_names_in_the_terminal(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    files = pair({HOSTILE: [1], LONG: [1], "old" + HOSTILE: [7]}, {HOSTILE: [2], LONG: [3]})
    assert diff(*files) == 1
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert "\nnew line" not in out
    assert max(map(len, out.splitlines())) < 250
    assert "\u2026" in out


class Page(HTMLParser):
    """Every tag with its attributes, and the texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(files: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, Page]:
    capsys.readouterr()
    assert diff(*files, "--format", "html") == 1
    text = capsys.readouterr().out
    return text, Page(text)


def test_the_page_asks_for_nothing_and_runs_nothing(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    files = pair({HOSTILE: [1, 2], LONG: [1]}, {HOSTILE: [2, 2], LONG: [3]})
    text, parsed = page(files, capsys)
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not any(name.startswith("on") for _, found in parsed.tags for name in found)
    assert not any({"href", "src"} & found.keys() for _, found in parsed.tags)
    (policy,) = [f["content"] for tag, f in parsed.tags if f.get("http-equiv")]
    assert policy
    assert "default-src 'none'" in policy
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert any("<script>alert(1)</script>" in told for told in parsed.texts)
    assert any("{{ 7*7 }}" in told for told in parsed.texts)
    assert page(files, capsys)[0] == text


def test_the_page_has_pictures_that_can_be_read_aloud(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    a = {f"h.{i}.w": [1.0, 2.0, i] for i in range(4)}
    b = {n: [1.0, 2.0, v[2] + 1e-3] for n, v in a.items()} | {"h.0.w": a["h.0.w"]}
    text, parsed = page(pair(a, b), capsys)
    pictures = [found for tag, found in parsed.tags if tag == "svg"]
    assert len(pictures) == 2
    assert all(found["role"] == "img" for found in pictures)
    assert text.count("<desc>") == text.count("<svg ") == 2
    assert "Distances in ULP: parameters" in text
    assert "Layers of the model: relative L2 difference" in text
    assert "3 of 4" in text


def test_the_result_can_go_into_a_file(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = pair({"w": [1]}, {"w": [2]})
    out = tmp_path / "diff.html"
    assert diff(*files, "--format", "html", "-o", str(out)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"wrote {out}" in told.err
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert diff(*files, "-o", str(tmp_path / "no" / "folder")) == 5
    assert "error[E0501]" in capsys.readouterr().err
