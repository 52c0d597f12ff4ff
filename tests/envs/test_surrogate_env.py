import numpy as np
import pytest

import designopt as do
from designopt.envs.hardware.systolic import SystolicArray
from designopt.envs.surrogate_env import SurrogateEnv
from designopt.surrogates.ensemble import fit_proxy
from designopt.testing import check_env


class Wrong:
    """Says the first constraint is met, and of the objective what suits it."""

    def __init__(self, outputs=3):
        self.outputs = outputs

    def predict(self, designs):
        values = np.tile(designs[:, :1], self.outputs) * [1, *[-1] * (self.outputs - 1)]
        return values, np.abs(values) / 10


def test_predictions_take_the_place_of_the_simulator():
    env = SurrogateEnv(SystolicArray(), Wrong())
    designs = env.design_space.sample(5, seed=0)
    evaluation = env.evaluate(designs)
    assert np.array_equal(evaluation.objectives, designs[:, :1])
    assert np.array_equal(evaluation.constraints, -designs[:, [0, 0]])
    assert np.array_equal(evaluation.metrics["proxy_std"], designs[:, 0] / 10)
    assert env.reference is None
    check_env(env)


def test_the_best_distinct_designs_are_evaluated_by_the_true_environment():
    true = SystolicArray()
    env = SurrogateEnv(true, Wrong())
    result = do.optimize(env, search="random", budget=200, seed=0)
    designs, evaluation = env.reevaluate(result, n=10)
    assert len(np.unique(designs, axis=0)) == 10
    assert np.array_equal(designs[:, 0], np.sort(result.designs[:, 0])[:10])
    assert np.array_equal(evaluation.objectives, true.evaluate(designs).objectives)


def test_a_model_with_other_outputs_is_refused():
    env = SurrogateEnv(SystolicArray(), Wrong(outputs=2))
    with pytest.raises(ValueError, match="the model has 2 outputs; needed: 1 objectives \\+ 2 constraints"):
        env.evaluate(env.design_space.sample(1))


def test_a_search_on_a_forest_finds_designs_that_the_simulator_confirms():
    env = SystolicArray()
    designs = env.design_space.sample(2000, seed=0)
    known = env.evaluate(designs)
    proxy = SurrogateEnv(env, fit_proxy(env, designs, known, members=15))
    result = do.optimize(proxy, search="ga", budget=400, seed=0)
    _, confirmed = proxy.reevaluate(result, n=30)
    sampled = known.objectives[known.feasible].min()
    assert confirmed.objectives[confirmed.feasible].min() <= 1.1 * sampled
