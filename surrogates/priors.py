"""Random functions drawn from Gaussian processes, in batches: what the in-context networks are trained and judged on.

References: [Müller2023] PFNs4BO: in-context learning for Bayesian optimization, ICML (HEBO+ prior: Gamma length-scales
and output scales, log-normal noise, dropped parameters). [Kumaraswamy1980] A generalized probability density function
for double-bounded random processes, Journal of Hydrology (warping of inputs).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from designopt.surrogates import kernels

LENGTHSCALE = (1.2106559584, 1.5212245993)
"""Shape and rate of the Gamma prior of the length-scale of every parameter that matters [Müller2023]."""
OUTPUTSCALE = (0.8452312503, 0.3993553246)
"""Shape and rate of the Gamma prior of the variance of the process [Müller2023]."""
LOG_NOISE, LOG_NOISE_NEAR_NONE = (-4.63, 0.5), (-9.0, 1.0)
"""Mean and deviation of the log noise variance [Müller2023], and of all but deterministic simulations."""
DROPPED = 0.3
"""Probability that a parameter does not matter at all [Müller2023]."""


@dataclass(frozen=True)
class Tasks:
    """b functions seen at n designs each.

    Attributes:
        X: (b, n, d) designs in the unit cube.
        Y: (b, n) outputs with noise.
        lengthscale: (b, d) in units of the (warped) cube, infinite where the parameter does not matter.
        outputscale: (b,) variance of the process.
        noise: (b,) variance.
        kernel: (b,) positions in ``kernels.KERNELS``.
        warp: (b, d, 2) Kumaraswamy parameters; the process lives on 1 - (1 - x^a)^b; (1, 1) is no warping.
        tilt: (b, 2) deviations of the coefficients of a linear and of a quadratic trend.
        categorical: (d,) columns of X that hold positions of choices, compared by equality.
    """

    X: Tensor
    Y: Tensor
    lengthscale: Tensor
    outputscale: Tensor
    noise: Tensor
    kernel: Tensor
    warp: Tensor
    tilt: Tensor
    categorical: Tensor

    def standardised(self, context: int, limit: float = float("inf")) -> Tensor:
        """(b, n) outputs in units of the mean and deviation of the first ``context``, at most +-``limit``."""
        deviation, mean = torch.std_mean(self.Y[:, :context], dim=-1, keepdim=True, correction=0)
        standardised: Tensor = ((self.Y - mean) / deviation.clamp_min(1e-9)).clamp(-limit, limit)
        return standardised

    def covariance(self) -> Tensor:
        """(b, n, n) of the outputs given the hyper-parameters, noise and trend included."""
        X = torch.where(self.categorical, 0.5, self.X)
        Z = kumaraswamy(X, self.warp) / self.lengthscale[:, None]
        r2 = kernels.squared_distances(Z, Z)
        for column in torch.nonzero(self.categorical)[:, 0].tolist():
            choice = self.X[..., column]
            differs = choice[:, :, None] != choice[:, None]
            r2 = r2 + differs / self.lengthscale[:, column, None, None] ** 2
        members = torch.stack(kernels.correlations(r2)[:-1], dim=1)
        correlation = members[torch.arange(len(r2), device=r2.device), self.kernel]
        centred = (X - 0.5) * (12 / self.X.shape[-1]) ** 0.5
        inner = centred @ centred.mT
        linear, quadratic = self.tilt.square()[..., None, None].unbind(1)
        covariance: Tensor = self.outputscale[:, None, None] * correlation + linear * inner + quadratic * inner**2
        covariance += torch.diag_embed(self.noise[:, None].expand(-1, self.X.shape[1]))
        return covariance


@dataclass(frozen=True)
class GaussianProcessPrior:
    """A distribution of functions; as it stands, the HEBO+ prior.

    Attributes:
        kernels: probability of each of ``kernels.KERNELS``.
        near_noiseless: share of functions with next to no noise.
        stretched: share of functions with all length-scales multiplied by up to 4 sqrt(d), so that there is
            something to learn in many dimensions too.
        trend: share of functions with a linear and a quadratic trend.
        warped: share of functions whose parameters are warped.
        clustered: share of functions with half their designs close to one of the others, as a search leaves them.
        categorical: probability that about half of the parameters, the same of all functions, are choices.
    """

    kernels: tuple[float, float, float] = (1.0, 0.0, 0.0)
    near_noiseless: float = 0.0
    stretched: float = 0.0
    trend: float = 0.0
    warped: float = 0.0
    clustered: float = 0.0
    categorical: float = 0.0

    def sample(self, b: int, n: int, d: int, rng: Generator) -> Tasks:
        """Draw b functions of d parameters at n designs each, on the device of ``rng`` in double precision."""
        device = rng.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=rng, device=device, dtype=torch.double)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=rng, device=device, dtype=torch.double)

        def gamma(shape_and_rate: tuple[float, float], *shape: int) -> Tensor:
            concentration, rate = shape_and_rate
            whole = torch.full(shape, concentration, device=device, dtype=torch.double)
            drawn: Tensor = torch._standard_gamma(whole, generator=rng) / rate
            return drawn

        def some(share: float, *shape: int) -> Tensor:
            return uniform(b, *shape) < share

        X = uniform(b, n, d)
        centre = X[torch.arange(b, device=device), torch.randint(n, (b,), generator=rng, device=device)]
        near = (centre[:, None] + 10 ** (-2.5 * uniform(b, 1, 1)) * 0.5 * normal(b, n, d)).clamp(0, 1)
        X = torch.where(some(self.clustered, 1, 1) & (uniform(b, n, 1) < 0.5), near, X)

        lengthscale = gamma(LENGTHSCALE, b, d).clamp_min(1e-3)
        stretch = (1 + (4 * d**0.5 - 1) * uniform(b, 1)) ** uniform(b, 1)
        lengthscale = torch.where(some(self.stretched, 1), stretch * lengthscale, lengthscale)
        lottery = uniform(b, d)
        dropped = (lottery < DROPPED) & (lottery < lottery.amax(-1, keepdim=True))  # one at least stays
        lengthscale = lengthscale.masked_fill(dropped, torch.inf)
        outputscale = gamma(OUTPUTSCALE, b).clamp_min(1e-6)
        log_noise = torch.where(
            some(self.near_noiseless),
            LOG_NOISE_NEAR_NONE[0] + LOG_NOISE_NEAR_NONE[1] * normal(b),
            LOG_NOISE[0] + LOG_NOISE[1] * normal(b),
        )
        shares = torch.tensor(self.kernels, device=device)
        kernel = torch.multinomial(shares, b, replacement=True, generator=rng)
        warp = torch.where(some(self.warped, 1, 1), torch.exp(0.75 * normal(b, d, 2)), 1.0)
        tilt = torch.where(some(self.trend, 1), outputscale[:, None].sqrt() * torch.exp(normal(b, 2)), 0.0)
        white = normal(b, n)
        categorical = (uniform(d) < 0.5) & (uniform(1) < self.categorical)
        choices = torch.randint(2, 7, (b, 1, d), generator=rng, device=device)
        X = torch.where(categorical, (X * choices).floor().minimum(choices - 1.0), X)
        tasks = Tasks(X, X[..., 0], lengthscale, outputscale, log_noise.exp(), kernel, warp, tilt, categorical)
        return replace(tasks, Y=_correlated(tasks.covariance(), white))


def _correlated(covariance: Tensor, white: Tensor) -> Tensor:
    """(b, n) draws of these covariances (b, n, n) that standard normal numbers (b, n) are turned into."""
    variance = covariance.diagonal(dim1=-2, dim2=-1).amax(-1)
    eye = torch.eye(white.shape[-1], dtype=white.dtype, device=white.device)
    cholesky, failed = torch.linalg.cholesky_ex(covariance + 1e-10 * variance[:, None, None] * eye)
    if failed.any():  # only these, so that the others keep their noise
        jitter = 1e-6 * variance[failed > 0][:, None, None] * eye
        cholesky[failed > 0] = torch.linalg.cholesky(covariance[failed > 0] + jitter)
    draws: Tensor = (cholesky @ white[..., None])[..., 0]
    return draws


def kumaraswamy(X: Tensor, warp: Tensor) -> Tensor:
    """X: (b, n, d), warp: (b, d, 2) -> 1 - (1 - X^a)^b, increasing from 0 to 1 in every column [Kumaraswamy1980]."""
    a, b = warp[:, None].unbind(-1)
    return 1 - (1 - X**a) ** b


HEBO_PLUS = GaussianProcessPrior()
WIDE = GaussianProcessPrior(
    kernels=(0.4, 0.3, 0.3), near_noiseless=0.5, stretched=0.5, trend=0.25, warped=0.25, clustered=0.25
)
