"""Searches by an autoencoder: what they promise on the published toy, and what their parts compute."""

import numpy as np
import pytest

import designopt as do
from designopt import DesignSpace, Evaluation, History, Objective, Sequence
from designopt.search.sequence.fitness import fitness, scaled
from designopt.search.sequence.pgvae import probable
from designopt.search.sequence.together import run_seeds
from designopt.search.sequence.weighted import normalised

TOY = {"latent": 2, "layers": 2, "minibatch": 128, "epochs": 100}
FAST = {"latent": 4, "minibatch": 32, "epochs": 25, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def far():
    return do.make("designopt/GaussianMixture-v0", separation=4, imbalance=0.05)


@pytest.fixture(scope="module")
def found(far):
    return {s: run_seeds(far, [0, 1, 2], 2, **TOY, strength=s) for s in (1.0, 0.0)}


def gain(env, run):
    return run.evaluation.objectives.max() - env.offline_data()[1].objectives.max()


def test_pgvae_finds_the_far_peak_and_a_plain_autoencoder_does_not(far, found):
    gains = {s: np.mean([max(gain(far, run), 0.0) for run in runs]) for s, runs in found.items()}
    assert gains[1.0] > gains[0.0]
    assert max(r.evaluation.objectives.max() for r in found[1.0]) > 2.4


def test_every_round_says_how_many_proposals_are_unique(found):
    for run in found[1.0]:
        assert [row["evaluated"] for row in run.trace] == [210, 310]
        assert all(0.1 < row["unique"] <= 1 for row in run.trace)


@pytest.mark.slow
def test_log_prior_has_the_order_of_fitness_after_the_published_training(far):
    runs = run_seeds(far, [0, 1, 2], 1, latent=2, layers=2, minibatch=128)
    assert np.median([run.trace[0]["spearman"] for run in runs]) >= 0.9


def test_seeds_together_propose_what_each_proposes_alone(far):
    setting = TOY | {"epochs": 10}
    together = run_seeds(far, [3, 4], 1, 20, **setting)
    for run in together:
        alone = run_seeds(far, [run.seed], 1, 20, **setting)[0]
        np.testing.assert_allclose(run.designs, alone.designs, atol=1e-2)
        searcher = do.backend("pgvae")(far, do.backend("pgvae").Config(**setting), seed=run.seed)
        searcher.tell(*far.offline_data())
        np.testing.assert_allclose(run.designs, searcher.ask(20, np.empty((0, 1))), atol=1e-2)


def test_seeds_without_initial_data_are_refused():
    with pytest.raises(ValueError, match="knows 0 designs beforehand"):
        run_seeds(do.make("designopt/GaussianMixture-v0"), [0], 1)


def test_probable_keeps_what_is_within_reach_in_turn():
    y = np.array([0.0, 1.0, 0.5, 0.2])
    log_prior = np.array([-9.0, -1.0, -1.1, -4.0])
    reach = 5 * (1.0 - np.quantile(y, 0.99) + 0.01)
    assert 0.1 < reach < 3
    assert probable(log_prior, y, 5.0, 5).tolist() == [1, 2, 1, 2, 1]
    assert probable(log_prior, y, 5.0, 1).tolist() == [1]
    assert len(probable(log_prior, np.zeros(4), 5.0, 3)) == 3


def test_infeasible_designs_are_worth_less_than_all_feasible_ones():
    env = do.make("designopt/WeldedBeam-v0")
    history = History(env)
    designs = env.design_space.sample(200, 0)
    history.append(designs, env.evaluate(designs))
    rows = np.flatnonzero(history.ok)
    y, feasible = fitness(history, rows), history.feasible[rows]
    assert feasible.any()
    assert not feasible.all()
    assert y[feasible].min() > y[~feasible].max()
    order = np.argsort(history.violation[rows][~feasible])
    assert (np.diff(y[~feasible][order]) <= 0).all()


def test_scaling():
    wide, narrow = np.array([0.0, 1e6, 5.0]), np.array([0.0, 2.5, 1.0])
    assert scaled(narrow, "auto") is narrow
    assert scaled(wide, "auto").tolist() == scaled(wide, "rank").tolist() == [0.0, 1.0, 0.5]
    assert scaled(narrow, "range").tolist() == [0.0, 1.0, 0.4]
    assert scaled(wide, "none") is wide


def test_weights_survive_any_scale_and_none_is_made_up():
    assert normalised(np.array([-5000.0, -5001.0, -5020.0])).tolist() == [0.0, -1.0, -np.inf]
    assert np.isneginf(normalised(np.array([-np.inf, -np.inf]))).all()


class Ones(do.DesignEnv):
    """How many letters are B."""

    design_space = DesignSpace(sequence=Sequence("ABCD", 8))
    objectives = (Objective("fitness", "max"),)

    def evaluate(self, designs):
        return Evaluation((designs == 1).sum(axis=1, keepdims=True) / 8.0)

    def offline_data(self, seed=None):
        designs = self.design_space.sample(100, 5)
        designs = designs[self.evaluate(designs).objectives[:, 0] <= 0.5]
        return designs, self.evaluate(designs)


@pytest.mark.parametrize("name", ["pgvae", "rwr", "dbas", "cempi", "cbas", "weighted_retraining", "adalead", "pex"])
def test_every_method_improves_an_easy_landscape(name):
    settings = {"trees": 10, "model_calls": 200} if name in ("adalead", "pex") else FAST
    if name == "rwr":
        settings = FAST | {"alpha": 20.0}  # of the published 1, next to nothing is to be seen in so few rounds
    result = do.optimize(Ones(), name, budget=120, batch=40, seed=3, **settings)
    assert result.best_value > 0.5


def test_model_calls_are_counted_and_limited():
    env = Ones()
    for name in ("adalead", "pex"):
        searcher = do.backend(name)(env, do.backend(name).Config(trees=10, model_calls=200))
        searcher.tell(*env.offline_data())
        searcher.ask(20, np.empty((0, 8)))
        assert 20 <= searcher.trace[0]["model_calls"] <= 200 + 20


@pytest.mark.parametrize(
    ("name", "setting"),
    [("pgvae", {"scaling": "log"}), ("pgvae", {"strength": -1.0}), ("rwr", {"epochs": 0}), ("adalead", {"kappa": 2.0})],
)
def test_a_setting_out_of_range_is_named(name, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        do.backend(name).Config(**setting)
