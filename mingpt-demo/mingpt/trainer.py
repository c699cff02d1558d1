"""Training: a piece of the text, the gradient of what was guessed wrong, a step."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from .model import GPT
from .text import Text


def train(
    model: GPT, text: Text, steps: int, batch_size: int = 32, rate: float = 2e-3, every: Callable[[int, float], None] = lambda *_: None
) -> list[float]:
    """Train with AdamW, the rate rising for a twentieth of the steps and falling to zero with a cosine; the losses, in nats.

    `every` is told the number of each step, from 1, and its loss.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 20 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    device = next(model.parameters()).device
    losses = []
    for step in range(1, steps + 1):
        x, y = (part.to(device) for part in text.batch(batch_size))
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        every(step, losses[-1])
    return losses
