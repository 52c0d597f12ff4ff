"""Draws from a posterior at thousands of designs.

References: [Wilson2020] Efficiently sampling functions from Gaussian process posteriors, ICML (Matheron's rule).
[Rahimi2007] Random features for large-scale kernel machines, NeurIPS.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from designopt.surrogates.gp import IndependentGPs

FEATURES = 1024


def draw(model: IndependentGPs, X: Tensor, rng: np.random.Generator) -> Tensor:
    """One function per output drawn from the posterior, at the designs X (n, d) -> (n, m) in the units of Y.

    A function from the prior, made of random features, is corrected so that it passes through the data. The cost is
    linear in n; an exact joint draw costs n^3.
    """
    m, n_data = model.theta.shape[0], len(model.X)
    lengthscale, scale, noise = model.theta[:, :-1].exp().split([X.shape[-1], 1, 1], dim=-1)
    coded, widths = _as_gaussian(torch.cat([model.X, X]), model.categorical)

    def normal(*shape: int) -> Tensor:
        return torch.as_tensor(rng.standard_normal(shape)).to(X)

    frequency = normal(m, FEATURES, coded.shape[-1]) / lengthscale.repeat_interleave(widths, dim=-1)[:, None]
    phase = torch.as_tensor(rng.uniform(0, 2 * math.pi, (m, FEATURES, 1))).to(X)
    weight = normal(m, 1, FEATURES) * (2 * scale[..., None] / FEATURES).sqrt()
    prior = (weight @ torch.cos(frequency @ coded.mT + phase))[:, 0]
    data, new = prior.split([n_data, len(X)], dim=-1)
    residual = model.residual - data - noise.sqrt() * normal(m, n_data)
    values = model.theta[:, -1:] + new + (model.cross_covariance(X) @ model.solve(residual[..., None]))[..., 0]
    drawn: Tensor = values.mT * model.scaler.stdvs + model.scaler.means
    return drawn


def _as_gaussian(X: Tensor, categorical: Tensor) -> tuple[Tensor, Tensor]:
    """X: (n, d) -> columns (n, D) in which the design kernel is a plain Gaussian one, and D's split by columns of X.

    That is one-hot coding over sqrt(2): two different choices are then at distance 1.
    """
    parts = []
    for column, is_choice in zip(X.unbind(dim=-1), categorical.tolist(), strict=True):
        parts.append((column[:, None] == column.unique()).to(X) / math.sqrt(2) if is_choice else column[:, None])
    widths = torch.as_tensor([part.shape[-1] for part in parts], device=X.device)
    return torch.cat(parts, dim=-1), widths
