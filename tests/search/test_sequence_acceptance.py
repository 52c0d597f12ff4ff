"""What the published method promises, under its published settings: minutes of training, so all slow."""

import numpy as np
import pytest

import designopt as do
from designopt import data
from designopt.search.sequence.together import run_seeds

pytestmark = pytest.mark.slow
needs_gb1 = pytest.mark.skipif(
    not data.available("protein/gb1_wu2016.csv.gz"), reason="protein data are not on this machine"
)


def gains(env, runs):
    known = env.offline_data()[1].objectives.max()
    return [run.evaluation.objectives.max() - known for run in runs]


def test_without_the_relationship_loss_the_far_peak_is_lost():
    env = do.make("designopt/GaussianMixture-v0", separation=4, imbalance=0.05)
    setting = {"latent": 2, "layers": 2, "minibatch": 128}
    with_loss, plain = (gains(env, run_seeds(env, [0, 1, 2], 1, **setting, strength=s)) for s in (1.0, 0.0))
    assert min(with_loss) > 0.2  # the best there is: 2.5 - 2.189
    assert max(plain) < 0


@needs_gb1
def test_log_prior_has_the_order_of_ranks_on_gb1():
    env = do.make("designopt/GB1-v0", separation=0, imbalance=0.1)
    (run,) = run_seeds(env, [0], 1, scaling="rank", epochs=300)
    assert run.trace[0]["spearman"] >= 0.9


@needs_gb1
@pytest.mark.xfail(
    strict=True,
    reason="0.28: the bad designs differ by 0.001 in fitness, hence 0.005 in log prior, below the 0.27 of noise",
)
def test_log_prior_has_the_order_of_fitness_on_gb1():
    env = do.make("designopt/GB1-v0", separation=0, imbalance=0.1)
    (run,) = run_seeds(env, [0], 1)
    assert run.trace[0]["spearman"] >= 0.9


@needs_gb1
def test_not_every_method_succeeds_where_good_designs_are_farthest_and_rarest():
    env = do.make("designopt/GB1-v0", separation=3, imbalance=0.0125)
    known = env.offline_data()[1].objectives.max()
    improved = {
        name: [do.optimize(env, name, budget=200, batch=100, seed=s, epochs=100).best_value > known for s in range(2)]
        for name in ("rwr", "dbas", "cempi")
    }
    assert np.mean([*improved.values()]) < 0.5, improved
