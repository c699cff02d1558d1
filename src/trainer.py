"""The training loop: any model that returns (logits, loss), on any map-style dataset of (x, y) pairs.

A model with an `ignored_target`, as GPT has, must be causal: inputs are cut off after the last target that counts.

Every random choice of a run is a function of (seed, step): these determine the batch of a step (drawn with torch, or with
Python's `random`), and reseed the default generator, which dropout uses, at each step (differently in each of several
processes). A seed and a step number are therefore all there is to know about a run's randomness.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

import processes
from acceleration import make_gradients, pick_device
from batches import Batch, Batches, make_batches, unpack
from checkpoint import save_params
from console import UserError
from curves import Curves
from muon import BatchedMuon
from utils import derive_seed

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG_EVERY, LOG_EVERY_ON_A_GPU = 10, 50  # steps between two readings of the losses: each reading waits for the device
RECENT = 10  # steps whose mean loss is shown
CURE_OF_NAN = "try a lower learning rate, or, on a GPU, --plain"


@dataclass(frozen=True)
class TrainerConfig:
    """How to train. Tokens are batch positions, padding included."""

    max_epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-4  # AdamW's, at the schedule's peak
    muon_lr: float | None = None  # Muon's, which then trains the matrices of the blocks
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's
    weight_decay: float = 0.1  # of everything but biases
    grad_norm_clip: float = 1.0
    lr_decay: bool = False  # follow the schedule; otherwise, stay at the peak
    warmup_tokens: float = 375e6  # where the linear rise ends, and the cosine begins
    final_tokens: float = 260e9  # where the cosine reaches its end
    lr_floor: float = 0.1  # the lowest rate, as a share of the peak
    ckpt_path: str | Path | None = None  # write the parameters here after each epoch (the best, given a test set)
    num_workers: int = 0  # processes that prepare batches, if the dataset makes its examples one by one
    seed: int = 0
    device: str = "auto"
    cpu_bf16: bool = False  # bfloat16 products on a CPU that has instructions for them; capable CUDA GPUs use them by default
    plain: bool = False  # one part of a batch after another, without CUDA graphs or bfloat16 (which Muon keeps)
    writer: "Curves | SummaryWriter | None" = None  # gets train/loss, train/lr, train/grad_norm and train/examples_per_s


def learning_rate(tokens: int, config: TrainerConfig) -> float:
    """The rate of the step after `tokens` tokens: a linear rise, then a cosine down to the floor.

    As in the assignment's trainer, the first step runs at the peak (it sets the rate after each step), and the cosine goes
    on past its end: the rate is back at the peak by 2 * final_tokens, and falls again.
    """
    if not config.lr_decay or tokens == 0:
        return config.learning_rate
    if tokens < config.warmup_tokens:
        return config.learning_rate * tokens / config.warmup_tokens
    progress = (tokens - config.warmup_tokens) / max(1.0, config.final_tokens - config.warmup_tokens)
    return config.learning_rate * max(config.lr_floor, 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizers(model: nn.Module, config: TrainerConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters, without decay for biases; with `muon_lr`, Muon takes over the matrices of the blocks.

    As in the assignment, everything not named a bias decays, including LayerNorm's gains and the synthesizer's b2.
    AdamW is Loshchilov & Hutter 2019; Muon, which orthogonalises each update, is Jordan et al. 2024.
    """
    matrices, biases, others = [], [], []
    for name, parameter in model.named_parameters():
        if config.muon_lr and parameter.dim() == 2 and "block" in name:
            matrices.append(parameter)
        else:
            (biases if name.endswith("bias") else others).append(parameter)
    groups = [{"params": others, "weight_decay": config.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    fused = next(model.parameters()).device.type in ("cpu", "cuda", "mps", "xpu")  # those with a fused version, which is the fastest
    optimizers = [torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)]
    if matrices:
        optimizers.append(BatchedMuon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay))
    owned = [group for optimizer in optimizers for group in optimizer.param_groups]
    assert sorted(id(p) for group in owned for p in group["params"]) == sorted(map(id, model.parameters()))
    for group in owned:
        group["peak_lr"] = group["lr"]
    return optimizers


