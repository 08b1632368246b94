"""Tests of which metrics tell the quality of a model."""

import pytest

from mlbom.reproduce.quality import is_quality


@pytest.mark.parametrize(
    "name",
    [
        "accuracy", "eval/loss", "val_acc", "train_loss_step", "val_acc_epoch", "perplexity",
        "pass@1", "top-5", "IoU", "eval.f1",
    ],
)  # fmt: skip
def test_what_is_measured_of_a_model_is_quality(name: str) -> None:
    assert is_quality(name)


@pytest.mark.parametrize(
    "name",
    [
        "epoch", "step", "steps", "train/global_step", "globalStep", "seed", "parameters",
        "num_examples", "wall_time", "train_seconds", "eval_samples_per_second",
        "steps-per-second", "lr", "optimizer/lr", "learning_rate", "learningRate", "samples",
        "train_runtime", "",
    ],
)  # fmt: skip
def test_counters_settings_and_times_are_none(name: str) -> None:
    assert not is_quality(name)
