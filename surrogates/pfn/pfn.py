"""Prior-fitted networks as BoTorch models: condition on data once, predict anywhere, fit nothing.

References: [Müller2023] PFNs4BO: in-context learning for Bayesian optimization, ICML.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TypeVar

import torch
from botorch.models.model import Model
from botorch.posteriors.posterior import Posterior
from botorch.sampling.get_sampler import GetSampler
from botorch.sampling.normal import IIDNormalSampler, NormalMCSampler, SobolQMCNormalSampler
from linear_operator.utils.cholesky import psd_safe_cholesky
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.quasirandom import SobolEngine
from torch.special import ndtr

from designopt.surrogates.gp import as_mask
from designopt.surrogates.pfn.anchored import AnchoredContext, AnchoredPFN
from designopt.surrogates.pfn.bar_distribution import BarDistribution
from designopt.surrogates.pfn.flat import FlatPFN
from designopt.surrogates.pfn.weights import read_checkpoint
from designopt.surrogates.training import load_state, read_weights

WEIGHTS = Path(__file__).parents[1] / "weights" / "pfn.safetensors"
PUBLISHED_POINTS = 49
"""Longest context in the training of [Müller2023]."""
CHUNK = 256
"""Queries that go through the network at once; more do not fit a core's cache."""


class PFN:
    """A network trained on draws from a prior to predict outputs in context.

    Args:
        network: anchored or flat.
        most_points: longest context that it was trained on.
        most_dimensions: most dimensions that it was trained on; the anchored one takes more.
    """

    def __init__(self, network: AnchoredPFN | FlatPFN, most_points: int, most_dimensions: int) -> None:
        self.network, self.most_points, self.most_dimensions = network, most_points, most_dimensions
        self._warned: set[str] = set()

    @classmethod
    def load(cls, path: str | Path | None = None, architecture: str = "anchored", device: str = "cpu") -> PFN:
        """The shipped network, or the one in a file.

        Args:
            path: of weights, in the safetensors format or a plain state dictionary saved by torch; shipped ones
                when not given.
            architecture: "anchored", or "flat" for checkpoints of [Müller2023].
            device: of torch.

        Raises:
            ValueError: an unknown architecture; a file that is missing, damaged or of another network. Nothing in a
                file is ever executed.
        """
        if architecture not in ("anchored", "flat"):
            raise ValueError(f"architecture = {architecture!r}; allowed: 'anchored', 'flat'")
        if architecture == "anchored":
            file = WEIGHTS if path is None else Path(path)
            weights, facts = read_weights(file)
            anchored = AnchoredPFN()
            load_state(anchored, weights, file)
            return cls(_ready(anchored, device), facts["most_points"], facts["most_dimensions"])
        if path is None:
            raise ValueError("no weights of the flat architecture are shipped; give the path of a checkpoint")
        state = read_checkpoint(Path(path))
        try:
            flat = FlatPFN.from_state(state)
        except ValueError as error:
            raise ValueError(f"{path} is not a checkpoint of the flat architecture: {error}") from None
        return cls(_ready(flat, device), PUBLISHED_POINTS, flat.features)

    def condition_on(self, X: Tensor, Y: Tensor, categorical: ArrayLike | None = None) -> ConditionedPFN:
        """The model that has seen m outputs of n designs.

        Contexts longer than any of the training are thinned by ``thinned``, with a warning.

        Args:
            X: (n, d) designs in the unit cube, n >= 1.
            Y: (n, m) outputs, finite, of any scale: they are standardised inside.
            categorical: (d,) which columns are categories, compared by equality; none by default, and none told to a
                flat network, which would not know what to do with it.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, more dimensions than the network takes.
        """
        X, Y = torch.as_tensor(X), torch.as_tensor(Y)
        if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(X) == 0:
            raise ValueError(f"X {tuple(X.shape)}, Y {tuple(Y.shape)}; allowed: (n, d) and (n, m) with n >= 1")
        for name, value in (("X", X), ("Y", Y)):
            if not (finite := value.isfinite()).all():
                row, column = torch.nonzero(~finite)[0].tolist()
                raise ValueError(
                    f"{name}[{row}, {column}] = {value[row, column].item()}; must be finite: leave such rows out"
                )
        n, d = X.shape
        if d > self.most_dimensions:
            trained = f"{d} dimensions, but the network was trained on at most {self.most_dimensions}"
            if isinstance(self.network, FlatPFN):
                raise ValueError(f"{trained} and has no room for more")
            self._warn("dimensions", f"{trained}; predictions may be worse")
        if n > self.most_points:
            self._warn(
                "points",
                f"{n} designs, but the network was trained on at most {self.most_points}: it gets the most recent half "
                "of them and of the others those that are farthest apart",
            )
            rows = thinned(X, self.most_points)
            X, Y = X[rows], Y[rows]
        return ConditionedPFN(self, X, Y, as_mask(categorical, X))

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, stacklevel=3)


AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def _ready(network: AnyNetwork, device: str) -> AnyNetwork:
    """For predictions: nothing but designs is differentiated."""
    return network.to(device).eval().requires_grad_(False)


def thinned(X: Tensor, size: int) -> Tensor:
    """Which ``size`` of the designs X (n, d), in order of evaluation, a network sees when n is too long.

    The last size / 2 are kept, for a search works where it evaluated last; then whichever earlier one is farthest from
    all kept ones, until there are enough. Returns sorted indices.
    """
    n = len(X)
    kept = torch.zeros(n, dtype=torch.bool, device=X.device)
    kept[n - size // 2 :] = True
    gap = torch.cdist(X, X[kept]).amin(-1)
    for _ in range(size - size // 2):
        row = gap.masked_fill(kept, -1.0).argmax()
        kept[row] = True
        gap = torch.minimum(gap, torch.cdist(X, X[row][None])[:, 0])
    return torch.nonzero(kept)[:, 0]


class ConditionedPFN(Model):
    """A PFN that has seen data: predictions need no further fitting and are differentiable in the designs.

    Predictions are of observations, noise included where the data show any. The context is read here, once.
    """

    def __init__(self, pfn: PFN, X: Tensor, Y: Tensor, categorical: Tensor) -> None:
        super().__init__()
        self.pfn, self.X, self.Y, self.categorical = pfn, X, Y, categorical
        mean = Y.mean(0)
        deviation = (Y - mean).square().mean(0).sqrt()
        # A constant output is expected to stay so; outputs of 1e9 vary in their last digits without meaning it.
        varies = deviation > 1e-9 * Y.abs().amax(0)
        self.center, self.unit = mean, torch.where(varies, deviation, (1e-9 * mean.abs()).clamp_min(1e-12))
        y = torch.where(varies, (Y - mean) / self.unit, 0.0).mT
        with torch.no_grad():
            self.context = pfn.network.context(X[None], y, categorical)

    @property
    def num_outputs(self) -> int:
        """The number m of outputs."""
        return self.Y.shape[-1]

    @property
    def batch_shape(self) -> torch.Size:
        """Of the model: none."""
        return torch.Size()

    def condition(self, X: Tensor, Y: Tensor) -> ConditionedPFN:
        """The model that has seen p more designs, X: (p, d), Y: (p, m)."""
        return self.pfn.condition_on(torch.cat([self.X, X]), torch.cat([self.Y, Y]), self.categorical)

    def subset_output(self, idcs: list[int]) -> ConditionedPFN:
        """The model of some of the outputs."""
        return self.pfn.condition_on(self.X, self.Y[:, idcs], self.categorical)

    def bars(self, X: Tensor) -> BarDistribution:
        """X: (q, d) -> the distributions (q, m) of the outputs, in their units and the precision of X."""
        m = self.num_outputs
        parts = [self.pfn.network(self.context, part[None].expand(m, -1, -1)) for part in X.split(CHUNK)]
        logits, location, scale = (
            torch.cat([getattr(p, name).expand(p.logits.shape[: 3 - k]) for p in parts], dim=1).transpose(0, 1).to(X)
            for name, k in (("logits", 0), ("location", 1), ("scale", 1))
        )
        center, unit = self.center.to(X), self.unit.to(X)
        return BarDistribution(logits, parts[0].borders.to(X), center + unit * location, unit * scale)

    def correlation_root(self, X: Tensor, columns: list[int]) -> Tensor:
        """X: (..., q, d) -> (..., len(columns), q, q) Cholesky factors of the anchor's posterior correlations.

        Raises:
            ValueError: the network has no anchor.
        """
        if not isinstance(self.context, AnchoredContext):
            raise ValueError(
                "a flat PFN predicts one design at a time and cannot draw jointly at "
                f"q = {X.shape[-2]}; allowed: q = 1, or the anchored architecture"
            )
        q, d = X.shape[-2:]
        covariance = self.context.exact.joint(X.reshape(-1, q, d).double())[columns]  # (outputs, b, q, q)
        deviation = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        correlation = covariance / (deviation[..., None] * deviation[..., None, :])
        rounding = 1e-8 * torch.eye(q, dtype=torch.double, device=X.device)
        root = psd_safe_cholesky(correlation + rounding)
        shaped: Tensor = root.transpose(0, 1).reshape(*X.shape[:-2], len(columns), q, q).to(X)
        return shaped

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> BarPosterior:
        """X: (..., q, d) -> posterior over (..., q, m) in the units of Y."""
        bars = self.bars(X.reshape(-1, X.shape[-1]))
        columns = list(range(self.num_outputs)) if output_indices is None else output_indices
        shape = (*X.shape[:-1], len(columns))
        bars = BarDistribution(
            bars.logits[:, columns].reshape(*shape, -1),
            bars.borders,
            bars.location[:, columns].reshape(shape),
            bars.scale[:, columns].reshape(shape),
        )
        posterior = BarPosterior(bars, self, X, columns)
        transformed: BarPosterior = posterior if posterior_transform is None else posterior_transform(posterior)
        return transformed


class BarPosterior(Posterior):
    """Bar distributions of m outputs at q designs, (..., q, m).

    Marginals are exact. A network that predicts points one by one does not say how the values of q > 1 designs hang
    together; to draw them independently would make a batch of q identical designs look like q chances. Draws are
    therefore joined by a Gaussian copula with the posterior correlations of the anchor, of which identical designs
    have 1; where there is no anchor, joint draws are refused.
    """

    def __init__(self, bars: BarDistribution, model: ConditionedPFN, X: Tensor, columns: list[int]) -> None:
        self.bars, self._model, self._X, self._columns = bars, model, X, columns

    @property
    def device(self) -> torch.device:
        """Of the tensors."""
        return self.bars.logits.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors."""
        return self.bars.logits.dtype

    @property
    def mean(self) -> Tensor:
        """(..., q, m)."""
        return self.bars.mean

    @property
    def variance(self) -> Tensor:
        """(..., q, m)."""
        return self.bars.variance

    def quantile(self, value: Tensor) -> Tensor:
        """Of levels (k,) -> (k, ..., q, m)."""
        levels = value.to(self.bars.logits).reshape(-1, *[1] * len(self.base_sample_shape))
        return self.bars.quantile(levels)

    def density(self, value: Tensor) -> Tensor:
        """Of outputs that broadcast to (..., q, m)."""
        return self.bars.log_prob(value).exp()

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008  # BoTorch's
        return sample_shape + self.base_sample_shape

    @property
    def base_sample_shape(self) -> torch.Size:
        """(..., q, m)."""
        return self.bars.logits.shape[:-1]

    @property
    def batch_range(self) -> tuple[int, int]:
        """All but q and m."""
        return (0, -2)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """(*sample_shape, ..., q, m) joint draws, differentiable."""
        shape = torch.Size() if sample_shape is None else sample_shape
        normal = torch.randn(self._extended_shape(shape), dtype=self.dtype, device=self.device)
        return self.rsample_from_base_samples(shape, normal)

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """Draws from standard normal numbers (*sample_shape, ..., q, m)."""
        if self._X.shape[-2] > 1:
            root = self._model.correlation_root(self._X, self._columns)  # (..., m, q, q)
            base_samples = (root @ base_samples.mT[..., None])[..., 0].mT
        eps = torch.finfo(self.dtype).eps
        return self.bars.quantile(ndtr(base_samples).clamp(eps, 1 - eps))


@GetSampler.register(BarPosterior)  # type: ignore[untyped-decorator]  # botorch has no types
def _sampler(posterior: BarPosterior, sample_shape: torch.Size, *, seed: int | None = None) -> NormalMCSampler:
    """The quasi-random sampler that BoTorch takes for normal posteriors, while the dimension allows it."""
    if posterior.base_sample_shape[-2:].numel() > SobolEngine.MAXDIM:
        return IIDNormalSampler(sample_shape=sample_shape, seed=seed)
    return SobolQMCNormalSampler(sample_shape=sample_shape, seed=seed)
