import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.indicators.hv import HV
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.optimize import minimize

from designopt import (
    Constraint,
    DesignEnv,
    DesignSpace,
    Evaluation,
    Integer,
    Objective,
    Ordinal,
    Real,
    Sequence,
    backend,
)
from designopt.testing import BiObjectiveProblem, MixedProblem

EVOLUTION = ["de", "ga", "nsga2"]


def make(name, env, seed=0, **hyperparameters):
    cls = backend(name)
    return cls(env, cls.Config(**hyperparameters), seed=seed)


class PressureVessel(DesignEnv):
    """Cost of a cylindrical vessel with hemispherical heads [Kannan1994]; plates come in steps of 1/16 inch."""

    design_space = DesignSpace(
        shell=Ordinal(np.arange(1, 100) * 0.0625),
        head=Ordinal(np.arange(1, 100) * 0.0625),
        radius=Real(10.0, 200.0),
        length=Real(10.0, 200.0),
    )
    objectives = (Objective("cost"),)
    constraints = (Constraint("shell"), Constraint("head"), Constraint("volume", scale=1e6))

    def evaluate(self, designs):
        s, h, r, length = designs.T
        cost = 0.6224 * s * r * length + 1.7781 * h * r**2 + 3.1661 * s**2 * length + 19.84 * s**2 * r
        volume = 1296000 - np.pi * r**2 * length - 4 / 3 * np.pi * r**3
        return Evaluation(cost[:, None], np.stack([0.0193 * r - s, 0.00954 * r - h, volume], axis=1))


class Bowl(DesignEnv):
    """Smooth, with an optional constraint x <= -0.5 that excludes the unconstrained optimum."""

    design_space = DesignSpace(x=Real(-1, 1), y=Real(-1, 1), z=Real(-1, 1))
    objectives = (Objective("f"),)

    def __init__(self, constrained=False, several=False):
        super().__init__()
        self.constraints = (Constraint("g"),) if constrained else ()
        self.objectives = (Objective("f"), Objective("h")) if several else self.objectives

    def evaluate(self, designs):
        f = ((designs - [0.3, -0.2, 0.1]) ** 2 * [1, 5, 25]).sum(axis=1)
        objectives = np.stack([f, (designs**2).sum(axis=1)], axis=1)[:, : len(self.objectives)]
        return Evaluation(objectives, designs[:, :1] + 0.5 if self.constraints else None)


class AsPymoo(Problem):
    """The same problem written for pymoo, which records what it evaluates."""

    def __init__(self, env, **variables):
        super().__init__(n_obj=len(env.objectives), n_ieq_constr=len(env.constraints), **variables)
        self.env, self.evaluated = env, []
        self.decode = env.design_space.from_pymoo if "vars" in variables else env.design_space.from_unit

    def _evaluate(self, x, out, *args, **kwargs):
        designs = self.decode(x)
        self.evaluated.append(designs)
        evaluation = self.env.evaluate(designs)
        out["F"], out["G"] = evaluation.losses(self.env.objectives), evaluation.constraints


def pymoo_run(name, env, first, seed, generations):
    """What pymoo's own loop evaluates from that first population on."""
    n = len(first)
    if name == "de":
        algorithm = DE(pop_size=n, sampling=env.design_space.to_unit(first), CR=0.7, F=0.5)
        problem = AsPymoo(env, n_var=env.design_space.dim, xl=0.0, xu=1.0)
    else:
        cls, compare = {"ga": (GA, comp_by_cv_and_fitness), "nsga2": (NSGA2, binary_tournament)}[name]
        distinct = MixedVariableDuplicateElimination()
        mating = MixedVariableMating(selection=TournamentSelection(func_comp=compare), eliminate_duplicates=distinct)
        population = Population.new(X=env.design_space.to_pymoo(first))
        algorithm = cls(pop_size=n, sampling=population, mating=mating, eliminate_duplicates=distinct)
        problem = AsPymoo(env, vars=env.design_space.pymoo())
    minimize(problem, algorithm, ("n_gen", generations), seed=seed)
    return np.concatenate(problem.evaluated)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("name", EVOLUTION)
@pytest.mark.parametrize("batch", [1, 12, 5])
def test_asked_in_turn_it_is_pymoos_own_run(name, constrained, batch, run):
    env = Bowl(constrained, several=name == "nsga2")
    searcher = make(name, env, seed=4, population=12)
    found = run(searcher, 72, batch)
    seed = np.random.default_rng(np.random.SeedSequence(4)).integers(2**31)
    expected = pymoo_run(name, env, found.designs[:12], int(seed), generations=6)
    np.testing.assert_allclose(found.designs, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["de", "ga"])
