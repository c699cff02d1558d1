"""How gradients are computed on each kind of device. What is computed is the model's affair.

On a CPU, in float32, each core takes a part of the batch at a time: that is faster than all cores on each product of
matrices in turn. On a CUDA GPU, matrices are multiplied in bfloat16, and the kernels of each shape are recorded once,
as a CUDA graph, and replayed from then on: launching them one by one takes longer than their work.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from batches import Part
from dropout import drawing_from

RECORDINGS = 64  # at most; what has more shapes is not recorded


class Gradients:
    """The plain way, one part after the other and kernel by kernel."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        self.model, self.bf16 = model, bf16
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device

    def compute(self, parts: Sequence[Part]) -> Tensor:
        """Give the parameters the gradient of the batch's mean loss; that loss, still on the device."""
        self.model.zero_grad(set_to_none=True)
        return torch.stack([self.add(*part) for part in parts]).sum()

    def share_of_loss(self, x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
        """`share` times the mean loss on x, y (b, T)."""
        # without the cache of weights in bfloat16, which a recording would outlive
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            return self.model(x, y)[1] * share

    def add(self, x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
        """Add the gradient of a part to the parameters'; its share of the loss."""
        loss = self.share_of_loss(x, y, share)
        loss.backward()
        return loss.detach()


class ThreadedGradients(Gradients):
    """On a CPU: as many threads as it has cores, and a part at a time for each. The sums' order is always the same."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        n_threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))

    def compute(self, parts: Sequence[Part]) -> Tensor:
        if len(parts) == 1:
            return super().compute(parts)
        seeds = torch.randint(2**62, (len(parts),)).tolist()  # of what dropout drops in each part
        # the largest begin, lest all wait for one of them at the end; sums come after, lest they compete for the cores
        losses, gradients = zip(*list(self.pool.map(self.of_part, reversed(parts), seeds)), strict=True)
        for parameter, first, *others in zip(self.parameters, *gradients, strict=True):
            parameter.grad = sum(others, first)
        return torch.stack(losses).sum()

    def of_part(self, part: Part, seed: int) -> tuple[Tensor, Sequence[Tensor]]:
        """A part's share of the loss, and its gradients."""
        with drawing_from(torch.Generator().manual_seed(seed)):
            loss = self.share_of_loss(*part)
        return loss.detach(), torch.autograd.grad(loss, self.parameters, materialize_grads=True)


class RecordedGradients(Gradients):
    """On a CUDA GPU: each shape's kernels are recorded the first time that it comes."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.recordings: dict[torch.Size, Recording] = {}
        self.recording_works = True
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)  # where recorded kernels will write

    def compute(self, parts: Sequence[Part]) -> Tensor:
        self.model.zero_grad(set_to_none=False)
        return torch.stack([self.recording_of(part.x, part.y)(*part) for part in parts]).sum()

    def recording_of(self, x: Tensor, y: Tensor) -> Callable[[Tensor, Tensor, float], Tensor]:
        """`add` for that shape, recorded, or as it is where recording fails or there are too many shapes."""
        if x.shape not in self.recordings and self.recording_works and len(self.recordings) < RECORDINGS:
            try:
                self.recordings[x.shape] = Recording(self.add, x, y)
            except (RuntimeError, AssertionError) as error:  # an old driver, a kernel that can't be recorded, no CUDA
                self.recording_works = False
                print(f"warning: training goes on without CUDA graphs: {str(error).splitlines()[0]}", file=sys.stderr)
        return self.recordings.get(x.shape, self.add)


class Recording:
    """The kernels of `add` for one shape, on memory of their own."""

    def __init__(self, add: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        self.arguments = x.clone(), y.clone(), torch.zeros((), device=x.device)  # a share of 0: nothing is added yet
        random_state = torch.cuda.get_rng_state(x.device)
        stream = torch.cuda.Stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):  # libraries set themselves up in their first calls, which can't be recorded
            for _ in range(3):
                add(*self.arguments)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = add(*self.arguments)
        torch.cuda.set_rng_state(random_state, x.device)

    def __call__(self, x: Tensor, y: Tensor, share: float) -> Tensor:
        own_x, own_y, own_share = self.arguments
        own_x.copy_(x)
        own_y.copy_(y)
        own_share.fill_(share)
        self.graph.replay()
        return self.loss.clone()


def make_gradients(model: nn.Module, plain: bool = False) -> Gradients:
    """The fastest way on the model's device; with `plain`, kernel by kernel in float32 everywhere."""
    device = next(model.parameters()).device
    if device.type == "cuda" and not plain:
        return RecordedGradients(model, bf16=torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and not plain and torch.get_num_threads() > 1:
        return ThreadedGradients(model)
    return Gradients(model)
