"""Seeds, decoding and scoring."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from files import UserError, read_questions

# ---------------------------------------------------------------- randomness


def derive_seed(*parts: int | str) -> int:
    """A seed that is a function of `parts` alone, the same on every machine, and unrelated for other parts."""
    return random.Random(" ".join(map(str, parts))).getrandbits(63)


def set_seed(seed: int) -> None:
    """Seed Python's and torch's default generators, on all devices."""
    random.seed(seed)
    torch.manual_seed(seed)


# ---------------------------------------------------------------- decoding


def top_k_logits(logits: Tensor, k: int) -> Tensor:
    """(B, V) with all but the k largest of each row set to minus infinity."""
    smallest = logits.topk(k).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


@torch.no_grad()
def sample(model: nn.Module, x: Tensor, steps: int, temperature: float = 1.0, sample: bool = False, top_k: int | None = None) -> Tensor:
    """Continue each row of x (B, T) by `steps` characters: (B, T + steps).

    The likeliest character each time or, with `sample`, one drawn at `temperature` from the `top_k` likeliest.
    Only the last `model.get_block_size()` characters are seen.
    """
    model.eval()
    for _ in range(steps):
        logits, _ = model(x[:, -model.get_block_size() :])
        logits = logits[:, -1] / temperature  # (B, V)
        if top_k is not None:
            logits = top_k_logits(logits, top_k)
        chosen = torch.multinomial(F.softmax(logits, dim=-1), 1) if sample else logits.argmax(dim=-1, keepdim=True)
        x = torch.cat((x, chosen), dim=1)
    return x


@torch.no_grad()
def answer(model: nn.Module, prompts: Sequence[list[int]], steps: int, end: int) -> list[list[int]]:
    """The likeliest continuation of each prompt, up to `end` (left out), `steps` characters, or the block's end.

    Prompts of unequal lengths share a batch, padded on the right: no position sees a later one, so padding changes
    nothing. Rows that have ended leave the batch.
    """
    model.eval()
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts])  # (B,)
    x = torch.zeros(len(prompts), model.get_block_size(), dtype=torch.long)
    for row, prompt in zip(x, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    starts, x, lengths = lengths.tolist(), x.to(device), lengths.to(device)

    open_rows = torch.arange(len(prompts), device=device)
    for _ in range(steps):
        open_rows = open_rows[lengths[open_rows] < x.size(1)]
        if not len(open_rows):
            break
        at = lengths[open_rows]  # (rows,) where the next character goes
        logits, _ = model(x[open_rows, : at.max()])
        chosen = logits[torch.arange(len(at), device=device), at - 1].argmax(dim=-1)  # (rows,)
        going_on = chosen != end
        open_rows, at, chosen = open_rows[going_on], at[going_on], chosen[going_on]
        x[open_rows, at] = chosen
        lengths[open_rows] += 1
    return [row[start:stop] for row, start, stop in zip(x.tolist(), starts, lengths.tolist(), strict=True)]


# ---------------------------------------------------------------- scoring


def evaluate_places(path: str | Path, predictions: Sequence[str]) -> tuple[float, float]:
    """(total, correct) for predictions of the TSV at `path`, exact matches; (0, 0) where it has no gold places."""
    _, places = read_questions(path)
    if places is None:
        return 0.0, 0.0
    if len(places) != len(predictions):
        raise UserError(f"{path} has {len(places)} lines, but there are {len(predictions)} predictions")
    correct = sum(place == prediction for place, prediction in zip(places, predictions, strict=True))
    return float(len(places)), float(correct)
