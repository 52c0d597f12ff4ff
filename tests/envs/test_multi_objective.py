import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from botorch.test_functions import multi_objective as botorch_problems
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.problems.multi.carside import Carside
from pymoo.problems.multi.clutch import Clutch
from pymoo.problems.multi.truss2d import Truss2D
from pymoo.problems.multi.welded_beam import WeldedBeam

import designopt as do
from designopt.metrics import feasible_share, hypervolume, non_dominated
from designopt.testing import check_env

# Share of feasible designs among 20 000 random ones, and the share of the reference hypervolume that a short NSGA-II
# reaches at least.
ENVS = {
    "CarSideImpactMO": (0.18, 0.91),
    "ClutchBrake": (0.68, 0.99),
    "DiscBrake": (0.34, 0.99),
    "FourBarTruss": (1.0, 0.98),
    "GearTrainMO": (0.08, 0.97),
    "SpeedReducerMO": (0.005, 0.98),
    "TwoBarTruss": (0.865, 0.99),
    "VehicleSafety": (1.0, 0.98),
    "WeldedBeamMO": (0.32, 0.95),
}
each_env = pytest.mark.parametrize("name", ENVS)


def make(name):
    return do.make(f"designopt/{name}-v0")


def evaluate(name, *designs):
    return make(name).evaluate(np.array(designs, dtype=float))


@each_env
def test_the_conformance_kit_passes(name):
    check_env(make(name))


@each_env
def test_random_designs_are_valued_and_feasible_as_often_as_known(name):
    env = make(name)
    evaluation = env.evaluate(env.design_space.sample(20_000, seed=7))
    assert (evaluation.status == "ok").all()
    known = ENVS[name][0]
    assert feasible_share(evaluation.feasible) == pytest.approx(known, rel=0.05, abs=0.002)


@each_env
def test_parameters_objectives_and_constraints_are_named_in_the_fields_terms(name):
    env = make(name)
    for label in [*env.design_space.names, *(o.name for o in env.objectives), *(c.name for c in env.constraints)]:
        assert label.isidentifier()
        assert len(label) > 3


class UnitCube(Problem):
    """An environment over its unit cube, so that real-coded operators search discrete parameters as well."""

    def __init__(self, env):
        super().__init__(
            n_var=env.design_space.dim, n_obj=len(env.objectives), n_ieq_constr=len(env.constraints), xl=0.0, xu=1.0
        )
        self.env = env

    def _evaluate(self, x, out, *args, **kwargs):
        evaluation = self.env.evaluate(self.env.design_space.from_unit(x))
        out["F"], out["G"] = evaluation.losses(self.env.objectives), evaluation.constraints


@each_env
def test_a_short_nsga2_nears_the_reference_hypervolume_and_never_beats_it(name):
    env = make(name)
    size = 100 if len(env.objectives) == 2 else 300
    result = minimize(UnitCube(env), NSGA2(pop_size=size), ("n_gen", 120), seed=1)
    point = env.reference.reference_point
    reached = hypervolume(result.F, point) / env.reference.hypervolume
    assert ENVS[name][1] <= reached <= 1 + 1e-4
    assert (result.F.max(axis=0) < point).all()  # the reference point is beyond the whole front


# The statements of others ---------------------------------------------------------------------------------------


def peer_values(problem, x):
    out = problem.evaluate(x, return_as_dictionary=True)
    return out["F"], out["G"]


