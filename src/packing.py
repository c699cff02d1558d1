"""A model in bfloat16 whose batches have no padding, for CUDA GPUs: sequences are laid end to end, and only attention tells them apart.

Weights are copied into it before a step, and gradients out of it afterwards. It computes what model.py says, in fewer,
larger kernels: queries, keys and values come from one matrix product; embeddings, from a product with ones and zeros,
whose gradient is such a product, too, whereas that of a lookup has to sort first.

Shapes: N positions of all sequences, b sequences, V vocabulary, P block size, C width, H heads, D = C/H.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anatomy import computes_as_written
from attention import Attention, CausalSelfAttention, RotarySelfAttention, SynthesizerAttention, rotate
from batches import Part, Shapes
from corpus import PAD
from model import GPT

LARGEST_HEAD = 192  # beyond this, some GPUs' kernels have no backward pass with dropout
MOST_CHARACTERS = 4096  # in a vocabulary, for ones and zeros to be cheaper than a lookup


class BF16Copy:
    """A bfloat16 copy of a model, which computes in its place."""

    shapes = Shapes(10**9, 8)  # a batch in one part, since the gradients of several would not be added up; few widths

    def __init__(self, model: GPT) -> None:
        self.master = model
        self.model = deepcopy(model).requires_grad_()
        self.copies = list(self.model.parameters())
        for copy in self.copies:  # but not rotary angles, which are not parameters
            copy.data = copy.data.bfloat16()
        # each tensor computed with, a parameter or several merged into one, and the parameters whose rows it holds
        self.leaves: dict[nn.Parameter, list[nn.Parameter]] = {parameter: [parameter] for parameter in self.copies}

    def compute(self, part: Part, gradients: Sequence[Tensor]) -> Tensor:
        """Write the gradients of the master's parameters for a part into `gradients`. Returns the part's share of the loss."""
        self.model.train(self.master.training)
        with torch.no_grad():
            torch._foreach_copy_(self.copies, list(self.master.parameters()))
        logits = self.logits(part).float()  # (N, V)
        loss = F.cross_entropy(logits, part.y.flatten(), ignore_index=self.model.ignored_target) * part.share
        of_leaves = torch.autograd.grad(loss, list(self.leaves), materialize_grads=True)
        found = {}
        for (leaf, parameters), gradient in zip(self.leaves.items(), of_leaves, strict=True):
            pieces = gradient.split([parameter.numel() // leaf[0].numel() for parameter in parameters])
            found |= {parameter: piece.view_as(parameter) for parameter, piece in zip(parameters, pieces, strict=True)}
        learning = [copy for copy, master in zip(self.copies, self.master.parameters(), strict=True) if master.requires_grad]
        torch._foreach_copy_(gradients, [found[parameter] for parameter in learning])
        return loss.detach()

    def merge(self, *parameters: nn.Parameter) -> nn.Parameter:
        """One parameter with the rows of several, which become views of it."""
        rows = [parameter.detach().flatten(0, max(0, parameter.dim() - 2)) for parameter in parameters]
        merged = nn.Parameter(torch.cat(rows))
        for parameter, piece in zip(parameters, merged.detach().split(list(map(len, rows))), strict=True):
            parameter.data = piece.view_as(parameter)
            del self.leaves[parameter]
        self.leaves[merged] = list(parameters)
        return merged

    def logits(self, part: Part) -> Tensor:
        """Logits (N, V) for a part (b, T), where N is b*T."""
        return self.model(part.x)[0].flatten(0, 1)


class PackedCopy(BF16Copy):
    """The same for packed parts, whose sequences are laid end to end."""

    shapes = Shapes(10**9, 512, packed=True)

    def __init__(self, model: GPT) -> None:
        super().__init__(model)
        # of the part at hand: positions (N,), where sequences begin (b + 1,), and which embeddings are added up (N, V + P)
        self.at, self.begins, self.ones = (torch.empty(0) for _ in range(3))
        self.embeddings = self.merge(self.model.tok_emb.weight, *(() if model.config.rope else (self.model.pos_emb,)))  # (V + P, C)
        for layer in (block.attn for block in self.model.blocks):
            if isinstance(layer, SynthesizerAttention):
                layer.forward = partial(self.synthesize, layer)
            else:
                projections = (layer.query, layer.key, layer.value)
                weights, biases = self.merge(*(p.weight for p in projections)), self.merge(*(p.bias for p in projections))
                layer.forward = partial(self.attend, layer, weights, biases)

    def logits(self, part: Part) -> Tensor:
        """Logits (N, V) for a part, packed or not; if not, all its sequences have the same length."""
        self.at, self.begins = (part.at, part.begins) if part.begins is not None else begin_all(part.x)
        x = part.x.flatten()  # (N,)
        chosen = torch.stack([x] if self.model.config.rope else [x, self.model.config.vocab_size + self.at], dim=1)  # (N, 1 or 2)
        self.ones = self.embeddings.new_zeros(len(x), len(self.embeddings)).scatter_(1, chosen, 1.0)
        h = self.model.blocks(self.model.drop(self.ones @ self.embeddings))  # (N, C)
        return self.model.head(self.model.ln_f(h))

    def attend(self, layer: CausalSelfAttention, weights: Tensor, biases: Tensor, x: Tensor) -> Tensor:
        """CausalSelfAttention within each sequence: (N, C) -> (N, C)"""
        qkv = F.linear(x, weights, biases).unflatten(1, (3, layer.n_head, -1))  # (N, 3, H, D)
        q, k, v = qkv.unbind(1)
        if isinstance(layer, RotarySelfAttention):
            q, k = rotate(qkv[:, :2], layer.rope_cache[self.at][:, None, None]).unbind(1)
        return self.project(layer, q, k, v, q.size(-1) ** -0.5)

    def synthesize(self, layer: SynthesizerAttention, x: Tensor) -> Tensor:
        """SynthesizerAttention within each sequence: (N, C) -> (N, C)

        Its scores are products, too: of queries [ReLU(x w1_i + b1_i), 1] with the positions' keys [w2; b2]. The kernels want
        eight more columns rather than one: the queries' other seven ones meet zeros in the keys.
        """
        q = F.pad(layer.w1(x).relu().unflatten(1, (layer.n_head, -1)), (0, 8), value=1.0)  # (N, H, D + 8)
        keys = F.pad(torch.cat([layer.w2, layer.b2[None]]), (0, 0, 0, 7)).T  # (P - 1, D + 8)
        k = self.ones[:, self.model.config.vocab_size : -1] @ keys  # (N, D + 8)
        v = F.pad(layer.value(x).unflatten(1, (layer.n_head, -1)), (0, 8))  # (N, H, D + 8)
        return self.project(layer, q, k[:, None].expand_as(q).contiguous(), v, 1.0)

    def project(self, layer: Attention, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """softmax(Q_i K_i^T scale) V_i for each sequence and head i, then the projection that ends all layers: (N, H, D) each -> (N, C)"""
        p = layer.attn_drop.p if layer.attn_drop.training else 0.0
        y = attend_apart(q, k, v, self.begins, self.model.config.block_size, p, scale)  # (N, H, D)
        size = layer.value.out_features // layer.n_head
        return layer.resid_drop(layer.proj(y[..., :size].flatten(1)))


def make_copy(model: GPT) -> BF16Copy | None:
    """The copy that suits the model; None for models that compute differently from this project's."""
    if not computes_as_written(model) or model.ignored_target != PAD or model.tok_emb.weight.dtype != torch.float32:
        return None
    size = model.config.n_embd // model.config.n_head + 8 * model.config.synthesizer  # of the heads, as the kernel sees them
    tied = len(list(model.parameters())) < len(list(model.named_parameters(remove_duplicate=False)))  # two that are one
    few = model.config.vocab_size <= MOST_CHARACTERS
    on_gpu = model.tok_emb.weight.is_cuda
    kernel = not on_gpu or torch.backends.cuda.is_flash_attention_available()  # not on Windows
    packs = not model.config.perceiver and few and kernel and not tied and size % 8 == 0 and size <= LARGEST_HEAD
    return PackedCopy(model) if packs else BF16Copy(model)


def begin_all(x: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (b*T,) and beginnings (b + 1,) of sequences (b, T), laid end to end."""
    b, T = x.shape
    at = torch.arange(T, device=x.device).repeat(b)
    return at, torch.arange(0, b * T + 1, T, dtype=torch.int32, device=x.device)


def attend_apart(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, longest: int, dropout: float, scale: float) -> Tensor:
    """Causal attention within sequences that are laid end to end: (N, H, D) each -> (N, H, D)

    Sequence i is begins[i] ... begins[i + 1]. Calls the kernel behind F.scaled_dot_product_attention (Dao 2023): its public
    form for such sequences, torch.nn.attention.varlen, has no dropout.
    """
    return torch.ops.aten._flash_attention_forward(q, k, v, begins, begins, longest, longest, dropout, True, False, scale=scale)[0]
