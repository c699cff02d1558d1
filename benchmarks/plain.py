"""The plain twins: the same training and the same answers, done as the assignment's own trainer does them.

Examples are cut one by one in Python by a DataLoader, batches are padded to the whole block, attention is written
out as its equation, every step waits three times for the device, and questions are answered one at a time by 32
forward passes each. The benchmarks measure against this, and the tests compare with it.
"""

import math
import random
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from attention import CausalCrossAttention, CausalSelfAttention
from dataset import CharCorruptionDataset, corrupt, encode
from dropout import Dropout
from model import GPT
from trainer import TrainerConfig, learning_rate
from utils import sample


class PlainCorpus(Dataset):
    """The documents in order, each cut anew in Python at every access."""

    def __init__(self, corpus: CharCorruptionDataset) -> None:
        self.documents, self.stoi, self.block_size = list(corpus.data), corpus.stoi, corpus.block_size

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        document = self.documents[index]
        length = min(random.randint(4, self.block_size * 7 // 8), len(document))
        span = min(length, random.randint(1, max(1, (length + random.randint(0, 1)) // 2 - 1)))
        string = corrupt(document, length, random.randint(0, length - span), span)
        block = encode(string.ljust(self.block_size, CharCorruptionDataset.PAD_CHAR), self.stoi)
        return block[:-1], block[1:]


def plain_cross_attention(self: CausalCrossAttention, x_kv: Tensor, x_q: Tensor) -> Tensor:
    """The equation, step by step: (B, Tk, C), (B, Tq, C) -> (B, Tq, C)"""
    q, k, v = (self.split_heads(x) for x in (self.query(x_q), self.key(x_kv), self.value(x_kv)))
    q, k = self.mark_positions(q), self.mark_positions(k)
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))  # (B, H, Tq, Tk)
    scores = scores.masked_fill(self.mask[:, :, : q.size(2), : k.size(2)] == 0, -math.inf)
    return self.join_heads(self.attn_drop(scores.softmax(dim=-1)) @ v)


def make_plain(model: nn.Module) -> nn.Module:
    """Give the model plain attention and dropout, in place; its parameters stay as they are."""

    for module in model.modules():
        if isinstance(module, Dropout):
            module.__class__ = nn.Dropout
        if isinstance(module, CausalCrossAttention):
            attend = partial(plain_cross_attention, module)
            module.forward = (lambda x, attend=attend: attend(x, x)) if isinstance(module, CausalSelfAttention) else attend
    return model


class PlainTrainer:
    """A step at a time, kernel by kernel, in float32."""

    def __init__(self, model: GPT, corpus: CharCorruptionDataset, config: TrainerConfig, device: torch.device) -> None:
        self.model, self.config, self.device = make_plain(model).to(device).train(), config, device
        decayed = [p for name, p in model.named_parameters() if not name.endswith("bias")]
        others = [p for name, p in model.named_parameters() if name.endswith("bias")]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
        workers = 4 if device.type == "cuda" else 0
        self.loader = DataLoader(PlainCorpus(corpus), batch_size=config.batch_size, pin_memory=device.type == "cuda", num_workers=workers)
        self.tokens: int | Tensor = 0

    def train(self) -> list[float]:
        """Train for an epoch. Returns the losses of its steps."""
        losses = []
        bar = tqdm(self.loader, leave=False)
        for step, (x, y) in enumerate(bar):
            x, y = x.to(self.device), y.to(self.device)  # (B, block_size - 1)
            _, loss = self.model(x, y)
            losses.append(loss.item())  # waits
            self.model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_norm_clip)
            self.optimizer.step()
            self.tokens = self.tokens + (y >= 0).sum()
            rate = learning_rate(int(self.tokens), self.config)  # waits
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            bar.set_description(f"iter {step}: train loss {loss.item():.5f}, lr {rate:e}")  # waits
        return losses


def plain_answers(model: GPT, prompts: Sequence[list[int]], steps: int, end: int) -> list[list[int]]:
    """The greedy continuation of each prompt up to `end`, one prompt at a time, one forward pass per character."""
    device = next(model.parameters()).device
    answers = []
    for prompt in prompts:
        said = sample(model, torch.tensor([prompt], device=device), steps)[0, len(prompt) :].tolist()
        answers.append(said[: said.index(end)] if end in said else said)
    return answers
