"""The attention layers: dot-product (self, cross, and with rotated queries and keys) and synthesized.

All split the width into heads, mix value vectors with causal weights, and project the result back.
Subclasses say where the scores come from; the rest is shared.

Shapes: B batch, T positions (Tq of queries, Tk of keys), C width (`n_embd`), H heads, D = C/H.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dropout import Dropout


def causal_mask(n_query: int, n_key: int) -> Tensor:
    """(n_query, n_key) of ones where the key index is at most the query index, else zeros."""
    return torch.ones(n_query, n_key).tril()


def rotary_cache(n_positions: int, size: int) -> Tensor:
    """(n_positions, size/2, 2): cosine and sine of the angles position * 10000^(-2i/size), i from 0.

    Rotary position embedding (Su et al. 2021, section 3.2.2).
    """
    frequencies = 10000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)  # (size/2,)
    angles = torch.arange(n_positions)[:, None] * frequencies  # (n_positions, size/2)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()


def rotate(x: Tensor, cache: Tensor) -> Tensor:
    """Rotate each pair of neighbours, as a complex number, by its position's angle: (..., T, D), (..., T, D/2, 2) -> (..., T, D)"""
    dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has no complex counterpart
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).to(dtype))  # (..., T, D/2)
    turns = torch.view_as_complex(cache.to(dtype))  # (..., T, D/2)
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


class Attention(nn.Module):
    """What every layer shares: the value path, the heads and the projection.

    `config` is any object with `n_embd`, `n_head`, `block_size`, `attn_pdrop` and `resid_pdrop`.
    """

    mask: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(f"n_embd {config.n_embd} can't be split into {config.n_head} heads")
        self.n_head = config.n_head
        self.add_scoring(config)  # first, so that a printed layer lists its parts in the order of computation
        self.value = nn.Linear(config.n_embd, config.n_embd)
        self.attn_drop = Dropout(config.attn_pdrop)
        self.resid_drop = Dropout(config.resid_pdrop)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        mask = causal_mask(config.block_size, config.block_size)
        self.register_buffer("mask", mask[None, None])  # (1, 1, block_size, block_size)

    def add_scoring(self, config: Any) -> None:
        """Make the parameters that the layer's scores are computed from."""
        raise NotImplementedError

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)"""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)

    def mix(self, scores: Tensor, v: Tensor) -> Tensor:
        """softmax(scores_i) V_i for each head i: (B, H, Tq, Tk), (B, H, Tk, D) -> (B, H, Tq, D)"""
        mask = self.mask[:, :, : scores.size(2), : scores.size(3)]
        # minus infinity, not -1e10 or the like: a masked key's weight is exactly zero in every precision, whatever the scores
        weights = scores.masked_fill(mask == 0, -math.inf).softmax(dim=-1)  # (B, H, Tq, Tk)
        return self.attn_drop(weights) @ v

    def join_heads(self, y: Tensor) -> Tensor:
        """proj([Y_1; ...; Y_H]): (B, H, T, D) -> (B, T, C)"""
        return self.resid_drop(self.proj(y.transpose(1, 2).flatten(2)))


class CausalCrossAttention(Attention):
    """Y_i = softmax((X_q Q_i)(X_kv K_i)^T / sqrt(D)) (X_kv V_i): queries and keys from two sequences.

    Query t sees keys 0...t, whatever the two lengths (Vaswani et al. 2017, equation 1, with a mask; the formula leaves out
    the biases). A sum of D products of independent numbers of variance 1 has variance D: divided by sqrt(D), scores begin
    at the same size whatever D is, and the softmax does not begin as the choice of a single key.
    """

    def add_scoring(self, config: Any) -> None:
        self.key = nn.Linear(config.n_embd, config.n_embd)
        self.query = nn.Linear(config.n_embd, config.n_embd)

    def mark_positions(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Encode positions `at` (B, T), or 0...T-1, in queries or keys (B, H, T, D). Unchanged here: the embeddings hold them."""
        return x

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, H, Tq, D), (B, H, Tk, D) -> (B, H, Tq, Tk). The kernel in `forward` repeats this: who overrides it must override both."""
        return (q / math.sqrt(q.size(-1))) @ k.transpose(-2, -1)

    def forward(self, x_kv: Tensor, x_q: Tensor) -> Tensor:
        """(B, Tk, C), (B, Tq, C) -> (B, Tq, C)"""
        q = self.mark_positions(self.split_heads(self.query(x_q)))  # (B, H, Tq, D)
        k = self.mark_positions(self.split_heads(self.key(x_kv)))  # (B, H, Tk, D)
        v = self.split_heads(self.value(x_kv))  # (B, H, Tk, D)
        p = self.attn_drop.p if self.attn_drop.training else 0.0
        if p and q.is_cpu:  # the plain equation; what follows computes the same, but its dropout is slow on a CPU
            return self.join_heads(self.mix(self.scores(q, k), v))
        dtype = v.dtype
        with torch.autocast("cpu", enabled=False):  # on a CPU, its backward pass takes four times as long in bfloat16
            q, k, v = (x.float() if x.is_cpu and x.dtype == torch.bfloat16 else x for x in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)  # (B, H, Tq, D)
        return self.join_heads(y.to(dtype))


class CausalSelfAttention(CausalCrossAttention):
    """Cross-attention of a sequence with itself."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        return super().forward(x, x)


class RotarySelfAttention(CausalSelfAttention):
    """Self-attention with queries and keys rotated by position, so that scores depend on positions only through their distance."""

    rope_cache: Tensor

    def add_scoring(self, config: Any) -> None:
        super().add_scoring(config)
        self.register_buffer("rope_cache", rotary_cache(config.block_size, config.n_embd // config.n_head))

    def mark_positions(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        return rotate(x, self.rope_cache[: x.size(2)] if at is None else self.rope_cache[at][:, None])


class SynthesizerAttention(Attention):
    """Y_i = softmax(ReLU(X w1_i + b1_i) w2 + b2) (X V_i): scores from each position alone.

    The dense Synthesizer of Tay et al. 2020 (section 3.1), w2 shared by the heads. w2 scores block_size - 1
    positions, the length of a training example, and is cut to the length at hand.
    """

    def add_scoring(self, config: Any) -> None:
        self.w1 = nn.Linear(config.n_embd, config.n_embd)  # of all heads, side by side
        self.w2 = nn.Parameter(torch.empty(config.n_embd // config.n_head, config.block_size - 1))
        self.b2 = nn.Parameter(torch.zeros(config.block_size - 1))
        nn.init.uniform_(self.w2, -0.001, 0.001)

    def scores(self, x: Tensor, n_keys: int) -> Tensor:
        """The scores that positions x (B, T, C) give the first n_keys positions, at most block_size - 1: (B, H, T, n_keys)"""
        hidden = self.split_heads(self.w1(x)).relu()  # (B, H, T, D)
        return hidden @ self.w2[:, :n_keys] + self.b2[:n_keys]  # (B, H, T, n_keys)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), for T up to block_size - 1"""
        return self.join_heads(self.mix(self.scores(x, x.size(1)), self.split_heads(self.value(x))))
