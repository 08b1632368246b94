"""Sampling, for fun: let the trained model continue a line of text."""

import argparse
from pathlib import Path

import torch
import yaml

from dataset import Vocabulary
from evaluate import load_model
from model import CharLM


@torch.inference_mode()
def continue_text(
    model: CharLM, vocabulary: Vocabulary, prompt: str, length: int, temperature: float
) -> str:
    """Draw characters one at a time.

    Args:
        model: The model, in evaluation mode.
        vocabulary: Its characters.
        prompt: Text to begin with; not empty.
        length: Number of characters to add.
        temperature: Below 1 for the cautious, above 1 for the bold.

    Returns:
        The prompt and its continuation.
    """
    tokens = vocabulary.encode(prompt)
    for _ in range(length):
        logits = model(tokens[None, -model.config.context :])[0, -1] / temperature
        logits[0] = -torch.inf  # never the unknown character
        following = torch.multinomial(logits.softmax(dim=-1), num_samples=1)
        tokens = torch.cat([tokens, following])
    return vocabulary.decode(tokens)


def main() -> None:
    """Sample from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--length", type=int, default=400)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    root = args.config.parent
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))

    torch.manual_seed(args.seed)
    vocabulary = Vocabulary.load(root / config["data"]["vocab"])
    weights = root / "weights" / "char-lm.safetensors"
    model = load_model(weights, len(vocabulary), config["model"])
    print(continue_text(model, vocabulary, args.prompt, args.length, args.temperature))


if __name__ == "__main__":
    main()
