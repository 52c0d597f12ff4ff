"""Monotone warpings that make heavy-tailed outputs fit for a Gaussian process.

References: [Eriksson2021] Scalable constrained Bayesian optimization, AISTATS (bilog). [Snelson2003] Warped Gaussian
processes, NeurIPS (choosing a warping by the evidence). [Yeo2000] A new family of power transformations, Biometrika.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.models.transforms.outcome import Standardize
from numpy.typing import ArrayLike
from torch import Tensor

from designopt.parameters import Array
from designopt.surrogates.gp import (
    IndependentGPs,
    as_mask,
    distances,
    fit_hyperparameters,
    initial_hyperparameters,
    log_density,
)

ROUGH = 25
"""Iterations of fitting after which warpings are compared."""
JUDGED = 100
"""Number of designs on which they are compared."""


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


@dataclass(frozen=True)
class Choice:
    """Candidate warpings of every output, to be compared by the evidence of what they make of the data.

    Attributes:
        outputs: (c,) the output that each candidate is for.
        warps: the c candidates.
        Z: (n, c) warped outputs.
        slopes: (n, c) log slopes of the warpings: the Jacobian, without which squeezing would always win [Snelson2003].
    """

    outputs: list[int]
    warps: list[Warp]
    Z: Array
    slopes: Array

    @classmethod
    def of(cls, Y: Array, pivots: Array) -> Choice:
        """All candidates for outputs (n, m)."""
        pairs = [(i, warp) for i, y in enumerate(Y.T) for warp in Warp.candidates(float(pivots[i]), y)]
        Z = np.stack([warp(Y[:, i]) for i, warp in pairs], axis=1)
        slopes = np.stack([warp.log_slope(Y[:, i]) for i, warp in pairs], axis=1)
        return cls([i for i, _ in pairs], [warp for _, warp in pairs], Z, slopes)

    def most_probable(self, evidence: Tensor) -> list[int]:
        """For each of the m outputs its candidate of greatest evidence, (c,) with the Jacobian."""
        best: dict[int, int] = {}
        for candidate in evidence.argsort().tolist():
            best[self.outputs[candidate]] = candidate
        return [best[i] for i in sorted(best)]


def yeo_johnson(Y: Array) -> tuple[Array, Array]:
    """Outputs (n, m) made as normal as a power transform can, standardised, and what it makes of zeros, (m,) [Yeo2000].

    Outputs beyond 1000 are standardised first, for powers of them overflow. Constant ones become 0.
    """
    from sklearn.preprocessing import PowerTransformer

    with_zero = np.concatenate([Y, np.zeros((1, Y.shape[1]))])
    mean, deviation = Y.mean(axis=0), Y.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    large = (np.abs(mean) > 1e3) | (deviation > 1e3)
    with_zero = np.where(large, (with_zero - mean) / deviation, with_zero)
    Z = PowerTransformer().fit(with_zero[:-1]).transform(with_zero)
    spread = with_zero[:-1].std(axis=0)
    straight = (with_zero - with_zero[:-1].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    Z = np.where(np.isfinite(Z).all(axis=0), Z, straight)  # no power fits
    return Z[:-1], Z[-1]


def fit_warped(
    X: Tensor, Y: Array, pivots: Array, categorical: ArrayLike | None = None
) -> tuple[IndependentGPs, list[Warp]]:
    """Gaussian processes of warped outputs, each under the warping that makes its data most probable.

    That is judged by the evidence of a Gaussian process, with the Jacobian of the warping [Snelson2003]: all
    candidates of all outputs are fitted roughly at once, to at most ``JUDGED`` designs; then the best of each output is
    fitted to the end.

    Args:
        X: (n, d) designs in the unit coding.
        Y: (n, m) outputs.
        pivots: (m,) the value of each output around which resolution matters most.
        categorical: (d,) which columns are categories.

    Returns:
        The model of warped outputs (n, m), and the m warpings.
    """
    choice = Choice.of(Y, pivots)
    Z, slopes = torch.as_tensor(choice.Z).to(X), torch.as_tensor(choice.slopes).to(X)
    mask = as_mask(categorical, X)
    squares = distances(X[:, None], X, mask)
    scaler = Standardize(len(choice.warps))
    z = scaler(Z)[0].mT
    rows = spread(len(X), JUDGED).to(X.device)
    judged = squares[rows[:, None], rows], z[:, rows]
    theta = fit_hyperparameters(initial_hyperparameters(X.shape[-1], z), *judged, ROUGH)
    evidence = log_density(theta, *judged) - len(rows) * scaler.stdvs[0].log() + slopes[rows].sum(dim=0)
    best = choice.most_probable(evidence)
    theta = fit_hyperparameters(theta[best], squares, z[best])
    scaler = Standardize(Y.shape[1])
    scaler(Z[:, best])
    return IndependentGPs(X, Z[:, best], mask, theta, scaler), [choice.warps[i] for i in best]


def spread(n: int, most: int) -> Tensor:
    """At most so many of n rows, evenly spread."""
    return torch.linspace(0, n - 1, min(most, n)).long()
