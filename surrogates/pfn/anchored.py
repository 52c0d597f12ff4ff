"""The anchored network: a transformer that corrects amortised Gaussian processes instead of starting from nothing.

The amortised Gaussian process reads hyper-parameters off the context. The anchors are its posterior, that at shorter
length-scales, that around a quadratic trend, and the prior; they are mixed by how well they predict each output from
the others. Tokens hold what the anchors say of a point (of a context point, without itself), attention knows its
distances, and the network's answer is a correction, zero when untrained. Nothing depends on the order of points or
dimensions or on how many there are.

The bars of every prediction are laid out around what the first anchor says there, in units of its deviation, and grow
with the distance from it, so that they are as fine as the data allow and yet reach all that is possible: bars of fixed
width could not tell 1e-3 from 1e-2 near an evaluated design.

References: [Rasmussen2006] Gaussian processes for machine learning, sections 2.7 and 5.4.2 (trends, leaving one out).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.special import ndtr

from designopt.surrogates.hyperparameters import Hyperparameters
from designopt.surrogates.inference_network import Architecture, InferenceNetwork
from designopt.surrogates.kernels import FAMILY
from designopt.surrogates.pfn.attention import DistanceAttention
from designopt.surrogates.pfn.bar_distribution import BarDistribution, normal_mass, sinh_borders

STRETCHES = (1.0, 0.6)
"""Of the length-scales, one Gaussian process each; the third anchor is the first with a quadratic trend."""
ANCHORS = len(STRETCHES) + 1
PRIOR_LOGITS = (0.0, -1.5, -1.5, -3.0)
"""Of the anchors in an untrained mixture: the three processes, then N(0, 1)."""
TREND = 25.0
"""Prior variance of the trend's coefficients, shared among the parameters: vague for outputs of deviation 1."""
SHARP = 1e-3
"""Noise, in units of the process's variance, below which single precision would blur the variance of predictions."""
STEPS = 6
"""Of the inference of hyper-parameters."""
WIDTH, HIDDEN, HEADS, LAYERS = 64, 128, 4, 2
BORDERS = sinh_borders(100, 5000.0, 0.15)


