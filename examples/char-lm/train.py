"""Training: fit the character model and write its weights and metrics."""

import argparse
import json
import math
import random
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from dataset import TextWindows, Vocabulary
from evaluate import score_characters
from model import CharLM, ModelConfig


def seed_everything(seed: int) -> torch.Generator:
    """Seed every source of randomness and ask torch for deterministic algorithms.

    Args:
        seed: The seed of the run.

    Returns:
        A generator of its own for the order of the data.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    return torch.Generator().manual_seed(seed)


def seed_worker(worker_id: int) -> None:
    """Seed the libraries that torch does not seed in a DataLoader worker."""
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)


def make_loader(
    tokens: Tensor, context: int, options: dict[str, Any], generator: torch.Generator
) -> DataLoader:
    """Build a loader that yields exactly one batch of random windows per step.

    Args:
        tokens: The encoded training text.
        context: Characters in a window.
        options: The ``training`` section of the configuration.
        generator: Source of the order of the windows and of the workers' seeds.

    Returns:
        The loader.
    """
    windows = TextWindows(tokens, context)
    samples = options["steps"] * options["batch_size"]
    return DataLoader(
        windows,
        batch_size=options["batch_size"],
        sampler=RandomSampler(windows, replacement=True, num_samples=samples, generator=generator),
        num_workers=options["num_workers"],
        worker_init_fn=seed_worker,
        generator=generator,
    )


def make_optimizer(model: CharLM, options: dict[str, Any]) -> torch.optim.AdamW:
    """Create AdamW, with weight decay on the matrices and none on biases and norms.

    Args:
        model: The model to train.
        options: The ``training`` section of the configuration.

    Returns:
        The optimiser.
    """
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": options["weight_decay"]},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options["learning_rate"])


def schedule(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate: a linear warm-up, then half a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(model: CharLM, loader: DataLoader, valid: Tensor, options: dict[str, Any]) -> None:
    """Train the model in place, printing the loss as it goes.

    Args:
        model: The model to train.
        loader: One batch for each step.
        valid: The encoded validation text, scored now and then.
        options: The ``training`` section of the configuration.
    """
    optimizer, steps = make_optimizer(model, options), options["steps"]
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(step, steps, options["warmup_steps"])
    )
    started = time.perf_counter()
    model.train()
    for step, (inputs, targets) in enumerate(loader, start=1):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options["gradient_clip"])
        optimizer.step()
        scheduler.step()
        if step % options["log_every"] == 0 or step == steps:
            seconds = time.perf_counter() - started
            print(f"step {step:5d}/{steps}  loss {loss.item():.4f}  {seconds:6.1f} s", flush=True)
        if step % options["valid_every"] == 0 and step != steps:
            valid_loss = score_characters(model, valid)[0].mean()
            print(f"step {step:5d}/{steps}  valid loss {valid_loss:.4f}", flush=True)


def save_weights(model: CharLM, path: Path, seed: int, steps: int) -> None:
    """Write the weights as safetensors, with a few words about their origin.

    Args:
        model: The trained model.
        path: File to write.
        seed: Seed of the run.
        steps: Steps trained.
    """
    pyproject = (Path(__file__).parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(pyproject)["project"]
    metadata = {
        "format": "pt",
        "model_name": project["name"],
        "version": project["version"],
        "license": project["license"],
        "seed": str(seed),
        "steps": str(steps),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path, metadata=metadata)
    sort_metadata(path)


def sort_metadata(path: Path) -> None:
    """Put the metadata of a safetensors file in order of key.

    The library writes it in the order of a hash map, which differs from process to process: without
    this, equal weights would still make unequal files.

    Args:
        path: The file, rewritten in place.
    """
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":")).encode("utf-8").ljust(end - 8)
    path.write_bytes(content[:8] + ordered + content[end:])


def train(root: Path, config: dict[str, Any], out: Path) -> dict[str, Any]:
    """Train as configured and write weights/char-lm.safetensors and metrics.json.

    Args:
        root: Folder that the data paths are relative to.
        config: The whole configuration.
        out: Folder to write to.

    Returns:
        The content of metrics.json.
    """
    generator = seed_everything(config["seed"])
    torch.set_num_threads(config["threads"])
    data, options = config["data"], config["training"]
    vocabulary = Vocabulary.load(root / data["vocab"])
    train_tokens = vocabulary.encode((root / data["train"]).read_text(encoding="utf-8"))
    valid_tokens = vocabulary.encode((root / data["valid"]).read_text(encoding="utf-8"))

    model = CharLM(ModelConfig(vocab_size=len(vocabulary), **config["model"]))
    print(f"{model.parameter_count()} parameters, {len(train_tokens)} training characters")
    loader = make_loader(train_tokens, model.config.context, options, generator)
    fit(model, loader, valid_tokens, options)
    save_weights(model, out / "weights" / "char-lm.safetensors", config["seed"], options["steps"])

    train_loss = score_characters(model, train_tokens)[0].mean().item()
    valid_loss = score_characters(model, valid_tokens)[0].mean().item()
    metrics = {
        "train_loss": round(train_loss, 4),
        "valid_loss": round(valid_loss, 4),
        "train_bits_per_char": round(train_loss / math.log(2), 4),
        "valid_bits_per_char": round(valid_loss / math.log(2), 4),
        "steps": options["steps"],
        "seed": config["seed"],
        "parameters": model.parameter_count(),
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--steps", type=int, help="train for this many steps instead")
    parser.add_argument("--out", type=Path, help="folder to write to (default: beside the config)")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    if args.steps is not None:
        config["training"]["steps"] = args.steps

    metrics = train(args.config.parent, config, args.out or args.config.parent)
    for name, value in metrics.items():
        print(f"{name:24s}{value}")


if __name__ == "__main__":
    main()
