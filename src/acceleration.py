"""How each kind of device computes gradients and takes steps with them. What is computed is up to the model.

On a CPU, each core takes a part of the batch at a time: with two cores, that is faster than sharing each matrix product
between them. Products are in float32, or in bfloat16 if a recipe says so and the CPU has instructions for them. On a CUDA
GPU, a bfloat16 copy of the model does the computing (packing.py), and the kernels for each shape, and the optimizers' too,
are recorded once, as a CUDA graph, and replayed from then on: launching them one by one takes longer than running them.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import processes
from anatomy import computes_as_written
from batches import CPU_BF16_SHAPES, CPU_SHAPES, GPU_SHAPES, Part, unpack
from console import UserError
from dropout import drawing_from
from model import GPT
from packing import make_copy

GROUP = 16  # parts whose gradients are held in memory at a time
RECORDINGS = 64  # at most; further shapes are not recorded


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products; without them, these take up to fifty times as long as float32's."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch can't tell
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16"))


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is a CUDA GPU if there is one, else the CPU. Raises UserError if it can't be used."""
    cure = "--device auto uses what is available"
    if name.startswith(("auto", "cuda")) and torch.cuda.is_available():
        cure = "--device cpu does without a GPU"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{processes.local_rank()}"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # no such name or device, no support for it in this torch, no memory
        why = str(error).partition("\n")[0].partition(". ")[0][:150]
        raise UserError(f"device {name!r} can't be used here: {cure} ({why})") from None
    return torch.device(name)


class Gradients:
    """The plain way: one part after another, kernel by kernel."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        self.model, self.bf16 = model, bf16
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.device = self.parameters[0].device
        on_cpu = CPU_BF16_SHAPES if bf16 else CPU_SHAPES
        self.shapes = on_cpu if self.device.type == "cpu" else GPU_SHAPES  # those that the device prefers for the parts of a batch
        if isinstance(model, GPT):
            self.shapes = self.shapes._replace(longest=model.get_block_size())

    def compute(self, parts: Sequence[Part]) -> Tensor:
        """Give the parameters the gradient of the batch's mean loss. Returns that loss, still on the device."""
        self.model.zero_grad(set_to_none=True)
        return self.total([self.add(part) for part in parts])

    def total(self, losses: list[Tensor]) -> Tensor:
        """The sum of the losses, or zero if this process has no part of the batch."""
        return torch.stack(losses).sum() if losses else torch.zeros((), device=self.device)

    def share_of_loss(self, model: nn.Module, part: Part) -> Tensor:
        """The part's share of the loss, as computed by the model or a copy of it."""
        # without the cache of weights in bfloat16, which a recording would outlive
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            _, loss = model(part.x, part.y)  # of a model that returns the losses alone, `[1]` would be the second example's
            return loss * part.share

    def add(self, part: Part) -> Tensor:
        """Add a part's gradient to the parameters' gradients. Returns its share of the loss."""
        loss = self.share_of_loss(self.model, part)
        loss.backward()
        return loss.detach()

    def make_update(self, optimizers: Sequence[torch.optim.Optimizer], largest_norm: float) -> "Update":
        """The update that steps by these gradients."""
        return Update(self.parameters, optimizers, largest_norm)


