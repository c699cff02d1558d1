"""Several processes that train one model, as torchrun starts them: each takes some parts of every batch.

    torchrun --nproc_per_node 2 src/run.py pretrain vanilla wiki.txt --writing_params_path vanilla.pretrain.params

The gradients of all parts are summed, whoever computed them: how many processes there are changes neither the examples
nor their order, and the sums by rounding only. Without torchrun there is one process, and nothing here does anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from files import Stopped, UserError


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first, 0, speaks and writes for all."""
    return dist.get_rank() if count() > 1 else 0


def local_rank() -> int:
    """Which of those on this machine this is, and so which GPU it has."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that torchrun has started, if it has."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
        backend = "cpu:gloo,cuda:nccl"
    store, its_rank, size = next(dist.rendezvous("env://"))
    # after a restart, the addresses of those who died would still be found under the old names
    store = dist.PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT')}", store)
    dist.init_process_group(backend, store=store, rank=its_rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def first_one_speaks() -> Iterator[None]:
    """In all processes but the first, print nothing, and say nothing of what ends all of them alike."""
    if rank() == 0:
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        try:
            yield
        except (UserError, Stopped) as end:
            raise SystemExit(end.exit_code) from None


def sum_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Give the parameters the sum of all processes' gradients; the sum of their losses."""
    if count() == 1:
        return loss
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    pieces = flat[1:].split([gradient.numel() for gradient in gradients])
    for parameter, gradient, piece in zip(parameters, gradients, pieces, strict=True):
        parameter.grad = gradient.copy_(piece.view_as(gradient))
    return flat[0]


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
    """The values of all processes, in their order, for all."""
    values = [value] * count()
    if count() > 1:
        dist.all_gather_object(values, value)
    return values
