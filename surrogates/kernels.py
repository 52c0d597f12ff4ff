"""Correlations as functions of the squared distance r^2, counted in length-scales.

References: [Rasmussen2006] Gaussian processes for machine learning, eq. 4.9 and 4.17.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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
    return _sum(_by_member(factors, r2), _members(r2)[0])


def mixture_in_parts(r2: Tensor, factors: Tensor) -> Mixture:
    """``mixture`` with all that went into it; backpropagation through it costs one product."""
    covariance, slope, *members = _Mixture.apply(r2, factors)  # type: ignore[no-untyped-call]  # torch has no type
    return Mixture(covariance, slope, tuple(members))


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r2: Tensor, factors: Tensor) -> tuple[Tensor, ...]:
        members, (e3, q5) = _members(r2)
        f3, f5, rbf, slow = by_member = _by_member(factors, r2)
        covariance = _sum(by_member, members)
        by_slope = (-1.5 * f3, -5 / 6 * f5, -0.5 * rbf, (-0.5 / SLOWNESS**2) * slow)
        slope = _sum(by_slope, (e3, q5, members[2], members[3]))
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
    return (a * b).flatten(1).sum(-1)  # a matrix product takes four times as long


def _by_member(factors: Tensor, r2: Tensor) -> Tensor:
    """(B, 4) -> (4, B, 1, ...), to multiply r2 with."""
    return factors.mT.reshape(len(FAMILY), -1, *[1] * (r2.dim() - 1))


def _sum(factors: Iterable[Tensor], values: Iterable[Tensor]) -> Tensor:
    """Of products; large arrays are passed over once per product."""
    (factor, value), *others = zip(factors, values, strict=True)
    total = factor * value
    for factor, value in others:
        total.addcmul_(factor, value)
    return total


def _members(r2: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Correlations, and what the slopes of the first two are in proportion to."""
    r = r2.sqrt()
    e3, e5 = (r * -_ROOT3).exp_(), (r * -_ROOT5).exp_()
    slow = (r2 * (-0.5 / SLOWNESS**2)).exp_()
    rbf = slow.square().square_().square_().square_()  # SLOWNESS^2 = 16; many times cheaper than an exponential
    q5 = torch.addcmul(e5, r, e5, value=_ROOT5)
    return (torch.addcmul(e3, r, e3, value=_ROOT3), torch.addcmul(q5, r2, e5, value=5 / 3), rbf, slow), (e3, q5)


def squared_distances(Z1: Tensor, Z2: Tensor) -> Tensor:
    """Z1: (..., p, D), Z2: (..., n, D) -> (..., p, n), never negative, by one matrix product."""
    centre = Z2.mean(dim=-2, keepdim=True).detach()  # less cancellation
    Z1, Z2 = Z1 - centre, Z2 - centre
    squares = Z1.square().sum(-1)[..., :, None] + Z2.square().sum(-1)[..., None, :]
    return (squares - 2 * Z1 @ Z2.mT).clamp_min(0.0)