class Update:
    """A step of the optimizers, with gradients whose norm exceeds `largest_norm` scaled down to it."""

    def __init__(self, parameters: Sequence[nn.Parameter], optimizers: Sequence[torch.optim.Optimizer], largest_norm: float) -> None:
        self.parameters, self.optimizers, self.largest_norm = parameters, optimizers, largest_norm
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]

    def __call__(self, share: float) -> Tensor:
        """Step at that share of the peak rates. Returns the gradient's norm before clipping, still on the device."""
        for group in self.groups:
            self.set_rate(group, group["peak_lr"] * share)
        return self.step()

    def set_rate(self, group: dict[str, Any], rate: float) -> None:
        """Set the group's rate from now on."""
        group["lr"] = rate

    def step(self) -> Tensor:
        """Step at the current rates."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.largest_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return norm


# ---------------------------------------------------------------- on a CPU


class ThreadedGradients(Gradients):
    """On a CPU: a thread for each core, each on one part at a time. The order of summation is always the same."""

    def __init__(self, model: nn.Module, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.copy = with_bf16_layers(model) if bf16 else model  # weights in bfloat16, cast once a step, not for each part
        self.learning = [parameter for parameter in self.copy.parameters() if parameter.requires_grad]
        self.n_threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(self.n_threads, initializer=torch.set_num_threads, initargs=(1,))

    def compute(self, parts: Sequence[Part]) -> Tensor:
        if len(parts) < 2:
            return super().compute(parts)
        self.model.zero_grad(set_to_none=True)
        if self.copy is not self.model:
            self.copy.train(self.model.training)
            with torch.no_grad():
                torch._foreach_copy_(list(self.copy.parameters()), list(self.model.parameters()))
        # the largest parts first, so that the threads don't all wait for one at the end; each part has a seed for its dropout
        work = list(zip(reversed(parts), torch.randint(2**62, (len(parts),)).tolist(), strict=True))
        losses = []
        for first in range(0, len(work), GROUP):
            done = list(self.pool.map(self.of_part, *zip(*work[first : first + GROUP], strict=True)))
            torch.set_num_threads(self.n_threads)  # later threads must not inherit the pool's own setting
            # summed when all are done: summing meanwhile would compete for the cores
            for loss, gradients in done:
                losses.append(loss)
                for parameter, gradient in zip(self.parameters, gradients, strict=True):
                    if parameter.grad is None:
                        parameter.grad = gradient.to(parameter.dtype, copy=True)  # autograd may give two parameters the same tensor
                    else:
                        parameter.grad += gradient
        return self.total(losses)

    def of_part(self, part: Part, seed: int) -> tuple[Tensor, Sequence[Tensor]]:
        """A part's share of the loss, and its gradients."""
        with drawing_from(torch.Generator().manual_seed(seed)):
            loss = self.share_of_loss(self.copy, part)
        return loss.detach(), torch.autograd.grad(loss, self.learning, materialize_grads=True)


def with_bf16_layers(model: nn.Module) -> nn.Module:
    """A copy whose linear layers are in bfloat16, and which shares the model's other parameters."""
    others = [module for module in model.modules() if not isinstance(module, nn.Linear)]
    shared = {parameter for module in others for parameter in module.parameters(recurse=False)}
    copy = deepcopy(model, {id(parameter): parameter for parameter in shared})
    for parameter in copy.parameters():
        if parameter not in shared:
            parameter.data = parameter.data.bfloat16()
    return copy


# ---------------------------------------------------------------- on a CUDA GPU


class Recorder:
    """Records kernels as CUDA graphs, as long as that works; only one graph runs at a time, so all share their working memory."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.works = device, True
        self.memory: tuple[int, int] | None = None
        self.stream: torch.cuda.Stream | None = None  # PyTorch shares memory only within one stream

    def record(self, compute: Callable[[], Tensor], warm_ups: int) -> "Recording | None":
        """`compute`, recorded; None if that fails. Warm-ups call it first: what libraries do the first time can't be recorded."""
        random_state = None
        try:
            random_state = torch.cuda.get_rng_state(self.device)
            self.memory = self.memory or torch.cuda.graph_pool_handle()
            self.stream = self.stream or torch.cuda.Stream(self.device)
            return Recording(compute, warm_ups, self.device, self.memory, self.stream)
        except (RuntimeError, AssertionError, ValueError) as error:  # an old driver, or too little memory, say
            self.works = False
            why = (str(error) or type(error).__name__).splitlines()[0]
            print(f"warning: training continues without CUDA graphs ({why}); --plain does without them from the start", file=sys.stderr)
            if self.stream is not None:  # the generator may still believe it is being recorded: give it another state
                with suppress(RuntimeError):  # after some errors, nothing works on the device any more
                    torch.cuda.default_generators[self.device.index].graphsafe_set_state(torch.Generator(self.device))
                    torch.cuda.set_rng_state(random_state, self.device)
            return None


