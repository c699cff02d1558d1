"""Muon on all matrices of the same shape at once: this takes a fraction of the kernels, whose number sets its cost on a GPU."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

import processes
from acceleration import has_bf16


class BatchedMuon(torch.optim.Muon):
    """torch.optim.Muon (Jordan et al. 2024), but not matrix by matrix; the rate may be a tensor on the matrices' device.

    `adjust_lr_fn` has no effect: rates are adjusted as in the original.
    """

    def __init__(self, matrices: Iterable[Tensor], **how: Any) -> None:
        super().__init__(matrices, **how)
        # all processes alike, or their matrices would drift apart
        in_bf16 = all(processes.gathered(has_bf16(self.param_groups[0]["params"][0].device)))
        self.dtype = torch.bfloat16 if in_bf16 else torch.float32  # of the iterations: the original's, if the devices have it

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Update all matrices that have a gradient. `closure` is ignored."""
        for group in self.param_groups:
            matrices, gradients, momenta = [], [], []
            self._init_group(group, matrices, gradients, momenta)
            if not matrices:  # all of them are frozen
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            if group["nesterov"]:
                momenta = torch._foreach_lerp(gradients, momenta, group["momentum"])
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            for shape in dict.fromkeys(matrix.shape for matrix in matrices):
                of_shape = [i for i, matrix in enumerate(matrices) if matrix.shape == shape]
                stacked = torch.stack([momenta[i] for i in of_shape]).to(self.dtype)  # (n, A, B)
                updates = orthogonalized(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
                updates = updates.float() * (-group["lr"] * math.sqrt(max(1, shape[0] / shape[1])))
                torch._foreach_add_([matrices[i] for i in of_shape], list(updates))


def orthogonalized(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Each of the matrices (n, A, B) with its singular values brought near 1, by quintic Newton-Schulz iterations."""
    a, b, c = coefficients
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT  # (n, A, A)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
