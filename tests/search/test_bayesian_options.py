import warnings

import numpy as np
import pytest
import torch

import designopt as do
from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Study
from designopt.launch import make_searcher
from designopt.search.bayesian import AGPSearch, BayesianSearch, PFNSearch
from designopt.search.beliefs import Pretrained, shipped
from designopt.surrogates.amortized_gp import STEPS
from designopt.surrogates.warp import Choice, Warp, yeo_johnson
from designopt.testing.problems import BiObjectiveProblem

NONE = np.empty((0, 2))
NETWORKS = [AGPSearch, PFNSearch]


class Disc(DesignEnv):
    """Squared distance to (0.8, 0.8) outside of which x + y <= 1 cuts: optimum 0.18 at (0.5, 0.5)."""

    design_space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    objectives = (Objective("distance"),)
    constraints = (Constraint("cut"),)
    factor = 1.0

    def evaluate(self, designs):
        x, y = designs.T
        distance = self.factor * ((x - 0.8) ** 2 + (y - 0.8) ** 2)
        return Evaluation(distance[:, None], self.factor * (x + y - 1)[:, None])


def told(kind, env=None, n=16, designs=None, **options):
    """A searcher of that class that was told n random designs."""
    env = env or Disc()
    options = {"n_initial": 4, "screened": 128, "polished": 2} | options
    searcher = kind(env, kind.Config(**options), seed=0)
    designs = env.design_space.sample(n, 1) if designs is None else designs
    searcher.tell(designs, env.evaluate(designs))
    return searcher


# Options ----------------------------------------------------------------------------------------------------------


def test_presets_differ_in_the_surrogate():
    for name in ("gp", "agp", "pfn"):
        searcher = make_searcher(Disc(), name)
        assert isinstance(searcher, BayesianSearch)
        assert searcher.config.surrogate == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("surrogate", "surrogate = 'nonsense'; allowed: 'gp', 'pfn', 'agp'"),
        ("acquisition", "acquisition = 'nonsense'; allowed: 'cei', 'cei_plus', 'penalty', 'ei', 'ucb', 'thompson'"),
    ],
)
def test_unknown_options_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        BayesianSearch.Config(**{name: "nonsense"})


@pytest.mark.parametrize("acquisition", ["cei", "cei_plus", "thompson"])
def test_every_constrained_acquisition_leads_to_the_optimum(run, acquisition):
    found = run(AGPSearch(Disc(), AGPSearch.Config(acquisition=acquisition), seed=0), budget=20)
    assert found.best < 0.19
    assert found.distinct == 20


def test_optimism_leads_to_the_optimum_from_outside(run):
    """``ucb`` gives a constraint the benefit of the doubt, so it ends just beyond the boundary."""
    found = run(AGPSearch(Disc(), AGPSearch.Config(acquisition="ucb"), seed=0), budget=24)
    assert np.abs(np.median(found.designs[-8:], axis=0) - 0.5).max() < 0.03


def test_the_penalty_leads_to_the_optimum_where_violations_are_large(run):
    class Narrow(Disc):
        constraints = (Constraint("cut", scale=0.05),)

    found = run(AGPSearch(Narrow(), AGPSearch.Config(acquisition="penalty"), seed=0), budget=24)
    assert found.best < 0.21


class Bowl(Disc):
    """The same without the cut: optimum 0 at (0.8, 0.8)."""

    constraints = ()

    def evaluate(self, designs):
        return Evaluation(super().evaluate(designs).objectives)


def test_ei_leads_to_the_optimum_without_constraints(run):
    assert run(AGPSearch(Bowl(), AGPSearch.Config(acquisition="ei"), seed=0), budget=16).best < 2e-3


@pytest.mark.parametrize("acquisition", ["penalty", "ucb", "thompson", "cei"])
def test_several_objectives_give_a_front_with_every_acquisition(run, acquisition):
    from designopt.metrics import hypervolume

    searcher = AGPSearch(BiObjectiveProblem(), AGPSearch.Config(acquisition=acquisition, screened=256), seed=0)
    found = run(searcher, budget=24)
    random = run(make_searcher(BiObjectiveProblem(), "random"), budget=24)
    reference = np.array([1.0, 1.0])
    ours, theirs = (hypervolume(r.losses[(r.losses < reference).all(axis=1)], reference) for r in (found, random))
    assert ours > theirs


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_find_the_constrained_optimum(run, kind):
    assert run(kind(Disc(), seed=0), budget=18).best == pytest.approx(0.18, rel=0.02)


