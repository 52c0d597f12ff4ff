"""Correlations as functions of the squared distance r^2, counted in length-scales.

References: [Rasmussen2006] Gaussian processes for machine learning, eq. 4.9 and 4.17.
"""

import math

import torch
from torch import Tensor

KERNELS = ("matern32", "matern52", "rbf")
"""In order of smoothness; their positions are the kernel ids."""

_ROOT3, _ROOT5 = math.sqrt(3), math.sqrt(5)


def matern32(r2: Tensor) -> Tensor:
    """Once differentiable."""
    s = _ROOT3 * _root(r2)
    return (1 + s) * torch.exp(-s)


def matern52(r2: Tensor) -> Tensor:
    """Twice differentiable."""
    s = _ROOT5 * _root(r2)
    return (1 + s + s**2 / 3) * torch.exp(-s)


def rbf(r2: Tensor) -> Tensor:
    """Infinitely differentiable."""
    return torch.exp(-0.5 * r2)


def _root(r2: Tensor) -> Tensor:
    # The square root's slope at 0 is infinite and would make gradients NaN, although the kernels are smooth there.
    return r2.clamp_min(1e-14).sqrt()


def squared_distances(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Z1: (..., p, D), Z2: (..., n, D) -> (..., p, n), never negative, by one matrix product."""
    centre = Z2.mean(dim=-2, keepdim=True).detach()
    Z1, Z2 = Z1 - centre, Z2 - centre
    squares = Z1.square().sum(-1)[..., :, None] + Z2.square().sum(-1)[..., None, :]
    return (squares - 2 * Z1 @ Z2.mT).clamp_min(0.0)
