"""Quasi-random search: a scrambled Sobol' sequence over the unit cube."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from designopt import Categorical, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array


class SobolSearch(Searcher):
    """Space-filling designs, no learning: covers the space more evenly than random search at the same cost.

    The sequence is balanced after 2^k designs. Up to 21201 columns.
    """

    multi_objective = True

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        scramble: bool = tunable(True, Categorical([False, True]), "randomise the sequence by the seed (Owen)")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = None
        self._sequence = qmc.Sobol(self.space.unit_dim, scramble=self.config.scramble, rng=self.rng)
        # scipy warns when the first draw is no power of two; one point is, and any number may follow it.
        self._first: Array = self._sequence.random(1)

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs, the next n of the sequence."""
        first, self._first = self._first, self._first[:0]
        rest = self._sequence.random(n - len(first)) if n > len(first) else first[:0]
        return self.space.from_unit(np.concatenate([first, rest]))
