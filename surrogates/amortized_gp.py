"""Gaussian processes whose hyper-parameters a network emits: conditioned in milliseconds, nothing is fitted.

The network sees each output of a data set and answers with a kernel, a noise and a mean (``inference_network``); one
exact posterior follows, so predictions are joint over designs, unlike those of networks that predict directly.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch import settings
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator.operators import DiagLinearOperator
from numpy.typing import ArrayLike
from torch import Tensor

from designopt.surrogates.gp import as_mask
from designopt.surrogates.hyperparameters import JITTER, Conditioned, Hyperparameters
from designopt.surrogates.inference_network import Architecture, InferenceNetwork, State
from designopt.surrogates.kernels import mixture
from designopt.surrogates.training import load_state, read_weights

WEIGHTS = Path(__file__).parent / "weights" / "agp.safetensors"
STEPS = 8
"""Of inference, as many as in training at most."""
CHUNK = 128
"""Designs that are predicted at once; more do not fit a core's cache."""
CONSTANT = 1e-12
"""Outputs whose deviation is below this share of their size are constant but for rounding."""


class AmortizedGP:
    """A network trained on draws from a prior to say which Gaussian process data come from.

    Args:
        network: trained.
        most_points: longest context that it was trained on.
        most_dimensions: most parameters that it was trained on. It takes more of both.
    """

    def __init__(self, network: InferenceNetwork, most_points: int, most_dimensions: int) -> None:
        self.network = network.eval().requires_grad_(False)
        self.most_points, self.most_dimensions = most_points, most_dimensions
        self._warned: set[str] = set()

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "cpu") -> AmortizedGP:
        """The shipped network, or the one in a file that ``designopt train-pfn`` wrote.

        Raises:
            ValueError: the file is missing, damaged or of another network. Nothing in it is ever executed.
        """
        file = WEIGHTS if path is None else Path(path)
        weights, facts = read_weights(file)
        if facts.get("model") != "agp":
            raise ValueError(f"{file} holds the model {facts.get('model')!r}; allowed: 'agp'")
        network = InferenceNetwork(Architecture(**facts["architecture"]))
        load_state(network, weights, file)
        return cls(network.to(device), facts["most_points"], facts["most_dimensions"])

    def condition_on(
        self,
        X: Tensor,
        Y: Tensor,
        categorical: ArrayLike | None = None,
        *,
        steps: int = STEPS,
        after: State | None = None,
    ) -> ConditionedGP:
        """The model that has seen m outputs of n designs. All outputs go through the network at once.

        Beyond the trained range of n and d it works on, with a warning: the network is equivariant in both.

        Args:
            X: (n, d) designs in the unit cube, n >= 1; equal ones are fine.
            Y: (n, m) outputs, finite, of any scale: they are standardised inside. GPyTorch takes no deviation for less
                than 1e-5, so not in units that make such differences matter.
            categorical: (d,) which columns are categories, compared by equality; none by default.
            steps: of inference, at least 1.
            after: the state in which the network left inference on some of the designs, (m,) outputs, from which it
                goes on; from the beginning if not given.

        Raises:
            ValueError: shapes that do not fit, or values that are not finite.
        """
        X, Y = checked(X, Y)
        n, d = X.shape
        for kind, found, most in (("designs", n, self.most_points), ("parameters", d, self.most_dimensions)):
            if found > most and kind not in self._warned:
                self._warned.add(kind)
                warnings.warn(f"{found} {kind}; the network was trained on at most {most}", stacklevel=2)
        center, unit = scales(Y)
        y = ((Y - center) / unit).mT
        with torch.no_grad():
            start = self.network.start(y, as_mask(categorical, X)) if after is None else after
            fit, state = self.network.follow(X[None], y, start, steps)[-1]
        return ConditionedGP(fit, state, center, unit)

    @torch.no_grad()
    def infer(self, X: Tensor, y: Tensor, categorical: Tensor) -> Hyperparameters:
        """What is inferred from designs X (n, d) and standardised outputs y (m, n)."""
        fit: Conditioned = self.network(X[None], y, categorical, STEPS)[-1]
        return fit.theta


