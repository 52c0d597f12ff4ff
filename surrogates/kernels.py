"""Correlations as functions of the squared distance r^2, counted in length-scales.

References: [Rasmussen2006] Gaussian processes for machine learning, eq. 4.9 and 4.17.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

KERNELS = ("matern32", "matern52", "rbf")
"""In order of smoothness; their positions are the kernel ids."""
FAMILY = (*KERNELS, "slow_rbf")
"""What mixtures are made of: a slow component carries trends under a rougher one."""
SLOWNESS = 4.0
"""Length-scale of the slow component in units of the others'."""

_ROOT3, _ROOT5 = math.sqrt(3), math.sqrt(5)


def correlations(r2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squared distances of any shape -> correlations under each of ``FAMILY``."""
    return _members(r2)[0]


def mixture(r2: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of ``correlations``, and their derivatives by r^2.

    Args:
        r2: (B, ...) squared distances.
        factors: (B, 4) of the correlations.

    Returns:
        Two tensors shaped like r2. Only the first can be differentiated, once: the second is its derivative, so that
        backpropagation costs one product.
    """
    covariance, slope = _Mixture.apply(r2, factors)  # type: ignore[no-untyped-call]  # torch has no type for it
    return covariance, slope


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r2: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        members, (e3, e5, s5) = _members(r2)
        by_member = factors.mT.reshape(len(FAMILY), -1, *[1] * (r2.dim() - 1))
        covariance = sum(factor * member for factor, member in zip(by_member, members, strict=True))
        f3, f5, rbf, slow = by_member
        slope = (-1.5 * f3) * e3 - (5 / 6 * f5) * (1 + s5) * e5 - 0.5 * rbf * members[2]
        slope -= (0.5 / SLOWNESS**2 * slow) * members[3]
        ctx.save_for_backward(slope, *members)
        ctx.mark_non_differentiable(slope)
        return covariance, slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None]:
        slope, *members = ctx.saved_tensors
        by_factors = None
        if ctx.needs_input_grad[1]:
            by_factors = torch.stack([dot(gradient, member) for member in members], dim=-1)
        return gradient * slope, by_factors


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(B, ...), (B, ...) -> (B,) sums of products."""
    product: Tensor = (a.flatten(1)[:, None] @ b.flatten(1)[..., None])[:, 0, 0]
    return product


def _members(r2: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    r = r2.sqrt()
    s3, s5 = _ROOT3 * r, _ROOT5 * r
    e3, e5, slow = torch.exp(-s3), torch.exp(-s5), torch.exp((-0.5 / SLOWNESS**2) * r2)
    rbf = slow.square().square().square().square()  # SLOWNESS^2 = 16; many times cheaper than an exponential
    return ((1 + s3) * e3, (1 + s5 * (1 + s5 / 3)) * e5, rbf, slow), (e3, e5, s5)


def squared_distances(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Z1: (..., p, D), Z2: (..., n, D) -> (..., p, n), never negative, by one matrix product."""
    centre = Z2.mean(dim=-2, keepdim=True).detach()  # less cancellation
    Z1, Z2 = Z1 - centre, Z2 - centre
    squares = Z1.square().sum(-1)[..., :, None] + Z2.square().sum(-1)[..., None, :]
    return (squares - 2 * Z1 @ Z2.mT).clamp_min(0.0)
