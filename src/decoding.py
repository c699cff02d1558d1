"""Decoding many answers at once, greedily or by beam search, and reading each character once.

The keys and values that attention looks back at are cached, so a step computes only the newest position of each row. The
wiring of the blocks is repeated here for positions instead of sequences; tests check that it is equivalent to model.py's.
Models that compute in a way of their own are given the whole text at each step.

Shapes: B rows, t new positions, T all positions, m latents, V vocabulary, C width, H heads, D = C/H.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from anatomy import computes_as_written
from attention import Attention, SynthesizerAttention
from corpus import PAD
from model import GPT, Block

ANSWER_LENGTH = 32  # characters decoded for an answer, at most
AT_A_TIME = 64  # questions per batch: on two cores, more are slower


class KVCache:
    """The keys and values of one attention layer, (B, H, T, D), filled in as positions become known."""

    def __init__(self, layer: Attention, n_rows: int, n_positions: int) -> None:
        self.layer = layer
        weight = layer.value.weight
        shape = (n_rows, layer.n_head, n_positions, weight.size(0) // layer.n_head)
        self.keys, self.values = weight.new_zeros(shape), weight.new_zeros(shape)

    def write(self, x: Tensor, at: Tensor) -> None:
        """Fill in the positions `at` (B, t) from their inputs x (B, t, C)."""
        rows = torch.arange(len(x), device=x.device)[:, None]  # (B, 1)
        self.values[rows, :, at] = self.layer.split_heads(self.layer.value(x)).transpose(1, 2)  # (B, t, H, D)
        if not isinstance(self.layer, SynthesizerAttention):
            keys = self.layer.mark_positions(self.layer.split_heads(self.layer.key(x)), at)  # (B, H, t, D)
            self.keys[rows, :, at] = keys.transpose(1, 2)

    def read(self, x: Tensor, at: Tensor) -> Tensor:
        """The layer's output (B, t, C) for queries from x (B, t, C), each of which sees the positions 0 ... at (B, t)."""
        layer, seen = self.layer, int(at.max()) + 1
        if isinstance(layer, SynthesizerAttention):
            scores = layer.scores(x, seen)  # (B, H, t, seen)
        else:
            queries = layer.mark_positions(layer.split_heads(layer.query(x)), at)  # (B, H, t, D)
            scores = layer.scores(queries, self.keys[:, :, :seen])  # (B, H, t, seen)
        unseen = torch.arange(seen, device=x.device) > at[:, None, :, None]  # (B, 1, t, seen)
        weights = scores.masked_fill(unseen, -math.inf).softmax(dim=-1)
        return layer.join_heads(weights @ self.values[:, :, :seen])

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows."""
        self.keys, self.values = self.keys[rows], self.values[rows]


class Decoder:
    """A model that remembers what it has read in B rows, each of which may be at a different position."""

    def __init__(self, model: GPT, n_rows: int, n_positions: int) -> None:
        self.model = model
        layers = [module for module in model.modules() if isinstance(module, Attention)]
        self.caches = {layer: KVCache(layer, n_rows, n_positions) for layer in layers}

    def forward(self, idx: Tensor, at: Tensor, last: Tensor | int = -1) -> Tensor:
        """Logits (B, V) of what follows column `last` (B,) of the characters idx (B, t), which stand at the positions `at` (B, t).

        A row's earlier positions must have been read before, or be among these. Shorter rows are padded on the right with
        anything: no position looks there, and it is overwritten later.
        """
        x = self.read(idx, at)[torch.arange(len(idx), device=idx.device), last]  # (B, C)
        return self.model.head(self.model.ln_f(x))

    def read(self, idx: Tensor, at: Tensor) -> Tensor:
        """What the last block gives (B, t, C) for characters (B, t) at the positions `at` (B, t)."""
        model = self.model
        x = model.embed(idx, at)  # (B, t, C)
        if not model.config.perceiver:
            for block in model.blocks:
                x = self.block(block, x, at)
            return x
        # a position past the last latent recomputes that one, unchanged, and sees it
        latent = at.clamp(max=model.config.bottleneck_dim - 1)  # (B, t)
        y = self.cross(model.down_block, x, model.down_block.ln1(model.down_block.C[0, latent]), at, latent)
        for block in model.blocks:
            y = self.block(block, y, latent)
        return self.cross(model.up_block, model.up_block.ln1(y), x, latent, latent)

    def block(self, block: Block, x: Tensor, at: Tensor) -> Tensor:
        """Block.forward for the positions `at` (B, t): (B, t, C) -> (B, t, C)"""
        normal = block.ln1(x)
        h = x + self.attend(block.attn, normal, normal, at, at)
        return h + block.mlp(block.ln2(h))

    def cross(self, block: Block, x_kv: Tensor, x_q: Tensor, at_kv: Tensor, at_q: Tensor) -> Tensor:
        """The same for the perceiver's two ends: (B, t, C) at at_kv, (B, t, C) that see 0 ... at_q -> (B, t, C)"""
        h = self.attend(block.attn, x_kv, x_q, at_kv, at_q)
        return h + block.mlp(block.ln2(h))

    def attend(self, layer: Attention, x_kv: Tensor, x_q: Tensor, at_kv: Tensor, at_q: Tensor) -> Tensor:
        """Remember x_kv, then attend from x_q."""
        self.caches[layer].write(x_kv, at_kv)
        return self.caches[layer].read(x_q, at_q)

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows."""
        for cache in self.caches.values():
            cache.keep(rows)


class RereadingDecoder(Decoder):
    """The same for any causal model that returns logits: it reads everything anew for each character."""

    def __init__(self, model: GPT, n_rows: int, n_positions: int) -> None:
        self.model = model
        self.text = torch.full((n_rows, n_positions), PAD, device=next(model.parameters()).device)

    def forward(self, idx: Tensor, at: Tensor, last: Tensor | int = -1) -> Tensor:
        rows = torch.arange(len(idx), device=idx.device)  # (B,)
        self.text[rows[:, None], at] = idx
        return self.model(self.text[:, : int(at.max()) + 1])[0][rows, at[rows, last]]  # (B, V)

    def keep(self, rows: Tensor) -> None:
        self.text = self.text[rows]


def read_prompts(model: GPT, prompts: Sequence[list[int]], steps: int) -> tuple[Decoder, Tensor, Tensor, int]:
    """Read B prompts, each to be followed by at most `steps` characters.

    Returns the decoder, the logits of each row's next character (B, V), that character's position (B,), and the number
    of positions.
    """
    model.eval()
    device = next(model.parameters()).device
    longest = max(map(len, prompts))
    n_positions = min(longest + steps, model.get_block_size())
    decoder = (Decoder if computes_as_written(model) else RereadingDecoder)(model, len(prompts), n_positions)
    # padded on the right: no position looks at what comes after it
    idx = torch.tensor([prompt + [PAD] * (longest - len(prompt)) for prompt in prompts], device=device)  # (B, longest)
    at = torch.tensor([len(prompt) for prompt in prompts], device=device)  # (B,)
    logits = decoder.forward(idx, torch.arange(longest, device=device).expand_as(idx), at - 1)  # (B, V)
    return decoder, logits, at, n_positions


@torch.inference_mode()
def answer(model: GPT, prompts: Sequence[list[int]], steps: int, end: int) -> list[list[int]]:
    """The greedy continuation of each prompt, up to `end` (excluded), `steps` characters, or the block's end."""
    decoder, logits, at, n_positions = read_prompts(model, prompts, steps)
    device = at.device
    answers: list[list[int]] = [[] for _ in prompts]
    numbers = torch.arange(len(prompts), device=device)  # (B,), the prompt that each row belongs to
    ended = torch.zeros_like(numbers, dtype=torch.bool)
    for step in range(steps):
        chosen = logits.argmax(dim=-1)  # (B,)
        ended |= (chosen == end) | (at == n_positions)
        going_on = (~ended).nonzero().flatten()
        for number, character in zip(numbers[going_on].tolist(), chosen[going_on].tolist(), strict=True):
            answers[number].append(character)
        if not len(going_on) or step == steps - 1:
            break
        if 2 * len(going_on) < len(ended):  # ended rows are dropped once they are most of the work
            decoder.keep(going_on)
            numbers, chosen, at, ended = (rows[going_on] for rows in (numbers, chosen, at, ended))
        logits = decoder.forward(chosen[:, None], at[:, None].clamp(max=n_positions - 1))  # (B, V)
        at = at + 1
    return answers


