"""The model: a small causal transformer over characters."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model.

    Attributes:
        vocab_size: Number of distinct characters.
        context: Longest input, in characters.
        width: Size of the residual stream.
        layers: Number of transformer blocks.
        heads: Attention heads in each block; divides width.
    """

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, config: ModelConfig) -> None:
        """Create the projections."""
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix each position with those before it; (batch, time, width) to the same shape."""
        batch, time, width = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """A pre-norm transformer block: attention, then a two-layer perceptron."""

    def __init__(self, config: ModelConfig) -> None:
        """Create the two halves of the block."""
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm_mlp = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, 4 * config.width),
            nn.GELU(),
            nn.Linear(4 * config.width, config.width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what both halves have to say to the residual stream."""
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class CharLM(nn.Module):
    """A language model that predicts the next character of a text."""

    def __init__(self, config: ModelConfig) -> None:
        """Create and initialise the layers.

        Args:
            config: Sizes of the model.
        """
        super().__init__()
        self.config = config
        self.character = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        """Draw small weights and clear the biases of a linear layer or an embedding."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.05)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every possible next character at every position.

        Args:
            tokens: Indices of shape (batch, time), with time at most the context.

        Returns:
            Logits of shape (batch, time, vocab_size).
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.character(tokens) + self.position(positions)
        for block in self.blocks:
            x = block(x)
        # The output layer shares its weights with the character embedding.
        return F.linear(self.norm(x), self.character.weight)

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)
