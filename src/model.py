"""The model: a character GPT in four variants that share everything except what their names say.

    vanilla      embed -> Block x n_layer -> LayerNorm -> head (logits)
    synthesizer  the same, with SynthesizerAttention in each block
    rope         the same, with RotarySelfAttention in each block and no position embeddings
    perceiver    embed -> DownProjectBlock -> Block x (n_layer - 2) -> UpProjectBlock (queries: embed) -> LayerNorm -> head

Shapes: B batch, T positions, C width (`n_embd`), V vocabulary, m latents (`bottleneck_dim`).
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attention import Attention, CausalCrossAttention, CausalSelfAttention, RotarySelfAttention, SynthesizerAttention
from console import UserError
from corpus import PAD
from dropout import Dropout
from recipes import VARIANTS


def variant_flags(variant: str, bottleneck_dim: int) -> dict[str, Any]:
    """The fields of a GPTConfig that make the model that variant."""
    if variant == "vanilla":
        return {}
    return {variant: True} | ({"bottleneck_dim": bottleneck_dim} if variant == "perceiver" else {})


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model. The defaults are the assignment's 3.3M parameters."""

    vocab_size: int
    block_size: int  # the longest text that the model reads, in characters (a synthesizer one less)
    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 256
    embd_pdrop: float = 0.1  # dropout after the embeddings
    resid_pdrop: float = 0.1  # dropout at the end of attention and MLP
    attn_pdrop: float = 0.1  # dropout of attention weights
    perceiver: bool = False
    bottleneck_dim: int | None = None  # latents of the perceiver
    synthesizer: bool = False
    rope: bool = False  # rotary embeddings in place of learned positions

    def __post_init__(self) -> None:
        if self.perceiver and not 1 <= (self.bottleneck_dim or 0) <= self.block_size:
            raise UserError(f"bottleneck_dim is {self.bottleneck_dim}: it must lie between 1 and the block size {self.block_size}")
        if self.perceiver and self.n_layer < 2:
            raise UserError("a perceiver has a first and a last block: n_layer must be at least 2")
        if self.perceiver + self.synthesizer + self.rope > 1:
            raise UserError("a model is a perceiver, a synthesizer or one with rope, not several at once")
        if self.rope and self.n_embd // self.n_head % 2:
            raise UserError(f"rope rotates pairs: the head size, n_embd {self.n_embd} / n_head {self.n_head}, must be even")

    @property
    def variant(self) -> str:
        """The variant's name."""
        return next((name for name in VARIANTS[1:] if getattr(self, name)), "vanilla")

    @classmethod
    def of(cls, config: Any) -> Self:
        """A config with the attributes of any object; those that it lacks take their defaults."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)})


class Block(nn.Module):
    """Attention and an MLP, each applied to the normalised input and added to the input.

    Like the layers, the blocks and the model take a GPTConfig or any object with its attributes.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.attn = self.choose_attention(config)(config)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.GELU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            Dropout(config.resid_pdrop),
        )

    def choose_attention(self, config: Any) -> type[Attention]:
        """The class of the block's attention layer."""
        if getattr(config, "synthesizer", False):
            return SynthesizerAttention
        return RotarySelfAttention if getattr(config, "rope", False) else CausalSelfAttention

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class CrossBlock(Block):
    """What the perceiver's first and last block share: attention from one sequence to another.

    Unlike in Block, nothing is added to what attention gives; `ln1` normalises the latents, and the input is read as it is.
    """

    def choose_attention(self, config: Any) -> type[Attention]:
        return CausalCrossAttention


class DownProjectBlock(CrossBlock):
    """The perceiver's first block: m learned queries, `C` (not the width), read the input (Jaegle et al. 2021, with a causal mask)."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.C = nn.Parameter(torch.empty(1, config.bottleneck_dim, config.n_embd))
        nn.init.xavier_uniform_(self.C[0])  # as a matrix (m, C): with the leading 1, it would take m C for the number of its inputs

    def forward(self, x_input: Tensor) -> Tensor:
        """(B, T, C) -> (B, m, C): latent i sees inputs 0...i, so inputs from m on are not read here"""
        latents = self.C.expand(x_input.size(0), -1, -1)
        h = self.attn(x_input[:, : latents.size(1)], self.ln1(latents))
        return h + self.mlp(self.ln2(h))


class UpProjectBlock(CrossBlock):
    """The perceiver's last block: each input position reads the latents."""

    def forward(self, y: Tensor, x_input: Tensor) -> Tensor:
        """(B, m, C), (B, T, C) -> (B, T, C): position t sees latents 0...t"""
        h = self.attn(self.ln1(y), x_input)
        return h + self.mlp(self.ln2(h))


class GPT(nn.Module):
    """Character indices in, logits of the next character out."""

    ignored_target = PAD  # targets with this index carry no loss

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config = GPTConfig.of(config)
        self.tok_emb = nn.Embedding(config.vocab_size, config.n_embd)
        if not config.rope:
            self.pos_emb = nn.Parameter(torch.zeros(1, config.block_size, config.n_embd))
        self.drop = Dropout(config.embd_pdrop)
        if config.perceiver:
            inner = replace(config, block_size=config.bottleneck_dim)
            self.down_block = DownProjectBlock(config)
            self.blocks = nn.Sequential(*(Block(inner) for _ in range(config.n_layer - 2)))
            self.up_block = UpProjectBlock(config)
        else:
            self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.apply(init_weights)

    def get_block_size(self) -> int:
        """The longest input that `forward` takes."""
        return self.config.block_size - int(self.config.synthesizer)

    def embed(self, idx: Tensor, at: Tensor | None = None) -> Tensor:
        """What the blocks read (B, T, C): characters (B, T), embedded at the positions `at` (B, T), or 0...T-1."""
        x = self.tok_emb(idx)
        if self.config.rope:
            return x
        return x + (self.pos_emb[:, : idx.size(1)] if at is None else self.pos_emb[0, at])

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T, V) for indices (B, T) and, given targets (B, T), the mean loss over those that are not PAD, in nats.

        Raises ValueError if T is greater than `get_block_size()`.
        """
        T = idx.size(1)
        if T > self.get_block_size():
            raise ValueError(f"an input of {T} characters is longer than the {self.get_block_size()} that the model takes")
        x = self.drop(self.embed(idx))  # (B, T, C)
        if self.config.perceiver:
            latents = self.down_block(x)[:, :T]  # (B, min(m, T), C): no position sees the others
            x = self.up_block(self.blocks(latents), x)  # (B, T, C)
        else:
            x = self.blocks(x)  # (B, T, C)
        logits = self.head(self.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=self.ignored_target)


def init_weights(module: nn.Module) -> None:
    """Weights normal with a standard deviation of 0.02, biases 0 (as in GPT-2, but for its smaller residual projections).

    The rest is initialised where it is made: LayerNorm to 1 and 0, `pos_emb` to 0, `C` Xavier uniform, `w2` uniform.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
