"""Kernel regressions both ways between a data set and one design, and the kernel of an infinitely wide network.

References: [Chen2022] Bidirectional learning for offline infinite-width model-based optimization, NeurIPS (both
mappings). [Cho2009] Kernel methods for deep learning, NeurIPS (arc-cosine kernels). [Jacot2018] Neural tangent kernel:
convergence and generalization in neural networks, NeurIPS.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RIDGE = 1e-6
"""Of a kernel matrix, as a share of the mean of its diagonal."""

Kernel = Callable[[Tensor, Tensor], Tensor]
"""(n, D), (m, D) -> (n, m)."""


def linear(a: Tensor, b: Tensor) -> Tensor:
    """Kernel of features: their inner products."""
    return a @ b.mT


def squares(a: Tensor) -> Tensor:
    """(n, D) -> (n,) linear kernel of each with itself."""
    return a.square().sum(-1)


class TangentKernel:
    """Neural tangent kernel of a fully connected ReLU network of infinite width.

    Args:
        layers: hidden layers.
        bias: variance of the first layer's biases, beside weights whose products have mean square 1 over the inputs.
    """

    def __init__(self, layers: int = 4, bias: float = 0.1) -> None:
        self.layers, self.bias = layers, bias

    def diagonal(self, a: Tensor) -> Tensor:
        """(n, D) -> (n,) kernel of each with itself: the same variance in every layer."""
        return (self.layers + 1) * self._variance(a)

    def _variance(self, a: Tensor) -> Tensor:
        return a.square().mean(-1) + self.bias

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, D), (m, D) -> (n, m)."""
        scale = (self._variance(a)[:, None] * self._variance(b)).sqrt()
        sigma = a @ b.mT / a.shape[-1] + self.bias
        theta: Tensor = sigma
        for _ in range(self.layers):
            cosine = (sigma / scale).clamp(-1 + 1e-9, 1 - 1e-9)  # the arc cosine has no slope at 1
            angle = cosine.arccos()
            sigma = scale * ((1 - cosine.square()).sqrt() + cosine * (math.pi - angle)) / math.pi
            theta = sigma + theta * (math.pi - angle) / math.pi
        return theta


class Bidirectional:
    """What a data set predicts of a design (forward), and what a design alone predicts of the data set (backward).

    Args:
        kernel: of two sets of features.
        features: (N, D) of the data set.
        y: (N,) labels, standardised.
        target: label that designs are wanted to have.
    """

    def __init__(self, kernel: Kernel, features: Tensor, y: Tensor, target: float) -> None:
        self.kernel, self.features, self.y, self.target = kernel, features, y, target
        gram = kernel(features, features)
        gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(len(y), dtype=gram.dtype)
        self.coefficients: Tensor = torch.linalg.solve(gram, y)

    def forward(self, cross: Tensor) -> Tensor:
        """cross: (n, N) kernel of designs with the data set -> (n,) predicted labels."""
        return cross @ self.coefficients

    def losses(self, designs: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) features and (n,) kernel of each with itself -> (n,) forward and backward losses of each alone.

        Forward: (f(x) - target)^2. Backward: mean_i (k(x_i, x) target / ((1 + ridge) k(x, x)) - y_i)^2.
        """
        cross = self.kernel(designs, self.features)
        ahead = (self.forward(cross) - self.target).square()
        behind = (cross * (self.target / ((1 + RIDGE) * own))[:, None] - self.y).square().mean(1)
        return ahead, behind


class Heads:
    """Linear regressions on features, each fitted to a bootstrap sample of its own; their mean is a weak supervisor.

    Args:
        features: (N, D); y: (N,).
        rng: of the samples.
        heads: how many.
        ridge: as a share of the mean of the diagonal.
    """

    def __init__(self, features: Tensor, y: Tensor, rng: torch.Generator, heads: int = 5, ridge: float = 1e-2) -> None:
        ones = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
        weights = []
        for _ in range(heads):
            x = torch.randint(len(y), (len(y),), generator=rng)
            gram = ones[x].mT @ ones[x]
            penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
            penalty[-1, -1] = 1e-9  # the constant is free
            weights.append(torch.linalg.solve(gram + penalty, ones[x].mT @ y[x]))
        self.weights = torch.stack(weights)

    def __call__(self, features: Tensor) -> Tensor:
        """(n, D) -> (n,) mean of their predictions."""
        mean = self.weights.mean(0)
        return features @ mean[:-1] + mean[-1]
