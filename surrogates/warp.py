"""Monotone warpings that make heavy-tailed outputs fit for a Gaussian process.

References: [Eriksson2021] Scalable constrained Bayesian optimization, AISTATS (bilog). [Snelson2003] Warped Gaussian
processes, NeurIPS (choosing a warping by the evidence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from designopt.parameters import Array

LENGTHSCALES = (0.25, 0.5, 1.0, 2.0)
"""Root-mean-square distances of designs over which an output varies, under which a warping is judged."""
NUGGET = 1e-4


def bilog(y: Any) -> Any:
    """sign(y) log(1 + |y|): the identity near 0, logarithmic far away, increasing, of the same sign [Eriksson2021]."""
    return np.sign(y) * np.log1p(np.abs(y))


@dataclass(frozen=True)
class Warp:
    """z = bilog((y - pivot) / knee) or, when ``linear``, (y - pivot) / knee; z has the sign of y - pivot.

    Each side of the pivot has its own knee, where the logarithm sets in.
    """

    pivot: float
    below: float = 1.0
    above: float = 1.0
    linear: bool = False

    def __call__(self, y: Array) -> Array:
        """Outputs to warped outputs of the same shape."""
        z = (y - self.pivot) / self._knee(y)
        return np.asarray(z if self.linear else bilog(z))

    def inverse(self, z: Tensor) -> Tensor:
        """Warped outputs back to outputs, differentiable."""
        knee = torch.where(z > 0, self.above, self.below)
        return self.pivot + knee * (z if self.linear else z.sign() * torch.expm1(z.abs()))

    def log_slope(self, y: Array) -> Array:
        """Logarithm of dz/dy at every y."""
        knee = self._knee(y)
        return np.asarray(-np.log(knee) - (0.0 if self.linear else np.log1p(np.abs(y - self.pivot) / knee)))

    def _knee(self, y: Array) -> Array:
        return np.where(y > self.pivot, self.above, self.below)

    @classmethod
    def candidates(cls, pivot: float, y: Array) -> list[Warp]:
        """Linear; bilog with its knee at the median or lowest twentieth of |y - pivot|, or at the median by side."""
        away = np.abs(y - pivot)
        positive = away[away > 0]
        if len(positive) == 0:
            return [cls(pivot, linear=True)]
        low, middle = np.quantile(positive, [0.05, 0.5])
        warps = [cls(pivot, middle, middle, linear=True), cls(pivot, middle, middle), cls(pivot, low, low)]
        sides = away[y < pivot], away[y > pivot]
        if all(map(len, sides)):
            warps.append(cls(pivot, float(np.median(sides[0])), float(np.median(sides[1]))))
        return warps


def choose_warps(unit: Array, Y: Array, pivots: Array) -> list[Warp]:
    """For every output the warping under which the data are most probable.

    The evidence is that of a Gaussian process with one length-scale, the best of ``LENGTHSCALES``, whose mean and scale
    are profiled out; the Jacobian of the warping makes evidences comparable [Snelson2003]. It costs next to nothing.

    Args:
        unit: (n, D) designs as numbers, one-hot where categorical.
        Y: (n, m) outputs.
        pivots: (m,) the value of each output around which resolution matters most.
    """
    n = len(unit)
    squares = ((unit[:, None] - unit) ** 2).mean(axis=2)
    scale = np.array(LENGTHSCALES)[:, None, None]
    cholesky = np.linalg.cholesky(np.exp(-0.5 * squares / scale**2) + NUGGET * np.eye(n))
    half_log_determinant = np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(axis=1)
    whitener = np.linalg.inv(cholesky)
    ones = whitener.sum(axis=2)

    def evidence(warp: Warp, y: Array) -> float:
        white = whitener @ warp(y)
        mean = (ones * white).sum(axis=1, keepdims=True) / (ones**2).sum(axis=1, keepdims=True)
        variance = ((white - mean * ones) ** 2).mean(axis=1)
        likelihood = -0.5 * n * np.log(np.maximum(variance, 1e-300)) - half_log_determinant
        return float(likelihood.max() + warp.log_slope(y).sum())

    columns = zip(Y.T, pivots, strict=True)
    return [max(Warp.candidates(float(p), y), key=lambda warp: evidence(warp, y)) for y, p in columns]