class Recording:
    """The recorded kernels of a function whose inputs stay in the same memory."""

    def __init__(
        self, compute: Callable[[], Tensor], warm_ups: int, device: torch.device, memory: tuple[int, int], stream: torch.cuda.Stream
    ) -> None:
        random_state = torch.cuda.get_rng_state(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(stream):
                for _ in range(warm_ups):
                    compute()
                torch.cuda.synchronize(device)
                self.graph.capture_begin(pool=memory, capture_error_mode="thread_local")
                try:
                    self.result = compute()
                finally:
                    self.graph.capture_end()
        finally:
            torch.cuda.current_stream(device).wait_stream(stream)
        torch.cuda.set_rng_state(random_state, device)

    def __call__(self) -> Tensor:
        self.graph.replay()
        return self.result.clone()


class RecordedGradients(Gradients):
    """On a CUDA GPU: the kernels for a part are recorded the first time that its shape occurs."""

    def __init__(self, model: GPT, bf16: bool = False) -> None:
        super().__init__(model, bf16)
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]  # where recorded kernels write
        self.copy = make_copy(model) if bf16 else None
        if self.copy is not None:
            self.shapes = self.copy.shapes._replace(longest=self.shapes.longest)
        self.recorder = Recorder(self.device)
        self.recordings: dict[tuple[torch.Size, ...], tuple[Part, Recording]] = {}  # by shape; the part is what the kernels read

    def compute(self, parts: Sequence[Part]) -> Tensor:
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        torch._foreach_zero_(self.gradients)
        if self.recorder.works and (self.copy is None or len(parts) == 1):
            total = self.total([self.replay(part) for part in parts])
            if self.recorder.works:
                return total
            torch._foreach_zero_(self.gradients)
        if not self.recorder.works:
            self.recordings.clear()  # frees their memory, too
        return self.total([self.add(unpack(part)) for part in parts])

    def replay(self, part: Part) -> Tensor:
        """What `compute_part` does, by a recording for this shape, if there is or can be one."""
        shape = tuple(value.shape for value in part if isinstance(value, Tensor))
        if shape not in self.recordings and len(self.recordings) < RECORDINGS and self.recorder.works:
            own = Part(*(value.clone() if isinstance(value, Tensor) else value for value in part))
            own = own._replace(share=torch.zeros((), device=self.device))  # so that warm-ups add nothing
            if recording := self.recorder.record(partial(self.compute_part, own), warm_ups=3):
                self.recordings[shape] = own, recording
        if shape not in self.recordings:
            return self.compute_part(part) if self.recorder.works else torch.zeros((), device=self.device)
        own, recording = self.recordings[shape]
        own.share.fill_(part.share)
        for mine, given in zip(own, part, strict=True):
            if isinstance(given, Tensor):
                mine.copy_(given)
        return recording()

    def compute_part(self, part: Part) -> Tensor:
        """Add a part's gradient to the others; the copy, with one part a batch, overwrites them. Returns the part's share of the loss."""
        return self.copy.compute(part, self.gradients) if self.copy is not None else self.add(part)

    def make_update(self, optimizers: Sequence[torch.optim.Optimizer], largest_norm: float) -> "Update":
        return RecordedUpdate(self.parameters, optimizers, largest_norm, self.recorder)


class RecordedUpdate(Update):
    """An Update on a CUDA GPU, recorded in the second step: in the first, optimizers set themselves up."""

    def __init__(
        self, parameters: Sequence[nn.Parameter], optimizers: Sequence[torch.optim.Optimizer], largest_norm: float, recorder: Recorder
    ) -> None:
        super().__init__(parameters, optimizers, largest_norm)
        self.recorder = recorder
        self.recording: Recording | None = None
        self.begun = False
        for group in self.groups:
            group["lr"] = torch.zeros((), device=group["params"][0].device)  # where the recorded kernels read each step's rate

    def let_record(self, may: bool) -> None:
        """Tell the optimizers that need to know whether they are being recorded."""
        for group in self.groups:
            if "capturable" in group:
                group["capturable"] = may

    def set_rate(self, group: dict[str, Any], rate: float) -> None:
        group["lr"].fill_(rate)

    def step(self) -> Tensor:
        if self.begun and self.recording is None and self.recorder.works:
            self.let_record(True)
            self.recording = self.recorder.record(super().step, warm_ups=0)
            self.let_record(False)
        self.begun = True
        if not self.recorder.works:
            self.recording = None
        return self.recording() if self.recording else super().step()


# ---------------------------------------------------------------- choosing


def make_gradients(model: nn.Module, plain: bool = False, cpu_bf16: bool = False) -> Gradients:
    """The fastest way for the project's model on its device; the plain way for others, changed ones too, or if `plain` asks for it.

    `cpu_bf16` asks for bfloat16 products on a CPU, too.
    """
    device = next(model.parameters()).device
    if plain or not isinstance(model, GPT):
        return Gradients(model)
    unchanged = computes_as_written(model)
    if device.type == "cpu":
        return (ThreadedGradients if unchanged else Gradients)(model, bf16=cpu_bf16 and has_bf16(device))
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)  # cuDNN's attention makes a new plan for each shape
        in_bf16 = all(processes.gathered(has_bf16(device)))  # all alike, or they would split batches differently
        return (RecordedGradients if unchanged else Gradients)(model, in_bf16)
    return Gradients(model)
