"""Local search on certified worst cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from designopt import Integer, Real, tunable
from designopt.parameters import Array
from designopt.search.robust.base import RobustSearch
from designopt.search.robust.descent import Screen, descend, learn, perturbed, stop_at


class RobustLocalSearch(RobustSearch):
    """Flips and swaps of a binary design from the empty one, screened by affine bounds, then from perturbed ones.

    No programme and no bound: what the exact evaluator alone is worth. Good for tens of parameters.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters; seconds are wall-clock."""

        descent_seconds: float = tunable(8.0, Real(1.0, 100.0, log=True), "limit of all descents")
        restarts: int = tunable(100, Integer(0, 1000), "perturbed descents within that limit")

    config: Config

    def candidates(self) -> Iterator[Array]:
        """The best design after every descent."""
        until = stop_at(self.seconds_left(self.config.descent_seconds))
        screen = Screen(self.space.dim, self.problem.uncertainty.dim)
        x = np.zeros(self.space.dim) if self.best is None else self.best
        for _ in range(self.config.restarts + 1):
            if not self.allowed(x):
                x = perturbed(self.best, self.rng) if self.best is not None else x
                continue
            _, high, scenario = self.worst_loss(x)
            learn(self, screen, x, scenario)
            self.offer(x, high, "exact worst case")
            descend(self, x, high, screen, until)
            assert self.best is not None, "a first design was offered"
            yield self.best
            if until():
                return
            x = perturbed(self.best, self.rng)
