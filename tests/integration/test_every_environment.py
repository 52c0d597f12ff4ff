"""Every registered environment with every kind of search, through the public interface."""

import json

import numpy as np
import pytest
import torch

import designopt as do


def here(id):
    """Whether the data and libraries that an environment needs are on this machine."""
    try:
        do.make(id)
    except ValueError:
        return False
    return True


IDS = [id for id in do.envs() if id.startswith("designopt/") and here(id)]
ROUNDED = {f"designopt/{name}-v0" for name in ("DNNAccelerator", "PoissonField", "RoughMtFuji")}
"""Environments whose last bits depend on the size of a batch."""
SMALL = {"designopt/HyperCuboid-v0": {"layers": 1, "steps": 2, "epochs": 1}}
"""Arguments for environments that train a network for each design: small ones."""
SINGLE = [id for id in IDS if len(do.make(id).objectives) == 1]
SEVERAL = [id for id in IDS if id not in SINGLE]
PROMISED = {
    "run_id", "env", "search", "seed", "evaluations", "feasible", "best", "best_value", "search_seconds",
    "evaluation_seconds",
}  # fmt: skip


def check(id, search, budget, **settings):
    arguments, threads = SMALL.get(id, {}), torch.get_num_threads()
    result = do.optimize(do.make(id, **arguments), search=search, budget=budget, seed=0, **settings)
    answer = json.loads(json.dumps(result.summary(), allow_nan=False))
    assert set(answer) >= PROMISED
    assert torch.get_num_threads() == threads, "networks slow down a hundredfold when kernels take their threads"
    assert answer["evaluations"] == budget == len(result.frame)
    env = do.make(id, **arguments)
    env.design_space.validate(result.designs)
    again = env.evaluate(result.designs).objectives
    if id in ROUNDED:
        np.testing.assert_allclose(result.evaluation.objectives, again, rtol=1e-9, atol=1e-12)
    else:
        assert np.array_equal(result.evaluation.objectives, again, equal_nan=True)
    if result.best is not None and env.reference is not None and env.reference.value is not None:
        sign = 1 if env.objectives[0].sense == "min" else -1
        slack = 1e-6 * max(1.0, abs(env.reference.value))
        assert sign * result.best_value >= sign * env.reference.value - slack, "better than the known optimum"
    return result


@pytest.mark.parametrize("id", SINGLE)
@pytest.mark.parametrize("search", ["random", "ga"])
def test_single_objective_environments(id, search):
    check(id, search, 60)


@pytest.mark.parametrize("id", SEVERAL)
@pytest.mark.parametrize("search", ["random", "nsga2"])
def test_environments_of_several_objectives(id, search):
    result = check(id, search, 60)
    assert len(result.pareto) <= result.evaluation.feasible.sum()


@pytest.mark.parametrize("id", SEVERAL)
def test_a_search_for_one_objective_refuses_several_and_says_where_to_look(id):
    with pytest.raises(ValueError, match=r"GASearch searches one objective; .* has [23].*`designopt backends`"):
        do.optimize(id, search="ga", budget=5)


@pytest.mark.parametrize("id", ["designopt/ThreeTruss-v0", "designopt/CompressionSpring-v0"])
def test_gaussian_processes_beat_random_search_within_thirty_evaluations(id):
    gp, random = (do.optimize(id, search=search, budget=30, seed=1) for search in ("gp", "random"))
    assert gp.best is not None
    assert random.best is None or gp.best_value < random.best_value


@pytest.mark.slow
@pytest.mark.parametrize("id", SINGLE)
def test_gaussian_processes_run_on_every_environment(id):
    check(id, "gp", 30)


@pytest.mark.slow
@pytest.mark.parametrize("id", SEVERAL)
def test_gaussian_processes_search_for_fronts(id):
    check(id, "gp", 30)
