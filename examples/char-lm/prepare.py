"""Data step: turn data/raw/*.txt into a training text, a validation text and a vocabulary."""

import argparse
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from dataset import UNKNOWN

TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "-", "–": "-"})


def normalise(paragraph: str) -> str:
    """Unwrap a paragraph and reduce it to plain typewriter characters.

    Args:
        paragraph: Lines of one paragraph, as the author wrapped them.

    Returns:
        The paragraph on one line, in NFKC, with straight quotes and hyphens for dashes.
    """
    text = unicodedata.normalize("NFKC", paragraph).translate(TYPOGRAPHY)
    return " ".join(text.split())


def read_paragraphs(folder: Path) -> list[str]:
    """Read the normalised paragraphs of every text in a folder, in order of file name.

    Args:
        folder: Folder that holds the raw ``*.txt`` files.

    Returns:
        The paragraphs; blank lines separate them in the files.

    Raises:
        FileNotFoundError: If the folder holds no text.
    """
    paragraphs = []
    for path in sorted(folder.glob("*.txt")):
        blocks = path.read_text(encoding="utf-8").split("\n\n")
        paragraphs += [normalised for block in blocks if (normalised := normalise(block))]
    if not paragraphs:
        raise FileNotFoundError(f"no text in {folder}/*.txt")
    return paragraphs


def is_held_out(paragraph: str, fraction: float) -> bool:
    """Decide by a hash of its content whether a paragraph belongs to the validation text.

    No random state is involved: a paragraph keeps its side when others are added, and two equal
    paragraphs can never end up on different sides.

    Args:
        paragraph: A normalised paragraph.
        fraction: Expected share of held-out paragraphs, between 0 and 1.

    Returns:
        True for validation, False for training.
    """
    digest = hashlib.sha256(paragraph.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def write_text(path: Path, paragraphs: list[str]) -> str:
    """Write paragraphs with a blank line between them.

    Args:
        path: File to write.
        paragraphs: Paragraphs in order.

    Returns:
        The text as written.
    """
    text = "\n\n".join(paragraphs) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return text


def prepare(root: Path, data: dict[str, Any]) -> None:
    """Write the training text, the validation text and the vocabulary.

    Args:
        root: Folder that the paths are relative to.
        data: The ``data`` section of the configuration.
    """
    paragraphs = read_paragraphs(root / data["raw"])
    held_out = [p for p in paragraphs if is_held_out(p, data["valid_fraction"])]
    kept = [p for p in paragraphs if not is_held_out(p, data["valid_fraction"])]

    train = write_text(root / data["train"], kept)
    valid = write_text(root / data["valid"], held_out)
    vocabulary = [UNKNOWN, *sorted(set(train))]
    vocab_json = json.dumps({"characters": vocabulary}, indent=1) + "\n"
    (root / data["vocab"]).write_text(vocab_json, encoding="utf-8", newline="\n")

    print(f"train  {len(kept):4d} paragraphs  {len(train):6d} characters")
    print(f"valid  {len(held_out):4d} paragraphs  {len(valid):6d} characters")
    print(f"vocab  {len(vocabulary):4d} characters  unseen in valid: {set(valid) - set(train)}")


def main() -> None:
    """Run the data step from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    prepare(args.config.parent, config["data"])


if __name__ == "__main__":
    main()
