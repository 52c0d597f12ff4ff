"""Several outputs made one: penalised objectives, and random scalarisations of several objectives.

References: [Knowles2006] ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective
optimization problems, IEEE Transactions on Evolutionary Computation. [Yu2025] Fast and accurate Bayesian optimization
with pre-trained transformers for constrained engineering problems.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import Array

PATIENCE, GROWTH = 5, 1.5
"""After so many evaluations without a better feasible design the penalty grows by so much [Yu2025]."""


def penalised(losses: Array, constraints: Array, rho: float) -> Array:
    """Losses (n,) plus rho times the sum of squared violations (n, k).

    Deviation from [Yu2025]: losses are divided by their standard deviation first, so that units do not matter.
    """
    spread = losses.std()
    return np.asarray(losses / (spread if spread > 0 else 1.0) + rho * (np.maximum(constraints, 0.0) ** 2).sum(axis=1))


def penalty(losses: Array, feasible: NDArray[np.bool_], initial: int) -> float:
    """Weight of violations after a history (n,) in the order of telling: 1, more the longer nothing improves."""
    rho, waited = 1.0, 0
    best = losses[:initial][feasible[:initial]].min(initial=np.inf)
    for loss, holds in zip(losses[initial:], feasible[initial:], strict=True):
        if holds and loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited == PATIENCE:
            rho, waited = rho * GROWTH, 0
    return rho


def scalarised(losses: Array, rng: np.random.Generator) -> Array:
    """Several losses (n, m), each over its range, as one (n,): augmented Chebyshev, random weights [Knowles2006]."""
    low = losses.min(axis=0)
    span = losses.max(axis=0) - low
    weighted = rng.dirichlet(np.ones(losses.shape[1])) * (losses - low) / np.where(span > 0, span, 1.0)
    return np.asarray(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))