def test_a_network_of_ones_own_takes_the_place_of_the_shipped_one():
    class Recording:
        most_points = 200

        def __init__(self):
            self.seen = []

        def condition_on(self, X, Y, categorical):
            self.seen.append((X.shape, Y.shape, categorical))
            return shipped("agp", "cpu").condition_on(X, Y, categorical)

    class Kinds(Disc):
        design_space = DesignSpace(x=Real(0, 1), y=Categorical([0.0, 0.5, 1.0]))

    network = Recording()
    env = Kinds()
    searcher = AGPSearch(env, seed=0, network=network)
    designs = env.design_space.sample(10, 0)
    searcher.tell(designs, env.evaluate(designs))
    searcher.ask(1, NONE)
    [(designs_seen, outputs_seen, categorical)] = network.seen
    assert (designs_seen, outputs_seen) == ((10, 2), (10, 2))
    assert categorical.tolist() == [False, True]


# The published loop -----------------------------------------------------------------------------------------------


def test_the_published_loop_begins_with_twenty_random_designs():
    searcher = PFNSearch(Disc(), PFNSearch.Config(published=True), seed=0)
    first = searcher.ask(30, NONE)
    assert len(first) == 20
    searcher.tell(first, Disc().evaluate(first))
    assert len(searcher.ask(1, NONE)) == 1


def test_the_published_loop_takes_the_best_of_random_designs_as_they_are():
    """It polishes nothing: another number of steps changes nothing, and neither do screening and local proposals."""
    one, other = (told(AGPSearch, n=24, published=True, screened=n, steps=n) for n in (128, 200))
    assert np.array_equal(one.ask(1, NONE), other.ask(1, NONE))
    asked = np.concatenate([told(AGPSearch, n=n, published=True).ask(1, NONE) for n in range(21, 27)])
    assert np.abs(asked - 0.5).max() > 0.01  # never exactly at the optimum


def test_the_published_loop_finds_good_designs(run):
    found = run(AGPSearch(Bowl(), AGPSearch.Config(published=True), seed=0), budget=32)
    assert found.best < 0.25 * found.evaluation.objectives[:20, 0].min()


def test_power_transformed_outputs_are_standardised_and_keep_their_zero():
    rng = np.random.default_rng(0)
    Y = np.stack([np.exp(2 * rng.standard_normal(50)) - 1, 1e6 * rng.random(50) - 3e5, rng.random(50)], axis=1)
    Z, zeros = yeo_johnson(Y)
    assert Z.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert Z.std(axis=0) == pytest.approx(np.ones(3))
    assert np.array_equal(Z - zeros > 0, Y > 0)
    order = np.argsort(Y, axis=0)
    assert (np.diff(np.take_along_axis(Z, order, axis=0), axis=0) >= 0).all()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e9])
def test_constant_outputs_transform_to_finite_ones(value):
    Z, zeros = yeo_johnson(np.full((5, 1), value))
    assert np.isfinite(Z).all()
    assert np.isfinite(zeros).all()


# What networks are given ------------------------------------------------------------------------------------------


def test_warpings_are_chosen_by_evidence_with_their_jacobian():
    y = np.array([[-1.0, 5.0], [2.0, 7.0], [0.5, 9.0]])
    choice = Choice.of(y, np.zeros(2))
    assert choice.outputs == sorted(choice.outputs)
    assert choice.Z.shape == choice.slopes.shape == (3, len(choice.warps))
    evidence = torch.arange(len(choice.warps), dtype=torch.double)
    evidence[0] = 100.0
    assert choice.most_probable(evidence) == [0, len(choice.warps) - 1]


def test_a_logarithm_is_recognised():
    """An output that is exponential in the design is bent by the search, a linear one is not."""
    rng = np.random.default_rng(0)
    X = torch.as_tensor(rng.random((40, 2)))
    surrogate = told(AGPSearch)._surrogate
    x = X[:, 0].numpy()
    bent = np.sign(x - 0.5) * np.expm1(12 * abs(x - 0.5))
    _, Z, warps = surrogate.warped(X, np.stack([bent, x - 0.5], axis=1), np.zeros(2))
    assert [warp.linear for warp in warps] == [False, True]
    assert isinstance(warps[0], Warp)
    assert Z[:, 0].numpy() == pytest.approx(warps[0](bent))


