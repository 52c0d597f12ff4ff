import numpy as np
import pytest

import designopt as do
from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.search.random import RandomSearch
from designopt.search.scbo import LENGTH, LONGEST, SHORTEST, Region, SCBOSearch
from designopt.testing.problems import BiObjectiveProblem, MixedProblem


class Valley(DesignEnv):
    """Sum of squared distances to 0.3 in d dimensions, feasible where the mean is at least 0.4: optimum 0.01 d."""

    d = 6
    design_space = DesignSpace({f"x{i}": Real(0, 1) for i in range(6)})
    objectives = (Objective("distance"),)
    constraints = (Constraint("mean"),)

    def evaluate(self, designs):
        return Evaluation(((designs - 0.3) ** 2).sum(axis=1, keepdims=True), 0.4 - designs.mean(axis=1, keepdims=True))


NONE = np.empty((0, 6))
START = SCBOSearch.Config(n_initial=4)


def result(loss, violation=-1.0):
    return Evaluation(np.array([[loss]]), np.array([[violation]]))


def tell(searcher, *results):
    """Tell one random design per result."""
    for r in results:
        searcher.tell(searcher.space.sample(1, len(searcher.history)), r)


def test_beats_random_search_on_a_constrained_valley(run):
    ours = [run(SCBOSearch(Valley(), seed=s), budget=40).best for s in range(2)]
    random = run(RandomSearch(Valley(), seed=0), budget=2000).best
    assert max(ours) < random
    assert np.mean(ours) < 0.1


@pytest.mark.slow
def test_comes_near_the_optimum_of_the_welded_beam(run):
    env = do.make("designopt/WeldedBeam-v0")
    best = [run(SCBOSearch(env, seed=s), budget=60).best for s in range(3)]
    assert np.median(best) < 1.2 * env.reference.value


def test_finds_a_feasible_design_first(run):
    class Needle(Valley):
        def evaluate(self, designs):
            away = ((designs - 0.7) ** 2).sum(axis=1, keepdims=True)
            return Evaluation(super().evaluate(designs).objectives, away - 0.02)

    found = run(SCBOSearch(Needle(), seed=0), budget=45)
    assert not found.evaluation.feasible[:14].any()
    assert found.evaluation.feasible[14:].any()


def test_the_region_grows_after_successes_and_not_beyond_its_limit():
    searcher = SCBOSearch(Valley(), START)
    tell(searcher, *[result(100.0)] * 4)
    assert searcher.region.length == LENGTH
    tell(searcher, *[result(90.0 - i) for i in range(3)])
    assert searcher.region.length == 2 * LENGTH == LONGEST
    tell(searcher, *[result(80.0 - i) for i in range(3)])
    assert searcher.region.length == LONGEST


def test_the_region_shrinks_after_as_many_failures_in_a_row_as_columns():
    searcher = SCBOSearch(Valley(), START)
    tell(searcher, *[result(1.0)] * 4, *[result(2.0)] * 5)
    assert searcher.region.length == LENGTH
    tell(searcher, result(2.0))
    assert searcher.region.length == LENGTH / 2
    tell(searcher, *[result(2.0)] * 5, result(0.5), *[result(2.0)] * 5)
    assert searcher.region.length == LENGTH / 2


def test_tolerances_are_hyperparameters():
    searcher = SCBOSearch(Valley(), SCBOSearch.Config(n_initial=4, success_tolerance=2, failure_factor=0.5))
    tell(searcher, *[result(1.0)] * 4, result(0.9), result(0.8))
    assert searcher.region.length == LONGEST
    tell(searcher, *[result(1.0)] * 3)
    assert searcher.region.length == LONGEST / 2


def test_a_tiny_improvement_is_no_success():
    searcher = SCBOSearch(Valley(), START)
    tell(searcher, *[result(100.0)] * 4, result(99.95))
    assert (searcher.region.successes, searcher.region.failures) == (0, 1)
    tell(searcher, result(99.0))
    assert (searcher.region.successes, searcher.region.failures) == (1, 0)


def test_less_violation_is_a_success_and_feasibility_a_greater_one():
    searcher = SCBOSearch(Valley(), START)
    tell(searcher, *[result(1.0, 5.0)] * 4, result(9.0, 4.0))
    assert searcher.region.centre == 4
    tell(searcher, result(99.0, -1.0))
    assert searcher.region.centre == 5
    tell(searcher, result(0.0, 0.1))
    assert searcher.region == Region(0, LENGTH, centre=5, successes=0, failures=1)


def test_evaluations_that_fail_are_failures():
    searcher = SCBOSearch(Valley(), START)
    tell(searcher, *[result(1.0)] * 4, *[Evaluation.failure(1, 1, 1, "failed", "no")] * 6)
    assert searcher.region.length == LENGTH / 2
    assert searcher.region.centre == 0


