"""Early stopping of hopeless studies: asynchronous successive halving (ASHA) by Optuna's pruner.

References: [Li2020] A System for Massively Parallel Hyperparameter Tuning, MLSys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from designopt.evaluation import Evaluation
from designopt.study import Study
from designopt.sweep.plan import Asha
from designopt.sweep.writer import answer


class Halving:
    """What runs inside the judging actor: which studies of one environment are worth going on with."""

    def __init__(self, asha: Asha) -> None:
        self._asha = asha
        self._groups: dict[int, Any] = {}
        self._trials: dict[str, Any] = {}

    def promising(self, run_id: str, env: int, evaluations: int, loss: float) -> bool:
        """Whether the best feasible loss after so many evaluations is among the best of its environment."""
        import optuna

        if env not in self._groups:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            pruner = optuna.pruners.SuccessiveHalvingPruner(self._asha.grace, self._asha.reduction)
            self._groups[env] = optuna.create_study(pruner=pruner)
        if run_id not in self._trials:
            self._trials[run_id] = self._groups[env].ask()
        trial = self._trials[run_id]
        trial.report(loss, evaluations)
        return not trial.should_prune()


def start_halving(asha: Asha) -> Any:
    """The judging actor; one that died begins anew, which only makes it lenient."""
    import ray

    return ray.remote(Halving).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(asha)


def rungs(asha: Asha, env: int, judge: Any) -> Callable[[Study, Evaluation], None]:
    """Callback that stops a study whose best is not promising at a rung."""
    best, rung = np.inf, asha.grace

    def callback(study: Study, evaluation: Evaluation) -> None:
        nonlocal best, rung
        losses = evaluation.losses(study.env.objectives)[evaluation.feasible, 0]
        best = min(best, losses.min(initial=np.inf))
        if study.told < rung or study.told >= study.budget:
            return
        while rung <= study.told:
            rung *= asha.reduction
        if not answer(judge.promising.remote(study.run_id, env, study.told, float(best))):
            study.stop("stopped")

    return callback
