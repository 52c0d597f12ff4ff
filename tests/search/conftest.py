from dataclasses import dataclass

import numpy as np
import pytest

from designopt import DesignEnv, Evaluation, Searcher


@dataclass
class Run:
    """What a loop of ask, evaluate and tell found."""

    env: DesignEnv
    designs: np.ndarray
    evaluation: Evaluation

    @property
    def best(self) -> float:
        """Least loss of the feasible designs, inf when there is none."""
        feasible = self.evaluation.feasible
        return float(self.evaluation.losses(self.env.objectives)[feasible, 0].min(initial=np.inf))

    @property
    def losses(self) -> np.ndarray:
        """(n, m) losses of the feasible designs."""
        return self.evaluation.losses(self.env.objectives)[self.evaluation.feasible]

    @property
    def distinct(self) -> int:
        return len(np.unique(self.designs, axis=0))


@pytest.fixture
def run():
    """A function (searcher, budget, batch, in_flight) -> Run.

    ``in_flight`` batches are being evaluated at any time; they finish in random order.
    """

    def loop(searcher: Searcher, budget: int, batch: int | None = None, in_flight: int = 1) -> Run:
        order = np.random.default_rng(0)
        running, told, asked = [], [], 0
        while asked < budget or running:
            while len(running) < in_flight and asked < budget:
                pending = np.concatenate([np.empty((0, searcher.space.dim)), *running])
                designs = searcher.ask(min(batch or searcher.batch or 50, budget - asked), pending)
                asked += len(designs)
                running.append(designs)
            designs = running.pop(order.integers(len(running)))
            evaluation = searcher.env.evaluate(designs)
            searcher.tell(designs, evaluation)
            told.append((designs, evaluation))
        designs, evaluations = zip(*told, strict=True)
        return Run(searcher.env, np.concatenate(designs), Evaluation.concatenate(evaluations))

    return loop
