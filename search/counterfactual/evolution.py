"""The evolutionary stage of the counterfactual search: NSGA-II with operators that know the query.

References: [Deb2002] NSGA-II, IEEE TEC 6(2); [Regenwetter2025] MCD, J. Mech. Des. 147(2): the revert-to-query operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from designopt.counterfactual.problem import Problem
from designopt.parameters import Array

Mask = NDArray[np.bool_]

NEAREST = 5
"""Among how many of its nearest data rows a design chooses the one to approach."""


@dataclass
class Population:
    """n designs: features (n, d), objectives (n, m), total violation (n,) with zero where valid, inf where unknown."""

    designs: Array
    objectives: Array
    violation: Array

    def __len__(self) -> int:
        return len(self.designs)

    def take(self, rows: NDArray[np.int64] | Mask) -> Population:
        """The chosen rows."""
        return Population(self.designs[rows], self.objectives[rows], self.violation[rows])

    def merge(self, other: Population) -> Population:
        """Both, exact duplicates once; the first comes first."""
        designs = np.concatenate([self.designs, other.designs])
        objectives = np.concatenate([self.objectives, other.objectives])
        violation = np.concatenate([self.violation, other.violation])
        seen: dict[bytes, int] = {}
        for row, design in enumerate(designs):
            seen.setdefault(design.tobytes(), row)
        rows = np.fromiter(seen.values(), dtype=np.int64)
        return Population(designs[rows], objectives[rows], violation[rows])


class Evolution:
    """A population under constrained domination, and its children.

    Args:
        starts: (n, d) designs to begin from; children come from them as long as nothing was told.
        size: how many survive.
    """

    def __init__(self, problem: Problem, starts: Array, rng: np.random.Generator, size: int = 100) -> None:
        self.problem = problem
        self.rng = rng
        self.size = size
        m = 3 + len(problem.bonus)
        unknown = Population(starts[:0], np.empty((0, m)), np.empty(0))
        self.population = unknown
        self.starts = starts
        self._fitness = np.empty(0)
        self._real = problem.free & ~symbols(problem)
        self._options = np.where(symbols(problem), problem.high - problem.low + 1, 0).astype(int)
        self._log = logarithmic(problem)
        self._width = problem.high - problem.low
        # A step must be able to reach the next whole number.
        self._least = np.where(problem.space.discrete & self._real, 1.0, 0.0)

    def tell(self, told: Population) -> None:
        """Results go through survival with the population."""
        merged = self.population.merge(told)
        rows, self._fitness = survivors(merged, self.size)
        self.population = merged.take(rows)

    def children(self, n: int) -> Array:
        """-> (n, d) canonical designs, not yet in the population where that is possible."""
        if not len(self.population):
            parents = np.resize(np.arange(len(self.starts)), n)
            return self._vary(self.starts[parents], self.starts[self.rng.permutation(parents)])
        first, second = (self._tournament(n) for _ in range(2))
        return self._vary(self.population.designs[first], self.population.designs[second])

    def _tournament(self, n: int) -> NDArray[np.int64]:
        a, b = self.rng.integers(len(self.population), size=(2, n))
        return np.asarray(np.where(self._fitness[a] <= self._fitness[b], a, b))

    def _vary(self, parents: Array, mates: Array) -> Array:
        n, d = parents.shape
        rng, problem = self.rng, self.problem
        children: Array = parents.copy()
        kind: Array = np.asarray(rng.random(n))

        crossed = (rng.random((n, d)) < rng.uniform(0, 0.5, (n, 1))) & (kind < 0.5)[:, None] & (mates != parents)
        weight = np.where((rng.random((n, d)) < 0.3) & self._real, rng.uniform(-0.25, 1.25, (n, d)), 0.0)
        children = np.where(crossed, np.where(weight == 0, mates, weight * parents + (1 - weight) * mates), children)

        rows = problem.data[rng.integers(len(problem.data), size=n)]
        borrowed = (rng.random((n, d)) < rng.beta(0.3, 2.0, (n, 1))) & ((kind >= 0.5) & (kind < 0.6))[:, None]
        children = np.where(borrowed & problem.free & ~np.isnan(rows), rows, children)
        self._approach_data(children, np.flatnonzero((kind >= 0.6) & (kind < 0.7)))

        changed = children != problem.start
        rate = np.where(changed, 2.0, 0.6) / problem.free.sum()
        mutated = (rng.random((n, d)) < rate) & (rng.random((n, 1)) < 0.7)
        step = 10 ** rng.uniform(-3, -0.5, (n, 1)) * rng.standard_normal((n, d))
        children = np.where(mutated & self._real, self._moved(children, step), children)
        children = np.where(mutated & (self._options > 1), self._another(children), children)

        # Toward the query only when there is something valid to improve; before that it holds the search back.
        back = 1.0 if (self.population.violation <= 0).any() else 0.3
        shrunk = (rng.random((n, d)) < rng.random((n, 1))) & (rng.random((n, 1)) < 0.4 * back) & self._real
        toward = problem.start + np.sqrt(rng.random((n, d))) * (children - problem.start)
        children = np.where(shrunk & (children != problem.start), toward, children)

        chosen = rng.random((n, 1)) / back
        count = np.maximum((children != problem.start).sum(axis=1, keepdims=True), 1)
        several = np.floor(1 + 3 * rng.random((n, 1)) ** 2) / count
        share = np.where(chosen < 0.35, several, np.where(chosen < 0.5, rng.beta(0.2, 0.5, (n, 1)), 0.0))
        children = np.where(rng.random((n, d)) < share, problem.start, children)
        return problem.canonical(children)

    def _approach_data(self, children: Array, which: NDArray[np.int64]) -> None:
        """Give some children a few features of a data row near them, those that are furthest apart first."""
        if not len(which):
            return
        problem, rng = self.problem, self.rng
        distances = problem.gower.pairwise(children[which], problem.usual)
        near = np.argpartition(distances, min(NEAREST, distances.shape[1]) - 1, axis=1)[:, :NEAREST]
        rows = problem.usual[near[np.arange(len(which)), rng.integers(near.shape[1], size=len(which))]]
        gap = np.abs(rows - children[which]) * problem.gower.weights * problem.free
        share = (
            np.floor(1 + 3 * rng.random((len(which), 1)) ** 2) * gap / np.maximum(gap.sum(axis=1, keepdims=True), 1e-12)
        )
        children[which] = np.where(rng.random(gap.shape) < share, rows, children[which])

    def _moved(self, designs: Array, step: Array) -> Array:
        moved = designs + step * self._width + self._least * np.sign(step)
        log = self._log
        moved[:, log] = designs[:, log] * (self.problem.high[log] / self.problem.low[log]) ** step[:, log]
        return np.asarray(moved)

    def _another(self, designs: Array) -> Array:
        """Another option in every column that has a few."""
        others = np.maximum(self._options - 1, 1)
        shift = 1 + np.floor(self.rng.random(designs.shape) * others)
        low = self.problem.low
        another: Array = low + (designs - low + shift) % np.maximum(self._options, 1)
        return another


def logarithmic(problem: Problem) -> Mask:
    """(d,) which columns are searched on a logarithmic scale."""
    parameters = problem.space.parameters
    return np.array([bool(getattr(parameters.get(c), "log", False)) for c in problem.space.columns])


def symbols(problem: Problem) -> Mask:
    """(d,) which free columns hold options rather than a quantity: categories, and integers of two values."""
    two = problem.space.discrete & (problem.high - problem.low == 1)
    return np.asarray(problem.free & (problem.space.categorical | two))


def survivors(population: Population, size: int) -> tuple[NDArray[np.int64], Array]:
    """The rows that survive and their fitness, lower is better.

    Valid designs come first, by non-dominated rank and then by crowding distance; the others by violation [Deb2002].
    """
    from moocore import pareto_rank

    valid = np.flatnonzero(population.violation <= 0)
    fitness = 1e9 + population.violation
    if len(valid):
        objectives = population.objectives[valid]
        rank = pareto_rank(objectives)
        needed = np.sort(rank)[min(size, len(rank)) - 1]
        fitness[valid] = rank
        for front in range(int(needed) + 1):
            rows = valid[rank == front]
            fitness[rows] = front + 0.5 / (1 + crowding(population.objectives[rows]))
    order = np.argsort(fitness, kind="stable")[:size]
    return order, fitness[order]


def crowding(objectives: Array) -> Array:
    """objectives: (n, m) -> (n,) crowding distance of one front, inf at its ends."""
    n, m = objectives.shape
    distance = np.zeros(n)
    for column in range(m):
        order = np.argsort(objectives[:, column], kind="stable")
        values = objectives[order, column]
        spread = values[-1] - values[0]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / spread
    return distance


def initial(problem: Problem, known_valid: Mask | None, rng: np.random.Generator, n: int = 100) -> Array:
    """Designs to begin from: between the query and data rows, the near ones and those that meet the targets first.

    Args:
        problem: its query and data.
        known_valid: (N,) which data rows are known to meet the targets; None when nothing is known.
        rng: source of randomness.
        n: how many.

    Returns:
        (n, d) canonical designs; half of those from valid rows are the rows themselves with one change taken back.
    """
    data = problem.data
    near = np.argsort(problem.proximity(data), kind="stable")[:100]
    half = n // 2
    rows = np.concatenate([rng.choice(near, half), rng.integers(len(data), size=n - half)])
    share = rng.random((n, 1))
    valid = np.flatnonzero(known_valid) if known_valid is not None else rows[:0]
    fitting = valid[(problem.canonical(data[valid]) == data[valid]).all(axis=1)]
    valid = fitting if len(fitting) else valid  # a row of another, frozen class is no longer valid here
    if len(valid):
        near = valid[np.argsort(problem.proximity(data[valid]), kind="stable")[:100]]
        rows[:half] = rng.choice(near, half)
        share[:half] = 1.0
    designs = problem.start + share * (data[rows] - problem.start)
    option = symbols(problem)
    designs[:, option] = np.where(rng.random((n, 1)) < share, data[rows], problem.start)[:, option]
    mask = rng.random((n, len(problem.start))) < rng.random((n, 1))
    if len(valid):
        mask[:half] = True
        once = rng.integers(len(problem.start), size=half // 2)
        mask[np.arange(half // 2), once] = False
    return problem.canonical(np.where(mask, designs, problem.start))
