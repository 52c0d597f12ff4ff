"""Correlations as functions of the squared distance r^2, counted in length-scales.

References: [Rasmussen2006] Gaussian processes for machine learning, eq. 4.9 and 4.17.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Mixture:
    """Sums of correlations times factors.

    Attributes:
        covariance: (B, ...); the only one that can be differentiated, once.
        slope: (B, ...) derivative of the covariance by r^2.
        members: (B, ...) correlations under each of ``FAMILY``.
    """

    covariance: Tensor
    slope: Tensor
    members: tuple[Tensor, ...]


def mixture(r2: Tensor, factors: Tensor) -> Tensor:
    """Sums of ``correlations`` times ``factors`` (B, 4), for r2 (B, ...)."""
    if torch.is_grad_enabled() and (r2.requires_grad or factors.requires_grad):
        return mixture_in_parts(r2, factors).covariance
    f3, f5, f_rbf, f_slow = _by_member(factors, r2)
    r = r2.sqrt()
    slow = torch.exp((-0.5 / SLOWNESS**2) * r2)
    total: Tensor = f_slow * slow
    total += f_rbf * slow.square_().square_().square_().square_()
    total += (f3 + (_ROOT3 * f3) * r) * torch.exp(-_ROOT3 * r)
    total += (f5 + (_ROOT5 * f5) * r + (5 / 3 * f5) * r2) * torch.exp(-_ROOT5 * r)
    return total


def mixture_in_parts(r2: Tensor, factors: Tensor) -> Mixture:
    """``mixture`` with all that went into it; backpropagation through it costs one product."""
    covariance, slope, *members = _Mixture.apply(r2, factors)  # type: ignore[no-untyped-call]  # torch has no type
    return Mixture(covariance, slope, tuple(members))


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r2: Tensor, factors: Tensor) -> tuple[Tensor, ...]:
        members, (e3, e5, s5) = _members(r2)
        f3, f5, rbf, slow = by_member = _by_member(factors, r2)
        covariance = torch.zeros_like(r2)
        for factor, member in zip(by_member, members, strict=True):
            covariance = torch.addcmul(covariance, factor, member)
        slope = (-1.5 * f3) * e3
        slope = torch.addcmul(slope, -5 / 6 * f5 * (1 + s5), e5)
        slope = torch.addcmul(slope, -0.5 * rbf, members[2])
        slope = torch.addcmul(slope, -0.5 / SLOWNESS**2 * slow, members[3])
        ctx.save_for_backward(slope, *members)
        ctx.mark_non_differentiable(slope, *members)
        return covariance, slope, *members

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None]:
        slope, *members = ctx.saved_tensors
        by_factors = None
        if ctx.needs_input_grad[1]:
            by_factors = torch.stack([dot(gradient, member) for member in members], dim=-1)
        return gradient * slope, by_factors


def dot(a: Tensor, b: Tensor) -> Tensor:
    """(B, ...), (B, ...) -> (B,) sums of products."""
    product: Tensor = (a.flatten(1)[:, None] @ b.flatten(1)[..., None])[:, 0, 0]
    return product


def _by_member(factors: Tensor, r2: Tensor) -> Tensor:
    """(B, 4) -> (4, B, 1, ...), to multiply r2 with."""
    return factors.mT.reshape(len(FAMILY), -1, *[1] * (r2.dim() - 1))


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