def test_long_histories_are_thinned_with_one_warning():
    network = shipped("agp", "cpu")

    class Short:
        most_points = 30

        def condition_on(self, X, Y, categorical):
            assert len(X) <= 31  # the shown ones and what is expected of pending designs
            return network.condition_on(X, Y, categorical)

    env = Disc()
    searcher = AGPSearch(env, seed=0, network=Short())
    designs = env.design_space.sample(50, 1)
    searcher.tell(designs, env.evaluate(designs))
    with pytest.warns(UserWarning, match="50 designs told, but the agp network was trained on at most 30"):
        asked = searcher.ask(1, NONE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searcher.ask(1, NONE)
    assert np.abs(asked - 0.5).max() < 0.3


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("factor", [1e9, 1e-9])
def test_units_do_not_matter_to_networks(kind, factor):
    env = Disc()
    env.factor = factor
    plain = told(kind).ask(1, NONE)
    assert told(kind, env).ask(1, NONE) == pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize("kind", NETWORKS)
def test_duplicates_constants_and_missing_values_are_no_obstacle_to_networks(kind):
    class Awkward(Disc):
        def evaluate(self, designs):
            found = super().evaluate(designs)
            found.constraints[:] = 5.0
            found.objectives[designs[:, 0] > 0.9] = np.nan
            return Evaluation(found.objectives, found.constraints)

    env = Awkward()
    designs = np.repeat(env.design_space.sample(8, 1), 3, axis=0)
    asked = told(kind, env, designs=designs).ask(3, designs[:1])
    assert env.design_space.contains(asked).all()
    assert len(np.unique(asked, axis=0)) == 3


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_classifier_learns_where_evaluations_fail(run, kind):
    class Holes(Disc):
        """Evaluations fail where x > 0.45: the optimum that can be evaluated is 0.185 at (0.45, 0.55)."""

        def evaluate(self, designs):
            found = super().evaluate(designs)
            found.objectives[designs[:, 0] > 0.45] = np.nan
            return Evaluation(found.objectives, found.constraints)

    found = run(kind(Holes(), seed=0), budget=22)
    assert found.best == pytest.approx(0.185, abs=0.01)
    assert (found.evaluation.status[6:] == "ok").sum() >= 6


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_order_of_telling_does_not_matter_to_networks(kind):
    designs = Disc.design_space.sample(12, 1)
    assert np.array_equal(told(kind, designs=designs).ask(2, NONE), told(kind, designs=designs[::-1]).ask(2, NONE))


@pytest.mark.parametrize("options", [{}, {"acquisition": "penalty"}, {"acquisition": "thompson"}, {"published": True}])
def test_a_resumed_study_goes_on_as_if_it_had_not_stopped(tmp_path, options):
    env = do.make("designopt/JLH1-v0")
    whole = do.optimize(env, search="agp", budget=24, seed=1, n_initial=8, **options)
    store = tmp_path / "store.db"
    searcher = make_searcher(env, "agp", seed=1, n_initial=8, device="cpu", **options)
    part = Study(env, searcher, budget=20, store=store).run()
    resumed = do.resume(store, part.run_id, budget=24)
    assert np.array_equal(resumed.designs, whole.designs)


def test_a_proposal_reads_the_data_once():
    network = shipped("agp", "cpu")
    calls = []

    class Counting:
        most_points = network.most_points

        def condition_on(self, *data):
            calls.append(len(data[0]))
            return network.condition_on(*data)

    env = Disc()
    searcher = AGPSearch(env, seed=0, network=Counting())
    designs = env.design_space.sample(20, 1)
    searcher.tell(designs, env.evaluate(designs))
    searcher.ask(1, NONE)
    assert calls == [20]


def test_the_shipped_network_infers_no_more_than_the_choice_of_warpings_began():
    rng = np.random.default_rng(0)
    X = torch.as_tensor(rng.random((90, 2)))
    Y = np.stack([np.exp(8 * X[:, 0].numpy()), X[:, 1].numpy()], axis=1)
    network = shipped("agp", "cpu")
    surrogate = Pretrained(network, np.zeros(2, dtype=bool), network)
    model, Z, warps = surrogate.warped(X, Y, np.array([1.0, 0.0]))
    assert [warp.linear for warp in warps] == [False, True]
    assert (model.state.steps, len(model.X)) == (STEPS, 90)
    assert torch.equal(Z[:, 0], torch.as_tensor(warps[0](Y[:, 0])))
    assert model.posterior(X[:5, None]).mean[:, 0].numpy() == pytest.approx(Z[:5].numpy(), abs=0.02)
