"""How gradients are computed on each kind of device. What is computed is the model's affair.

On a CPU, each core takes a part of the batch at a time: on two cores that is faster than both on each product of
matrices in turn. Products are float32's, or bfloat16's where a recipe says so and the CPU has instructions for them. On
a CUDA GPU, they are bfloat16's, and the kernels of each shape are recorded once, as a CUDA graph, and replayed from then
on: launching them one by one takes longer than their work.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from batches import Part
from dropout import drawing_from
from model import GPT

GROUP = 16  # parts whose gradients are held in memory at a time
RECORDINGS = 64  # at most; what has more shapes is not recorded


class Gradients:
    """The plain way, one part after the other and kernel by kernel."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        self.model, self.bf16 = model, bf16
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device

    def compute(self, parts: Sequence[Part]) -> Tensor:
        """Give the parameters the gradient of the batch's mean loss; that loss, still on the device."""
        self.model.zero_grad(set_to_none=True)
        return self.total([self.add(*part) for part in parts])

    def total(self, losses: list[Tensor]) -> Tensor:
        """Their sum; zero, where this process has no part of the batch."""
        return torch.stack(losses).sum() if losses else torch.zeros((), device=self.device)

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

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.n_threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(self.n_threads, initializer=torch.set_num_threads, initargs=(1,))

    def compute(self, parts: Sequence[Part]) -> Tensor:
        if len(parts) < 2:
            return super().compute(parts)
        self.model.zero_grad(set_to_none=True)
        # the largest begin, lest all wait for one of them at the end; each has a seed for what dropout drops
        work = list(zip(reversed(parts), torch.randint(2**62, (len(parts),)).tolist(), strict=True))
        losses = []
        for first in range(0, len(work), GROUP):
            done = list(self.pool.map(self.of_part, *zip(*work[first : first + GROUP], strict=True)))
            torch.set_num_threads(self.n_threads)  # the pool's own setting is not to be that of threads to come
            # summed when all are done: sums beside them would compete for the cores
            for loss, gradients in done:
                losses.append(loss)
                for parameter, gradient in zip(self.parameters, gradients, strict=True):
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return self.total(losses)

    def of_part(self, part: Part, seed: int) -> tuple[Tensor, Sequence[Tensor]]:
        """A part's share of the loss, and its gradients."""
        with drawing_from(torch.Generator().manual_seed(seed)):
            loss = self.share_of_loss(*part)
        return loss.detach(), torch.autograd.grad(loss, self.parameters, materialize_grads=True)


class RecordedGradients(Gradients):
    """On a CUDA GPU: each shape's kernels are recorded the first time that it comes."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]  # where recorded kernels write
        self.recordings: dict[torch.Size, Recording] = {}
        self.recording_works = True
        # that all recordings work in, one after the other; PyTorch shares memory only on one stream
        self.memory: tuple[int, int] | None = None
        self.stream: torch.cuda.Stream | None = None

    def compute(self, parts: Sequence[Part]) -> Tensor:
        torch._foreach_zero_(self.gradients)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.total([self.recording_of(part)(*part) for part in parts])

    def recording_of(self, part: Part) -> Callable[[Tensor, Tensor, float], Tensor]:
        """`add` for that shape, recorded, or as it is where recording fails or there are too many shapes."""
        shape = part.x.shape
        if shape not in self.recordings and self.recording_works and len(self.recordings) < RECORDINGS:
            try:
                self.memory = self.memory or torch.cuda.graph_pool_handle()
                self.stream = self.stream or torch.cuda.Stream(self.device)
                self.recordings[shape] = Recording(self.add, part, self.memory, self.stream)
            except (RuntimeError, AssertionError, ValueError) as error:  # an old driver, or too little memory, say
                self.recording_works = False
                why = str(error).splitlines()[0]
                print(f"warning: training goes on without CUDA graphs ({why}); --plain does without from the start", file=sys.stderr)
        return self.recordings.get(shape, self.add)


class Recording:
    """The kernels of `add` for one shape of x and y, which are int64."""

    def __init__(
        self, add: Callable[[Tensor, Tensor, Tensor], Tensor], part: Part, memory: tuple[int, int], stream: torch.cuda.Stream
    ) -> None:
        device = part.x.device
        self.x, self.y = part.x.clone(), part.y.clone()
        self.share = torch.zeros((), device=device)  # at first, nothing is added
        random_state = torch.cuda.get_rng_state(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries set themselves up in their first calls, which can't be recorded
                add(self.x, self.y, self.share)
            torch.cuda.synchronize(device)
            self.graph.capture_begin(pool=memory, capture_error_mode="thread_local")
            try:
                self.loss = add(self.x, self.y, self.share)
            finally:
                self.graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(stream)
        torch.cuda.set_rng_state(random_state, device)

    def __call__(self, x: Tensor, y: Tensor, share: float) -> Tensor:
        self.x.copy_(x)
        self.y.copy_(y)
        self.share.fill_(share)
        self.graph.replay()
        return self.loss.clone()


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for products of bfloat16; without them, these are slower than float32's."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch can't tell
    return bool(capabilities.get("avx512_bf16"))


def make_gradients(model: nn.Module, plain: bool = False, cpu_bf16: bool = False) -> Gradients:
    """The fastest way for the project's model on its device; the plain way for others, and where `plain` asks for it.

    `cpu_bf16` asks a CPU, too, for products in bfloat16.
    """
    device = next(model.parameters()).device
    if plain or not isinstance(model, GPT):
        return Gradients(model)
    if device.type == "cpu":
        return ThreadedGradients(model, bf16=cpu_bf16 and cpu_has_bf16())
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)  # cuDNN's attention plans anew for each shape
        with torch.cuda.device(device):
            return RecordedGradients(model, bf16=torch.cuda.is_bf16_supported(including_emulation=False))
    return Gradients(model)