class Trainer:
    """Trains `model` in place. If there is a `test_dataset`, its loss is measured after each epoch."""

    def __init__(self, model: nn.Module, train_dataset: Dataset, test_dataset: Dataset | None, config: TrainerConfig) -> None:
        for what, dataset in (("training", train_dataset), ("test", test_dataset)):
            if dataset is not None and not len(dataset):
                raise UserError(f"the {what} dataset is empty")
        self.config = config
        self.writer = Curves(None) if config.writer is None else config.writer
        self.device = pick_device(config.device)
        self.model = model.to(self.device)
        processes.copy_from_first(self.model)
        self.train_dataset, self.test_dataset = train_dataset, test_dataset
        self.gradients = make_gradients(self.model, config.plain, config.cpu_bf16)
        self.optimizers = make_optimizers(self.model, config)
        self.update = self.gradients.make_update(self.optimizers, config.grad_norm_clip)
        self.step = 0  # steps done
        self.tokens = 0  # trained on so far
        self.seconds = 0.0  # trained for so far
        self.unread: list[tuple[Tensor, Tensor, float]] = []  # losses, gradient norms and rates since the last reading
        self.read_at = (0.0, 0)  # seconds trained for, and examples seen, at that reading
        self.log_every = LOG_EVERY_ON_A_GPU if self.device.type == "cuda" else LOG_EVERY
        self.recent_losses: deque[float] = deque(maxlen=RECENT)
        self.best_test_loss = math.inf

    @property
    def loss(self) -> float:
        """The mean loss of the latest steps, in nats."""
        return sum(self.recent_losses) / max(1, len(self.recent_losses))

    def train(self, after_step: Callable[[], None] = lambda: None, after_epoch: Callable[[int], None] = lambda epoch: None) -> None:
        """Run the remaining steps of all epochs; `after_epoch` is told how many epochs are done.

        Raises UserError if the loss is no longer finite.
        """
        config = self.config
        batches = self.batches(self.train_dataset, config.max_epochs)
        pause = 1 if sys.stderr.isatty() else 30  # seconds between two updates of the bar: a log file needs fewer
        n_examples, seen = batches.examples_before(len(batches)), batches.examples_before(self.step)
        look = {"unit": "ex", "smoothing": 0.05, "mininterval": pause, "dynamic_ncols": True, "disable": processes.rank() > 0}
        with tqdm(total=n_examples, initial=seen, **look) as bar:
            began = time.monotonic() - self.seconds
            for batch in self.load(batches, self.step):
                rate = learning_rate(self.tokens, config)
                torch.manual_seed(derive_seed(config.seed, "dropout", self.step) + processes.rank())
                self.unread.append((*self.train_step(batch, rate), rate))
                self.step += 1
                epoch, into_epoch = divmod(self.step, batches.steps_per_epoch)
                if self.step % self.log_every == 0 or self.step == len(batches):
                    self.read_losses()
                    self.log_speed(time.monotonic() - began, batches.examples_before(self.step))
                    bar.set_description(f"epoch {min(epoch + 1, config.max_epochs)}/{config.max_epochs}", refresh=False)
                    bar.set_postfix_str(f"loss {self.loss:.3f}, lr {rate:.1e}", refresh=False)
                bar.update(batch.n_examples)
                if into_epoch == 0:
                    paused = time.monotonic()
                    self.finish_epoch(epoch)
                    after_epoch(epoch)
                    began += time.monotonic() - paused  # evaluating the model doesn't count as training
                self.seconds = time.monotonic() - began
                after_step()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to resume from here, as plain values and the trainer's own tensors: to be saved before training goes on.

        Raises UserError as `train` does.
        """
        self.check_finite()
        self.writer.flush()  # the curves must cover every step up to this state
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "recent_losses": list(self.recent_losses),
            "best_test_loss": self.best_test_loss,
        }

    def check_finite(self) -> None:
        """Raise UserError if a loss or a parameter is no longer finite: what is saved must be sound."""
        self.read_losses()
        if not all(parameter.isfinite().all() for parameter in self.model.parameters()):
            raise UserError(f"a parameter is no longer finite after step {self.step}: {CURE_OF_NAN}")

    def restore(self, state: dict[str, Any]) -> None:
        """Become the trainer whose `state` this was; the state doesn't include its config and datasets."""
        self.model.load_state_dict(state["model"])
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        self.update = self.gradients.make_update(self.optimizers, self.config.grad_norm_clip)  # the state may come from another device
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.unread.clear()
        self.read_at = (0.0, 0)
        self.recent_losses = deque(state["recent_losses"], maxlen=RECENT)
        self.best_test_loss = state["best_test_loss"]

    def batches(self, dataset: Dataset, epochs: int) -> Batches:
        """The batches of a dataset, split as the model allows and the device prefers."""
        ignored = getattr(self.model, "ignored_target", None)
        return make_batches(dataset, self.config.batch_size, epochs, self.config.seed, self.gradients.shapes, ignored, self.device)

    def load(self, batches: Batches, first: int = 0) -> Iterator[Batch]:
        """The batches from step `first` on, in order, on the device."""
        for batch in batches.load(first, self.config.num_workers, pin_memory=self.device.type == "cuda"):
            yield batch._replace(parts=[part.to(self.device) for part in batch.parts])

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """Do one step at AdamW's `rate`. (For the classic loop, in one place, see benchmarks/plain.py.)

        Returns the loss before it and the gradient's norm before clipping, both still on the device.
        """
        if not self.model.training:  # train() visits every module, each time
            self.model.train()
        self.tokens += batch.n_tokens
        loss = self.gradients.compute(batch.parts[processes.rank() :: processes.count()])
        loss = processes.sum_gradients(self.gradients.parameters, loss)
        return loss, self.update(rate / self.config.learning_rate)  # AdamW and Muon have different peaks

    def read_losses(self) -> None:
        """Log the latest steps. Between two saved states or epochs, only this waits for the device."""
        if not self.unread:
            return
        read = torch.stack([torch.stack([loss, norm]) for loss, norm, _ in self.unread]).tolist()
        rates = [rate for *_, rate in self.unread]
        for step, ((loss, norm), rate) in enumerate(zip(read, rates, strict=True), start=self.step - len(read)):
            if not math.isfinite(loss):
                raise UserError(f"the loss is {loss} in step {step + 1}: {CURE_OF_NAN}")
            self.recent_losses.append(loss)
            for name, value in (("loss", loss), ("lr", rate), ("grad_norm", norm)):
                self.writer.add_scalar(f"train/{name}", value, step)
        self.unread.clear()

    def log_speed(self, seconds: float, n_examples: int) -> None:
        """Log the examples per second since the last call, given the totals of seconds and examples so far."""
        (former_seconds, former_examples), self.read_at = self.read_at, (seconds, n_examples)
        if seconds > former_seconds > 0:
            speed = (n_examples - former_examples) / (seconds - former_seconds)
            self.writer.add_scalar("train/examples_per_s", speed, self.step - 1)

    def finish_epoch(self, epoch: int) -> None:
        """Measure the loss on the test set, if there is one, and save the parameters, if `ckpt_path` says where."""
        test_loss = -math.inf  # without a test set, the latest is the best
        if self.test_dataset is not None:
            test_loss = self.test()
            self.writer.add_scalar("test/loss", test_loss, epoch)
        if self.config.ckpt_path is not None and test_loss <= self.best_test_loss:
            self.best_test_loss = test_loss
            self.check_finite()
            if processes.rank() == 0:
                save_params(self.model, self.config.ckpt_path)

    @torch.no_grad()
    def test(self) -> float:
        """The mean loss over the batches of the test set, in nats."""
        self.model.eval()
        losses = []  # of each batch
        for batch in self.load(self.batches(self.test_dataset, epochs=1)):
            parts = map(unpack, batch.parts)
            losses.append(torch.stack([self.model(part.x, part.y)[1] * part.share for part in parts]).sum())
        return torch.stack(losses).mean().item()