@torch.inference_mode()
def likeliest_answers(
    model: GPT, prompts: Sequence[list[int]], steps: int, end: int, width: int, least: float = math.log(0.001)
) -> list[list[tuple[list[int], float]]]:
    """The likeliest whole answers to each prompt that a beam search of `width` finds, likeliest first, with log-probabilities.

    An answer is whole once `end` follows it, whose probability counts; it has at most `steps` characters. Answers with a
    log-probability below `least` are not looked for.
    """
    decoder, logits, at, n_positions = read_prompts(model, prompts, steps)
    device = at.device
    whole: list[list[tuple[list[int], float]]] = [[] for _ in prompts]
    begun = [(number, [], 0.0) for number in range(len(prompts))]  # the rows: prompt, characters so far, log-probability
    for step in range(steps + 1):
        best = logits.float().log_softmax(dim=-1).topk(min(width + 1, model.config.vocab_size))  # one may be `end`
        room = (at < n_positions).tolist()
        options: dict[int, list[tuple[float, int, int]]] = {}
        for row, (values, characters) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            number, _, score = begun[row]
            options.setdefault(number, []).extend((score + value, row, c) for value, c in zip(values, characters, strict=True))
        going_on: list[tuple[float, int, int]] = []
        for number, some in options.items():
            some.sort(reverse=True)
            ended = whole[number] + [(begun[row][1], score) for score, row, c in some if c == end and score > least]
            whole[number] = sorted(ended, key=lambda answer: -answer[1])[:width]
            # an answer only gets less likely as it grows
            bound = whole[number][-1][1] if len(whole[number]) == width else least
            going_on += [option for option in some if option[2] != end and option[0] > bound and room[option[1]]][:width]
        if not going_on or step == steps:
            break
        rows = torch.tensor([row for _, row, _ in going_on], device=device)
        begun = [(begun[row][0], [*begun[row][1], c], score) for score, row, c in going_on]
        decoder.keep(rows)
        at = at[rows]
        logits = decoder.forward(torch.tensor([[c] for _, _, c in going_on], device=device), at[:, None])  # (rows, V)
        at = at + 1
    return whole
