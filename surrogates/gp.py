"""Gaussian processes over designs in the unit coding: one per output, all fitted together.

References: [Hvarfner2024] Vanilla Bayesian optimization performs great in high dimensions, ICML (length-scale prior).
[Rasmussen2006] Gaussian processes for machine learning, eq. 2.25, 2.26 and 5.8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.models.transforms.outcome import Standardize
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch import settings
from gpytorch.constraints import GreaterThan
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from linear_operator.operators import DiagLinearOperator
from linear_operator.utils.cholesky import psd_safe_cholesky
from numpy.typing import ArrayLike
from torch import Tensor

from designopt.surrogates.minimise import minimise

# Priors of the natural logarithms of the hyper-parameters of a standardised output as (mean, deviation), and bounds.
# Evaluations are deterministic: noise is a nugget that may all but vanish, yet absorbs what no smooth function follows.
SCALE_PRIOR, SCALE_BOUNDS = (0.0, 1.5), (math.log(0.05), math.log(1e4))
NOISE_PRIOR, NOISE_BOUNDS = (math.log(1e-6), 3.0), (math.log(1e-8), 0.0)
MEAN_BOUNDS = (-10.0, 10.0)
LENGTHSCALE_BOUNDS = (math.log(0.02), math.log(1e3))


def lengthscale_prior(d: int) -> tuple[float, float]:
    """Mean and deviation of the log length-scale in d dimensions [Hvarfner2024]."""
    return math.sqrt(2) + 0.5 * math.log(d), math.sqrt(3)


class DesignKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """exp(-r^2 / 2) with r^2 = sum_j D_j / lengthscale_j^2 over the columns of the unit coding.

    D_j is the squared difference of real and ordered columns, and whether the choices differ in categorical ones.
    """

    has_lengthscale = True

    def __init__(self, categorical: Tensor, **kwargs: Any) -> None:
        super().__init__(ard_num_dims=len(categorical), **kwargs)
        self.register_buffer("categorical", categorical)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **_: Any) -> Tensor:
        """x1: (..., n, d), x2: (..., p, d) -> (..., n, p); with ``diag`` and n = p, (..., n)."""
        if diag:
            return torch.exp(-0.5 * (distances(x1, x2, self.categorical) / self.lengthscale**2).sum(-1))
        if self.categorical.any():
            squares = distances(x1.unsqueeze(-2), x2.unsqueeze(-3), self.categorical)
            return torch.exp(-0.5 * (squares @ (self.lengthscale.unsqueeze(-3) ** -2).mT)[..., 0])
        return torch.exp(-0.5 * self.covar_dist(x1 / self.lengthscale, x2 / self.lengthscale, square_dist=True))


def distances(x1: Tensor, x2: Tensor, categorical: Tensor) -> Tensor:
    """Column-wise D_j of two arrays (..., d) that broadcast against each other."""
    difference = x1 - x2
    return torch.where(categorical, (difference != 0).to(difference), difference**2)


class IndependentGPs(SingleTaskGP):
    """A SingleTaskGP of m independent outputs with a short cut for marginal predictions.

    ``posterior`` of single designs, X of shape (..., 1, d), is what acquisition functions and their gradients call
    thousands of times; here it costs two matrix products per output.
    """

    def __init__(self, X: Tensor, Y: Tensor, categorical: Tensor, theta: Tensor, scaler: Standardize) -> None:
        m, d = Y.shape[-1], X.shape[-1]
        shape = torch.Size([m]) if m > 1 else torch.Size()
        super().__init__(
            X,
            Y,
            likelihood=GaussianLikelihood(batch_shape=shape, noise_constraint=GreaterThan(1e-10, transform=None)),
            covar_module=ScaleKernel(DesignKernel(categorical, batch_shape=shape), batch_shape=shape),
            outcome_transform=scaler,
        )
        self.X, self.Y, self.categorical, self.theta, self.scaler = X, Y, categorical, theta, scaler
        lengthscale, scale, noise = theta[:, :-1].exp().split([d, 1, 1], dim=-1)
        self.covar_module.base_kernel.lengthscale = lengthscale.reshape(*shape, 1, d)
        self.covar_module.outputscale = scale.reshape(shape)
        self.likelihood.noise = noise.reshape(*shape, 1)
        self.mean_module.constant = theta[:, -1].reshape(shape)
        self.requires_grad_(False)
        self.eval()
        self.residual = self.train_targets.reshape(m, -1) - theta[:, -1:]
        cholesky = psd_safe_cholesky(covariance(theta, distances(X[:, None], X, categorical)))
        self._whitener = torch.linalg.solve_triangular(cholesky, torch.eye(len(X)).to(X), upper=False)  # (m, n, n)
        self._weights = self.solve(self.residual[..., None])  # (m, n, 1)

    def condition(self, X: Tensor, Y: Tensor) -> IndependentGPs:
        """The same hyper-parameters with p more designs, X: (p, d), Y: (p, m)."""
        X, Y = torch.cat([self.X, X]), torch.cat([self.Y, Y])
        return IndependentGPs(X, Y, self.categorical, self.theta, _Fixed(self.scaler))

    def cross_covariance(self, X: Tensor) -> Tensor:
        """X: (p, d) -> (m, p, n) prior covariances of standardised outputs between X and the data."""
        correlation = self.covar_module.base_kernel.forward(X, self.X).reshape(-1, len(X), len(self.X))
        covariances: Tensor = self.theta[:, -3, None, None].exp() * correlation
        return covariances

    def solve(self, right: Tensor) -> Tensor:
        """The inverse covariance of the data times ``right``, (m, n, r)."""
        solution: Tensor = self._whitener.mT @ (self._whitener @ right)
        return solution

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> Any:
        """X: (..., q, d) -> posterior over (..., q, m) in the units of Y."""
        if X.shape[-2] != 1 or args or any(not (value is None or value is False) for value in kwargs.values()):
            return super().posterior(X, *args, **kwargs)
        m = self.num_outputs
        points = X.reshape(-1, X.shape[-1])
        cross = self.cross_covariance(points)
        mean = self.theta[:, -1:] + (cross @ self._weights)[..., 0]
        variance = (self.theta[:, -3, None].exp() - (cross @ self._whitener.mT).square().sum(-1)).clamp_min(1e-12)
        unit = self.scaler.stdvs
        least = settings.min_variance.value(X.dtype)  # what GPyTorch would raise it to, with a warning each time
        mean = (mean.mT * unit + self.scaler.means).reshape(*X.shape[:-1], m)
        variances = DiagLinearOperator((variance.mT * unit**2).clamp_min(least).reshape(*X.shape[:-2], m))
        if m == 1:
            return GPyTorchPosterior(MultivariateNormal(mean[..., 0], variances))
        return GPyTorchPosterior(MultitaskMultivariateNormal(mean, variances))


def covariance(theta: Tensor, squares: Tensor) -> Tensor:
    """theta: (m, d + 3), squares: (n, n, d) distances by column -> (m, n, n) covariances with noise."""
    n, _, d = squares.shape
    log_lengthscale, log_scale, log_noise, _ = theta.split([d, 1, 1, 1], dim=-1)
    r2 = (torch.exp(-2 * log_lengthscale) @ squares.reshape(n * n, d).mT).reshape(-1, n, n)
    return torch.exp(log_scale[..., None] - 0.5 * r2) + torch.diag_embed(log_noise.exp().expand(-1, n))


def log_density(theta: Tensor, squares: Tensor, y: Tensor) -> Tensor:
    """(m,) log marginal likelihood of standardised outputs y (m, n), plus the log prior of the hyper-parameters."""
    n, d = y.shape[-1], squares.shape[-1]
    cholesky, failed = torch.linalg.cholesky_ex(covariance(theta, squares))
    white = torch.linalg.solve_triangular(cholesky, (y - theta[:, -1:])[..., None], upper=False)[..., 0]
    likelihood = -0.5 * white.square().sum(-1) - cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    priors = [lengthscale_prior(d)] * d + [SCALE_PRIOR, NOISE_PRIOR]
    location, deviation = theta.new_tensor(priors).T
    prior = -0.5 * ((theta[:, :-1] - location) / deviation).square().sum(-1)
    return torch.where(failed == 0, likelihood - 0.5 * n * math.log(2 * math.pi) + prior, -torch.inf)


class _Fixed(Standardize):
    """A Standardize that keeps the statistics of another when shown new data."""

    def __init__(self, fitted: Standardize) -> None:
        super().__init__(m=fitted._m)
        self.load_state_dict(fitted.state_dict())
        self.eval()

    def train(self, mode: bool = True) -> _Fixed:
        return super().train(False)


def fit_gp(X: Tensor, Y: Tensor, categorical: ArrayLike | None = None, warm_start: str | None = None) -> IndependentGPs:
    """Independent Gaussian processes, hyper-parameters at the mode of their posterior.

    All outputs are fitted at once: one batched likelihood, and an L-BFGS run of its own for each output.

    Args:
        X: (n, d) designs in the unit coding, n >= 1, double precision.
        Y: (n, m) outputs, finite; standardised inside.
        categorical: (d,) which columns are categories, compared by equality; none by default.
        warm_start: "agp" begins where the amortised Gaussian process ends, in place of fixed values; what that is
            worth is measured in docs/benchmarks/gp_warm_start.md.

    Returns:
        A BoTorch model, ``posterior(X)`` in the units of Y.

    Raises:
        ValueError: another warm start.
    """
    if warm_start not in (None, "agp"):
        raise ValueError(f"warm_start = {warm_start!r}; allowed: None, 'agp'")
    mask = as_mask(categorical, X)
    scaler = Standardize(Y.shape[-1])
    y = scaler(Y)[0].mT
    squares = distances(X[:, None], X, mask)
    start = amortized_hyperparameters(X, y, mask) if warm_start else initial_hyperparameters(X.shape[-1], y)
    theta = fit_hyperparameters(start, squares, y)
    return IndependentGPs(X, Y, mask, theta, scaler)


def as_mask(categorical: ArrayLike | None, X: Tensor) -> Tensor:
    """Which columns of X are categories, (d,); none when not given."""
    mask = np.zeros(X.shape[-1], dtype=bool) if categorical is None else np.asarray(categorical, dtype=bool)
    return torch.as_tensor(mask, device=X.device)


def initial_hyperparameters(d: int, y: Tensor) -> Tensor:
    """(m, d + 3) where to begin for outputs y (m, n): length-scales below the prior's mean, some noise."""
    start = [lengthscale_prior(d)[0] - 1.0] * d + [SCALE_PRIOR[0], math.log(1e-4), 0.0]
    return y.new_tensor(start).repeat(len(y), 1)


def amortized_hyperparameters(X: Tensor, y: Tensor, categorical: Tensor) -> Tensor:
    """(m, d + 3) what the shipped network makes of designs X (n, d) and standardised outputs y (m, n)."""
    from designopt.surrogates.amortized_gp import AmortizedGP

    theta = AmortizedGP.load(device=X.device.type).infer(X, y, categorical)
    others = torch.stack([theta.log_scale, theta.log_noise, theta.mean], dim=-1)
    return torch.cat([-0.5 * theta.log_weights, others], dim=-1)


def fit_hyperparameters(start: Tensor, squares: Tensor, y: Tensor, iterations: int = 100) -> Tensor:
    """The (m, d + 3) hyper-parameters of greatest ``log_density``, from ``start`` on."""
    n, _, d = squares.shape
    bounds = [LENGTHSCALE_BOUNDS] * d + [SCALE_BOUNDS, NOISE_BOUNDS, MEAN_BOUNDS]

    def loss(theta: Tensor, rows: list[int]) -> Tensor:
        return -log_density(theta, squares, y[rows]) / n

    return minimise(loss, start, bounds, iterations=iterations, tolerance=1e-6)