def test_beats_random_search_on_the_pressure_vessel(name, run):
    env = PressureVessel()
    evolved = [run(make(name, env, seed), 800).best for seed in range(4)]
    sampled = [run(backend("random")(env, seed=seed), 800).best for seed in range(4)]
    assert max(evolved) < 8500 < 10000 < min(sampled)
    assert min(evolved) >= 6059.7143  # the known optimum


@pytest.mark.parametrize("name", EVOLUTION)
def test_finds_the_optimum_of_a_mixed_constrained_problem(name, run):
    found = [run(make(name, MixedProblem(), seed), 1500).best for seed in range(3)]
    assert max(found) < 0.35  # all but one letter right
    assert run(backend("random")(MixedProblem()), 1500).best > 0.7


@pytest.mark.parametrize("in_flight", [1, 7])
def test_nsga2_covers_the_known_front(in_flight, run):
    env = BiObjectiveProblem()
    searcher = make("nsga2", env, population=40)
    found = run(searcher, 800, batch=40 // in_flight, in_flight=in_flight)
    x = np.linspace(0.2, 1, 2001)
    hypervolume = HV(ref_point=[2.0, 2.0])
    front = hypervolume(np.stack([x**2, (x - 1) ** 2], axis=1))
    assert 0.98 * front < hypervolume(found.losses) <= front
    sampled = run(backend("random")(env), 800)
    assert front - hypervolume(found.losses) < (front - hypervolume(sampled.losses)) / 3


@pytest.mark.parametrize("name", EVOLUTION)
def test_evaluations_in_flight_hold_nothing_up_and_cost_little(name, run):
    parallel = [run(make(name, Bowl(True), seed), 600, batch=1, in_flight=8).best for seed in range(3)]
    serial = [run(make(name, Bowl(True), seed), 600, batch=1).best for seed in range(3)]
    optimum = 0.64
    assert max(parallel) - optimum < 0.05
    assert max(serial) - optimum < 0.05


@pytest.mark.parametrize("name", EVOLUTION)
def test_the_next_generation_starts_while_results_are_missing(name):
    searcher = make(name, Bowl(), population=10)
    told = searcher.ask(8, np.empty((0, 3)))
    missing = searcher.ask(2, told)
    searcher.tell(told, searcher.env.evaluate(told))
    extra = searcher.ask(2, missing)  # ten designs with values are needed, so two more random ones
    searcher.tell(extra, searcher.env.evaluate(extra))
    assert len(searcher.ask(10, missing)) == 10


@pytest.mark.parametrize("name", EVOLUTION)
def test_no_design_is_proposed_twice_before_the_space_is_exhausted(name, run):
    class Small(DesignEnv):
        design_space = DesignSpace(a=Integer(0, 7), b=Ordinal([1, 2, 4, 8]), c=Sequence("AB", 2))
        objectives = (Objective("f"),)

        def evaluate(self, designs):
            return Evaluation(designs.sum(axis=1, keepdims=True))

    found = run(make(name, Small(), population=10), 100)
    assert found.distinct == 100  # of 128


@pytest.mark.parametrize("name", EVOLUTION)
def test_designs_told_by_others_are_not_proposed(name, run):
    class Cells(Bowl):
        design_space = DesignSpace(a=Integer(0, 3), b=Integer(0, 3), c=Integer(0, 3))

    searcher = make(name, Cells())
    everything = searcher.space.from_unit((np.indices((4, 4, 4)).reshape(3, -1).T + 0.5) / 4)
    searcher.tell(everything[3:], searcher.env.evaluate(everything[3:]))
    assert sorted(map(tuple, run(searcher, 3, batch=1).designs)) == sorted(map(tuple, everything[:3]))


@pytest.mark.parametrize("name", EVOLUTION)
def test_infeasible_starts_lead_to_feasible_designs(name, run):
    class Corner(Bowl):
        """Feasible in a millionth of the space."""

        def evaluate(self, designs):
            return Evaluation(
                (designs**2).sum(axis=1, keepdims=True), np.abs(designs - 0.7).max(axis=1)[:, None] - 0.01
            )

    assert np.isfinite(run(make(name, Corner(constrained=True)), 800).best)


@pytest.mark.parametrize("name", EVOLUTION)
def test_designs_without_values_do_not_become_parents(name):
    searcher = make(name, Bowl(), population=10)
    good, bad = searcher.space.sample(10, 1) * [0.1, 0.1, 0.1] - 0.5, searcher.space.sample(200, 2) * 0.1 + 0.5
    for status in ("invalid", "failed", "timeout", "lost"):
        searcher.tell(bad, Evaluation.failure(len(bad), 1, 0, status, "no value"))
    searcher.tell(good, searcher.env.evaluate(good))
    offspring = searcher.ask(10, np.empty((0, 3)))
    assert (np.abs(offspring + 0.5) < 0.3).mean() > 0.8


@pytest.mark.parametrize("name", EVOLUTION)
def test_violations_are_compared_after_scaling(name):
    class TwoLimits(Bowl):
        def __init__(self):
            super().__init__()
            self.constraints = (Constraint("force", unit="N", scale=1e6), Constraint("gap"))

        def evaluate(self, designs):
            left = designs[:, :1] < 0
            limits = np.concatenate([np.where(left, 1e5, -1.0), np.where(left, -1.0, 0.5)], axis=1)
            return Evaluation(np.zeros((len(designs), 1)), limits)

    searcher = make(name, TwoLimits(), population=10)
    for seed in range(2):  # a population on the right side, violated by 0.5; then one on the left, by 0.1
        designs = np.abs(searcher.space.sample(10, seed)) * [1 - 2 * seed, 1, 1]
        searcher.tell(designs, searcher.env.evaluate(designs))
    offspring = searcher.ask(10, np.empty((0, 3)))
    assert (offspring[:, 0] < 0).mean() > 0.6


@pytest.mark.parametrize("name", EVOLUTION)
def test_designs_of_others_take_part(name, run):
    searcher = make(name, Bowl(), population=10)
    run(searcher, 10)
    good = np.array([[0.3, -0.2, 0.1]]) + np.random.default_rng(0).normal(0, 1e-3, (10, 3))
    searcher.tell(good, searcher.env.evaluate(good))
    offspring = np.concatenate([run(searcher, 10).designs for _ in range(3)])
    # Random designs come within 0.01 in one coordinate of a hundred.
    assert (np.abs(offspring - [0.3, -0.2, 0.1]) < 0.01).mean() > 0.3


def test_a_foreign_design_replaces_the_worst_member_in_differential_evolution():
    searcher = make("de", Bowl(), population=5)
    members = np.array([[0.3, -0.2, v] for v in (0.1, 0.2, 0.3, 0.4, 0.9)])
    searcher.tell(members, searcher.env.evaluate(members))
    searcher.tell(worse := np.array([[1.0, 1.0, 1.0]]), searcher.env.evaluate(worse))
    offspring = searcher.ask(5, np.empty((0, 3)))
    assert not (offspring == 1.0).any()


@pytest.mark.parametrize("name", ["ga", "nsga2"])
@pytest.mark.parametrize("mutations", [1.0, 3.0])
def test_so_many_columns_mutate_however_many_there_are(name, mutations):
    class Word(DesignEnv):
        design_space = DesignSpace(s=Sequence("ABCDEFGHIJ", 60))
        objectives = (Objective("f"),)

        def evaluate(self, designs):
            return Evaluation(np.zeros((len(designs), 1)))

    searcher = make(name, Word(), population=200, mutations=mutations)
    alike = np.zeros((200, 60))
    searcher.tell(alike, searcher.env.evaluate(alike))
    offspring = searcher.ask(200, np.empty((0, 60)))
    changed = (offspring != 0).sum(axis=1)
    # One letter in ten mutates to itself, and offspring without a change are known designs.
    rate = 0.9 * mutations
    assert changed.mean() == pytest.approx(rate / (1 - np.exp(-rate)), rel=0.25)


@pytest.mark.parametrize(
    ("name", "hyperparameter", "value"),
    [
        ("ga", "population", 3),
        ("nsga2", "population", 0),
        ("ga", "crossover", 1.5),
        ("nsga2", "crossover", -0.1),
        ("ga", "mutations", 0.0),
        ("ga", "mutation_eta", -1.0),
        ("nsga2", "crossover_eta", 0.0),
        ("de", "population", 4),
        ("de", "weight", 3.0),
        ("de", "crossover", 1.1),
        ("de", "base", "worst"),
    ],
)
def test_senseless_hyperparameters_are_refused(name, hyperparameter, value):
    with pytest.raises(ValueError, match=f"{hyperparameter} = {value!r}"):
        backend(name).Config(**{hyperparameter: value})


@pytest.mark.parametrize("name", EVOLUTION)
def test_it_likes_to_be_asked_for_a_population(name):
    assert make(name, Bowl(), population=17).batch == 17
