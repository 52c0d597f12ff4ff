import numpy as np
import pytest

import designopt as do
from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real
from designopt.search.bayesian import BayesianSearch
from designopt.search.random import RandomSearch
from designopt.testing.problems import BiObjectiveProblem, MixedProblem

NONE = np.empty((0, 2))
SMALL = BayesianSearch.Config(n_initial=4, screened=128, polished=2)


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


class Holes(Disc):
    """Evaluations fail where x > 0.45: the optimum that can be evaluated is 0.185 at (0.45, 0.55)."""

    status = "invalid"

    def evaluate(self, designs):
        found = super().evaluate(designs)
        found.status[designs[:, 0] > 0.45] = self.status
        found.objectives[designs[:, 0] > 0.45] = np.nan
        return found


def told(env, n=8, seed=0, config=SMALL, designs=None, **changes):
    """A searcher that was told n random designs."""
    searcher = BayesianSearch(env, config, seed=seed)
    designs = env.design_space.sample(n, 1) if designs is None else designs
    searcher.tell(designs, env.evaluate(designs))
    return searcher


def test_finds_the_constrained_optimum_of_jlh1(run):
    best = run(BayesianSearch(do.make("designopt/JLH1-v0"), seed=0), budget=16).best
    assert best == pytest.approx(0.03125, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["WeldedBeam", "SpeedReducer", "HeatExchanger"])
def test_beats_random_search_clearly_on_engineering_problems(run, name):
    env = do.make(f"designopt/{name}-v0")
    regret = run(BayesianSearch(env, seed=0), budget=60).best - env.reference.value
    best_random = run(RandomSearch(env, seed=0), budget=2000).best
    assert regret < 0.05 * abs(env.reference.value)
    assert regret < best_random - env.reference.value


def test_beats_random_search_on_a_small_constrained_problem(run):
    ours = [run(BayesianSearch(Disc(), seed=s), budget=14).best for s in range(3)]
    random = [run(RandomSearch(Disc(), seed=s), budget=140).best for s in range(3)]
    assert np.median(ours) < np.median(random)
    assert np.median(ours) == pytest.approx(0.18, abs=1e-3)


@pytest.mark.parametrize("factor", [1e9, 1e-9])
def test_units_do_not_matter(run, factor):
    env = Disc()
    env.factor = factor
    assert run(BayesianSearch(env, seed=0), budget=14).best == pytest.approx(0.18 * factor, rel=0.02)


def test_maximised_objectives_are_maximised(run):
    class Hill(Disc):
        objectives = (Objective("height", "max"),)

        def evaluate(self, designs):
            found = super().evaluate(designs)
            return Evaluation(-found.objectives, found.constraints)

    assert run(BayesianSearch(Hill(), seed=0), budget=14).best == pytest.approx(0.18, abs=2e-3)


class Needle(DesignEnv):
    """Feasible in a ball of radius 0.1 about (0.7, 0.2, 0.4, 0.6): 0.05 % of the space."""

    design_space = DesignSpace({name: Real(0, 1) for name in "abcd"})
    objectives = (Objective("sum"),)
    constraints = (Constraint("ball"),)

    def evaluate(self, designs):
        away = ((designs - [0.7, 0.2, 0.4, 0.6]) ** 2).sum(axis=1)
        return Evaluation(designs.sum(axis=1, keepdims=True), away[:, None] - 0.01)


def test_goes_for_feasibility_first_and_then_for_the_objective(run):
    found = run(BayesianSearch(Needle(), seed=0), budget=26)
    assert not found.evaluation.feasible[:10].any()
    assert found.evaluation.feasible[10:16].any()
    assert found.best == pytest.approx(1.9 - 0.2, abs=0.01)  # the ball's lowest point: 1.9 - 2 * 0.1


def test_unconstrained_problems(run):
    class Bowl(Disc):
        constraints = ()

        def evaluate(self, designs):
            return Evaluation(super().evaluate(designs).objectives)

    assert run(BayesianSearch(Bowl(), seed=0), budget=14).best < 1e-3