@pytest.mark.parametrize(
    ("name", "peer"), [("WeldedBeamMO", WeldedBeam), ("CarSideImpactMO", Carside), ("TwoBarTruss", Truss2D)]
)
def test_agrees_with_pymoo(name, peer):
    env, problem = make(name), peer()
    designs = env.design_space.sample(500, seed=3)
    evaluation = env.evaluate(designs)
    objectives, constraints = peer_values(problem, designs)
    np.testing.assert_allclose(evaluation.objectives, objectives, rtol=1e-12)
    scale = [c.scale for c in env.constraints] if name == "CarSideImpactMO" else 1.0
    np.testing.assert_allclose(evaluation.constraints / scale, constraints, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(env.design_space.high, problem.xu)
    low = np.maximum(problem.xl, 1e-5) if name == "TwoBarTruss" else problem.xl
    np.testing.assert_array_equal(env.design_space.low, low)


def test_clutch_brake_agrees_with_pymoo():
    env = make("ClutchBrake")
    designs = env.design_space.sample(500, seed=3)
    ri, ro, t, F, Z = designs.T
    # pymoo has indices into its own lists of values, of which ours are a part.
    indices = np.stack([ri - 60, ro - 90, (t - 1) / 0.5, F - 600, Z - 2], axis=1).astype(int)
    out = {}
    Clutch()._evaluate(indices, out)  # pymoo 0.6.2 declares 19 constraints and returns 8, so its evaluate() raises
    objectives, constraints = out["F"], out["G"]
    evaluation = env.evaluate(designs)
    np.testing.assert_allclose(evaluation.objectives, objectives, rtol=1e-12)
    constraints = np.delete(constraints, 6, axis=1)  # that a time is not negative
    constraints[:, 3:5] /= 1000  # from MPa mm/s and mm/s
    np.testing.assert_allclose(evaluation.constraints, constraints, rtol=1e-9, atol=1e-9)


def test_disc_brake_agrees_with_botorch():
    env = make("DiscBrake")
    designs = env.design_space.sample(500, seed=3)
    evaluation = env.evaluate(designs)
    peer = botorch_problems.DiscBrake()
    x = torch.tensor(designs)
    np.testing.assert_allclose(evaluation.objectives, peer._evaluate_true(x), rtol=1e-12)
    slack = peer._evaluate_slack_true(x).numpy()
    np.testing.assert_allclose(np.delete(evaluation.constraints, 1, axis=1), -slack, rtol=1e-9, atol=1e-9)


def test_vehicle_safety_agrees_with_botorch():
    env = make("VehicleSafety")
    designs = env.design_space.sample(500, seed=3)
    peer = botorch_problems.VehicleSafety()
    np.testing.assert_allclose(
        env.evaluate(designs).objectives, peer._evaluate_true(torch.tensor(designs)), rtol=1e-12, atol=1e-12
    )
    assert env.reference.reference_point == tuple(peer._ref_point)
    assert 1 <= env.reference.hypervolume / peer._max_hv < 1.003  # theirs is of a coarser sample of the front


def test_speed_reducer_agrees_with_the_single_objective_one():
    env, single = make("SpeedReducerMO"), make("SpeedReducer")
    designs = env.design_space.sample(500, seed=3)
    ours, theirs = env.evaluate(designs), single.evaluate(designs)
    # Coefficients are printed with one digit more or less in different papers.
    np.testing.assert_allclose(ours.objectives[:, 0], theirs.objectives[:, 0], rtol=1e-3)
    names = [c.name for c in single.constraints]
    stress_1, stress_2 = (theirs.constraints[:, names.index(f"shaft_{i}_stress")] + 1 for i in (1, 2))
    np.testing.assert_allclose(ours.objectives[:, 1], 1100 * stress_1, rtol=1e-12)
    ours_named = dict(zip([c.name for c in env.constraints], ours.constraints.T, strict=True))
    np.testing.assert_allclose(ours_named["shaft_1_stress"] + 1, stress_1 * 1100 / 1300, rtol=1e-12)
    np.testing.assert_allclose(ours_named["shaft_2_stress"] + 1, stress_2 * 850 / 1100, rtol=1e-12)
    unstressed = sorted(values.sum() for name, values in ours_named.items() if "stress" not in name)
    others = sorted(
        column.sum() for name, column in zip(names, theirs.constraints.T, strict=True) if not name.endswith("_stress")
    )
    np.testing.assert_allclose(unstressed, others, rtol=1e-9)


# Known values ---------------------------------------------------------------------------------------------------


def test_four_bar_truss_has_the_published_ideal_point():
    # https://github.com/ryojitanabe/reproblems, ideal_nadir_points/ideal_point_RE21.dat
    root2 = np.sqrt(2)
    evaluation = evaluate("FourBarTruss", [1, root2, root2, 1], [3, 3, root2, 3])
    assert evaluation.objectives[0, 0] == pytest.approx(1237.8414230005742, rel=1e-12)
    assert evaluation.objectives[1, 1] == pytest.approx(0.002761423749158419, rel=1e-12)
    assert evaluate("FourBarTruss", [2, 2, 2, 2]).objectives[0].tolist() == pytest.approx(
        [200 * (6 + 3 * root2), 0.01 * 2]
    )


def test_two_bar_truss_front_is_the_analytic_one():
    env = make("TwoBarTruss")
    front = Truss2D().pareto_front()
    assert hypervolume(front, env.reference.reference_point) == pytest.approx(env.reference.hypervolume, rel=1e-3)
    # One end of it: sigma = 1e5 kPa in both bars at a height of 2 m, volume 0.004 m^3.
    y, a, b = 2.0, 20 * np.sqrt(20) / 2e5, 80 * np.sqrt(5) / 2e5
    assert evaluate("TwoBarTruss", [a, b, y]).objectives[0].tolist() == pytest.approx([0.004, 1e5])


def test_published_optima_of_single_objectives():
    car = evaluate("CarSideImpactMO", [0.5, 1.2257, 0.5, 1.2071, 0.875, 0.8842, 0.4])
    assert car.objectives[0, 0] == pytest.approx(23.5857, abs=1e-3)  # [JainDeb2014]
    assert car.violation(make("CarSideImpactMO").constraints)[0] < 1e-3
    beam = evaluate("WeldedBeamMO", [0.2444, 6.2175, 8.2915, 0.2444])
    assert beam.objectives[0, 0] == pytest.approx(2.381, abs=1e-3)  # [Deb2000]
    assert beam.violation(make("WeldedBeamMO").constraints)[0] < 1e-3


def test_disc_brake_by_hand():
    # R^2 - r^2 = 2600, R^3 - r^3 = 254 625 at r = 55, R = 75.
    evaluation = evaluate("DiscBrake", [55, 75, 1000, 11])
    assert evaluation.objectives[0].tolist() == pytest.approx(
        [4.9e-5 * 2600 * 10, 9.82e6 * 2600 / (1000 * 11 * 255_500)]
    )
    assert evaluation.constraints[0].tolist() == pytest.approx(
        [
            0,
            0,
            1000 / (3.14 * 2600) - 0.4,
            2.22 * 255_500 / 2600**2 - 1,
            900 - 2.66e-2 * 11_000 * 255_500 / 2600,
        ]
    )
    assert evaluate("DiscBrake", [55, 75, 1000, 12]).constraints[0, 1] == pytest.approx(2.5)


@pytest.mark.filterwarnings("error")
def test_a_ring_without_width_is_invalid():
    assert evaluate("DiscBrake", [78, 78, 2000, 5], [55, 80, 2000, 5]).status.tolist() == ["invalid", "ok"]


def test_gear_train_by_hand():
    evaluation = evaluate("GearTrainMO", [12, 12, 12, 12], [12, 12, 31, 32], [20, 13, 53, 34])
    errors = [abs(Fraction("6.931") - ratio) for ratio in (1, Fraction(31 * 32, 144), Fraction(53 * 34, 260))]
    assert evaluation.objectives[:, 0].tolist() == pytest.approx([float(e) for e in errors])
    assert evaluation.objectives[:, 1].tolist() == [12, 32, 53]
    assert evaluation.feasible.tolist() == [False, True, True]
    assert evaluation.constraints[:, 0].tolist() == pytest.approx([float(e) / 6.931 - 0.5 for e in errors])


# Reference fronts -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference_fronts():
    path = Path(__file__).parents[2] / "benchmarks" / "reference_fronts.py"
    spec = importlib.util.spec_from_file_location("reference_fronts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "points"), [("ClutchBrake", 86), ("GearTrainMO", 17)])
def test_enumerated_references_are_exact(reference_fronts, name, points):
    env = make(name)
    front = reference_fronts.enumerated_front(env)
    assert len(front) == points
    assert non_dominated(front).all()
    assert hypervolume(front, env.reference.reference_point) == pytest.approx(env.reference.hypervolume, rel=1e-6)


def test_evolved_references_come_back_from_a_smaller_run(reference_fronts):
    env = make("SpeedReducerMO")
    front = reference_fronts.evolved_front(env, seed=9, generations=60, rounds=10)
    assert non_dominated(front).all()
    assert hypervolume(front, env.reference.reference_point) == pytest.approx(env.reference.hypervolume, rel=1e-3)
