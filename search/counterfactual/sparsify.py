"""Post-hoc refinement: take changes back while the targets hold, then bisect what is left toward the query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array
from designopt.search.counterfactual.evolution import symbols
from designopt.search.counterfactual.steps import Request, Stage

ROUNDS = 5
"""Bisections of the way back to the query; the last step is 1/32 of it."""
SINGLE = 4
"""How many changes of each design are bisected on their own, the largest first."""


def sparsify(problem: Problem, designs: Array) -> Stage:
    """Refine valid designs (n, d), all at once; what is better and valid is found in the archive.

    Each change is tried for removal once, the smallest in Gower's sense first; then all that are left are bisected
    together, then the ``SINGLE`` largest one by one. Costs n (changes + ROUNDS (1 + SINGLE)) calls at most.
    """
    if not len(designs):
        return
    designs = designs.copy()
    rows = np.arange(len(designs))
    order = _by_size(problem, designs)
    for place in range(int((designs != problem.start).sum(axis=1).max())):
        column = order[:, place]
        tried = designs.copy()
        tried[rows, column] = problem.start[column]
        tried = problem.canonical(tried)
        answer = yield Request(tried)
        valid = answer.population.violation <= 0
        designs[valid] = tried[valid]
    quantity = ~symbols(problem)
    yield from _bisect(problem, designs, quantity & (designs != problem.start))
    for place in range(SINGLE):
        count = ((designs != problem.start) & quantity).sum(axis=1)
        if not (count > place).any():
            return
        size = np.where(quantity & (designs != problem.start), np.abs(designs - problem.start), 0.0)
        column = np.argsort(-size * problem.gower.weights, axis=1, kind="stable")[:, place]
        alone = np.zeros(designs.shape, dtype=bool)
        alone[rows, column] = count > place
        yield from _bisect(problem, designs, alone)


def _by_size(problem: Problem, designs: Array) -> NDArray[np.int64]:
    """(n, d) changed columns of each design, the smallest change first; unchanged ones last."""
    size = np.abs(designs - problem.start) * problem.gower.weights
    return np.argsort(np.where(designs == problem.start, np.inf, size), axis=1, kind="stable")


def _bisect(problem: Problem, designs: Array, moving: NDArray[np.bool_]) -> Stage:
    """Move the marked features (n, d) of designs (n, d), valid and changed in place, toward the query while valid."""
    from_there = designs.copy()
    low, high = np.zeros(len(designs)), np.ones(len(designs))  # shares of the way from the query; high is valid
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        back = problem.start + middle[:, None] * (from_there - problem.start)
        tried = problem.canonical(np.where(moving, back, from_there))
        answer = yield Request(tried)
        valid = answer.population.violation <= 0
        designs[valid] = tried[valid]
        high, low = np.where(valid, middle, high), np.where(valid, low, middle)
