"""Evaluation: score the trained weights on the validation text and write eval.json."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file
from torch import Tensor

from dataset import Vocabulary
from model import CharLM, ModelConfig


def load_model(weights: Path, vocab_size: int, sizes: dict[str, Any]) -> CharLM:
    """Build the model and fill it with trained weights.

    Args:
        weights: A safetensors file written by train.py.
        vocab_size: Number of characters in the vocabulary.
        sizes: The ``model`` section of the configuration.

    Returns:
        The model, in evaluation mode.
    """
    model = CharLM(ModelConfig(vocab_size=vocab_size, **sizes))
    model.load_state_dict(load_file(weights))
    return model.eval()


@torch.inference_mode()
def score_characters(model: CharLM, tokens: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Predict every character of a text but the first.

    Windows overlap by half, and only the new half of each is scored, so that all characters after
    the first window are predicted from at least half a context.

    Args:
        model: The model; its mode is put back afterwards.
        tokens: The encoded text, of shape (length,).

    Returns:
        For each character, the loss in nats and whether the likeliest guess was right.
    """
    context, was_training = model.config.context, model.training
    stride = context // 2
    model.eval()
    losses, hits = [], []
    for start in range(0, max(1, len(tokens) - 1 - (context - stride)), stride):
        window = tokens[start : start + context + 1]
        fresh = 0 if start == 0 else context - stride
        logits = model(window[None, :-1])[0, fresh:]
        targets = window[1:][fresh:]
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
        hits.append(logits.argmax(dim=-1) == targets)
    model.train(was_training)
    return torch.cat(losses).double().numpy(), torch.cat(hits).numpy()


def unigram_loss(train: Tensor, valid: Tensor, vocab_size: int) -> float:
    """Return the loss, in nats, of guessing by add-one letter frequency alone."""
    counts = torch.bincount(train, minlength=vocab_size).double() + 1
    return -(counts / counts.sum()).log()[valid[1:]].mean().item()


def bootstrap_interval(values: np.ndarray, block: int, resamples: int, seed: int) -> list[float]:
    """Estimate a 95 % interval of a mean over a text, by a block bootstrap.

    Args:
        values: One value per character, in the order of the text.
        block: Characters resampled together; a shorter rest at the end is left out.
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling.

    Returns:
        The 2.5th and the 97.5th percentile of the resampled means.
    """
    whole = len(values) // block * block
    block_means = values[:whole].reshape(-1, block).mean(axis=1)
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(block_means), size=(resamples, len(block_means)))
    return np.percentile(block_means[picks].mean(axis=1), [2.5, 97.5]).tolist()


def evaluate(root: Path, config: dict[str, Any], weights: Path) -> dict[str, Any]:
    """Score trained weights on the validation text.

    Args:
        root: Folder that the data paths are relative to.
        config: The whole configuration.
        weights: The safetensors file to score.

    Returns:
        The content of eval.json.
    """
    data, options = config["data"], config["evaluation"]
    vocabulary = Vocabulary.load(root / data["vocab"])
    train = vocabulary.encode((root / data["train"]).read_text(encoding="utf-8"))
    valid = vocabulary.encode((root / data["valid"]).read_text(encoding="utf-8"))
    model = load_model(weights, len(vocabulary), config["model"])

    losses, hits = score_characters(model, valid)
    loss, accuracy = losses.mean().item(), hits.mean().item()
    block, resamples = options["bootstrap_block"], options["bootstrap_resamples"]
    interval = bootstrap_interval(hits, block, resamples, config["seed"])
    return {
        "dataset": data["valid"],
        "split": "valid",
        "characters": len(losses),
        "loss": round(loss, 4),
        "bits_per_char": round(loss / math.log(2), 4),
        "perplexity": round(math.exp(loss), 4),
        "accuracy": round(accuracy, 4),
        "accuracy_ci95": [round(bound, 4) for bound in interval],
        "baseline_bits_per_char": round(
            unigram_loss(train, valid, len(vocabulary)) / math.log(2), 4
        ),
    }


def main() -> None:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--out", type=Path, help="folder of the run (default: beside the config)")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    out = args.out or args.config.parent

    torch.set_num_threads(config["threads"])
    result = evaluate(args.config.parent, config, out / "weights" / "char-lm.safetensors")
    (out / "eval.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, value in result.items():
        print(f"{name:24s}{value}")


if __name__ == "__main__":
    main()
