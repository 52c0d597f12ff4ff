"""Post-hoc refinement: take changes back while the targets hold, then bisect what is left toward the query."""

from __future__ import annotations

import numpy as np

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array
from designopt.search.counterfactual.evolution import symbols
from designopt.search.counterfactual.steps import Request, Stage

ROUNDS = 5
"""Bisections of the way back to the query; the last step is 1/32 of it."""


def sparsify(problem: Problem, designs: Array) -> Stage:
    """Refine valid designs (n, d), all at once; what is better and valid is found in the archive.

    Each change is tried for removal once, the smallest in Gower's sense first. Costs n (changes + ROUNDS) calls.
    """
    designs = designs.copy()
    size = np.abs(designs - problem.start) * problem.gower.weights
    order = np.argsort(np.where(designs == problem.start, np.inf, size), axis=1, kind="stable")
    rows = np.arange(len(designs))
    for place in range(int((designs != problem.start).sum(axis=1).max(initial=0))):
        column = order[:, place]
        tried = designs.copy()
        tried[rows, column] = problem.start[column]
        tried = problem.canonical(tried)
        answer = yield Request(tried)
        valid = answer.population.violation <= 0
        designs[valid] = tried[valid]
    low, high = np.zeros(len(designs)), np.ones(len(designs))  # shares of the way from the query; high is valid
    quantity = ~symbols(problem)
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        back = problem.start + middle[:, None] * (designs - problem.start)
        tried = np.where(quantity & (designs != problem.start), back, designs)
        answer = yield Request(problem.canonical(tried))
        valid = answer.population.violation <= 0
        high, low = np.where(valid, middle, high), np.where(valid, low, middle)
