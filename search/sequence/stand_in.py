"""What AdaLead and PEX share: a trained stand-in, a count of its calls, mutation of whole designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from designopt import Evaluation, History, Integer, Real, Searcher, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.search.seen import Seen, keys
from designopt.search.sequence.fitness import fitness, unique_rows
from designopt.surrogates.device import one_thread

STEP = 0.1
"""Standard deviation, in the unit coding, of the mutation of a real column."""


@dataclass(frozen=True)
class StandInSettings:
    """Hyper-parameters of both."""

    samples: int = tunable(100, Integer(10, 500, log=True), "designs proposed at once")
    model_calls: int = tunable(2000, Integer(100, 20000, log=True), "predictions per batch")
    trees: int = tunable(100, Integer(10, 300, log=True), "of the random forest that predicts")
    mutations: float = tunable(1.0, Real(0.5, 5.0), "expected number of columns that mutate")
    n_initial: int = tunable(32, Integer(2, 200, log=True), "random designs at first, when fewer are known beforehand")

    def __post_init__(self) -> None:
        for name in ("samples", "model_calls", "trees", "n_initial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")
        if not self.mutations > 0:
            raise ValueError(f"mutations = {self.mutations}; it must be positive")


class StandInSearch(Searcher):
    """A forest learns from all designs with values; ``_candidates`` are tried on it, the most promising are proposed.

    The trace counts the predictions: they are no oracle calls, but they are not free. Nothing known is proposed while
    new designs can be found.
    """

    memoryless = True
    config: Any

    def __init__(self, env: DesignEnv, config: Any = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self.batch = self.config.samples
        self.history = History(env)
        self._seen = Seen(self.space)

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Remember n designs."""
        self.history.append(designs, evaluation)
        self._seen.add(designs)

    @one_thread
    def ask(self, n: int, pending: Array) -> Array:
        """-> (<= n, d) designs."""
        from sklearn.ensemble import RandomForestRegressor

        asked = len(self.history) + len(pending)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, asked)))
        self._seen.add(pending)
        rows = unique_rows(self.history)
        if asked < self.config.n_initial or len(rows) < 2:
            return self._seen.sample(min(n, max(self.config.n_initial - asked, 1)), rng)
        designs, y = self.history.designs[rows], fitness(self.history, rows)
        forest = RandomForestRegressor(self.config.trees, max_features=0.7, random_state=int(rng.integers(2**31)))
        self._forest = forest.fit(self.space.one_hot(designs), y)
        self._calls = 0
        chosen = self._choose(n, designs, y, rng)
        self.trace.append({"evaluated": asked, "model_calls": self._calls, "chosen": len(chosen)})
        if len(chosen) < n:
            self._seen.add(chosen)
            chosen = np.concatenate([chosen, self._seen.sample(n - len(chosen), rng)])
        return chosen[:n]

    def _choose(self, n: int, designs: Array, y: Array, rng: np.random.Generator) -> Array:
        raise NotImplementedError

    def _predict(self, designs: Array) -> Array:
        self._calls += len(designs)
        return np.asarray(self._forest.predict(self.space.one_hot(designs)))

    def _mutants(self, parents: Array, rng: np.random.Generator) -> Array:
        """(n, d) parents -> (n, d) children, each with at least one column changed as far as it has other values."""
        n, d = parents.shape
        moved = rng.random((n, d)) < self.config.mutations / d
        moved[np.arange(n), rng.integers(d, size=n)] = True
        unit = self.space.to_unit(parents)
        choices = np.maximum(self.space.choices, 1)
        shift = np.floor(1 + rng.random((n, d)) * (choices - 1)) / choices  # to any other letter alike
        other = np.where(self.space.categorical, (unit + shift) % 1.0, unit + STEP * rng.standard_normal((n, d)))
        return self.space.from_unit(np.where(moved, other, unit))

    def _new(self, designs: Array) -> Array:
        return designs[self._seen.fresh(designs)] if len(designs) else designs

    @staticmethod
    def _distinct(designs: Array) -> Any:
        return np.array([*{key: i for i, key in reversed([*enumerate(keys(designs))])}.values()][::-1], dtype=int)