def test_begins_with_space_filling_designs_of_the_default_number():
    env = Disc()
    searcher = BayesianSearch(env, seed=3)
    first = searcher.ask(10, NONE)
    assert len(first) == 6  # 2 (d + 1)
    quarters = {tuple(row) for row in np.floor(2 * first).astype(int)}
    assert len(quarters) == 4
    piecewise = BayesianSearch(env, seed=3)
    asked = NONE
    for _ in range(6):
        asked = np.concatenate([asked, piecewise.ask(1, asked)])
    assert np.array_equal(asked, first)


@pytest.mark.parametrize(("d", "expected"), [(1, 4), (4, 10), (30, 20)])
def test_the_default_number_of_initial_designs_is_bounded(d, expected):
    class Wide(Disc):
        design_space = DesignSpace({f"x{i}": Real(0, 1) for i in range(d)})

    assert len(BayesianSearch(Wide(), seed=0).ask(100, np.empty((0, d)))) == expected


def test_foreign_designs_count_as_initial_ones():
    env = Disc()
    fresh, warm = BayesianSearch(env, seed=0), told(env, n=8, config=None)
    assert len(warm.ask(3, NONE)) == 3
    assert not np.isin(warm.ask(1, NONE), fresh.ask(6, NONE)).any()


class Waves(DesignEnv):
    """Several equal optima."""

    design_space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    objectives = (Objective("height"),)

    def evaluate(self, designs):
        return Evaluation(np.cos(9 * designs[:, :1]) * np.cos(7 * designs[:, 1:]))


