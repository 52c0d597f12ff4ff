"""A diverse, good subset: greedy maximisation of a determinant (MAP of a determinantal point process).

Reference: Chen, Zhang, Zhou, "Fast greedy MAP inference for determinantal point process", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from designopt.counterfactual.gower import Gower
from designopt.parameters import Array

SMALLEST = 1e-10
"""Gain (a squared distance in the feature space of the kernel) below which an item adds nothing."""


def greedy_map(row: Callable[[int], Array], diagonal: Array, k: int) -> list[int]:
    """Add, k times, the item that raises the determinant of the chosen submatrix of L most.

    The Cholesky factor of the chosen rows grows by one row per pick, so the cost is O(n k^2) and L is never built.

    Args:
        row: item -> its (n,) row of L.
        diagonal: (n,) of L.
        k: how many; fewer are returned when what is left lies in the span of the chosen.

    Returns:
        Item numbers in the order of their choice.
    """
    gain = np.array(diagonal, dtype=np.float64)
    factor = np.empty((min(k, len(gain)), len(gain)))
    chosen: list[int] = []
    for t in range(len(factor)):
        best = int(gain.argmax())
        if gain[best] < SMALLEST:
            break
        factor[t] = (row(best) - factor[:t, best] @ factor[:t]) / np.sqrt(gain[best])
        gain -= factor[t] ** 2
        chosen.append(best)
        gain[best] = -np.inf
    return chosen


def draw(designs: Array, scores: Array, gower: Gower, k: int, diversity: float) -> list[int]:
    """K designs of good score that differ from each other.

    L_ij = q_i q_j (1 - delta_ij) with Gower's delta and quality q = exp((1 - score) / (2 diversity)), scores scaled to
    [0, 1]: a difference of ``diversity`` in score weighs as much as a factor e in the determinant.

    Args:
        designs: (n, d).
        scores: (n,) lower is better.
        gower: the distance.
        k: how many.
        diversity: not negative; 0 takes the k best scores.

    Returns:
        Row numbers; min(k, n) of them.
    """
    low, high = scores.min(), scores.max()
    scaled = (scores - low) / (high - low) if high > low else np.zeros(len(scores))
    best_first = np.argsort(scaled, kind="stable")
    if diversity == 0 or k == 1:
        return [int(i) for i in best_first[:k]]
    quality = np.exp(np.maximum(-scaled / diversity, -60.0) / 2)

    def row(i: int) -> Array:
        return np.asarray(quality[i] * quality * (1.0 - gower(designs, designs[i])))

    chosen = greedy_map(row, quality**2, k)
    rest = (int(i) for i in best_first if int(i) not in set(chosen))
    return chosen + [next(rest) for _ in range(min(k, len(designs)) - len(chosen))]


def log_determinant(designs: Array, gower: Gower) -> float:
    """Log det of the Gower similarities 1 - delta (+ 1e-9 on the diagonal) of a few designs: more is more diverse."""
    similarity = 1.0 - gower.pairwise(designs, designs) + 1e-9 * np.eye(len(designs))
    return float(np.linalg.slogdet(similarity)[1])
