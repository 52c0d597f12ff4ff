"""Kernel, noise and mean of Gaussian processes as a network emits them, and what data say about them.

References: [Rasmussen2006] Gaussian processes for machine learning, eq. 2.23 to 2.26, 5.9 and 5.12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from designopt.surrogates.kernels import FAMILY, Mixture, dot, mixture, mixture_in_parts, squared_distances

JITTER = 1e-8
"""Added to the noise, in units of the process's variance: enough for a thousand identical designs in doubles."""


@dataclass(frozen=True)
class Hyperparameters:
    """Of B Gaussian processes over d parameters.

    Attributes:
        log_weights: (B, d), -2 log lengthscale.
        bends: (B, d) strength c of the warping (exp(c x) - 1) / (exp(c) - 1): resolution moves to large x for c > 0,
            to small x for c < 0.
        log_scale: (B,) of the variance of the process.
        log_noise: (B,) of the variance of the noise.
        mean: (B,) of the process.
        mixture: (B, 4) logits of the shares of ``kernels.FAMILY``.
        categorical: (d,) parameters compared by equality, neither ordered nor warped.
    """

    log_weights: Tensor
    bends: Tensor
    log_scale: Tensor
    log_noise: Tensor
    mean: Tensor
    mixture: Tensor
    categorical: Tensor

    @classmethod
    def start(cls, batch: int, categorical: Tensor, dtype: torch.dtype = torch.double) -> Hyperparameters:
        """Where every inference begins: standardised outputs, moderately smooth."""
        d, device = len(categorical), categorical.device

        def constant(value: float, *shape: int) -> Tensor:
            return torch.full((batch, *shape), value, dtype=dtype, device=device)

        weights = constant(-0.5 * math.log(d), d)
        noise, zero = constant(-3.5), constant(0.0)
        return cls(weights, constant(0.0, d), zero, noise, zero, constant(0.0, len(FAMILY)), categorical)

    def rows(self, index: Tensor | list[int]) -> Hyperparameters:
        """Those of some of the B processes, repeated where an index is."""
        chosen = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "categorical"}
        return replace(self, **chosen)

    @property
    def scale(self) -> Tensor:
        """(B,) variance of the process."""
        return self.log_scale.exp()

    @property
    def noise(self) -> Tensor:
        """(B,) variance of the noise."""
        return self.log_noise.exp() + JITTER * self.scale

    @property
    def shares(self) -> Tensor:
        """(B, 4) of the kernels of ``kernels.FAMILY``."""
        return self.mixture.softmax(dim=-1)

    def warped(self, X: Tensor) -> Tensor:
        """X: (..., n, d) that broadcasts with B in front of n -> (B, n, d), increasing from 0 to 1."""
        c = self._bends()
        return torch.where(self.categorical, 0.0, torch.expm1(c * X) / torch.expm1(c))

    def warping_slope(self, X: Tensor) -> Tensor:
        """Derivative of ``warped`` by ``bends``, of the same shape."""
        c = self._bends()
        whole, part = torch.expm1(c), torch.expm1(c * X)
        slope = (X * (part + 1) - part / whole * (whole + 1)) / whole
        return torch.where(self.categorical, 0.0, slope)

    def _bends(self) -> Tensor:
        return torch.where(self.bends.abs() < 1e-3, 1e-3, self.bends)[:, None]  # 0 / 0 at 0

    def scaled(self, X: Tensor) -> Tensor:
        """X: (..., n, d) that broadcasts with B in front of n -> (B, n, d), ``warped`` and in length-scales."""
        return self.warped(X) * (0.5 * self.log_weights).exp()[:, None]

    def squared_distances(self, X1: Tensor, X2: Tensor, scaled2: Tensor | None = None) -> Tensor:
        """X1: (B, p, d), X2: (B, n, d) -> (B, p, n), in length-scales; either may have 1 for B.

        ``scaled2`` is ``scaled(X2)``, if known.
        """
        Z1 = self.scaled(X1)
        Z2 = Z1 if X2 is X1 else self.scaled(X2) if scaled2 is None else scaled2
        r2 = squared_distances(Z1, Z2)
        if self.categorical.any():
            weights = self.log_weights[:, self.categorical].exp()
            r2 = r2 + (_differing(X1, X2, self.categorical) @ weights[:, None, :, None])[..., 0]
        return r2

    def distances(self, X1: Tensor, X2: Tensor) -> Tensor:
        """X1: (B, p, d), X2: (B, n, d) -> (B, p, n), in length-scales."""
        return self.squared_distances(X1, X2).clamp_min(1e-14).sqrt()

    def covariance(self, r: Tensor) -> Tensor:
        """Of values without noise at distances r (B, p, n)."""
        return mixture(r**2, self.factors)

    @property
    def factors(self) -> Tensor:
        """(B, 4) variances of the kernels of ``kernels.FAMILY``."""
        return self.scale[:, None] * self.shares

    def features(self) -> Tensor:
        """(B, 4) numbers of order one that describe the kernel."""
        return self.shares

    @property
    def lengthscale(self) -> Tensor:
        """(B, d)."""
        return (-0.5 * self.log_weights).exp()


