"""Tests of mlbom.collect.trackers: documents of results, stores of trackers, and the table."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mlbom.collect.trackers.metric import MeasuredMetric, MetricReading
from mlbom.collect.trackers.reading import READERS, read_metrics


def write(base: Path, name: str, content: str | bytes) -> Path:
    """Write a file of the run, with its folders."""
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(base: Path) -> MetricReading:
    """Read every file of a folder."""
    return read_metrics(None, [path for path in base.rglob("*") if path.is_file()], base)


def values(reading: MetricReading) -> dict[str, float]:
    """Return name -> value."""
    return {metric.name: metric.value for metric in reading.metrics}


@pytest.mark.parametrize("entry", READERS)
def test_every_line_of_the_table_names_a_reader(entry: str) -> None:
    module, _, name = entry.partition(":")
    reader = getattr(import_module(module), name)()
    assert reader.name
    assert not reader.matches("README.md")


@pytest.mark.parametrize(
    "name", ["metrics.json", "sub/dev_metrics.json", "all_results.json", "out/eval_results.json"]
)
def test_document_of_results(tmp_path: Path, name: str) -> None:
    document = {"f1": 0.5, "n": 3, "by": {"en": {"f1": 0.25}}, "list": [1], "ok": True, "s": "x"}
    write(tmp_path, name, json.dumps(document, indent=1))
    assert read(tmp_path).metrics == (
        MeasuredMetric(name="by.en.f1", value=0.25, step=None, source=name, line=0),
        MeasuredMetric(name="f1", value=0.5, step=None, source=name, line=0),
        MeasuredMetric(name="n", value=3.0, step=None, source=name, line=3),
    )


def test_not_a_number_is_a_gap_and_the_others_are_told(tmp_path: Path) -> None:
    text = '{"loss": NaN, "acc": 0.5, "high": Infinity, "low": -Infinity, "s": "NaN \\" NaN"}'
    write(tmp_path, "metrics.json", text)
    reading = read(tmp_path)
    assert values(reading) == {"acc": 0.5}
    assert reading.gaps == (
        "metrics.json: high is infinite",
        "metrics.json: loss is NaN",
        "metrics.json: low is infinite",
    )


def test_number_too_large_for_a_float(tmp_path: Path) -> None:
    write(tmp_path, "metrics.json", '{"a": 1' + "0" * 400 + "}")
    assert read(tmp_path).gaps == ("metrics.json: a is infinite",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b"{", "not valid JSON"),
        (b'{"a": 1e999}', "overflows"),
        (b"[" * 100_000, "nests deeper"),
        (b"\xff\xfe", "not valid JSON"),
        (b"1" * (9 * 1024 * 1024), "larger than"),
    ],
)
def test_document_that_cannot_be_believed_is_a_gap(
    tmp_path: Path, content: bytes, words: str
) -> None:
    write(tmp_path, "metrics.json", content)
    reading = read(tmp_path)
    assert reading.metrics == ()
    (gap,) = reading.gaps
    assert gap.startswith("metrics.json was not read: ")
    assert words in gap


def test_link_and_missing_file_are_gaps(tmp_path: Path) -> None:
    target = write(tmp_path, "elsewhere", '{"a": 1}')
    (tmp_path / "metrics.json").symlink_to(target)
    missing = tmp_path / "eval_results.json"
    reading = read_metrics(None, [tmp_path / "metrics.json", missing], tmp_path)
    assert reading.metrics == ()
    assert [gap.split(" could not")[0] for gap in reading.gaps] == [
        "eval_results.json",
        "metrics.json",
    ]


def test_secret_and_control_characters_do_not_pass(tmp_path: Path) -> None:
    token = "hf_" + "a" * 34
    write(tmp_path, "metrics.json", json.dumps({f"x {token}\x1b[31m": 1, "n" * 300: 1}))
    reading = read(tmp_path)
    assert list(values(reading)) == ["x <redacted:huggingface-token>"]
    assert reading.gaps == ("metrics.json: a metric has a name of 300 characters",)


def test_file_outside_the_project_is_named_by_its_name_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "private/metrics.json", '{"a": 1}')
    (metric,) = read_metrics(None, [path], tmp_path / "project").metrics
    assert metric.source == "metrics.json"


def test_state_of_a_trainer(tmp_path: Path) -> None:
    history = [
        {"epoch": 1.0, "loss": 0.9, "grad_norm": 1.0, "step": 10},
        {"epoch": 1.0, "eval_loss": 0.8, "step": 10},
        {"epoch": 2.0, "loss": 0.5, "grad_norm": float("nan"), "step": 20},
        {"epoch": 2.0, "eval_loss": 0.7, "step": 20.0},
    ]
    state = {"best_metric": 0.7, "best_global_step": 20, "log_history": history, "epoch": 2.0}
    write(tmp_path, "out/checkpoint-20/trainer_state.json", json.dumps(state, indent=2))
    reading = read(tmp_path)
    assert {(m.name, m.value, m.step) for m in reading.metrics} == {
        ("best_metric", 0.7, 20),
        ("loss", 0.5, 20),
        ("eval_loss", 0.7, 20),
    }
    assert reading.gaps == ("out/checkpoint-20/trainer_state.json: grad_norm is NaN",)
    assert next(m.line for m in reading.metrics if m.name == "best_metric") == 2


@pytest.mark.parametrize("state", [[], {"log_history": 3}, {}, {"log_history": [1, None]}])
def test_state_without_a_history(tmp_path: Path, state: Any) -> None:
    write(tmp_path, "trainer_state.json", json.dumps(state))
    reading = read(tmp_path)
    assert reading.metrics == ()
    assert bool(reading.gaps) == (state in ([], {"log_history": 3}))


def test_mlflow_store(tmp_path: Path) -> None:
    run = "mlruns/0/7fac"
    write(tmp_path, f"{run}/metrics/val/loss", "1700 1.0 0\n1702 0.25 2\n1701 0.5 1\n")
    write(tmp_path, f"{run}/metrics/old", "1700 0.5\n1701 0.75")
    write(tmp_path, f"{run}/metrics/bad", "1700 nan 0\n")
    write(tmp_path, f"{run}/metrics/noise", "x\n1700 1.0 0\n1701 y 0\n" + "9" * 9000)
    write(tmp_path, f"{run}/params/lr", "0.1")
    reading = read(tmp_path)
    assert {(m.name, m.value, m.step, m.line) for m in reading.metrics} == {
        ("val/loss", 0.25, 2, 2),
        ("old", 0.75, 0, 2),
        ("noise", 1.0, 0, 2),
    }
    assert reading.gaps == (
        f"{run}/metrics/bad: bad is NaN",
        f"{run}/metrics/noise: 5 lines are no values of a metric",
    )


def test_database_of_mlflow_is_told(tmp_path: Path) -> None:
    write(tmp_path, "mlflow.db", b"SQLite format 3\0")
    assert read(tmp_path).gaps == ("mlflow.db is a database of MLflow, which is not read",)


def test_summary_of_wandb(tmp_path: Path) -> None:
    summary = {
        "_step": 41,
        "_runtime": 3,
        "loss": 0.5,
        "eval": {"acc": 0.75},
        "image": {"_type": "image-file", "width": 28},
        "bad": "NaN",
    }
    name = "wandb/run-20260101_000000-abc/files/wandb-summary.json"
    write(tmp_path, name, json.dumps(summary, indent=1))
    write(tmp_path, "wandb/run-20260101_000000-abc/run-abc.wandb", b"never read")
    reading = read(tmp_path)
    assert reading.metrics == (
        MeasuredMetric(name="eval.acc", value=0.75, step=41, source=name, line=5),
        MeasuredMetric(name="loss", value=0.5, step=41, source=name, line=4),
    )
    assert reading.gaps == (f"{name}: bad is NaN",)


def test_summary_that_is_no_object(tmp_path: Path) -> None:
    write(tmp_path, "wandb/run-1/files/wandb-summary.json", "[1]")
    (gap,) = read(tmp_path).gaps
    assert "no summary of a W&B run" in gap


def test_flood_of_files_and_of_metrics_is_cut_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write(tmp_path, f"{number}_metrics.json", json.dumps({f"m{n}": n for n in range(5)}))
    monkeypatch.setattr("mlbom.collect.trackers.reading._MOST_FILES", 3)
    monkeypatch.setattr("mlbom.collect.trackers.reading._MOST_METRICS", 10)
    reading = read(tmp_path)
    assert len(reading.metrics) == 10
    assert reading.gaps == (
        "1 more files of trackers were not read",
        "5 more metrics were left out",
    )
