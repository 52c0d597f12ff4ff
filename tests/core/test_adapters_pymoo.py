"""Environments as pymoo problems, searched by pymoo's own algorithms."""

import warnings

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.mixed import (
    MixedVariableDuplicateElimination,
    MixedVariableGA,
    MixedVariableMating,
    MixedVariableSampling,
)
from pymoo.indicators.hv import HV
from pymoo.optimize import minimize

from designopt import (
    Categorical,
    Constraint,
    DesignEnv,
    DesignSpace,
    Evaluation,
    Integer,
    InvalidDesign,
    Objective,
    Ordinal,
    Real,
    Sequence,
    design_env,
)
from designopt.adapters import to_pymoo

MIXED = DesignSpace(
    width=Real(0.01, 100, log=True),
    bolts=Integer(2, 8),
    gauge=Ordinal([0.5, 0.8, 1.3]),
    material=Categorical(["steel", "aluminium"]),
    plies=Sequence("AB", 2),
)


@design_env(MIXED, maximize=["strength"], constraints={"bolts": "<= 6"})
def joint(width, bolts, gauge, material, plies):
    strength = bolts + gauge + (material == "steel") + plies.count("B") - np.log(width) ** 2
    return {"strength": strength, "bolts": bolts}


class BinhKorn(DesignEnv):
    """Two objectives, two constraints, over real variables; Binh and Korn 1997."""

    design_space = DesignSpace(x=Real(0, 5), y=Real(0, 3))
    objectives = (Objective("f1"), Objective("f2", "max"))
    constraints = (Constraint("disc"), Constraint("hole"))

    def evaluate(self, designs):
        x, y = designs.T
        f = np.stack([4 * x**2 + 4 * y**2, -((x - 5) ** 2) - (y - 5) ** 2], axis=1)
        return Evaluation(f, np.stack([(x - 5) ** 2 + y**2 - 25, 7.7 - (x - 8) ** 2 - (y + 3) ** 2], axis=1))


@design_env(DesignSpace(x=Real(0.01, 100, log=True), y=Real(-1, 1)), minimize=["loss"])
def valley(x, y):
    if y < 0:
        raise InvalidDesign("no simulation there")
    return {"loss": np.log(x / 3) ** 2 + (y - 0.25) ** 2}


def test_mixed_variable_ga_finds_the_constrained_optimum():
    problem = to_pymoo(joint)
    result = minimize(problem, MixedVariableGA(pop_size=30), ("n_gen", 40), seed=1)
    (best,) = joint.design_space.decode(problem.designs(result.X))
    assert best.pop("width") == pytest.approx(1, rel=0.05)
    assert best == {"bolts": 6, "gauge": 1.3, "material": "steel", "plies": "BB"}
    assert -result.F[0] == pytest.approx(6 + 1.3 + 1 + 2, abs=0.01)


@pytest.mark.parametrize(
    "algorithm",
    [
        NSGA2(pop_size=40),
        NSGA2(
            pop_size=40,
            sampling=MixedVariableSampling(),
            mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        ),
    ],
    ids=["vectors", "named"],
)
def test_nsga2_finds_the_front_of_a_real_space(algorithm):
    problem = to_pymoo(BinhKorn())
    result = minimize(problem, algorithm, ("n_gen", 60), seed=1)
    evaluation = BinhKorn().evaluate(problem.designs(result.X))
    assert evaluation.feasible.all()
    np.testing.assert_allclose(evaluation.losses(BinhKorn.objectives), result.F)
    # The front is x = y up to y = 3, and y = 3 from there.
    x = np.linspace(0, 5, 500)
    front = BinhKorn().evaluate(np.stack([x, np.minimum(x, 3)], axis=1))
    volume = HV(ref_point=[140, 50])
    assert volume(result.F) > 0.98 * volume(front.losses(BinhKorn.objectives)[front.feasible])


def test_differential_evolution_sees_log_scaled_reals_as_logarithms():
    problem = to_pymoo(valley)
    assert problem.xl.tolist() == pytest.approx([np.log(0.01), -1])
    assert problem.xu.tolist() == pytest.approx([np.log(100), 1])
    result = minimize(problem, DE(pop_size=20), ("n_gen", 60), seed=1)
    assert problem.designs(result.X)[0] == pytest.approx([3, 0.25], abs=1e-2)


def test_objectives_are_minimised_and_constraints_keep_their_sign():
    X = MIXED.to_pymoo(MIXED.sample(5, seed=0))
    F, G = to_pymoo(joint).evaluate(np.array(X, dtype=object))
    evaluation = joint.evaluate(MIXED.sample(5, seed=0))
    np.testing.assert_allclose(F, -evaluation.objectives)
    np.testing.assert_allclose(G, evaluation.constraints)


def test_designs_without_values_are_the_worst_of_all():
    F = to_pymoo(valley).evaluate(np.array([[0.0, -0.5], [0.0, 0.5]]))
    assert F[0, 0] == np.inf
    assert np.isfinite(F[1, 0])


def test_a_value_that_came_with_a_failure_is_not_used():
    class Half(BinhKorn):
        def evaluate(self, designs):
            evaluation = super().evaluate(designs)
            evaluation.status[:] = "timeout"
            return evaluation

    F, G = to_pymoo(Half()).evaluate(np.zeros((1, 2)))
    assert np.isposinf(F).all()
    assert np.isposinf(G).all()


def test_nsga2_keeps_no_failed_design_when_it_has_others():
    class Torn(BinhKorn):
        constraints = ()

        def evaluate(self, designs):
            evaluation = Evaluation(super().evaluate(designs).objectives)
            evaluation.status[designs[:, 0] < 1] = "invalid"
            return evaluation

    problem = to_pymoo(Torn())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # inf - inf in crowding distances
        result = minimize(problem, NSGA2(pop_size=20), ("n_gen", 20), seed=0)
    assert (problem.designs(result.X)[:, 0] >= 1).all()
