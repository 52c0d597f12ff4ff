"""A trained model in place of a simulator, and the way back to the simulator."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from designopt import DesignEnv, Evaluation
from designopt.envs.wrappers import DesignWrapper
from designopt.parameters import Array
from designopt.result import Result


class Predictor(Protocol):
    """What a proxy model must offer, such as ``designopt.surrogates.ensemble.Ensemble``."""

    def predict(self, designs: Array) -> tuple[Array, Array]:
        """designs: (n, d) -> predictions (n, q) and standard deviations (n, q)."""


class SurrogateEnv(DesignWrapper):
    """Answers with a model's predictions of the objectives and constraints of ``env``.

    The metric ``proxy_std`` is the model's standard deviation of the first objective. Designs that were found must be
    evaluated by the true environment before they are believed: ``reevaluate``. A known optimum is not that of the
    model, so ``reference`` is None.

    Args:
        env: the true environment.
        model: predicts (n, m + k) objectives and constraints, in this order.
    """

    def __init__(self, env: DesignEnv, model: Predictor) -> None:
        super().__init__(env)
        self.model = model
        self.reference = None

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> predicted objectives and constraints.

        Raises:
            ValueError: the model has another number of outputs.
        """
        outputs, std = self.model.predict(np.asarray(designs, dtype=np.float64))
        m, k = len(self.objectives), len(self.constraints)
        if outputs.shape[1] != m + k:
            raise ValueError(
                f"{self.id}: the model has {outputs.shape[1]} outputs; needed: {m} objectives + {k} constraints"
            )
        return Evaluation(outputs[:, :m], outputs[:, m:], metrics={"proxy_std": std[:, 0]})

    def reevaluate(self, result: Result, n: int = 20) -> tuple[Array, Evaluation]:
        """The n best distinct designs of a search on the proxy, feasibility first, evaluated by the true environment.

        -> (<= n, d) designs in the proxy's order (by first objective), and their true evaluation.
        """
        loss = result.evaluation.losses(self.objectives)[:, 0]
        order = np.lexsort([loss, result.evaluation.violation(self.constraints)])
        order = order[result.evaluation.status[order] == "ok"]
        _, first = np.unique(result.designs[order], axis=0, return_index=True)
        designs = result.designs[order[np.sort(first)[:n]]]
        return designs, self.env.evaluate(designs)
