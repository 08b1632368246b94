"""Characters as numbers: the vocabulary, and windows of text for the DataLoader."""

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class Vocabulary:
    """A two-way mapping between characters and their indices."""

    def __init__(self, characters: list[str]) -> None:
        """Index the characters in the order given.

        Args:
            characters: Distinct characters. The first must be UNKNOWN, which stands for all others.

        Raises:
            ValueError: If the first character is another.
        """
        if characters[0] != UNKNOWN:
            raise ValueError("the first character of a vocabulary must be the unknown character")
        self.characters = characters
        self._index = {character: i for i, character in enumerate(characters)}

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a vocabulary that prepare.py wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8"))["characters"])

    def __len__(self) -> int:
        """Return the number of characters, the unknown one included."""
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        """Return the indices of a text's characters, as int64 of shape (length,)."""
        return torch.tensor([self._index.get(character, 0) for character in text])

    def decode(self, tokens: Tensor) -> str:
        """Return the text that a one-dimensional tensor of indices stands for."""
        return "".join(self.characters[i] for i in tokens.tolist())


class TextWindows(Dataset[tuple[Tensor, Tensor]]):
    """Every window of a text, paired with the same window one character later."""

    def __init__(self, tokens: Tensor, context: int) -> None:
        """Keep the text; windows are cut on access.

        Args:
            tokens: The encoded text, of shape (length,).
            context: Characters in a window.

        Raises:
            ValueError: If the text is too short for a single window.
        """
        if len(tokens) <= context:
            raise ValueError(f"a text of {len(tokens)} characters has no window of {context}")
        self.tokens = tokens
        self.context = context

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.tokens) - self.context

    def __getitem__(self, start: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of the window that begins at ``start``."""
        window = self.tokens[start : start + self.context + 1]
        return window[:-1], window[1:]
