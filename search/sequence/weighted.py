"""The weighted family: one autoencoder is trained on, each design of the latest batch weighted by what it is worth.

References: [Peters2007] Reinforcement learning by reward-weighted regression, ICML (RWR). [Brookes2018] Design by
adaptive sampling, arXiv:1810.03714 (DbAS). [Brookes2019] Conditioning by adaptive sampling for robust design, ICML
(CbAS). [Ghaffari2024] Robust model-based optimization for challenging fitness landscapes, ICLR (constants of all
four). [Tripp2020] Sample-efficient optimization in the latent space via weighted retraining, NeurIPS.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import norm, rankdata

from designopt import Real, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import keys
from designopt.search.sequence.fitness import fitness, scaled
from designopt.search.sequence.pgvae import VAESearch, VAESettings
from designopt.surrogates.vae import BatchedVAE

LEAST = np.log(1e-6)
"""Weights below this share of the greatest count as 0."""
DRAWS = 16
"""Latent draws over which the likelihood of a design is averaged."""
NOISE = 0.01
"""Standard deviation of the oracle that DbAS, CbAS and CEM-PI assume, on fitness as ``scaled``."""


class WeightedSearch(VAESearch):
    """A batch is decoded from the prior; then the network is trained on that batch, weighted.

    The first time it is trained on everything known, unweighted. Fitness spread over more than 10 is ranked.
    """

    @dataclass(frozen=True)
    class Config(VAESettings):
        """Hyper-parameters."""

    _model: BatchedVAE | None = None
    _prior: BatchedVAE
    _taken = 0

    def _propose(self, n: int, rows: NDArray[np.int64], rng: np.random.Generator) -> Array:
        y = scaled(fitness(self.history, rows), "auto")
        designs = self.history.designs[rows]
        if self._model is None:
            self._model = BatchedVAE(self.coding, self.config.network(), [int(rng.integers(2**31))], self._device)
            loss = self._model.fit([designs], [y])
            self._prior = copy.deepcopy(self._model)
            self._facts = {"loss": float(loss[0]), "weighted": len(rows)}
        elif (rows >= self._taken).any():
            self._learn(designs, y, rows >= self._taken, rng)
        self._taken = len(self.history)
        z, proposals = self._sample(n, designs, y, rng)
        self.picture(self._model.embed(designs)[0], fitness(self.history, rows), z)
        return proposals

    def _learn(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> None:
        assert self._model is not None
        weights = np.exp(normalised(self._log_weights(designs, y, latest, rng)))
        some = weights > 0
        if not some.any():
            self._facts = {"weighted": 0}
            return
        new = np.flatnonzero(latest)[some]
        loss = self._model.fit([designs[new]], [y[new]], [weights[some] / weights[some].mean()])
        self._facts = {"loss": float(loss[0]), "weighted": int(some.sum())}

    def _log_weights(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        """(n,) of the latest designs, up to a constant; -inf: not learned from."""
        raise NotImplementedError

    def _sample(self, n: int, designs: Array, y: Array, rng: np.random.Generator) -> tuple[torch.Tensor, Array]:
        """-> (n, latent) codes and the (n, d) designs that they stand for."""
        assert self._model is not None
        z = torch.as_tensor(rng.standard_normal((n, self.config.latent)), dtype=torch.float32)
        return z, self._model.designs(z)


def normalised(log_weights: Array) -> Array:
    """(n,) log weights -> with the greatest at 0, and -inf where below a millionth of it."""
    greatest = log_weights.max()
    if not np.isfinite(greatest):
        return np.full(len(log_weights), -np.inf)
    relative = log_weights - greatest
    return np.asarray(np.where(relative >= LEAST, relative, -np.inf))


class RWRSearch(WeightedSearch):
    """Reward-weighted regression: weights exp(alpha y)."""

    @dataclass(frozen=True)
    class Config(VAESettings):
        """Hyper-parameters."""

        alpha: float = tunable(1.0, Real(0.1, 20.0, log=True), "how much more a better design counts")

    config: Config

    def _log_weights(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        return np.asarray(self.config.alpha * y[latest])


class DbASSearch(WeightedSearch):
    """Design by adaptive sampling: weights are the probability of exceeding a threshold that only rises.

    The threshold is the greatest 0.95-quantile of any batch so far.
    """

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self._batches: list[Array] = []

    def _log_weights(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        self._batches.append(designs[latest])
        # Values may be ranks, which change with every batch: the earlier batches are looked up in the present scale.
        worth = dict(zip(keys(designs), y, strict=True))
        threshold = max(np.quantile([worth[key] for key in keys(batch)], 0.95) for batch in self._batches)
        return np.asarray(log_ndtr((y[latest] - threshold) / NOISE))


class CbASSearch(DbASSearch):
    """Conditioning by adaptive sampling: the weights of DbAS times p0(x) / p(x), of the first model and the latest."""

    def _log_weights(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        assert self._model is not None
        x = designs[latest]
        noise = torch.as_tensor(rng.standard_normal((DRAWS, len(x), self.config.latent)), dtype=torch.float32)
        ratio = self._prior.log_likelihood(x, noise) - self._model.log_likelihood(x, noise)
        return np.asarray(super()._log_weights(designs, y, latest, rng) + np.minimum(ratio, -LEAST))


class CEMPISearch(WeightedSearch):
    """Cross-entropy method on the probability of improvement: the upper 5 % of a batch count, all alike."""

    def _log_weights(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        best = y[~latest].max() if (~latest).any() else y.max()
        improvement = log_ndtr((y[latest] - best) / NOISE)
        return np.asarray(np.where(improvement >= np.quantile(improvement, 0.95), 0.0, -np.inf))


class WeightedRetrainingSearch(WeightedSearch):
    """Weighted retraining: trained on everything, weighted by rank, and searched by expected improvement.

    Weights are 1 / (k N + rank). A Gaussian process over the codes of the best designs predicts fitness; proposals are
    the codes, drawn from the prior and around good ones, of greatest expected improvement.
    """

    @dataclass(frozen=True)
    class Config(VAESettings):
        """Hyper-parameters."""

        k: float = tunable(1e-3, Real(1e-5, 1.0, log=True), "large: weights are alike; small: only the best count")

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.k > 0:
                raise ValueError(f"k = {self.k}; it must be positive")

    config: Config
    MODELLED = 200
    SCREENED = 2000

    def _learn(self, designs: Array, y: Array, latest: NDArray[np.bool_], rng: np.random.Generator) -> None:
        assert self._model is not None
        weights = 1 / (self.config.k * len(y) + rankdata(-y, method="ordinal") - 1)
        loss = self._model.fit([designs], [y], [weights / weights.mean()])
        self._facts = {"loss": float(loss[0]), "weighted": len(y)}

    def _sample(self, n: int, designs: Array, y: Array, rng: np.random.Generator) -> tuple[torch.Tensor, Array]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, WhiteKernel

        assert self._model is not None
        mean, std, _ = self._model.embed(designs)
        best = np.argsort(-y, kind="stable")[: self.MODELLED]
        x, spread = mean[best].numpy().astype(np.float64), std[best].numpy()
        values = (y[best] - y[best].mean()) / (y[best].std() or 1.0)
        kernel = RBF(np.sqrt(x.shape[1]), (1e-2, 1e3)) + WhiteKernel(1e-2, (1e-6, 1e1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an optimum at a bound is one that we can live with
            process = GaussianProcessRegressor(kernel, random_state=0).fit(x, values)
        near = rng.integers(min(len(best), 20), size=self.SCREENED)
        z = np.where(
            rng.random((self.SCREENED, 1)) < 0.5,
            rng.standard_normal((self.SCREENED, x.shape[1])),
            x[near] + spread[near] * rng.standard_normal((self.SCREENED, x.shape[1])),
        )
        expected, sigma = process.predict(z, return_std=True)
        u = (expected - values.max()) / np.maximum(sigma, 1e-9)
        gain = sigma * (norm.pdf(u) + u * norm.cdf(u))
        ordered = torch.as_tensor(z[np.argsort(-gain, kind="stable")], dtype=torch.float32)
        decoded = self._model.designs(ordered)
        chosen = np.argsort(~self._seen.fresh(decoded), kind="stable")[:n]
        return ordered[chosen], decoded[chosen]