@dataclass(frozen=True)
class Conditioned:
    """Gaussian processes given data.

    Attributes:
        theta: hyper-parameters.
        X: (B, n, d) designs, or (1, n, d) shared by all.
        y: (B, n) outputs.
        mixed: covariances (B, n, n) of noise-free outputs.
        cholesky: (B, n, n) lower factor of the covariance of the outputs.
    """

    theta: Hyperparameters
    X: Tensor
    y: Tensor
    mixed: Mixture
    cholesky: Tensor

    @classmethod
    def on(cls, theta: Hyperparameters, X: Tensor, y: Tensor) -> Conditioned:
        """X: (B, n, d) or (1, n, d), y: (B, n)."""
        n = y.shape[-1]
        r2 = theta.squared_distances(X, X)
        r2.diagonal(dim1=-2, dim2=-1).zero_()
        mixed = mixture_in_parts(r2, theta.factors)
        cholesky = torch.linalg.cholesky(mixed.covariance + torch.diag_embed(theta.noise[:, None].expand(-1, n)))
        return cls(theta, X, y, mixed, cholesky)

    def predict(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """X: (B, q, d) -> means (B, q) and variances (B, q) of outputs, noise included."""
        cross = mixture(self.theta.squared_distances(self.X, X), self.theta.factors)
        centred = (self.y - self.theta.mean[:, None])[..., None]
        white = torch.linalg.solve_triangular(self.cholesky, torch.cat([cross, centred], dim=-1), upper=False)
        explained, residual = white[..., :-1], white[..., -1:]
        mean = self.theta.mean[:, None] + (explained.mT @ residual)[..., 0]
        scale = self.theta.scale[:, None]
        return mean, (scale - explained.square().sum(-2)).clamp_min(JITTER * scale) + self.theta.noise[:, None]

    def log_density(self, X: Tensor, y: Tensor) -> Tensor:
        """(B, q) of outputs y (B, q) at designs X (B, q, d), each by itself."""
        mean, variance = self.predict(X)
        return -0.5 * ((y - mean) ** 2 / variance + variance.log() + math.log(2 * math.pi))

    @torch.no_grad()
    def gradients(self) -> Gradients:
        """Of the log marginal likelihood, by formula: no graph is kept."""
        theta = self.theta
        n = self.y.shape[-1]
        precision = torch.cholesky_inverse(self.cholesky)
        centred = (self.y - theta.mean[:, None])[..., None]
        alpha = precision @ centred
        by_covariance = torch.baddbmm(precision, alpha, alpha.mT, beta=-0.5, alpha=0.5)
        weights, Z = theta.log_weights.exp(), theta.warped(self.X)
        by_r2 = by_covariance * self.mixed.slope
        row = by_r2.sum(-1, keepdim=True)
        pull = row * Z - by_r2 @ Z  # half the derivative by each coordinate, before its weight
        log_weights = 2 * weights * (Z * pull).sum(-2)  # sum of by_r2 times the weighted squared differences
        if theta.categorical.any():
            differing = _differing(self.X, self.X, theta.categorical)
            log_weights[:, theta.categorical] = weights[:, theta.categorical] * torch.einsum(
                "bij,bijk->bk", by_r2, differing.expand(len(by_r2), -1, -1, -1)
            )
        bends = 4 * weights * (pull * theta.warping_slope(self.X)).sum(-2)
        members = torch.stack([dot(by_covariance, member) for member in self.mixed.members], dim=-1)
        members = theta.scale[:, None] * members
        log_scale = (theta.shares * members).sum(-1)
        trace = by_covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
        spread = precision.diagonal(dim1=-2, dim2=-1)
        evidence = -0.5 * (centred * alpha).sum((-2, -1)) - self.cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        residual = alpha[..., 0] * spread.rsqrt()
        return Gradients(
            log_weights=log_weights,
            bends=bends,
            log_scale=log_scale,
            log_noise=theta.log_noise.exp() * trace,
            mean=alpha.sum((-2, -1)),
            mixture=theta.shares * (members - log_scale[:, None]),
            evidence=evidence / n - 0.5 * math.log(2 * math.pi),
            left_out=0.5 * (spread.log() - residual**2).mean(-1) - 0.5 * math.log(2 * math.pi),
            contribution=weights * (Z - Z.mean(dim=-2, keepdim=True)).square().mean(dim=-2),
        )


@dataclass(frozen=True)
class Gradients:
    """Derivatives of the log marginal likelihood by the hyper-parameters of the same names, and more.

    Attributes:
        evidence: (B,) log marginal likelihood per output.
        left_out: (B,) mean log density of every output given all others.
        contribution: (B, d) variance of the designs in length-scales.
    """

    log_weights: Tensor
    bends: Tensor
    log_scale: Tensor
    log_noise: Tensor
    mean: Tensor
    mixture: Tensor
    evidence: Tensor
    left_out: Tensor
    contribution: Tensor


def _differing(X1: Tensor, X2: Tensor, categorical: Tensor) -> Tensor:
    """Whether choices differ, (..., p, n, number of categorical parameters)."""
    choices1, choices2 = X1[..., categorical], X2[..., categorical]
    return (choices1.unsqueeze(-2) != choices2.unsqueeze(-3)).to(X1)
