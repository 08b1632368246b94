"""Tests of mlbom.collect.trackers.printed: which numbers of an output are measurements."""

from pathlib import Path

import pytest

from mlbom.collect.trackers.metric import MeasuredMetric, Reported
from mlbom.collect.trackers.printed import read_printed
from mlbom.collect.trackers.reading import read_metrics


def printed(folder: Path, text: str | bytes, **settings: int) -> list[Reported | str]:
    """Return what a log with some text tells."""
    log = folder / "stdout.log"
    log.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_printed(log, **settings))


def pairs(folder: Path, text: str | bytes) -> dict[str, float]:
    """Return name -> last value."""
    return {item.name: item.value for item in printed(folder, text) if isinstance(item, Reported)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("loss: 0.25", {"loss": 0.25}),
        ("loss=1e-3", {"loss": 0.001}),
        ("Loss = .5", {"Loss": 0.5}),
        ("perplexity 12", {"perplexity": 12}),
        ("epoch 3 | loss 0.12 acc 0.9", {"loss": 0.12, "acc": 0.9}),
        ("step 20: train loss 1.5, val loss 2.5", {"train_loss": 1.5, "val_loss": 2.5}),
        ("{'loss': 0.5, 'learning_rate': 5e-05, 'epoch': 1.0}", {"loss": 0.5}),
        ("{'eval_loss': '0.25', 'eval_runtime': 3.5}", {"eval_loss": 0.25, "eval_runtime": 3.5}),
        ('{"eval_f1": 0.5}', {"eval_f1": 0.5}),
        (
            "f1_macro=0.5 rougeL: 0.25 recall@10 = 0.75",
            {"f1_macro": 0.5, "rougeL": 0.25, "recall@10": 0.75},
        ),
        ("Loss/train: 0.5", {"Loss/train": 0.5}),
        ("Accuracy: 9913/10000 (99%)", {"Accuracy": 0.9913}),
        ("accuracy: 93.5%", {"accuracy": 93.5}),
        ("test_accuracy: -1", {"test_accuracy": -1}),
        ("\x1b[32mval_loss\x1b[0m: 0.5.", {"val_loss": 0.5}),
        (" 45%|## | 450/1000 [00:10<00:12, 43.2it/s, loss=0.5]", {"loss": 0.5}),
    ],
)
def test_measurements(tmp_path: Path, line: str, expected: dict[str, float]) -> None:
    assert pairs(tmp_path, line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "lr: 0.1 seed=3 epoch 5 step 10",
        "test_size=0.2 train_batch_size: 8 val_split=0.1 eval_steps: 500",
        "loss_scale: 65536",
        "loss in 3 batches",
        "loss 1.2.3",
        "loss: 1,234",
        "loss 5/10",
        "accuracy: 20/10",
        "accuracy: 1/0",
        "loss: information",
        "xloss: 0.5x",
        "glossy 3",
        "loss:",
        "the loss function of 2024",
        "'loss\": 0.5",
        "test 3",
        "train samples: 100",
    ],
)
def test_what_is_no_measurement(tmp_path: Path, line: str) -> None:
    assert pairs(tmp_path, line) == {}


def test_last_value_wins_with_its_line_and_step(tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    log.write_text("step 1: loss 0.9\nstep 2: loss 0.5\nepoch 7, acc: 0.1\n")
    assert read_metrics(log, [], tmp_path).metrics == (
        MeasuredMetric(name="acc", value=0.1, step=7, source="stdout", line=3),
        MeasuredMetric(name="loss", value=0.5, step=2, source="stdout", line=2),
    )


def test_not_a_number_is_a_gap(tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    log.write_text("loss: nan\nacc: inf ppl: -Infinity\n")
    reading = read_metrics(log, [], tmp_path)
    assert reading.metrics == ()
    assert reading.gaps == (
        "stdout: acc is infinite",
        "stdout: loss is NaN",
        "stdout: ppl is infinite",
    )


def test_progress_bar_is_one_line_of_many_pieces(tmp_path: Path) -> None:
    bar = b"".join(b"\r%d%% loss=%d.5" % (n, n) for n in range(101))
    found = printed(tmp_path, b"start\n" + bar + b"\nacc: 1\n")
    assert found[-2:] == [Reported("loss", 100.5, None, 2), Reported("acc", 1.0, None, 3)]


def test_overlong_line_and_binary_output_are_passed_over(tmp_path: Path) -> None:
    text = b"x" * 3_000_000 + b" loss: 0.9\n" + bytes(range(256)) + b"\nloss: 0.5\n"
    assert pairs(tmp_path, text) == {"loss": 0.5}


def test_number_across_a_chunk_is_not_cut(tmp_path: Path) -> None:
    filler = b"\n" * (1024 * 1024 - len(b"loss: 0.12"))
    assert pairs(tmp_path, filler + b"loss: 0.123456\n") == {"loss": 0.123456}


def test_of_a_long_log_the_end_counts(tmp_path: Path) -> None:
    text = "loss: 0.9\n" * 100 + "loss: 0.5\n"
    told, *rest = printed(tmp_path, text, tail_nbytes=25)
    assert told == "of standard output only the last 25 bytes were read for metrics"
    assert rest == [Reported("loss", 0.9, None, 100), Reported("loss", 0.5, None, 101)]


def test_hostile_lines_take_no_time(tmp_path: Path) -> None:
    lines = [
        "a" * 4000,
        "a." * 2000,
        "loss " * 800,
        "train " * 600,
        "1".join(["loss" + " " * 3990] * 2),
        "=" * 4000,
    ]
    assert pairs(tmp_path, "\n".join(lines * 20)) == {}
