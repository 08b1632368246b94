"""Data step: turn data/raw/*.txt into a training text, a validation text and a vocabulary."""

import argparse
import json
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from dataset import UNKNOWN

TYPOGRAPHY = str.maketrans(
    {
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{EM DASH}": "-",
    }
)


def normalise(paragraph: str) -> str:
    """Unwrap a paragraph and reduce it to plain typewriter characters.

    Args:
        paragraph: Lines of one paragraph, as the author wrapped them.

    Returns:
        The paragraph on one line, in NFKC, with straight quotes and hyphens for dashes.
    """
    text = unicodedata.normalize("NFKC", paragraph).translate(TYPOGRAPHY)
    return " ".join(text.split())


def read_passages(path: Path, min_chars: int) -> list[str]:
    """Cut a text into passages: runs of whole paragraphs with blank lines between them.

    Passages, and not paragraphs, are what the split hands out: a paragraph of a dialogue is often
    a few words long, and a validation text made of those would be a heap of loose replies.

    Args:
        path: A UTF-8 text in which blank lines separate the paragraphs.
        min_chars: Length at which a passage is complete; the last one may be shorter.

    Returns:
        The normalised passages, in order.
    """
    passages, current = [], ""
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        current = f"{current}\n\n{normalise(paragraph)}".strip()
        if len(current) >= min_chars:
            passages.append(current)
            current = ""
    return [*passages, current] if current else passages


def write_text(path: Path, passages: list[str]) -> str:
    """Write passages with a blank line between them.

    Args:
        path: File to write.
        passages: Passages in order.

    Returns:
        The text as written.
    """
    text = "\n\n".join(passages) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
    return text


def prepare(root: Path, data: dict[str, Any]) -> None:
    """Write the training text, the validation text and the vocabulary.

    Args:
        root: Folder that the paths are relative to.
        data: The ``data`` section of the configuration.

    Raises:
        FileNotFoundError: If there is no raw text.
    """
    paths = sorted((root / data["raw"]).glob("*.txt"))
    if not paths:
        raise FileNotFoundError(f"no text in {data['raw']}/*.txt")
    passages = [p for path in paths for p in read_passages(path, data["passage_chars"])]
    every = data["hold_out_every"]
    held_out = passages[every - 1 :: every]
    kept = [p for i, p in enumerate(passages, start=1) if i % every]

    train = write_text(root / data["train"], kept)
    valid = write_text(root / data["valid"], held_out)
    vocabulary = [UNKNOWN, *sorted(set(train))]
    vocab_json = json.dumps({"characters": vocabulary}, indent=1) + "\n"
    (root / data["vocab"]).write_text(vocab_json, encoding="utf-8", newline="\n")

    unknown = sum(character not in vocabulary for character in valid)
    print(f"train  {len(kept):3d} passages  {len(train):6d} characters")
    print(f"valid  {len(held_out):3d} passages  {len(valid):6d} characters, {unknown} unknown")
    print(f"vocab  {len(vocabulary):3d} characters")


def main() -> None:
    """Run the data step from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    prepare(args.config.parent, config["data"])


if __name__ == "__main__":
    main()
