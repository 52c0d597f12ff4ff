"""What a design promises, given models of objectives and constraints: acquisition functions in log space.

References: [Gardner2014] Bayesian optimization with inequality constraints, ICML. [Ament2023] Unexpected improvements
to expected improvement, NeurIPS. [Daulton2020] Differentiable expected hypervolume improvement, NeurIPS. [Yu2025] Fast
and accurate Bayesian optimization with pre-trained transformers for constrained engineering problems (CEI+).
[Xu2023] Constrained efficient global optimization of expensive black-box functions, ICML (optimism on constraints).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from botorch.acquisition.analytic import _log_ei_helper
from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.probability.utils import log_ndtr  # torch's has wrong gradients far below zero
from torch import Tensor
from torch.special import ndtri

from designopt.search.maximise import Acquisition
from designopt.surrogates.amortized_gp import ConditionedGP
from designopt.surrogates.pfn.pfn import BarPosterior
from designopt.surrogates.warp import Warp

ACQUISITIONS = ("cei", "cei_plus", "penalty", "ei", "ucb", "thompson")
SAMPLES = 32
CONFIDENCE = 2.0
"""Standard deviations of optimism of ``ucb``."""


class Model(Protocol):
    """What a surrogate must offer: a BoTorch posterior over (..., q, outputs) at X (..., q, d)."""

    def posterior(self, X: Tensor) -> Any:
        """See BoTorch."""


class Marginals(Protocol):
    """One-dimensional distributions of outputs, (..., outputs): ``Normal`` here, ``BarDistribution`` of a PFN."""

    def __neg__(self) -> Marginals: ...
    def __getitem__(self, index: Any) -> Marginals: ...
    def log_cdf(self, y: Tensor | float) -> Tensor:
        """Logarithm of P(Y <= y)."""

    def log_expected_improvement(self, best: Tensor | float) -> Tensor:
        """Logarithm of E[max(Y - best, 0)]."""

    def quantile(self, p: Tensor | float) -> Tensor:
        """Values y with P(Y <= y) = p."""


@dataclass(frozen=True)
class Normal:
    """Normal distributions; improvement means above the best."""

    mean: Tensor
    deviation: Tensor

    def __neg__(self) -> Normal:
        return Normal(-self.mean, self.deviation)

    def __getitem__(self, index: Any) -> Normal:
        return Normal(self.mean[index], self.deviation[index])

    def log_cdf(self, y: Tensor | float) -> Tensor:
        """Logarithm of P(Y <= y)."""
        return log_ndtr((y - self.mean) / self.deviation)

    def log_expected_improvement(self, best: Tensor | float) -> Tensor:
        """Logarithm of E[max(Y - best, 0)]."""
        return _log_ei_helper((self.mean - best) / self.deviation) + self.deviation.log()

    def quantile(self, p: Tensor | float) -> Tensor:
        """Values y with P(Y <= y) = p."""
        return cast(Tensor, self.mean + self.deviation * ndtri(torch.as_tensor(p).to(self.mean)))


def marginals(model: Model, X: Tensor) -> Marginals:
    """The distribution of every output, (b, outputs), at single designs X (b, 1, d)."""
    if isinstance(model, ConditionedGP):  # GPyTorch would not let deviations be less than 1e-5
        mean, variance = model.marginals(X[:, 0])
        return Normal(mean, variance.sqrt())
    posterior = model.posterior(X)
    if isinstance(posterior, BarPosterior):
        return posterior.bars[:, 0]
    return Normal(posterior.mean[:, 0], posterior.variance[:, 0].sqrt())


def promise(
    model: Model,
    Z: Tensor,
    limits: Tensor,
    warps: Sequence[Warp],
    seed: int,
    acquisition: str = "cei",
    *,
    best_of_all: bool = False,
) -> Acquisition:
    """The acquisition function that suits what is known.

    While no design is feasible it is the probability that all constraints hold, whatever is asked for. Then:

    * ``cei``: for one objective the expected improvement on the best feasible design times that probability
      [Gardner2014]; for several the expected gain in hypervolume [Daulton2020] times it.
    * ``cei_plus``: the same with min(1, 2 P) in place of every probability P [Yu2025]: constraints that are more likely
      to hold than not cost nothing.
    * ``ei``: the improvement alone; constraints only decide which designs can be improved on.
    * ``ucb``: the optimistic bound of the loss, where the optimistic bounds of all constraints hold [Xu2023].
    * ``thompson``: a function drawn for every output, compared in the same way. It is drawn anew in every call, at all
      designs of that call jointly.

    ``cei`` and ``ei`` are logarithms, for products of ten probabilities underflow, and vanish without gradient
    [Ament2023].

    Args:
        model: of the warped outputs, m losses and then k constraints.
        Z: (n, m + k) warped outputs known so far, n >= 1.
        limits: (k,) values up to which warped constraints hold.
        warps: of the losses; needed when there are several.
        seed: of the samples that several objectives or Thompson sampling need.
        acquisition: one of those above.
        best_of_all: improve on the best design whether it is feasible or not, as published in [Yu2025].
    """
    m = Z.shape[-1] - len(limits)
    feasible = Z if best_of_all else Z[(Z[:, m:] <= limits).all(dim=-1)]
    if len(feasible) == 0:
        return lambda X: marginals(model, X)[:, m:].log_cdf(limits).sum(dim=-1)
    if acquisition == "thompson":
        return feasible_first(lambda X: draw(model, X, seed), limits, Z[:, 0].max())
    if acquisition == "ucb":
        level = 0.5 * math.erfc(CONFIDENCE / math.sqrt(2))
        return feasible_first(lambda X: marginals(model, X).quantile(level), limits, Z[:, 0].max())

    def hold(outputs: Marginals) -> Tensor:
        """(b,) log of the constraints' factor."""
        factors = outputs[:, m:].log_cdf(limits)
        return ((factors + math.log(2)).clamp_max(0.0) if acquisition == "cei_plus" else factors).sum(dim=-1)

    constrained = len(limits) > 0 and acquisition != "ei"
    if m > 1:
        gain = hypervolume_improvement(model, feasible, warps, seed)
        return together(gain, lambda X: hold(marginals(model, X))) if constrained else gain
    incumbent = feasible[:, 0].min()

    def value(X: Tensor) -> Tensor:
        outputs = marginals(model, X)
        improvement = (-outputs[:, 0]).log_expected_improvement(-incumbent)
        return improvement + hold(outputs) if constrained else improvement

    return value


