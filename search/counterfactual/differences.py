"""The way to a first valid design without gradients: differences of the violations, and linear programs.

Evolution closes the last hundredths of a violation slowly when many features must move together. Linear programs over
one-feature differences do it in some rounds of as many calls as there are features.

Reference: Fletcher & Sainz de la Maza, "Nonlinear programming and nonsmooth optimization by successive linear
programming", Math. Programming 43, 1989 (the trust region).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array
from designopt.search.counterfactual.beam import plain_beam
from designopt.search.counterfactual.evolution import Evolution, symbols
from designopt.search.counterfactual.steps import LEVEL, Request, Stage

STEP = 0.005
"""Difference step in units of a feature's room."""
TRUST = 0.2
"""Largest first step of a feature, in the same units; it halves after a failure and doubles after a success."""
ROUNDS = 8
"""For how many rounds the beam leaves calls."""
SMALLEST = 0.01
"""The steps end below this trust."""


def black_box_start(problem: Problem, evolution: Evolution, *, budget: int) -> Stage:
    """A sparsity beam within the budget; where it finds nothing valid, linear programs with as much again."""
    kept = min(ROUNDS * (int(problem.free.sum()) + 2), budget // 2)
    yield from plain_beam(problem, evolution, budget=budget - kept)
    if not (evolution.population.violation <= 0).any():
        yield from follow_differences(problem, evolution, budget=budget)


def follow_differences(problem: Problem, evolution: Evolution, *, budget: int) -> Stage:
    """Lead the least violating design to the targets by successive linear programs.

    Ends when a design is valid, when steps within the smallest trust do not help, or before a round that the budget
    does not allow.
    """
    moving = np.flatnonzero(problem.free & ~symbols(problem))
    room, trust, spent = (problem.high - problem.low)[moving], TRUST, 0
    while len(moving) and (spent := spent + len(moving) + 2) <= budget:
        best = evolution.population.violation.argmin()
        design, violation = evolution.population.designs[best], evolution.population.violation[best]
        near = np.repeat(design[None], len(moving), axis=0)
        step = np.where(problem.space.discrete[moving], 1.0, STEP * room)
        step = np.where(design[moving] + step <= problem.high[moving], step, -step)
        near[np.arange(len(moving)), moving] += step
        near = problem.canonical(near)
        answer = yield Request(np.concatenate([design[None], near]))
        evolution.tell(answer.population)
        length = near[np.arange(len(moving)), moving] - design[moving]
        rise = (answer.violations[1:] - answer.violations[0]).T
        slopes = np.where(length != 0, np.nan_to_num(rise / np.where(length != 0, length, 1.0), posinf=0, neginf=0), 0)
        while trust >= SMALLEST and spent <= budget:
            least = least_step(problem, design, answer.violations[0], slopes, moving, trust)
            if least is None or not least.any():
                return
            led = design.copy()
            led[moving] += least
            tried = yield Request(problem.canonical(led[None]))
            evolution.tell(tried.population)
            if tried.population.violation[0] <= 0:
                return
            spent += 1
            if tried.population.violation[0] < violation:
                trust = min(2 * trust, 1.0)
                break
            trust /= 2
        else:
            return


def least_step(
    problem: Problem, design: Array, violations: Array, slopes: Array, moving: NDArray[np.int64], trust: float
) -> Array | None:
    """The step within a trust region that leaves least linearised violation and, of those, is least in Gower's sense.

    Args:
        problem: its box and distance.
        design: (d,).
        violations: (k,) at the design.
        slopes: (k, f) of the violations by the moving features.
        moving: (f,) columns.
        trust: in units of each feature's room.

    Returns:
        (f,), or None where the linear program has no solution.
    """
    from scipy.optimize import linprog

    k, f = slopes.shape
    room = (problem.high - problem.low)[moving]
    up = np.minimum(problem.high[moving] - design[moving], trust * room) / room
    down = np.minimum(design[moving] - problem.low[moving], trust * room) / room
    scaled = slopes * room
    # Variables: moves up (f), moves down (f), what stays violated (k).
    A = np.concatenate([scaled, -scaled, -np.eye(k)], axis=1)
    limits = [(0, u) for u in [*up, *down]] + [(0, None)] * k
    margin = -np.nan_to_num(violations, nan=0.0, posinf=0.0) - LEVEL
    left = linprog(np.r_[np.zeros(2 * f), np.ones(k)], A, margin, bounds=limits)
    if left.x is None or left.fun is None:
        return None
    cost = np.tile(problem.gower.weights[moving] * room, 2)
    total = np.r_[np.zeros(2 * f), np.ones(k)][None]
    short = linprog(np.r_[cost, np.zeros(k)], np.concatenate([A, total]), np.r_[margin, left.fun + 1e-6], bounds=limits)
    x = left.x if short.x is None else short.x
    return np.asarray((x[:f] - x[f : 2 * f]) * room)
