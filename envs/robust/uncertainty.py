"""Uncertainty sets: scenarios that nature may choose from."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from designopt.parameters import Array

MAX_VERTICES = 200_000


@dataclass(frozen=True)
class BudgetSet:
    """Scenarios xi in [0, 1]^dim with sum(xi) <= budget (which may be fractional) [Bertsimas2004].

    Reference: [Bertsimas2004] The price of robustness, Operations Research 52.
    """

    dim: int
    budget: float

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """-> (n, dim): every other one a random vertex, the rest random directions scaled to a random total."""
        order = rng.random((n, self.dim)).argsort(axis=1)
        rank = order.argsort(axis=1)
        vertices = np.clip(min(self.budget, self.dim) - rank, 0.0, 1.0)
        shares = rng.random((n, self.dim))
        total = rng.random((n, 1)) * self.budget
        spread = np.minimum(total * shares / shares.sum(axis=1, keepdims=True), 1.0)
        return np.asarray(np.where(np.arange(n)[:, None] % 2 == 0, vertices, spread))

    def project(self, scenarios: Array) -> Array:
        """(n, dim) -> nearest scenarios: clip, and where the budget is exceeded shift down first (bisection)."""
        clipped = np.clip(scenarios, 0.0, 1.0)
        over = clipped.sum(axis=1) > self.budget
        if not over.any():
            return clipped
        low, high = np.zeros(over.sum()), scenarios[over].max(axis=1)
        for _ in range(60):
            middle = (low + high) / 2
            much = np.clip(scenarios[over] - middle[:, None], 0.0, 1.0).sum(axis=1) > self.budget
            low, high = np.where(much, middle, low), np.where(much, high, middle)
        clipped[over] = np.clip(scenarios[over] - high[:, None], 0.0, 1.0)
        return clipped

    def maximise(self, direction: Array) -> Array:
        """(dim,) -> the vertex that spends the budget on the largest positive entries."""
        xi = np.zeros(self.dim)
        left = self.budget
        for i in np.argsort(-direction, kind="stable"):
            if direction[i] <= 0 or left <= 0:
                break
            xi[i] = min(1.0, left)
            left -= xi[i]
        return xi

    def vertices(self) -> Array:
        """-> (v, dim) all vertices: at most floor(budget) ones, and one entry with what is left if that is fractional.

        Raises:
            ValueError: more than 200,000 of them.
        """
        whole = min(math.floor(self.budget), self.dim)
        rest = self.budget - whole if whole < self.dim else 0.0
        count = sum(math.comb(self.dim, k) for k in range(whole + 1))
        count += math.comb(self.dim, whole) * (self.dim - whole) if rest > 0 else 0
        if count > MAX_VERTICES:
            raise ValueError(f"the budget set of {self.dim} entries and budget {self.budget} has {count} vertices")
        rows = []
        for k in range(whole + 1):
            for ones in itertools.combinations(range(self.dim), k):
                base = np.zeros(self.dim)
                base[list(ones)] = 1.0
                rows.append(base)
                if k == whole and rest > 0:
                    for i in set(range(self.dim)) - set(ones):
                        rows.append(base.copy())
                        rows[-1][i] = rest
        return np.array(rows)

    def inequalities(self) -> tuple[Array, Array]:
        """D (dim + 1, dim) and d with D xi <= d; xi >= 0 besides."""
        return np.vstack([np.ones((1, self.dim)), np.eye(self.dim)]), np.concatenate([[self.budget], np.ones(self.dim)])


@dataclass(frozen=True)
class BoxSet:
    """Scenarios in [low, high]^dim."""

    dim: int
    low: float = -1.0
    high: float = 1.0

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """-> (n, dim): every other one a random corner, the rest uniform."""
        corners = rng.choice([self.low, self.high], size=(n, self.dim))
        uniform = rng.uniform(self.low, self.high, size=(n, self.dim))
        return np.where(np.arange(n)[:, None] % 2 == 0, corners, uniform)

    def project(self, scenarios: Array) -> Array:
        """(n, dim) -> clipped."""
        return np.clip(scenarios, self.low, self.high)

    def maximise(self, direction: Array) -> Array:
        """(dim,) -> the corner in that direction."""
        return np.where(direction > 0, self.high, self.low)

    def vertices(self) -> Array:
        """-> (2^dim, dim) corners. Raises ValueError when there are more than 200,000."""
        if 2**self.dim > MAX_VERTICES:
            raise ValueError(f"a box of {self.dim} dimensions has {2**self.dim} corners")
        return np.array(list(itertools.product([self.low, self.high], repeat=self.dim)))

    def inequalities(self) -> tuple[Array, Array]:
        """D (2 dim, dim) and d with D xi <= d; xi free besides."""
        eye = np.eye(self.dim)
        limits = np.concatenate([np.full(self.dim, self.high), np.full(self.dim, -self.low)])
        return np.vstack([eye, -eye]), limits


@dataclass(frozen=True)
class FiniteSet:
    """A list of scenarios, (v, dim)."""

    points: tuple[tuple[float, ...], ...]

    @property
    def dim(self) -> int:
        """Numbers in a scenario."""
        return len(self.points[0])

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """-> (n, dim) drawn with replacement."""
        return np.asarray(self.vertices()[rng.integers(len(self.points), size=n)])

    def project(self, scenarios: Array) -> Array:
        """(n, dim) -> the nearest points."""
        points = self.vertices()
        distance = ((scenarios[:, None, :] - points[None]) ** 2).sum(axis=2)
        return np.asarray(points[distance.argmin(axis=1)])

    def maximise(self, direction: Array) -> Array:
        """(dim,) -> the point farthest in that direction."""
        points = self.vertices()
        return np.asarray(points[(points @ direction).argmax()])

    def vertices(self) -> Array:
        """-> (v, dim) all of them."""
        return np.array(self.points, dtype=float)