def test_a_region_shrunk_to_nothing_starts_afresh():
    searcher = SCBOSearch(Valley(), START, seed=0)
    halvings = 7
    assert LENGTH / 2**halvings < SHORTEST <= LENGTH / 2 ** (halvings - 1)
    tell(searcher, *[result(1.0)] * 4, *[result(2.0)] * (6 * halvings))
    assert searcher.region == Region(first=4 + 6 * halvings)
    assert len(searcher.ask(10, NONE)) == 4
    tell(searcher, *[result(5.0)] * 4)
    assert searcher.region.centre is not None  # worse than the old best, which is forgotten
    assert len(searcher.ask(10, NONE)) == 10


def test_proposals_stay_in_the_region():
    env = Valley()
    searcher = SCBOSearch(env, START, seed=0)
    designs = env.design_space.sample(4, 0)
    searcher.tell(designs, env.evaluate(designs))
    tell(searcher, *[result(1e3)] * 18)  # length 0.1
    centre = env.design_space.to_unit(searcher.history.designs)[searcher.region.centre]
    asked = searcher.ask(5, NONE)
    assert np.abs(env.design_space.to_unit(asked) - centre).max() <= 0.05 + 1e-9
    assert len(np.unique(asked, axis=0)) == 5


def test_how_results_are_grouped_does_not_matter():
    env = Valley()
    designs = env.design_space.sample(30, 0)
    together, single = SCBOSearch(env, START, seed=0), SCBOSearch(env, START, seed=0)
    together.tell(designs, env.evaluate(designs))
    for design in designs:
        single.tell(design[None], env.evaluate(design[None]))
    assert together.region == single.region
    assert np.array_equal(together.ask(2, NONE), single.ask(2, NONE))


def test_models_know_nothing_of_before_the_restart():
    old, other = SCBOSearch(Valley(), START, seed=0), SCBOSearch(Valley(), START, seed=0)
    tell(old, *[result(1.0)] * 4, *[result(2.0)] * 42)
    tell(other, *[result(-10.0, -9.0)] * 4, *[result(20.0, 3.0)] * 42)
    assert old.region.first == other.region.first == 46
    for searcher in (old, other):
        tell(searcher, *[result(float(i), 2.0 - i) for i in range(5)])
    assert np.array_equal(old.ask(2, NONE), other.ask(2, NONE))


def test_units_of_constraints_and_objectives_do_not_matter():
    class Scaled(Valley):
        constraints = (Constraint("mean", scale=1e6),)

        def evaluate(self, designs):
            found = super().evaluate(designs)
            return Evaluation(np.exp(found.objectives), 1e6 * found.constraints)

    designs = Valley.design_space.sample(14, 0)
    plain, scaled = (SCBOSearch(env, seed=0) for env in (Valley(), Scaled()))
    for searcher in (plain, scaled):
        searcher.tell(designs, searcher.env.evaluate(designs))
    assert scaled.ask(1, NONE) == pytest.approx(plain.ask(1, NONE), abs=1e-6)


def test_violations_that_span_decades_are_modelled(run):
    class Steep(Valley):
        def evaluate(self, designs):
            found = super().evaluate(designs)
            return Evaluation(found.objectives, np.sign(found.constraints) * np.expm1(60 * np.abs(found.constraints)))

    assert run(SCBOSearch(Steep(), seed=0), budget=40).best < 0.1


def test_categories_are_kept_in_a_small_region():
    env = MixedProblem()
    searcher = SCBOSearch(env, START, seed=0)
    designs = env.design_space.sample(4, 0)
    searcher.tell(designs, env.evaluate(designs))
    best = searcher.region.centre
    for row in range(33):  # length 0.1
        searcher.tell(env.design_space.sample(1, row), Evaluation.failure(1, 1, 2, "failed", "no"))
    assert searcher.region.length == pytest.approx(0.1)
    asked = searcher.ask(10, np.empty((0, 11)))
    categorical = env.design_space.categorical
    assert (asked[:, categorical] != designs[best, categorical]).mean() < 0.4


def test_a_finite_space_is_searched_without_repetition(run):
    class Grid(DesignEnv):
        design_space = DesignSpace(a=do.Integer(0, 4), b=do.Integer(0, 3))
        objectives = (Objective("sum"),)

        def evaluate(self, designs):
            return Evaluation(designs.sum(axis=1, keepdims=True))

    assert run(SCBOSearch(Grid(), seed=0), budget=20).distinct == 20


def test_mixed_designs_are_valid_and_get_better(run):
    found = run(SCBOSearch(MixedProblem(), seed=0), budget=40)
    assert MixedProblem.design_space.contains(found.designs).all()
    assert found.distinct == 40
    assert found.best < run(RandomSearch(MixedProblem(), seed=0), budget=150).best


def test_one_objective_only():
    with pytest.raises(ValueError, match="searches one objective"):
        SCBOSearch(BiObjectiveProblem())