@dataclass(frozen=True)
class Anchors:
    """Gaussian processes conditioned on B contexts: at length-scales times ``STRETCHES``, and with a trend (A of them).

    The trend is a + sum_j b_j x_j + c_j x_j^2 over the parameters that are numbers, with its coefficients integrated
    out [Rasmussen2006, section 2.7]. Its process, and those at other length-scales than inferred, have their variance
    multiplied by ``factor``, which makes left-out outputs as surprising as they are expected to be.

    Attributes:
        theta: hyper-parameters of the B contexts.
        X: (B, n, d) designs of the contexts.
        whitener: (B, A - 1, n, n) inverse Cholesky factor of each covariance of the data.
        weights: (B, A, n) inverse covariance times centred outputs without trend.
        coefficients: (B, p, 1) of the trend.
        basis: (B, n, p) of the trend, whitened.
        root: (B, p, p) Cholesky factor of the coefficients' posterior covariance.
        factor: (B, A) of the variances.
        distances: (B, n, n) between designs, in length-scales.
        left_out: (3, B, A, n) mean, log deviation and standardised residual of each output given all others.
    """

    theta: Hyperparameters
    X: Tensor
    whitener: Tensor
    weights: Tensor
    coefficients: Tensor
    basis: Tensor
    root: Tensor
    factor: Tensor
    distances: Tensor
    left_out: Tensor

    @classmethod
    def fit(cls, theta: Hyperparameters, X: Tensor, y: Tensor) -> Anchors:
        """X: (B, n, d) or (1, n, d), y: (B, n) standardised outputs, both in double precision."""
        n = y.shape[-1]
        eye = torch.eye(n, dtype=torch.double, device=X.device)
        r = theta.distances(X, X) * (1 - eye)
        covariance = torch.stack([theta.covariance(r / stretch) for stretch in STRETCHES], dim=1)
        noise = (theta.noise + 1e-7 * theta.scale)[:, None, None, None]
        cholesky = torch.linalg.cholesky(covariance + noise * eye)
        whitener = torch.linalg.solve_triangular(cholesky, eye, upper=False)
        white = whitener @ (y - theta.mean[:, None])[:, None, :, None]

        basis = whitener[:, 0] @ trend(X, theta.categorical)
        information = basis.mT @ basis + torch.eye(basis.shape[-1], dtype=torch.double, device=X.device)
        root = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(information)))
        coefficients = root @ (root.mT @ (basis.mT @ white[:, 0]))
        white = torch.cat([white, (white[:, 0] - basis @ coefficients)[:, None]], dim=1)
        transposed = torch.cat([whitener.mT, whitener[:, :1].mT], dim=1)
        weights = (transposed @ white)[..., 0]
        known = (whitener[:, 0].mT @ basis @ root).square().sum(-1)
        precision = whitener.square().sum(-2)
        precision = torch.cat([precision, (precision[:, 0] - known)[:, None].clamp_min(1e-9)], dim=1)

        residual = weights * precision.rsqrt()
        factor = residual.square().mean(-1).clamp(1e-6, 10.0) ** (n / (n + 10))  # a few designs say little of it
        factor = torch.cat([torch.ones_like(factor[:, :1]), factor[:, 1:]], dim=1)
        spread = 0.5 * (factor[..., None] / precision).log()
        left_out = torch.stack([y[:, None] - weights / precision, spread, residual * factor[..., None].rsqrt()])
        return cls(theta, X, whitener, weights, coefficients, basis, root, factor, r, left_out)

    def single(self) -> Anchors:
        """The same in single precision, which is enough for queries where there is noise."""
        rest = {field.name: getattr(self, field.name).float() for field in fields(self) if field.name != "theta"}
        return Anchors(_each(self.theta, Tensor.float), **rest)

    def predict(self, X: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """X: (B, q, d), r: (B, q, n) its distances -> means and variances of observations, (B, A, q)."""
        cross = torch.stack([self.theta.covariance(r / stretch) for stretch in STRETCHES], dim=1)
        mean = torch.cat([cross, cross[:, :1]], dim=1) @ self.weights[..., None]
        white = cross @ self.whitener.mT
        scale, noise = self.theta.scale[:, None, None], self.theta.noise[:, None, None]
        variance = (scale - white.square().sum(-1)).clamp_min(1e-6 * scale) + noise
        along = trend(X, self.theta.categorical)
        unexplained = ((along - white[:, 0] @ self.basis) @ self.root).square().sum(-1)
        mean = self.theta.mean[:, None, None] + mean[..., 0]
        mean = torch.cat([mean[:, :-1], mean[:, -1:] + (along @ self.coefficients)[..., 0][:, None]], dim=1)
        variance = torch.cat([variance, variance[:, :1] + unexplained[:, None]], dim=1)
        return mean, self.factor[..., None] * variance

    def joint(self, X: Tensor) -> Tensor:
        """X: (b, q, d) -> (B, b, q, q) posterior covariances of the first process, without noise, of each q designs."""
        b, q, d = X.shape
        cross = self.theta.covariance(self.theta.distances(X.reshape(1, b * q, d), self.X))
        white = (cross @ self.whitener[:, 0].mT).unflatten(-2, (b, q))
        # Distances within a group need the hyper-parameters of each context once for each group.
        theta = _each(self.theta, lambda value: value.repeat_interleave(b, dim=0))
        groups = X.repeat(len(white), 1, 1)
        prior = theta.covariance(theta.distances(groups, groups)).unflatten(0, (-1, b))
        posterior: Tensor = (1 + 1e-6) * prior - white @ white.mT
        return posterior


def trend(X: Tensor, categorical: Tensor) -> Tensor:
    """X: (..., n, d) -> (..., n, 2 d + 1) basis of a quadratic trend, scaled so that coefficients are N(0, 1)."""
    z = torch.where(categorical, 0.0, (X - 0.5) * math.sqrt(12))
    numbers = max(int((~categorical).sum()), 1)
    square = torch.where(categorical, 0.0, z**2 - 1)
    return math.sqrt(TREND) * torch.cat([torch.ones_like(z[..., :1]), *[v / numbers**0.5 for v in (z, square)]], dim=-1)


def _each(theta: Hyperparameters, change: Callable[[Tensor], Tensor]) -> Hyperparameters:
    """All hyper-parameters changed in the same way, except for which parameters are categories."""
    names = [field.name for field in fields(theta) if field.name != "categorical"]
    return replace(theta, **{name: change(getattr(theta, name)) for name in names})


@dataclass(frozen=True)
class AnchoredContext:
    """What queries need of B contexts."""

    exact: Anchors  # in double precision, for joint predictions
    anchors: Anchors  # in the precision that queries need
    described: Tensor  # (B, g) what all tokens of a context share
    support: Tensor  # (B, A + 1) leave-one-out log density of all outputs, over the first anchor's
    range: tuple[Tensor, Tensor]  # (B,) least and greatest output
    keys: list[Tensor]  # of every layer, (B, heads, n, width / heads)
    values: list[Tensor]


@dataclass(frozen=True)
class Mixture:
    """A mixture of normals for each query.

    Attributes:
        tokens: (B, q, width) what else the network knows of it.
        share, mean, deviation: (B, q, A + 1).
    """

    tokens: Tensor
    share: Tensor
    mean: Tensor
    deviation: Tensor


class AnchoredNetwork(nn.Module):
    """Transformer that mixes, moves and widens the anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.inference = InferenceNetwork(Architecture())
        a = ANCHORS
        shared = 9 + len(FAMILY) + a
        self.context_tokens = _mlp(1 + 3 * a + shared, WIDTH)
        self.query_tokens = _mlp(2 * a + 3 + shared, WIDTH)
        self.layers = nn.ModuleList(DistanceAttention(WIDTH, HIDDEN, HEADS) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.gate, self.shift, self.widen = (_zero(nn.Linear(WIDTH, a + 1)) for _ in range(3))
        self.register_buffer("prior_logits", torch.tensor(PRIOR_LOGITS))
        self.prior_logits: Tensor
        self.evidence = nn.Parameter(torch.tensor(0.3))

    def context(self, X: Tensor, y: Tensor, categorical: Tensor) -> AnchoredContext:
        """Read B contexts.

        Args:
            X: (B, n, d) or (1, n, d) designs in the unit cube.
            y: (B, n) outputs standardised by the context.
            categorical: (d,) which parameters are categories.
        """
        n, d = X.shape[-2:]
        X, y = X.double(), y.double()
        exact = Anchors.fit(self.inference(X, y, categorical, STEPS)[-1].theta, X, y)
        sharp = bool((exact.theta.noise < SHARP * exact.theta.scale).any())
        anchors = exact if sharp else exact.single()
        theta, y = _each(exact.theta, Tensor.float), y.float()
        mean, log_deviation, residual = exact.left_out.float()
        fit = (-0.5 * residual**2 - log_deviation).mean(-1)  # (B, A) leave-one-out log density
        skewness, kurtosis = (y**3).mean(-1), (y**4).mean(-1)
        described = torch.stack(
            [
                torch.full_like(skewness, math.log(n) / 3 - 1),
                torch.full_like(skewness, math.log(d) - 1),
                theta.scale.log(),
                theta.noise.log() / 4 + 1,
                theta.mean,
                theta.log_weights.mean(-1) / 2,
                theta.log_weights.amax(-1) / 2,
                torch.asinh(skewness),
                torch.asinh(kurtosis) - 1,
            ],
            dim=-1,
        )
        described = torch.cat([described, theta.features(), torch.asinh(fit)], dim=-1)
        of_prior = -0.5 * y.square().mean(-1, keepdim=True)
        support = n * (torch.cat([fit, of_prior], dim=-1) - fit[:, :1]).clamp(-50 / n, 50 / n)
        parts = [y[:, None], mean, log_deviation, 2 * torch.asinh(residual / 2)]
        tokens = self.context_tokens(_with(torch.cat(parts, dim=1).mT, described))
        keys, values = [], []
        r = functional.pad(exact.distances.float(), (0, 1))
        for layer in self.layers:
            assert isinstance(layer, DistanceAttention)
            key, value = layer.keys_values(tokens)
            keys.append(key)
            values.append(value)
            tokens = layer(tokens, key, value, r)
        return AnchoredContext(exact, anchors, described, support, (y.amin(-1), y.amax(-1)), keys, values)

    def mixture(self, context: AnchoredContext, X: Tensor) -> Mixture:
        """X: (B, q, d)."""
        anchors = context.anchors
        X = X.to(anchors.X)
        r = anchors.theta.distances(X, anchors.X)
        mean, variance = (moment.float() for moment in anchors.predict(X, r))
        r = r.float()
        low, high = (torch.asinh((end[:, None] - mean[:, 0]) * variance[:, 0].rsqrt()) for end in context.range)
        nearest = (r.amin(-1) + 1e-2).log()
        parts = [mean, 0.5 * variance.log(), torch.stack([low, high, nearest], dim=1)]
        tokens = self.query_tokens(_with(torch.cat(parts, dim=1).mT, context.described))
        r = functional.pad(r, (0, 1))
        for layer, key, value in zip(self.layers, context.keys, context.values, strict=True):
            tokens = layer(tokens, key, value, r)
        tokens = self.norm(tokens)
        # The last anchor is the prior of standardised outputs.
        mean = torch.cat([mean, torch.zeros_like(mean[:, :1])], dim=1).mT
        deviation = torch.cat([variance, torch.ones_like(variance[:, :1])], dim=1).mT.sqrt()
        mean = mean + deviation * self.shift(tokens)
        deviation = deviation * (2 * torch.tanh(self.widen(tokens) / 2)).exp()
        evidence = self.evidence * context.support[:, None]
        share = (self.prior_logits + evidence + self.gate(tokens)).softmax(-1)
        return Mixture(tokens, share, mean, deviation)


class AnchoredPFN(AnchoredNetwork):
    """Regression: the mixture's mass in each bar, times what the network makes of it."""

    def __init__(self) -> None:
        super().__init__()
        last = _zero(nn.Linear(HIDDEN, len(BORDERS) - 1))
        self.bars = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), last)
        self.register_buffer("borders", BORDERS.float())
        self.borders: Tensor

    def forward(self, context: AnchoredContext, X: Tensor) -> BarDistribution:
        """X: (B, q, d) -> the distributions (B, q) of standardised outputs."""
        m = self.mixture(context, X)
        location, scale = m.mean[..., 0], m.deviation[..., 0]
        mean = (m.mean[..., 1:] - location[..., None]) / scale[..., None]
        others = normal_mass(self.borders, mean, m.deviation[..., 1:] / scale[..., None])
        first = normal_mass(self.borders, mean.new_zeros(()), mean.new_ones(()))
        mass = m.share[..., :1] * first + (m.share[..., None, 1:] @ others)[..., 0, :]
        logits = mass.clamp_min(1e-30).log() + self.bars(m.tokens)
        return BarDistribution(logits, self.borders, location, scale)


class AnchoredClassifier(AnchoredNetwork):
    """Two classes: the mixture's probability beyond half-way between the labels, and a correction to its logit."""

    def __init__(self) -> None:
        super().__init__()
        self.correction = _zero(nn.Linear(WIDTH, 1))

    def forward(self, context: AnchoredContext, X: Tensor) -> Tensor:
        """X: (B, q, d) -> (B, q) logits of the greater label."""
        m = self.mixture(context, X)
        low, high = context.range
        above = (m.mean - (low + high)[:, None, None] / 2) / m.deviation
        p = (m.share * ndtr(above)).sum(-1).clamp(1e-6, 1 - 1e-6)
        logits: Tensor = torch.logit(p) + self.correction(m.tokens)[..., 0]
        return logits


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))


def _zero(layer: nn.Linear) -> nn.Linear:
    """The layer with all parameters zero, so that an untrained network leaves the anchors as they are."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _with(tokens: Tensor, described: Tensor) -> Tensor:
    """Tokens (B, n, f) with the (B, g) numbers of their context appended to each."""
    return torch.cat([tokens, described[:, None].expand(*tokens.shape[:-1], -1)], dim=-1)
