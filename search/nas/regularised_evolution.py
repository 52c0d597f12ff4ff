"""Regularised evolution: the oldest of the population dies, however good it is.

Reference: [Real2019] "Regularized evolution for image classifier architecture search", AAAI.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from designopt import Evaluation, Integer, Real, Searcher, Sequence, tunable
from designopt.env import DesignEnv
from designopt.parameters import Array, levels


class RegularisedEvolutionSearch(Searcher):
    """A tournament chooses the parent, one column of it mutates, the child joins and the oldest leaves.

    The first ``population`` designs are random. Then ``sample`` members are drawn with replacement and the best of them
    is the parent; the child differs in one column, where another value is as likely as any. Good for discrete spaces
    of few values a column and hundreds of evaluations; the order of values is not used, a real column is drawn anew.
    A member is forgotten after ``population`` results, so a lucky measurement cannot rule for long. As in [Real2019] a
    child may be a design known before, which costs an evaluation and says how sure the search is.

    Designs are compared feasibility first. Those without values never become members.

    Asynchronous form: children are made at any time from the members at hand; age is the order of results, whoever
    asked for them.
    """

    @dataclass(frozen=True)
    class Config:
        """Hyper-parameters."""

        population: int = tunable(20, Integer(5, 200, log=True), "members, and so the age at which one leaves")
        sample: int = tunable(5, Integer(2, 50, log=True), "members in a tournament")

        def __post_init__(self) -> None:
            for name in ("population", "sample"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be at least 1")

    config: Config

    def __init__(self, env: DesignEnv, config: Config | None = None, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(env, config, seed=seed, device=device)
        self._members: deque[tuple[float, float, Array]] = deque(maxlen=self.config.population)
        self._values: list[Array | None] = []  # one per column; None: drawn from its whole range
        for p in self.space.parameters.values():
            width = p.length if isinstance(p, Sequence) else 1
            self._values += [None if isinstance(p, Real | Integer) else levels(p)] * width
        self._free = [i for i, values in enumerate(self._values) if values is None or len(values) > 1]

    def ask(self, n: int, pending: Array) -> Array:
        """-> (n, d) designs."""
        if len(self._members) < self.config.population:
            return self.space.sample(n, self.rng)
        return np.array([self._child() for _ in range(n)])

    def tell(self, designs: Array, evaluation: Evaluation) -> None:
        """Results in any order; each that has values joins, and the oldest beyond ``population`` leaves."""
        losses = evaluation.losses(self.objectives)[:, 0].tolist()
        violations = evaluation.violation(self.constraints).tolist()
        for design, loss, violation in zip(designs.copy(), losses, violations, strict=True):
            if violation < np.inf:
                self._members.append((violation, loss, design))

    def _child(self) -> Array:
        drawn = self.rng.integers(len(self._members), size=self.config.sample).tolist()
        *_, parent = min((self._members[i] for i in drawn), key=lambda member: member[:2])
        child = parent.copy()
        if self._free:
            column = self._free[self.rng.integers(len(self._free))]
            child[column] = self._other(column, parent[column])
        return child

    def _other(self, column: int, value: float) -> float:
        values = self._values[column]
        if values is None:
            return float(self.space.sample(1, self.rng)[0, column])
        # One of the values but the last; the last stands in for the one that is left.
        chosen = values[self.rng.integers(len(values) - 1)]
        return float(values[-1] if chosen == value else chosen)
