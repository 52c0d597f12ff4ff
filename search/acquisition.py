"""What a design promises, given models of objectives and constraints: acquisition functions in log space.

References: [Gardner2014] Bayesian optimization with inequality constraints, ICML. [Ament2023] Unexpected improvements
to expected improvement, NeurIPS. [Daulton2020] Differentiable expected hypervolume improvement, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from botorch.acquisition.analytic import (
    LogConstrainedExpectedImprovement,
    LogExpectedImprovement,
    LogProbabilityOfFeasibility,
)
from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.models.model import Model
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from torch import Tensor

from designopt.search.maximise import Acquisition
from designopt.surrogates.warp import Warp

SAMPLES = 32


def promise(model: Model, Z: Tensor, warps: Sequence[Warp], m: int, seed: int) -> Acquisition:
    """The acquisition function that suits what is known.

    While no design is feasible, it is the probability that all constraints hold. Then, for one objective, it is the
    expected improvement on the best feasible design times that probability [Gardner2014]; for several, the expected
    gain in hypervolume [Daulton2020] times that probability. All are logarithms, for products of ten probabilities
    underflow, and vanish without gradient [Ament2023].

    Args:
        model: of the warped outputs, m losses and then k constraints, which hold when <= 0.
        Z: (n, m + k) warped outputs known so far, n >= 1.
        warps: of every output.
        m: number of objectives.
        seed: of the samples that several objectives need.
    """
    limits: dict[int, tuple[float | None, float | None]] = {i: (None, 0.0) for i in range(m, Z.shape[-1])}
    feasible = Z[(Z[:, m:] <= 0).all(dim=-1)]
    if len(feasible) == 0:
        return LogProbabilityOfFeasibility(model, limits)
    if m > 1:
        gain = hypervolume_improvement(model, feasible, warps, m, seed)
        return gain if not limits else together(gain, LogProbabilityOfFeasibility(model, limits))
    incumbent = feasible[:, 0].min()
    if limits:
        return LogConstrainedExpectedImprovement(model, incumbent, 0, limits, maximize=False)
    return LogExpectedImprovement(model, incumbent, maximize=False)


def together(*factors: Acquisition) -> Acquisition:
    """The product of independent factors, each given by its logarithm."""
    return lambda X: torch.stack([factor(X) for factor in factors]).sum(dim=0)


def hypervolume_improvement(model: Model, feasible: Tensor, warps: Sequence[Warp], m: int, seed: int) -> Acquisition:
    """Log expected gain in hypervolume; ``feasible``: (p, m + k) warped outputs, p >= 1.

    Evaluations have no noise, so the front is what was observed: no need to integrate over where it may be.
    Volume is measured in losses, not warped ones, each divided by its range on the front.
    """

    def losses(z: Tensor) -> Tensor:
        return torch.stack([warp.inverse(z[..., i]) for i, warp in enumerate(warps[:m])], dim=-1)

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


def best_rows(Z: Tensor, m: int, n: int) -> Tensor:
    """Indices of at most n rows of warped outputs (., m + k): non-dominated feasible ones, else the least infeasible.

    For one objective the best n feasible ones, for what surrounds the second best may be better still.
    """
    violation = Z[:, m:].clamp_min(0.0).sum(dim=-1)
    if m == 1 or not (violation == 0).any():
        return torch.from_numpy(np.lexsort((Z[:, 0].cpu().numpy(), violation.cpu().numpy()))[:n].copy())
    feasible = torch.nonzero(violation == 0)[:, 0]
    return feasible[is_non_dominated(-Z[feasible, :m])][:n]
