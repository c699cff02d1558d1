"""Several processes, started by torchrun, that train one model: each takes some parts of every batch.

    torchrun --nproc_per_node 2 src/run.py pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params

The gradients of all parts are summed, whichever process computed them: the number of processes changes neither the examples
nor their order, and the sums only by rounding. Without torchrun there is one process, and nothing here does anything.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch import distributed as dist  # which some builds lack

from console import UserError, under_torchrun


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first, 0, speaks and writes for all."""
    return dist.get_rank() if count() > 1 else 0


def local_rank() -> int:
    """Which of this machine's processes this is, and so which GPU it gets."""
    return int(os.environ["LOCAL_RANK"]) if under_torchrun() else 0


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes that torchrun started, if any. Raises UserError if they can't use the device."""
    if not dist.is_available() or not under_torchrun():
        yield
        return
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"several processes take a GPU each, or CPU cores: give --device auto, cpu or cuda, not {device}")
    backend = "gloo"
    if torch.cuda.is_available() and device != "cpu":
        if int(os.environ["LOCAL_WORLD_SIZE"]) > torch.cuda.device_count():
            raise UserError(f"{torch.cuda.device_count()} GPUs are too few: give torchrun a smaller --nproc_per_node, or add --device cpu")
        torch.cuda.set_device(local_rank())
        backend = "cpu:gloo,cuda:nccl" if dist.is_nccl_available() else "gloo"  # Windows has only the latter
    # if an optimizer imported it later, it would keep the group's threads alive until exit, where they may abort the process
    import_module("torch._dynamo")
    store, its_rank, size = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(agree_on_name(store, its_rank, size), store)
    dist.init_process_group(backend, store=store, rank=its_rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def agree_on_name(store: "dist.Store", its_rank: int, size: int) -> str:
    """A name shared only by the processes now meeting: after a restart, the store still holds the addresses of the dead ones.

    The roll lists a token from each. A process that finds its own there agrees to the roll: not all agree to one that has
    a dead one's token. (torchrun's count of restarts would not do as a name: one machine may not count a death on another.)
    Raises UserError if not all come.
    """
    token = uuid4().hex.encode()
    store.set(f"agreed {its_rank}", "")  # first: whoever finds a token waits for what its owner agrees to
    store.set(f"token {its_rank}", token)
    patience, began = store.timeout.total_seconds(), time.monotonic()
    while time.monotonic() - began < patience:
        if its_rank == 0:
            store.set("roll", b" ".join(store.get(f"token {number}") for number in range(size)))
        roll = store.get("roll")
        if token in roll:
            store.set(f"agreed {its_rank}", roll)
            if all(store.get(f"agreed {number}") == roll for number in range(size)):
                return roll.split()[0].decode()
        time.sleep(0.05)
    raise UserError(f"not all {size} processes came within {patience:.0f} s: see what ended the others, and start all again")


@contextmanager
def agreeing() -> Iterator[None]:
    """A UserError in one process ends them all, and is reported once."""
    own = None
    try:
        yield
    except UserError as error:
        own = error
    for number, message in enumerate(gathered(str(own) if own else None)):
        if message is not None:
            raise own if number == rank() else UserError(f"process {number}: {message}")


def copy_from_first(model: nn.Module) -> None:
    """Give all processes the first one's parameters, as another kind of CPU might draw different last bits."""
    if count() > 1:
        for parameter in model.parameters():
            dist.broadcast(parameter.data, 0)


def sum_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Give the parameters the sum of all processes' gradients. Returns the sum of their losses."""
    if count() == 1:
        return loss
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    pieces = flat[1:].split([gradient.numel() for gradient in gradients])
    for parameter, gradient, piece in zip(parameters, gradients, pieces, strict=True):
        parameter.grad = gradient.copy_(piece.view_as(gradient))
    return flat[0].clone()  # a view would keep all of `flat` alive


def largest(value: int) -> int:
    """The largest of all processes' values."""
    if count() == 1:
        return value
    values = torch.tensor(value)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def from_first(value: Any) -> Any:
    """The first process's value, for all."""
    values = [value]
    if count() > 1:
        dist.broadcast_object_list(values, device=torch.device("cpu"))
    return values[0]


def gathered(value: Any) -> list[Any]:
    """The values of all processes, in order of rank, for all."""
    values = [value] * count()
    if count() > 1:
        dist.all_gather_object(values, value)
    return values
