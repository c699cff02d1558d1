"""A model in bfloat16 whose batches have no padding, for CUDA GPUs: sequences stand end to end, and attention alone tells them apart.

Weights are copied into it before a step, and gradients out of it afterwards. What it computes is what model.py says, in
fewer and larger kernels: queries, keys and values come from one product of matrices; embeddings, from a product with
ones and zeros, whose gradient is one too, where that of looking up sorts.

Shapes: N positions of all sequences, b sequences, V vocabulary, P block size, C width, H heads, D = C/H.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attention import Attention, CausalSelfAttention, RotarySelfAttention, SynthesizerAttention, rotate
from batches import Part
from model import GPT, GPTConfig


class LowCopy:
    """A copy of a model in bfloat16, which computes in its place."""

    def __init__(self, model: GPT) -> None:
        self.master = model
        self.masters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.model = deepcopy(model).bfloat16()
        self.copies = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.merged: dict[nn.Parameter, list[nn.Parameter]] = {}  # what is computed with, and what its rows are

    def compute(self, parts: Sequence[Part], gradients: Sequence[Tensor]) -> Tensor:
        """Write the gradients of the parts' mean loss; that loss. A part's share may be a tensor on the device."""
        self.model.train(self.master.training)
        with torch.no_grad():
            torch._foreach_copy_(self.copies, self.masters)
        losses = [F.cross_entropy(self.logits(part).float(), part.y.flatten(), ignore_index=self.model.ignored_target) for part in parts]
        loss = torch.stack([loss * part.share for loss, part in zip(losses, parts, strict=True)]).sum()
        in_merged = {parameter for rows in self.merged.values() for parameter in rows}
        leaves = [*self.merged, *(parameter for parameter in self.copies if parameter not in in_merged)]
        found = dict(zip(leaves, torch.autograd.grad(loss, leaves), strict=True))
        for parameter, rows in self.merged.items():
            pieces = found[parameter].split([row.numel() // parameter[0].numel() for row in rows])
            found |= {row: piece.view_as(row) for row, piece in zip(rows, pieces, strict=True)}
        torch._foreach_copy_(gradients, [found[parameter] for parameter in self.copies])
        return loss.detach()

    def merge(self, *parameters: nn.Parameter) -> nn.Parameter:
        """One parameter with the rows of several, which become views of it."""
        rows = [parameter.detach().flatten(0, max(0, parameter.dim() - 2)) for parameter in parameters]
        merged = nn.Parameter(torch.cat(rows))
        for parameter, piece in zip(parameters, merged.detach().split(list(map(len, rows))), strict=True):
            parameter.data = piece.view_as(parameter)
        self.merged[merged] = list(parameters)
        return merged

    def logits(self, part: Part) -> Tensor:
        """(N, V) for a part (b, T), N being b*T."""
        return self.model(part.x)[0].flatten(0, 1)


class PackedCopy(LowCopy):
    """The same for parts whose sequences stand end to end."""

    def __init__(self, model: GPT) -> None:
        super().__init__(model)
        config = self.model.config
        self.n_positions = 0 if config.rope else config.block_size
        self.embeddings = self.merge(self.model.tok_emb.weight, *(() if config.rope else (self.model.pos_emb,)))
        for layer in self.model.modules():
            if isinstance(layer, CausalSelfAttention):
                projections = (layer.query, layer.key, layer.value)
                weights, biases = self.merge(*(p.weight for p in projections)), self.merge(*(p.bias for p in projections))
                layer.forward = partial(self.attend, layer, weights, biases)
            elif isinstance(layer, SynthesizerAttention):
                layer.forward = partial(self.synthesize, layer)

    def logits(self, part: Part) -> Tensor:
        """(N, V) for a packed part, or one that is not: then all sequences are as long."""
        self.at, self.begins = (part.at, part.begins) if part.begins is not None else begin_all(part.x)
        x = part.x.flatten()  # (N,)
        ones = torch.stack([x, self.model.config.vocab_size + self.at] if self.n_positions else [x], dim=1)  # (N, 2 or 1)
        self.ones = self.embeddings.new_zeros(len(x), len(self.embeddings)).scatter_(1, ones, 1.0)  # (N, V + P)
        h = self.model.blocks(self.model.drop(self.ones @ self.embeddings))  # (N, C)
        return self.model.head(self.model.ln_f(h))  # (N, V)

    def attend(self, layer: CausalSelfAttention, weights: Tensor, biases: Tensor, x: Tensor) -> Tensor:
        """CausalSelfAttention within each sequence: (N, C) -> (N, C)"""
        qkv = F.linear(x, weights, biases).unflatten(1, (3, layer.n_head, -1))  # (N, 3, H, D)
        q, k, v = qkv.unbind(1)
        if isinstance(layer, RotarySelfAttention):
            q, k = rotate(qkv[:, :2], layer.rope_cache[self.at][:, None, None]).unbind(1)
        return self.project(layer, q, k, v, q.size(-1) ** -0.5)

    def synthesize(self, layer: SynthesizerAttention, x: Tensor) -> Tensor:
        """SynthesizerAttention within each sequence: (N, C) -> (N, C)

        Its scores are products, too, of queries [ReLU(w1_i x), 1] with keys [w2; b2] of positions. Eight more columns than
        D, all but one of them zeros, suit the kernels.
        """
        q = F.pad(layer.w1(x).relu().unflatten(1, (layer.n_head, -1)), (0, 8), value=1.0)  # (N, H, D + 8)
        keys = F.pad(torch.cat([layer.w2, layer.b2[None]]), (0, 0, 0, 7)).T  # (P - 1, D + 8)
        k = self.ones[:, -self.n_positions :][:, : len(keys)] @ keys  # (N, D + 8)
        v = F.pad(layer.value(x).unflatten(1, (layer.n_head, -1)), (0, 8))  # (N, H, D + 8)
        return self.project(layer, q, k[:, None].expand_as(q).contiguous(), v, 1.0)

    def project(self, layer: Attention, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """softmax(Q_i K_i^T scale) V_i of each sequence and head i, and the end of all layers: (N, H, D) each -> (N, C)"""
        p = layer.attn_drop.p if layer.attn_drop.training else 0.0
        y = attend_apart(q, k, v, self.begins, self.model.config.block_size, p, scale)  # (N, H, D)
        size = layer.value.out_features // layer.n_head
        return layer.resid_drop(layer.proj(y[..., :size].flatten(1)))


def can_be_packed(config: GPTConfig) -> bool:
    """Whether PackedCopy can take the model: its positions must not be mixed, and its heads fit the kernel."""
    return not config.perceiver and config.n_embd // config.n_head % 8 == 0


def begin_all(x: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (b*T,) and beginnings (b + 1,) of sequences (b, T), end to end."""
    b, T = x.shape
    at = torch.arange(T, device=x.device).repeat(b)
    return at, torch.arange(0, b * T + 1, T, dtype=torch.int32, device=x.device)


def attend_apart(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, longest: int, dropout: float, scale: float) -> Tensor:
    """Causal attention within sequences that stand end to end: (N, H, D) each -> (N, H, D)

    Sequence i is begins[i] ... begins[i + 1]. The kernel behind F.scaled_dot_product_attention (Dao 2023): its public
    form for such sequences, torch.nn.attention.varlen, drops nothing.
    """
    return torch.ops.aten._flash_attention_forward(q, k, v, begins, begins, longest, longest, dropout, True, False, scale=scale)[0]
