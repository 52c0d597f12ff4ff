"""The curvature of the validation loss in alpha, and when it says that a search has gone on for too long.

References: [Zela2020] Understanding and robustifying differentiable architecture search, ICLR: the dominant eigenvalue
grows sharply before the architecture found gets worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from designopt.search.nas.problem import Tensors

WINDOW, LAG, RATIO, FIRST = 5, 4, 1.3, 10
"""Epochs averaged over, epochs between the two averages compared, the growth that stops, the first epoch to go back to
[Zela2020]."""


def largest_eigenvalue(loss: Callable[[Tensors], Tensor], alpha: Tensors) -> float:
    """Largest eigenvalue of the Hessian of a loss in alpha, from the whole matrix row by row (alpha is small)."""
    shapes = {name: value.shape for name, value in alpha.items()}
    flat = torch.cat([value.detach().flatten() for value in alpha.values()]).requires_grad_()
    parts = torch.split(flat, [shape.numel() for shape in shapes.values()])
    value = loss({name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)})
    (slope,) = torch.autograd.grad(value, flat, create_graph=True)
    if not slope.requires_grad:  # a loss that is linear in alpha
        return 0.0
    rows = [torch.autograd.grad(s, flat, retain_graph=True)[0] for s in slope]
    hessian = torch.stack(rows)
    return float(torch.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])


def epoch_before_collapse(eigenvalues: Sequence[float]) -> int | None:
    """The epoch (counted from 0) whose alpha should be taken, once the eigenvalue has grown too much; None: go on.

    Averages are centred where there are enough epochs on both sides; the last one is over the epochs there are.
    """
    now = len(eigenvalues) - 1
    before = now - LAG
    if before < FIRST:
        return None

    def average(epoch: int) -> float:
        window = eigenvalues[max(epoch - WINDOW // 2, 0) : epoch + WINDOW // 2 + 1]
        return float(sum(window) / len(window))

    return before if average(now) > RATIO * average(before) > 0 else None