class ConditionedGP(Model):
    """Independent Gaussian processes of m outputs, as a BoTorch model.

    Args:
        fit: of standardised outputs; its designs are shared by all outputs, (1, n, d).
        state: of the inference of its hyper-parameters.
        center: (m,) of the outputs.
        unit: (m,) of the outputs.
    """

    def __init__(self, fit: Conditioned, state: State, center: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.theta, self.state, self.center, self.unit = fit.theta, state, center, unit
        self.X, self._y = fit.X[0], fit.y
        eye = torch.eye(len(self.X)).to(fit.y)
        self._whitener = torch.linalg.solve_triangular(fit.cholesky, eye, upper=False)  # (m, n, n)
        centred = (fit.y - fit.theta.mean[:, None])[..., None]
        self._weights = self._whitener.mT @ (self._whitener @ centred)  # (m, n, 1)
        self._scaled = fit.theta.scaled(fit.X)  # (m, n, d)

    @property
    def Y(self) -> Tensor:
        """(n, m) the outputs seen."""
        return self.center + self.unit * self._y.mT

    @property
    def num_outputs(self) -> int:
        """The number m of outputs."""
        return len(self._y)

    @property
    def batch_shape(self) -> torch.Size:
        """Of the model: none."""
        return torch.Size()

    @property
    def evidence(self) -> Tensor:
        """(m,) log density of all outputs of each process together, in the units of Y."""
        white = (self._whitener @ (self._y - self.theta.mean[:, None])[..., None])[..., 0]
        precision = self._whitener.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = len(self.X) * (0.5 * math.log(2 * math.pi) + self.unit.log())
        evidence: Tensor = -0.5 * white.square().sum(-1) + precision - constant
        return evidence

    def condition(self, X: Tensor, Y: Tensor) -> ConditionedGP:
        """The same hyper-parameters with p more designs, X: (p, d), Y: (p, m)."""
        X, Y = checked(X, Y)
        y = torch.cat([self._y, ((Y - self.center) / self.unit).mT], dim=1)
        fit = Conditioned.on(self.theta, torch.cat([self.X, X])[None], y)
        return ConditionedGP(fit, self.state, self.center, self.unit)

    def condition_on_observations(self, X: Tensor, Y: Tensor, **_: Any) -> ConditionedGP:
        """BoTorch's name of ``condition``."""
        return self.condition(X, Y)

    def subset_output(self, idcs: list[int]) -> ConditionedGP:
        """The model of some of the outputs."""
        fit = Conditioned.on(self.theta.rows(idcs), self.X[None], self._y[idcs])
        return ConditionedGP(fit, self.state.rows(idcs), self.center[idcs], self.unit[idcs])

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """X: (p, d) -> means and variances (p, m) of noise-free outputs, one by one."""
        parts = [self._explained(part) for part in X.split(CHUNK)]
        mean = torch.cat([mean for mean, _ in parts], dim=1)
        scale = self.theta.scale[:, None]
        known = torch.cat([explained.square().sum(-1) for _, explained in parts], dim=1)
        variance = (scale - known).clamp_min(JITTER * scale)
        return self.center + self.unit * mean.mT, self.unit**2 * variance.mT

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> Any:
        """X: (..., q, d) -> normal posterior over (..., q, m) in the units of Y, joint over the q designs.

        ``observation_noise`` adds the inferred noise.

        Raises:
            ValueError: noise given as a tensor.
        """
        if isinstance(observation_noise, Tensor):
            raise ValueError("observation_noise is a tensor; allowed: True for the inferred noise, or False")
        if output_indices is not None and output_indices != list(range(self.num_outputs)):
            return self.subset_output(output_indices).posterior(X, None, observation_noise, posterior_transform)
        X = X.to(self.X)
        normal = self._single(X, observation_noise) if X.shape[-2] == 1 else self._joint(X, observation_noise)
        posterior = GPyTorchPosterior(normal)
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _single(self, X: Tensor, noisy: bool) -> MultivariateNormal:
        """Of designs (..., 1, d)."""
        mean, variance = self.marginals(X.reshape(-1, X.shape[-1]))
        if noisy:
            variance = variance + self.unit**2 * self.theta.noise
        mean = mean.reshape(*X.shape[:-1], self.num_outputs)
        least = settings.min_variance.value(X.dtype)  # what GPyTorch would raise it to, with a warning each time
        covariance = DiagLinearOperator(variance.clamp_min(least).reshape(*X.shape[:-2], self.num_outputs))
        if self.num_outputs == 1:
            return MultivariateNormal(mean[..., 0], covariance)
        return MultitaskMultivariateNormal(mean, covariance)

    def _joint(self, X: Tensor, noisy: bool) -> MultivariateNormal:
        """Of designs (..., q, d)."""
        m, (*batch, q, d) = self.num_outputs, X.shape
        groups = X.reshape(-1, q, d)
        b = len(groups)
        mean, explained = self._explained(X.reshape(-1, d))  # (m, b q), (m, b q, n)
        explained = explained.reshape(m, b, q, -1)
        theta = self.theta.rows(torch.arange(m, device=X.device).repeat_interleave(b))
        repeated = groups.repeat(m, 1, 1)
        eye = torch.eye(q).to(X)
        prior = mixture(theta.squared_distances(repeated, repeated) * (1 - eye), theta.factors)
        # Equal designs have a singular covariance, which the noise at each keeps decomposable.
        noise = self.theta.noise if noisy else JITTER * self.theta.scale
        covariance = prior.reshape(m, b, q, q) - explained @ explained.mT + noise[:, None, None, None] * eye
        mean = self.center[:, None, None] + self.unit[:, None, None] * mean.reshape(m, b, q)
        covariance = self.unit[:, None, None, None] ** 2 * covariance
        mean, covariance = mean.transpose(0, 1), covariance.transpose(0, 1)
        normal = MultivariateNormal(mean.reshape(*batch, m, q), covariance.reshape(*batch, m, q, q))
        if m == 1:
            return MultivariateNormal(mean.reshape(*batch, q), covariance.reshape(*batch, q, q))
        return MultitaskMultivariateNormal.from_batch_mvn(normal)

    def _explained(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """X: (p, d) -> standardised means (m, p), and rows (m, p, n) whose products the data take from the prior."""
        r2 = self.theta.squared_distances(X[None], self.X[None], self._scaled)
        cross = mixture(r2, self.theta.factors)
        return self.theta.mean[:, None] + (cross @ self._weights)[..., 0], cross @ self._whitener.mT


def checked(X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    """Designs (n, d) and outputs (n, m) in double precision.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """
    X, Y = torch.as_tensor(X).double(), torch.as_tensor(Y).double()
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(X) == 0 or 0 in (X.shape[1], Y.shape[1]):
        raise ValueError(f"X {tuple(X.shape)}, Y {tuple(Y.shape)}; allowed: (n, d) and (n, m), all at least 1")
    for name, value in (("X", X), ("Y", Y)):
        if not (finite := value.isfinite()).all():
            row, column = torch.nonzero(~finite)[0].tolist()
            found = value[row, column].item()
            raise ValueError(f"{name}[{row}, {column}] = {found}; must be finite: leave such rows out")
    return X, Y


def scales(Y: Tensor) -> tuple[Tensor, Tensor]:
    """Y: (n, m) -> mean and deviation (m,); of a constant output, its size in place of the deviation."""
    largest = Y.abs().amax(0)
    size = torch.where(largest > 0, largest, 1.0)
    deviation, mean = torch.std_mean(Y / size, dim=0, correction=0)  # sums of squares of outputs may overflow
    return size * mean, size * torch.where(deviation > CONSTANT, deviation, 1.0)
