"""What each step trains on: which examples, in which order, in which shapes.

A batch is a function of (seed, step). Half of a batch of random cuts would be padding, so it is split into parts with
examples of similar length, each run through the model on its own; their gradients add up to that of the whole batch.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, default_collate

import processes
from corpus import MASK, PAD
from dataset import CharCorruptionDataset, Cuts, NameDataset
from utils import derive_seed, seeded


class Part(NamedTuple):
    """Some examples of a batch: inputs and targets (b, T), and their share of the batch's targets.

    When packed, they are laid end to end: x and y are (N,), `at` (N,) holds their positions, and example i begins at
    begins[i], (b + 1,) int32.
    """

    x: Tensor
    y: Tensor
    share: float | Tensor
    at: Tensor | None = None
    begins: Tensor | None = None

    def to(self, device: torch.device) -> "Part":
        """The same on the device, without waiting for it if that is a CUDA GPU."""
        return Part(*(value.to(device, non_blocking=device.type == "cuda") if isinstance(value, Tensor) else value for value in self))


class Batch(NamedTuple):
    """The examples of a step."""

    parts: list[Part]
    n_examples: int
    n_tokens: int  # positions, all padding included


class Shapes(NamedTuple):
    """How finely a batch is split."""

    part_targets: int  # targets in a part, on average
    multiple: int  # widths are multiples of this, except the whole block's; a packed part's total length is one, too
    packed: bool = False  # examples end to end
    longest: int = sys.maxsize  # characters that the model takes
    least_parts: int = 1  # one for each process


# CPU: what a part computes stays in the cache; 384 targets are as fast, and from 640 on it is slower. Matrix products in bfloat16
# are compiled for each shape, which takes longer than the products themselves: few widths, so that not every step brings new ones.
# GPU: kernels want many rows, and each shape has to be set up once, so there must be few shapes.
CPU_SHAPES = Shapes(512, 1)
CPU_BF16_SHAPES = Shapes(512, 8)
GPU_SHAPES = Shapes(4096, 16)


def make_batches(
    dataset: Dataset, batch_size: int, epochs: int, seed: int, shapes: Shapes, ignored: int | None, device: torch.device
) -> "Batches":
    """The batches of a run: made on the device for the project's own datasets, else example by example.

    `ignored` is the target that carries no loss; if it is None, batches stay whole.
    """
    shapes = shapes._replace(least_parts=processes.count())
    # a subclass may make its examples differently
    datasets = dataset.datasets if type(dataset).__getitem__ is ConcatDataset.__getitem__ else [dataset]
    own = (CharCorruptionDataset.__getitem__, NameDataset.__getitem__)
    if ignored == PAD and all(type(dataset).__getitem__ in own for dataset in datasets):
        return CutBatches(datasets, batch_size, epochs, seed, shapes, device)
    return Batches(dataset, batch_size, epochs, seed, shapes, ignored)


class Batches(Dataset):
    """Item `step` is the batch of that step; the dataset makes its examples one by one.

    Each epoch goes through the dataset once in its own random order; its last batch may be smaller.
    """

    def __init__(self, dataset: Dataset, batch_size: int, epochs: int, seed: int, shapes: Shapes, ignored: int | None) -> None:
        self.dataset, self.batch_size, self.epochs, self.seed = dataset, batch_size, epochs, seed
        self.shapes, self.ignored = shapes, ignored
        self.n_examples = len(dataset)  # in an epoch
        self.steps_per_epoch = math.ceil(self.n_examples / batch_size)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))  # of the epoch last asked for

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch

    def examples_before(self, step: int) -> int:
        """The number of examples in the steps before this one."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        return epoch * self.n_examples + batch * self.batch_size

    def chosen(self, step: int) -> Tensor:
        """(B,) the items of a step."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            self._order = epoch, torch.randperm(self.n_examples, generator=generator)
        return self._order[1][batch * self.batch_size :][: self.batch_size]

    def __getitem__(self, step: int) -> Batch:
        with seeded(derive_seed(self.seed, "batch", step)):
            x, y = default_collate([self.dataset[index] for index in self.chosen(step).tolist()])
        if self.ignored is None:
            return Batch([Part(x, y, 1.0)], len(x), y.numel())
        targets = y != self.ignored  # (B, T)
        widths = (targets * torch.arange(1, y.size(1) + 1)).amax(dim=1)  # up to the last target
        order = widths.argsort()
        parts = split(x[order], y[order], widths[order], targets.sum(dim=1)[order], self.shapes)
        return Batch(parts, len(x), y.numel())

    def load(self, first: int, num_workers: int, pin_memory: bool) -> Iterable[Batch]:
        """The batches from step `first` on, in order, prepared by `num_workers` processes."""
        steps = range(first, len(self))
        return DataLoader(self, batch_size=None, sampler=steps, num_workers=num_workers, pin_memory=pin_memory)


class CutBatches(Batches):
    """Batches of datasets whose `cuts` say how to make examples from `codes`: a whole batch at once, on the device."""

    def __init__(self, datasets: Sequence[Dataset], batch_size: int, epochs: int, seed: int, shapes: Shapes, device: torch.device) -> None:
        super().__init__(ConcatDataset(datasets), batch_size, epochs, seed, shapes, PAD)
        self.datasets, self.device = datasets, device
        self.codes = [dataset.codes.to(device) for dataset in datasets]
        self.shifts = [0] * len(datasets)  # where each one's codes begin
        if device.type == "cuda":  # joined into one text: one kernel for all examples
            self.shifts = [sum(map(len, self.codes[:number])) for number in range(len(datasets))]
            self.codes = [torch.cat(self.codes)]
        self.positions = datasets[0].block_size - 1  # of an example with its padding

    def __getitem__(self, step: int) -> Batch:
        # the cuts are drawn on the CPU: the same for every device, and with shapes that are known without waiting for it
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "batch", step))
        chosen, cuts = self.chosen(step), []
        for dataset, shift in zip(self.datasets, self.shifts, strict=True):
            of_dataset = dataset.cuts(chosen[(chosen >= 0) & (chosen < len(dataset))], generator)
            cuts.append(of_dataset._replace(begin=of_dataset.begin + shift))
            chosen = chosen - len(dataset)
        if len(self.codes) == 1:
            cuts = [Cuts(*map(torch.cat, zip(*cuts, strict=True)))]
        # (B,) the padding before a document, the string and two masks, less one for the shift; what goes beyond the block is left off
        widths = (torch.cat([c.offset + c.length for c in cuts]) + 1).clamp(max=self.positions)
        targets = widths - torch.cat([c.offset + c.blank for c in cuts])
        widest = min(round_up(int(widths.max()), self.shapes.multiple), self.positions)
        order = widths.argsort()
        rows = send(order, self.device)
        pairs = [corrupt_codes(codes, send(torch.stack(c), self.device), widest) for codes, c in zip(self.codes, cuts, strict=True)]
        x, y = (torch.cat(blocks)[rows] for blocks in zip(*pairs, strict=True))  # (B, widest)
        return Batch(split(x, y, widths[order], targets[order], self.shapes), len(order), len(order) * self.positions)

    def load(self, first: int, num_workers: int, pin_memory: bool) -> Iterable[Batch]:
        """The batches from step `first` on, in order; there is no work for other processes."""
        return (self[step] for step in range(first, len(self)))


def corrupt_codes(codes: Tensor, cuts: Cuts | Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, width) of the cuts, each (B,): `corrupt`, as index arithmetic on a whole batch."""
    begin, length, start, span, blank, offset = (column[:, None] for column in cuts)  # (B, 1)
    at = torch.arange(width + 1, device=codes.device) - offset  # (B, width + 1) positions in the corrupted string
    end = length - span + 1  # (B, 1) where the second MASK stands
    # the prefix, then the suffix after the span, then the span
    source = torch.where(at < start, at, torch.where(at < end, at - 1 + span, at - end - 1 + start))  # (B, width + 1)
    block = codes[(begin + source).clamp(0, len(codes) - 1)].long()
    block = block.masked_fill((at == start) | (at == end), MASK).masked_fill((at < 0) | (at > length + 1), PAD)
    return block[:, :-1], block[:, 1:].masked_fill(at[:, :-1] < blank, PAD)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def split(x: Tensor, y: Tensor, widths: Tensor, targets: Tensor, shapes: Shapes) -> list[Part]:
    """Split rows sorted by width (B,) into parts, and drop the columns beyond each part's widest row, or pack the parts.

    A causal model's loss and gradient stay the same if each part's are weighted by its share. `targets` (B,) counts those
    with a loss. Raises ValueError if a row is longer than the model takes.
    """
    if widths[-1] > shapes.longest:
        raise ValueError(f"an example of {widths[-1]} characters is longer than the {shapes.longest} that the model takes")
    x, y = x[:, : shapes.longest], y[:, : shapes.longest]  # no padding beyond it either
    total = int(targets.sum())
    parts = []
    for rows in torch.arange(len(x)).tensor_split(min(len(x), max(shapes.least_parts, round(total / shapes.part_targets)))):
        of_part = slice(int(rows[0]), int(rows[-1]) + 1)
        if n := int(targets[of_part].sum()):
            if shapes.packed:
                parts.append(pack(x[of_part], y[of_part], n / total, widths[of_part], shapes.multiple))
            else:
                width = min(round_up(int(widths[rows[-1]]), shapes.multiple), x.size(1))
                parts.append(Part(x[of_part, :width], y[of_part, :width], n / total))
    return parts or [Part(x, y, 1.0)]


def pack(x: Tensor, y: Tensor, share: float, widths: Tensor, multiple: int) -> Part:
    """Rows (b, T), sorted by width (b,), laid end to end, and filled up to a multiple of `multiple` if their padding suffices."""
    n, room = int(widths.sum()), x.size(1) - widths
    missing = round_up(n, multiple) - n
    widths = widths + (missing - (room.cumsum(0) - room)).clamp(min=0).minimum(room)  # padding that the shortest rows keep
    begins = nn.functional.pad(widths.cumsum(0), (1, 0))  # (b + 1,)
    rows = torch.arange(len(x)).repeat_interleave(widths)  # (N,)
    rows, at = send(torch.stack([rows, torch.arange(len(rows)) - begins[rows]]), x.device)
    return Part(x[rows, at], y[rows, at], share, at, send(begins.int(), x.device))


def unpack(part: Part) -> Part:
    """A packed part as rows again, padded at the end; waits for the device."""
    if part.begins is None:
        return part
    widths = part.begins.diff().tolist()
    x, y = (nn.utils.rnn.pad_sequence(tensor.split(widths), batch_first=True, padding_value=PAD) for tensor in part[:2])
    return Part(x, y, part.share)


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple that is at least the number."""
    return -(-number // multiple) * multiple