def feasible_first(outputs: Callable[[Tensor], Tensor], limits: Tensor, worst: Tensor) -> Acquisition:
    """Negated losses where outputs (b, 1 + k) meet the limits; elsewhere below the worst loss, by how much they do not.

    ``worst`` is the greatest loss known: what does not hold ranks behind everything that is worth considering.
    """

    def value(X: Tensor) -> Tensor:
        values = outputs(X)
        excess = (values[:, 1:] - limits).clamp_min(0.0).sum(dim=-1)
        return torch.where(excess > 0, -worst - excess, -values[:, 0])

    return value


def draw(model: Model, X: Tensor, seed: int) -> Tensor:
    """The outputs of designs X (b, 1, d), drawn jointly, (b, outputs)."""
    posterior = model.posterior(X[:, 0])
    normal = torch.randn(1, *posterior.mean.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    drawn: Tensor = posterior.rsample_from_base_samples(torch.Size([1]), normal.to(X))[0]
    return drawn


def together(*factors: Acquisition) -> Acquisition:
    """The product of independent factors, each given by its logarithm."""
    return lambda X: torch.stack([factor(X) for factor in factors]).sum(dim=0)


def hypervolume_improvement(model: Any, feasible: Tensor, warps: Sequence[Warp], seed: int) -> Acquisition:
    """Log expected gain in hypervolume; ``feasible``: (p, m + k) warped outputs, p >= 1; ``warps``: of the m losses.

    Evaluations have no noise, so the front is what was observed: no need to integrate over where it may be.
    Volume is measured in losses, not warped ones, each divided by its range on the front.
    """

    def losses(z: Tensor) -> Tensor:
        return torch.stack([warp.inverse(z[..., i]) for i, warp in enumerate(warps)], dim=-1)

    front = losses(feasible)
    front = front[is_non_dominated(-front)]
    ideal, nadir = front.min(dim=0).values, front.max(dim=0).values
    spread = losses(feasible).max(dim=0).values - ideal
    size = torch.where(nadir > ideal, nadir - ideal, torch.where(spread > 0, spread, 1.0))

    def gains(samples: Tensor, X: Tensor | None = None) -> Tensor:
        return -(losses(samples) - ideal) / size

    # A tenth of the range beyond the worst of the front is worth something too, as in BoTorch's infer_reference_point.
    reference = -(nadir - ideal) / size - 0.1
    return qLogExpectedHypervolumeImprovement(
        model,
        reference,
        FastNondominatedPartitioning(reference, -(front - ideal) / size),  # type: ignore[arg-type]  # the faster kin
        sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed),
        objective=GenericMCMultiOutputObjective(gains),
    )


def best_rows(Z: Tensor, limits: Tensor, n: int) -> Tensor:
    """Indices of at most n rows of warped outputs (., m + k): non-dominated feasible ones, else the least infeasible.

    For one objective the best n feasible ones, for what surrounds the second best may be better still.
    """
    m = Z.shape[-1] - len(limits)
    violation = (Z[:, m:] - limits).clamp_min(0.0).sum(dim=-1)
    if m == 1 or not (violation == 0).any():
        return torch.from_numpy(np.lexsort((Z[:, 0].cpu().numpy(), violation.cpu().numpy()))[:n].copy())
    feasible = torch.nonzero(violation == 0)[:, 0]
    return feasible[is_non_dominated(-Z[feasible, :m])][:n]
