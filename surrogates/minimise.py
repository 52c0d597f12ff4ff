"""Many small minimisations at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched
from torch import Tensor


def minimise(
    loss: Callable[[Tensor, list[int]], Tensor],
    start: Tensor,
    bounds: list[tuple[float, float]],
    *,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """L-BFGS-B on every row by itself, with one batched evaluation of the loss per step of all.

    Args:
        loss: of points (b, p), which are the given rows of the problem; -> (b,). Rows are independent of each other.
            A value or gradient that is not finite turns the line search back.
        start: (k, p).
        bounds: p pairs, the same for every row.
        iterations: at most so many per row.
        tolerance: relative decrease at which a row is done.

    Returns:
        (k, p) minimisers.
    """

    def value_and_gradient(x: np.ndarray[Any, Any], batch_indices: list[int]) -> Any:
        points = torch.as_tensor(x).to(start).requires_grad_()
        value = loss(points, batch_indices)
        (gradient,) = torch.autograd.grad(value.sum(), points)
        good = torch.isfinite(value) & torch.isfinite(gradient).all(dim=-1)
        value = torch.where(good, value.detach(), 1e10)
        return value.cpu().numpy(), torch.where(good[:, None], gradient, 0.0).cpu().numpy()

    x, _, _ = fmin_l_bfgs_b_batched(
        value_and_gradient,
        start.cpu().numpy(),
        bounds=bounds,
        maxiter=iterations,
        factr=None,
        ftol=tolerance,
        pass_batch_indices=True,
    )
    return torch.as_tensor(x).to(start)
