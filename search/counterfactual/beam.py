"""Sparsity beams: designs with one change more at each depth, until the targets are met.

Few changes are the hard part: a search that starts with many and takes them back ends in basins that need more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array
from designopt.search.counterfactual.evolution import Evolution, logarithmic, symbols
from designopt.search.counterfactual.steps import Request, Stage, project

OPTION_BONUS = 0.05
"""Score of an option (which has no slope) among the features, in units of scaled violation."""
HARDLY = 0.98
"""A depth that leaves more than this share of the least violation is the last one of a beam without gradients."""


def gradient_beam(
    problem: Problem, evolution: Evolution, *, budget: int, width: int = 10, extensions: int = 10, steps: int = 2
) -> Stage:
    """Extend each state by the features whose slopes promise most, re-fit all its changes by projection steps.

    Ends after the first depth at which ``width`` states are valid, or before one that the budget does not allow.
    """
    option, room_width = symbols(problem), np.where(problem.free, problem.high - problem.low, 1.0)
    answer = yield Request(problem.canonical(problem.start[None]), True)
    evolution.tell(answer.population)
    states, supports = answer.population.designs, problem.changed(answer.population.designs) & problem.free
    spent = 2
    for _ in range(int(problem.free.sum())):
        assert answer.slopes is not None
        missed = answer.violations > -1e-9
        slope = (np.nan_to_num(answer.slopes) * missed[:, :, None]).sum(axis=1) * room_width
        room = np.where(slope < 0, problem.high - states, states - problem.low) / room_width
        score = np.where(option, np.abs(slope) + OPTION_BONUS, np.abs(slope) * room)
        score[supports | ~problem.free] = -np.inf
        parents, columns = _best(score, extensions)
        if not len(parents):
            return
        extended = supports[parents].copy()
        extended[np.arange(len(parents)), columns] = True
        designs, parents, extended = _with_options(problem, states, parents, columns, extended)
        first = _distinct(np.concatenate([extended, designs == problem.high], axis=1))
        designs, parents, extended = designs[first], parents[first], extended[first]
        spent += (2 * steps - 1) * len(designs) + 2 * width
        if spent > budget:
            return
        movable = extended & ~option & problem.free
        # The parent's slopes serve for the first step: its values were kept.
        answer.violations, answer.slopes = answer.violations[parents], answer.slopes[parents]
        designs = project(problem, designs, answer, movable)
        for _ in range(steps - 1):
            answer = yield Request(designs, True)
            evolution.tell(answer.population)
            designs = project(problem, designs, answer, movable)
        answer = yield Request(designs)
        evolution.tell(answer.population)
        violation = answer.population.violation
        best = np.argsort(violation, kind="stable")[:width]
        if (violation[best] <= 0).sum() >= width:
            return
        states, supports = designs[best], extended[best]
        answer = yield Request(states, True)


def plain_beam(problem: Problem, evolution: Evolution, *, budget: int) -> Stage:
    """Try a few values of every unchanged feature of each state and keep the best; needs no gradients.

    Width and values per feature follow the budget, which lasts for about six changes. Ends after the first depth at
    which half of the states are valid or at which one change more hardly helps, or before one that the budget does not
    allow.
    """
    option, log, free = symbols(problem), logarithmic(problem), np.flatnonzero(problem.free)
    values = int(np.clip(math.sqrt(budget / (12 * len(free))), 1, 5))
    width = 2 * values
    answer = yield Request(problem.canonical(problem.start[None]))
    evolution.tell(answer.population)
    states, supports = answer.population.designs, problem.changed(answer.population.designs) & problem.free
    spent, least = 1, answer.population.violation[0]
    for _ in range(len(free)):
        designs, extended = [], []
        for state, support in zip(states, supports, strict=True):
            for column in free[~support[free]]:
                for value in _levels(problem, column, state[column], values, option[column], log[column]):
                    designs.append(state.copy())
                    designs[-1][column] = value
                    extended.append(support.copy())
                    extended[-1][column] = True
        spent += len(designs)
        if not designs or spent > budget:
            return
        tried, marks = problem.canonical(np.array(designs)), np.array(extended)
        answer = yield Request(tried)
        evolution.tell(answer.population)
        violation = answer.population.violation
        order = np.argsort(violation, kind="stable")
        order = order[_distinct(marks[order])]  # the best of each support
        best = order[:width]
        if (violation[best] <= 0).sum() >= max(width // 2, 1) or violation[best[0]] > HARDLY * least:
            return
        states, supports, least = tried[best], marks[best], violation[best[0]]


def _levels(problem: Problem, column: int, current: float, count: int, option: bool, log: bool) -> Array:
    """Values to try in one column: the ends and ``count`` - 2 between them, or the other options."""
    low, high = problem.low[column], problem.high[column]
    if option:
        values = np.arange(low, high + 1)[: 2 * count + 1]
    else:
        values = (np.geomspace if log else np.linspace)(low, high, max(count, 2))
    return np.asarray(values[values != current])


def _best(score: Array, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the ``count`` greatest finite scores of each row."""
    columns = np.argsort(-score, axis=1, kind="stable")[:, :count]
    rows = np.repeat(np.arange(len(score)), columns.shape[1])
    columns = columns.ravel()
    finite = np.isfinite(score[rows, columns])
    return rows[finite], columns[finite]


def _with_options(
    problem: Problem,
    states: Array,
    parents: NDArray[np.int64],
    columns: NDArray[np.int64],
    supports: NDArray[np.bool_],
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """A design per new support, and one per other option where an option column was added."""
    option = symbols(problem)
    designs, rows = [], []
    for row, (parent, column) in enumerate(zip(parents, columns, strict=True)):
        values = [states[parent, column]]
        if option[column]:
            others = np.arange(problem.low[column], problem.high[column] + 1)
            values = list(others[others != states[parent, column]][:10])
        for value in values:
            designs.append(states[parent].copy())
            designs[-1][column] = value
            rows.append(row)
    return np.array(designs), parents[rows], supports[rows]


def _distinct(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row numbers of the first of each distinct row, in order."""
    seen: dict[bytes, int] = {}
    for row, mark in enumerate(np.packbits(marks, axis=1)):
        seen.setdefault(mark.tobytes(), row)
    return np.fromiter(seen.values(), dtype=np.int64)
