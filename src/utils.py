"""Seeds, sampling and scoring."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from console import UserError
from tables import are_right, read_questions

# ---------------------------------------------------------------- randomness


def derive_seed(*parts: int | str) -> int:
    """A seed that is a function of `parts` alone, the same on every machine, and unrelated to the seeds of other parts."""
    return random.Random(" ".join(map(str, parts))).getrandbits(63)


def set_seed(seed: int) -> None:
    """Seed Python's and torch's default generators, on all devices."""
    random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's generator and torch's CPU generator within the block; afterwards they resume as if it had not run."""
    former = random.getstate()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(former)


# ---------------------------------------------------------------- sampling


def top_k_logits(logits: Tensor, k: int) -> Tensor:
    """(B, V) with all but the k largest of each row set to minus infinity."""
    smallest = logits.topk(min(k, logits.size(-1))).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


@torch.no_grad()
def sample(model: nn.Module, x: Tensor, steps: int, temperature: float = 1.0, sample: bool = False, top_k: int | None = None) -> Tensor:
    """Continue each row of x (B, T) by `steps` characters: (B, T + steps).

    Each is the likeliest or, with `sample` and a `temperature` above 0, drawn at that temperature from the `top_k` likeliest.
    The model sees only the last `model.get_block_size()` characters.
    """
    model.eval()
    for _ in range(steps):
        logits, _ = model(x[:, -model.get_block_size() :])
        logits = logits[:, -1]  # (B, V)
        if top_k is not None:
            logits = top_k_logits(logits, top_k)
        if sample and temperature:
            chosen = torch.multinomial((logits / temperature).softmax(dim=-1), 1)  # (B, 1)
        else:
            chosen = logits.argmax(dim=-1, keepdim=True)
        x = torch.cat((x, chosen), dim=1)
    return x


# ---------------------------------------------------------------- scoring


def evaluate_places(path: str | Path, predictions: Sequence[str]) -> tuple[float, float]:
    """(total, correct) for predictions for the TSV at `path`, by exact match of whole lines; (0, 0) if it has no gold places."""
    _, places = read_questions(path)
    if places is None:
        return 0.0, 0.0
    if len(places) != len(predictions):
        raise UserError(f"{path} has {len(places)} lines, but there are {len(predictions)} predictions")
    return float(len(places)), float(sum(are_right(predictions, places)))