def test_a_batch_spreads_and_avoids_pending_designs():
    searcher = told(Waves())
    alone = searcher.ask(1, NONE)
    batch = searcher.ask(4, NONE)
    assert np.array_equal(batch[:1], alone)
    gaps = np.abs(batch[:, None] - batch).max(axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 0.01
    further = searcher.ask(2, batch)
    assert np.abs(further[:, None] - batch).max(axis=2).min() > 0.01


def test_every_second_proposal_stays_near_the_best_design():
    class Slope(Disc):
        """Best in a corner, far from all designs known."""

        design_space = DesignSpace({f"x{i}": Real(0, 1) for i in range(5)})
        constraints = ()

        def evaluate(self, designs):
            return Evaluation(-designs.sum(axis=1, keepdims=True))

    env = Slope()
    designs = 0.5 * env.design_space.sample(12, 1)
    best = designs[env.evaluate(designs).objectives[:, 0].argmin()]
    far, near = (told(env, designs=designs[-n:]).ask(1, np.empty((0, 5)))[0] for n in (12, 11))
    assert far == pytest.approx(np.ones(5))
    assert 0 < np.abs(near - best).max() <= 0.25


@pytest.mark.parametrize("kind", [Disc, Holes])
def test_the_order_of_telling_does_not_matter(kind):
    env = kind()
    designs = env.design_space.sample(8, 1)
    backwards = BayesianSearch(env, SMALL, seed=0)
    for design in designs[::-1]:
        backwards.tell(design[None], env.evaluate(design[None]))
    assert np.array_equal(told(env, designs=designs).ask(2, NONE), backwards.ask(2, NONE))


def test_the_seed_decides_what_is_asked():
    assert np.array_equal(told(Disc()).ask(2, NONE), told(Disc()).ask(2, NONE))
    assert not np.array_equal(
        told(MixedProblem(), 30).ask(1, np.empty((0, 11))), told(MixedProblem(), 30, seed=1).ask(1, np.empty((0, 11)))
    )


def test_asking_twice_without_telling_is_the_same():
    searcher = told(Disc())
    assert np.array_equal(searcher.ask(1, NONE), searcher.ask(1, NONE))


def test_finds_the_best_mixed_design(run):
    class Gear(DesignEnv):
        design_space = DesignSpace(
            x=Real(0, 1), teeth=Integer(10, 40), pitch=do.Ordinal([1, 2, 5, 10]), material=Categorical(["a", "b", "c"])
        )
        objectives = (Objective("cost"),)
        constraints = (Constraint("load"),)

        def evaluate(self, designs):
            x, teeth, pitch, material = designs.T
            cost = (
                (x - 0.4) ** 2
                + ((teeth - 23) / 10) ** 2
                + (pitch - 5) ** 2 / 10
                + np.array([0.5, 0, 0.3])[material.astype(int)]
            )
            return Evaluation(cost[:, None], (0.5 - x)[:, None])

    found = run(BayesianSearch(Gear(), seed=0), budget=34)
    assert Gear.design_space.contains(found.designs).all()
    assert found.best == pytest.approx(0.01, abs=0.011)
    best = found.designs[np.where(found.evaluation.feasible, found.evaluation.objectives[:, 0], np.inf).argmin()]
    assert best[2:].tolist() == [5, 1]


class Grid(DesignEnv):
    """Twelve designs."""

    design_space = DesignSpace(n=Integer(0, 3), kind=Categorical(["a", "b", "c"]))
    objectives = (Objective("cost"),)

    def evaluate(self, designs):
        return Evaluation((designs[:, :1] - 2) ** 2 + designs[:, 1:])


def test_a_finite_space_is_searched_without_repetition_to_the_end(run):
    found = run(BayesianSearch(Grid(), seed=0), budget=12, batch=1)
    assert found.distinct == 12
    searcher = BayesianSearch(Grid(), seed=0)
    searcher.tell(found.designs, found.evaluation)
    assert len(searcher.ask(3, NONE)) == 1


def test_a_batch_is_cut_to_what_is_left():
    env = Grid()
    every = np.array([[n, k] for n in range(4) for k in range(3)], dtype=float)
    searcher = told(env, designs=every[:10])
    assert sorted(map(tuple, searcher.ask(5, NONE))) == [(3.0, 1.0), (3.0, 2.0)]
    assert np.array_equal(searcher.ask(1, every[10:11]), every[11:])


def test_learns_where_evaluations_fail(run):
    found = run(BayesianSearch(Holes(), SMALL, seed=0), budget=20)
    assert found.best == pytest.approx(0.185, abs=0.01)
    assert (found.evaluation.status[4:] == "ok").sum() >= 8


def asked_after_failures(status):
    """The next design after half of 16 random ones came back with this status."""
    env = Holes()
    env.status = status
    return told(env, n=16).ask(1, NONE)


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_every_way_to_fail_teaches_the_same(status):
    assert np.array_equal(asked_after_failures(status), asked_after_failures("invalid"))


def test_lost_evaluations_say_nothing_of_the_design():
    assert asked_after_failures("lost") == pytest.approx(np.array([[0.5, 0.5]]), abs=0.05)
    assert asked_after_failures("invalid")[0, 0] < 0.45


def test_when_everything_failed_it_goes_on_filling_the_space():
    env = Disc()
    searcher = BayesianSearch(env, seed=0)
    designs = env.design_space.sample(10, 1)
    searcher.tell(designs, Evaluation.failure(10, 1, 1, "failed", "no licence"))
    asked = searcher.ask(1, NONE)
    searcher.tell(asked, Evaluation.failure(1, 1, 1, "failed", "no licence"))
    assert not np.array_equal(searcher.ask(1, NONE), asked)


def test_constant_outputs_are_no_obstacle(run):
    class Flat(Disc):
        def evaluate(self, designs):
            return Evaluation(np.full((len(designs), 1), 3.0), np.full((len(designs), 1), -1.0))

    assert run(BayesianSearch(Flat(), SMALL, seed=0), budget=8).distinct == 8


def test_a_constraint_that_never_holds_is_no_obstacle(run):
    class Hopeless(Disc):
        def evaluate(self, designs):
            return Evaluation(super().evaluate(designs).objectives, 5 + designs[:, :1])

    found = run(BayesianSearch(Hopeless(), SMALL, seed=0), budget=9)
    assert found.designs[4:, 0].min() < 0.01  # at least violates little


def test_two_objectives_give_a_front(run):
    from designopt.metrics import hypervolume

    found = run(
        BayesianSearch(BiObjectiveProblem(), BayesianSearch.Config(screened=256, polished=3), seed=0), budget=22
    )
    random = run(RandomSearch(BiObjectiveProblem(), seed=0), budget=300)
    reference = np.array([1.0, 1.0])
    ours, theirs = (hypervolume(r.losses[(r.losses < reference).all(axis=1)], reference) for r in (found, random))
    assert ours > theirs
    assert found.distinct == 22


def test_unknown_devices_are_refused():
    with pytest.raises(ValueError, match="device = 'tpu'"):
        BayesianSearch(Disc(), device="tpu")
