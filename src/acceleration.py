"""How gradients are computed on each kind of device. What is computed is the model's affair.

On a CPU, kernel by kernel in float32. On a CUDA GPU, matrices are multiplied in bfloat16, and the kernels of each shape
are recorded once, as a CUDA graph, and replayed from then on: launching them one by one takes longer than their work.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

RECORDINGS = 64  # at most; what has more shapes is not recorded


class Gradients:
    """Adds up the gradients of a batch's parts, kernel by kernel."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        self.model, self.bf16 = model, bf16
        self.device = next(model.parameters()).device

    def clear(self) -> None:
        """Begin a batch."""
        self.model.zero_grad(set_to_none=True)

    def add(self, x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
        """Add `share` of the gradient of the mean loss on x, y (b, T) to the parameters'; that share of the loss."""
        # without the cache of weights in bfloat16, which a recording would outlive
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            loss = self.model(x, y)[1] * share
        loss.backward()
        return loss.detach()


class RecordedGradients(Gradients):
    """The same on a CUDA GPU, each shape's kernels recorded the first time that it comes."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.recordings: dict[torch.Size, Recording] = {}
        self.recording_works = True
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)  # where recorded kernels will write

    def clear(self) -> None:
        self.model.zero_grad(set_to_none=False)

    def add(self, x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
        if x.shape not in self.recordings and self.recording_works and len(self.recordings) < RECORDINGS:
            try:
                self.recordings[x.shape] = Recording(super().add, x, y)
            except (RuntimeError, AssertionError) as error:  # of an old driver, of a kernel that can not be recorded
                self.recording_works = False
                print(f"warning: no CUDA graphs here, training goes on without: {str(error).splitlines()[0]}", file=sys.stderr)
        return self.recordings.get(x.shape, super().add)(x, y, share)


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

    def __call__(self, x: Tensor, y: Tensor, share: float | Tensor) -> Tensor:
        for mine, given in zip(self.arguments, (x, y, share), strict=True):
            mine.copy_(given) if isinstance(given, Tensor) else mine.fill_(given)
        self.graph.replay()
        return self.loss.clone()


def make_gradients(model: nn.Module, plain: bool = False) -> Gradients:
    """The fastest way on the model's device; with `plain`, kernel by kernel in float32 everywhere."""
    if plain or not next(model.parameters()).is_cuda:
        return Gradients(model)
    return RecordedGradients(model, bf16=torch.cuda.is_bf16_supported(including_emulation=False))
