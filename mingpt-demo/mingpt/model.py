"""A decoder-only Transformer: characters in, a guess at each next one out (Radford et al. 2019)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Shape(NamedTuple):
    """B rows, T positions, C = width, H = heads."""

    characters: int
    length: int = 96
    layers: int = 4
    heads: int = 4
    width: int = 128


class Block(nn.Module):
    """Each position looks at itself and those before it, then thinks for itself; both are added to what it was."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.join = nn.Linear(shape.width, shape.width)
        self.mlp = nn.Sequential(nn.Linear(shape.width, 4 * shape.width), nn.GELU(), nn.Linear(4 * shape.width, shape.width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        parts = self.query_key_value(self.before_attention(x)).chunk(3, dim=-1)  # (B, T, C) each
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, H, T, C/H)
        # softmax(q k^T / sqrt(C/H)) v, where each position weighs itself and those before it
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, C/H)
        x = x + self.join(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.before_mlp(x))


class GPT(nn.Module):
    """Embeddings of characters and positions, blocks, and a guess."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.character = nn.Embedding(shape.characters, shape.width)
        self.position = nn.Embedding(shape.length, shape.width)
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.layers)))
        self.norm = nn.LayerNorm(shape.width)
        self.guess = nn.Linear(shape.width, shape.characters, bias=False)
        for part in (self.character, self.position, self.guess):
            nn.init.normal_(part.weight, std=0.02)  # small: at first, all characters are about equally likely

    def forward(self, x: Tensor) -> Tensor:
        """Indices (B, T) -> logits of what comes next (B, T, characters)"""
        at = torch.arange(x.size(1), device=x.device)
        return self.guess(self.norm(self.blocks(self.character(x) + self.position(at))))

    @torch.no_grad()
    def write(self, beginning: Tensor, n: int, temperature: float = 0.8) -> Tensor:
        """Go on from indices (T,) by n characters, drawn at a temperature: (T + n,)"""
        x = beginning[None]  # (1, T)
        for _ in range(n):
            logits = self(x[:, -self.shape.length :])[0, -1] / temperature  # (characters,)
            x = torch.cat([x, torch.multinomial(logits.softmax(dim=-1), 1)[None]], dim=1)
        return x[0]
