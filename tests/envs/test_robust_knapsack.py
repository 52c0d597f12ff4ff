"""The robust knapsack: exact recourse, certified worst cases, published values, files that do not read."""

import csv
import io
import itertools
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

import designopt as do
from designopt import data
from designopt.envs.robust.knapsack import RobustKnapsack
from designopt.envs.robust.knapsack_instance import CORRELATIONS, generate_knapsack, read_knapsack
from designopt.envs.robust.knapsack_recourse import solve, solve_dp
from designopt.envs.robust.uncertainty import BoxSet, BudgetSet, FiniteSet
from designopt.testing import check_env
from designopt.two_stage import AffineRecourse, PricedRecourse, ScenarioBlocks, TwoStageRobust

INSTANCES, KNOWN = "robust/kp_instances.zip", "robust/kp_best_known.csv"
published = pytest.mark.skipif(
    not (data.available(INSTANCES) and data.available(KNOWN)), reason=f"{INSTANCES} is not on this machine"
)


def published_instance(name, folder):
    with zipfile.ZipFile(data.find(INSTANCES)) as archive:
        member = next(m for m in archive.namelist() if m.endswith(name))
        path = folder / name
        path.write_bytes(archive.read(member))
    return read_knapsack(path)


def known_rows():
    return list(csv.DictReader(io.StringIO(data.find(KNOWN).read_text())))


def recourse_milp(instance, x, xi):
    """The second stage written out and solved by scipy: profit."""
    k, n = instance, len(instance)
    cost = np.concatenate([k.degradation * xi - k.outsourcing_cost, -k.degradation * xi])
    weights = np.concatenate([k.weight, k.repair_weight])[None].astype(float)
    order = np.hstack([-np.eye(n), np.eye(n)])
    answer = milp(
        cost,
        constraints=[LinearConstraint(weights, ub=k.capacity), LinearConstraint(order, ub=0)],
        integrality=np.ones(2 * n),
        bounds=Bounds(0, np.concatenate([x, np.ones(n)])),
        options={"mip_rel_gap": 0},
    )
    return float(x @ (k.profit - k.outsourcing_cost) - answer.fun)


def brute_force_worst(env, x):
    """Exact worst-case profit by one linear programme over every feasible recourse of a small instance."""
    k, n = env.instance, len(env.instance)
    rows, constants = [], []
    for recourse in itertools.product(*[range(3) if chosen else range(1) for chosen in x > 0.5]):
        choice = np.array(recourse)
        if (k.weight * (choice > 0) + k.repair_weight * (choice == 2)).sum() <= k.capacity:
            rows.append(np.append(np.where(choice == 1, k.degradation, 0.0), 1.0))
            constants.append((k.profit * x).sum() - (k.outsourcing_cost * (x > 0.5) * (choice == 0)).sum())
    # min over xi of the best profit t:  t >= constant - slope xi
    answer = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.vstack([-np.array(rows), np.append(np.ones(n), 0.0)[None]]),
        b_ub=np.append(-np.array(constants), k.budget),
        bounds=[(0, 1)] * n + [(None, None)],
    )
    return float(answer.fun)


def test_environment_conforms_and_offers_the_structured_protocols():
    env = RobustKnapsack(n=6)
    check_env(env, samples=4)
    for protocol in (TwoStageRobust, ScenarioBlocks, AffineRecourse, PricedRecourse):
        assert isinstance(env, protocol)
    assert list(env.design_space.parameters) == [f"x{i}" for i in range(6)]
    assert not isinstance(do.make("designopt/WeldedBeam-v0"), TwoStageRobust)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 14), correlation=st.sampled_from(CORRELATIONS), h=st.integers(1, 99)
)
def test_core_search_equals_the_dynamic_programme(seed, n, correlation, h):
    k = generate_knapsack(n, correlation, h, 0.3, 0.8, seed)
    rng = np.random.default_rng(seed)
    loss = k.degradation * rng.choice([0.0, 1.0, 0.4], size=n)
    arguments = k.weight, k.repair_weight, k.outsourcing_cost, loss, k.capacity
    value, choice, multiplier = solve(*arguments)
    assert value == pytest.approx(solve_dp(*arguments)[0], abs=1e-8)
    assert (k.weight * (choice > 0) + k.repair_weight * (choice == 2)).sum() <= k.capacity
    gained = np.where(choice == 2, k.outsourcing_cost, np.where(choice == 1, k.outsourcing_cost - loss, 0.0)).sum()
    assert gained == pytest.approx(value, abs=1e-8)
    assert multiplier >= 0


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_second_stage_equals_its_programme(correlation):
    env = RobustKnapsack(n=15, correlation=correlation, seed=3)
    rng = np.random.default_rng(0)
    for xi in env.uncertainty.sample(5, rng):
        x = (rng.random(15) < 0.7).astype(float)
        stage = env.second_stage(x, xi)
        assert stage.value == pytest.approx(recourse_milp(env.instance, x, xi), abs=1e-6)
        assert float(stage) == stage.value
        assert env.second_stage_values(x[None], xi[None])[0] == pytest.approx(stage.value, abs=1e-8)


def test_a_large_second_stage_equals_the_dynamic_programme():
    k = generate_knapsack(80, "SC", 80, seed=1)
    rng = np.random.default_rng(1)
    for _ in range(3):
        loss = k.degradation * rng.random(80)
        arguments = k.weight, k.repair_weight, k.outsourcing_cost, loss, k.capacity
        assert solve(*arguments)[0] == pytest.approx(solve_dp(*arguments)[0], abs=1e-7)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_worst_case_equals_enumeration_of_all_recourses(correlation):
    env = RobustKnapsack(n=7, correlation=correlation, deviation=0.25, seed=2)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = (rng.random(7) < 0.7).astype(float)
        (low, high), scenario, recourse = env.worst_case(x)
        exact = brute_force_worst(env, x)
        assert low - 1e-6 <= exact <= high + 1e-6
        assert high - low <= 1e-6 * max(1, abs(low))
        assert env.second_stage(x, scenario).value == pytest.approx(high, abs=1e-9)
        assert np.array_equal(env.second_stage(x, scenario).recourse, recourse)
        assert scenario.sum() <= env.instance.budget + 1e-9
        assert env.evaluate(x[None]).objectives[0, 0] == pytest.approx(exact, rel=2e-6)


def test_metrics_hold_the_certified_interval():
    env = RobustKnapsack(n=10)
    evaluation = env.evaluate(np.eye(10))
    assert np.array_equal(evaluation.metrics["profit_lower"], evaluation.objectives[:, 0])
    assert (evaluation.metrics["profit_upper"] >= evaluation.metrics["profit_lower"]).all()


def test_bound_of_a_second_stage_is_never_below_any_worst_case():
    env = RobustKnapsack(n=8, seed=5)
    designs = np.array(list(itertools.product([0.0, 1.0], repeat=8)))
    worst = env.evaluate(designs).metrics["profit_upper"]
    rng = np.random.default_rng(0)
    tight = []
    for xi in env.uncertainty.sample(12, rng):
        x = (rng.random(8) < 0.6).astype(float)
        bound = env.second_stage(x, xi).bound
        values = bound[0] + designs @ bound[1:]
        assert (values >= worst - 1e-6).all()
        tight.append((values - worst).min())
    assert min(tight) < 0.1 * worst.max()


def test_cutoff_stops_early_and_still_rejects():
    env = RobustKnapsack(n=40, correlation="WC", seed=1)
    x = np.ones(40)
    (low, high), *_ = env.worst_case(x)
    (cut_low, cut_high), *_ = env.worst_case(x, cutoff=high + 100)
    assert cut_high <= high + 100
    assert cut_low <= low + 1e-6
    # A cutoff that the design passes changes nothing.
    assert env.worst_case(x, cutoff=low - 100).interval == pytest.approx((low, high), rel=1e-6)


def test_time_limit_leaves_a_bracket():
    env = RobustKnapsack(n=60, correlation="WC", seed=1)
    exact = env.worst_case(np.ones(60)).interval
    low, high = env.worst_case(np.ones(60), seconds=0.0).interval
    assert low <= exact[0] + 1e-6
    assert high >= exact[1] - 1e-6
    assert high - low > 1e-3


# Limits with closed forms ----------------------------------------------------------------------------------------


def test_without_uncertainty_the_worst_case_is_the_nominal_one():
    k = generate_knapsack(12, "UN", deviation=0.0, seed=1)
    env, x = RobustKnapsack(k), np.ones(12)
    assert env.worst_case(x).interval[0] == pytest.approx(recourse_milp(k, x, np.zeros(12)), abs=1e-6)


def test_with_budget_for_all_items_every_profit_degrades():
    k = generate_knapsack(9, "WC", deviation=1.0, seed=1)
    env, x = RobustKnapsack(k), np.ones(9)
    assert env.worst_case(x).interval[0] == pytest.approx(recourse_milp(k, x, np.ones(9)), abs=1e-6)


def test_free_repair_undoes_the_uncertainty():
    k = generate_knapsack(10, "ASC", seed=1)
    free = type(k)(k.profit, k.degradation, k.weight, 0 * k.repair_weight, k.outsourcing_cost, k.capacity, k.budget)
    x = np.ones(10)
    assert RobustKnapsack(free).worst_case(x).interval[0] == pytest.approx(
        recourse_milp(free, x, np.zeros(10)), abs=1e-6
    )


def test_with_huge_capacity_everything_is_repaired():
    k = generate_knapsack(10, "SC", seed=1)
    huge = type(k)(k.profit, k.degradation, k.weight, k.repair_weight, k.outsourcing_cost, 10**9, k.budget)
    x = (np.arange(10) % 2).astype(float)
    assert RobustKnapsack(huge).worst_case(x).interval == pytest.approx((k.profit @ x, k.profit @ x))


def test_nothing_committed_is_worth_nothing():
    assert RobustKnapsack(n=5).evaluate(np.zeros((1, 5))).objectives[0, 0] == 0.0


# Published values ------------------------------------------------------------------------------------------------


@published
@pytest.mark.parametrize(
    ("m", "budget", "profit", "design"), [(8, 1.6, 1587.0120755, "01001011"), (10, 2.0, 2062.1345338, "0111101010")]
)
def test_optimum_of_a_cut_instance(m, budget, profit, design, tmp_path):
    k = published_instance("RKP_SC_n20_R1000_H100_h40_dev0.2_d0.5", tmp_path)
    env = RobustKnapsack(k.first(m, capacity=int(0.4 * k.weight[:m].sum()), budget=budget))
    designs = np.array(list(itertools.product([0.0, 1.0], repeat=m)))
    values = env.evaluate(designs).objectives[:, 0]
    assert values.max() == pytest.approx(profit, abs=1e-6)
    assert "".join("01"[int(v)] for v in designs[values.argmax()]) == design


def check_stored_values(rows, folder):
    for row in rows:
        env = RobustKnapsack(published_instance(row["instance"], folder))
        (low, high), *_ = env.worst_case(np.array(list(row["neur2ro_x"]), dtype=float))
        value = float(row["neur2ro_obj"])
        assert low == pytest.approx(value, rel=1e-4), row["instance"]
        assert high - low <= 1e-6 * abs(low)


@published
def test_stored_first_stages_have_their_published_values(tmp_path):
    check_stored_values(known_rows()[::24], tmp_path)


@published
@pytest.mark.slow
def test_all_stored_first_stages_have_their_published_values(tmp_path):
    check_stored_values(known_rows(), tmp_path)


# Instances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_generated_instances_follow_the_rule_and_read_back(correlation, tmp_path):
    k = generate_knapsack(200, correlation, h=80, deviation=0.15, delta=0.5, seed=4)
    assert k.capacity == int(80 / 101 * k.weight.sum())
    assert k.budget == pytest.approx(30.0)
    assert ((k.outsourcing_cost >= 1.1 * k.profit - 1e-9) & (k.outsourcing_cost <= 1.5 * k.profit + 1)).all()
    share = (k.degradation / k.profit)[k.profit > 50]  # rounding shows in small ones
    assert 0.24 < share.min() < 0.3
    assert 0.7 < share.max() < 0.76
    assert k.repair_weight.min() >= 1
    offset = k.profit - k.weight
    if correlation == "SC":
        assert (offset == 100).all()
    if correlation == "UN":
        assert abs(np.corrcoef(k.profit, k.weight)[0, 1]) < 0.3
    (tmp_path / "instance").write_text(k.to_text())
    again = read_knapsack(tmp_path / "instance")
    assert again.to_text() == k.to_text()
    assert not np.array_equal(generate_knapsack(200, correlation, seed=5).profit, k.profit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("2 10\n", "line 1: 2 values; expected 3: n capacity budget"),
        ("x 10 1\n", "line 1, field n: 'x' is not a number"),
        ("1 10.5 1\n 1 1 1 1 2\n", "line 1, field capacity: 10.5; it must be a whole number of at least 0"),
        ("1 10 -1\n 1 1 1 1 2\n", "line 1, field budget: -1; it must be a number of at least 0"),
        ("2 10 1\n 1 1 1 1 2\n", "1 lines of items; line 1 says n = 2"),
        ("1 10 1\n 1 1 1 1\n", "line 2: 4 values; expected 5: profit degradation repair_weight weight outsourcing"),
        ("1 10 1\n 1 1 0.5 1 2\n", "line 2, field repair_weight: 0.5; it must be a whole number of at least 0"),
        ("1 10 1\n 1 1 1 -3 2\n", "line 2, field weight: -3; it must be a whole number of at least 1"),
        ("1 10 1\n\n nan 1 1 3 2\n", "line 3, field profit: nan"),
        ("1 10 1\n 1 5 1 3 2\n", "line 2, field degradation: 5 exceeds outsourcing_cost 2"),
    ],
)
def test_malformed_files_name_file_line_and_field(text, message, tmp_path):
    file = tmp_path / "broken.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.txt") as error:
        do.make("designopt/RobustKnapsack-v0", instance=str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_files_and_arguments_are_named():
    with pytest.raises(ValueError, match="instance = 'nowhere': no such file"):
        RobustKnapsack("nowhere")
    with pytest.raises(ValueError, match="correlation = 'XX'; allowed: UN, WC, ASC, SC"):
        RobustKnapsack(correlation="XX")
    with pytest.raises(ValueError, match=r"h = 0; it must be in \[1, 100\]"):
        RobustKnapsack(h=0)


# Uncertainty sets ------------------------------------------------------------------------------------------------


def inside(budget_set, scenarios):
    return (
        (scenarios >= -1e-12).all()
        and (scenarios <= 1 + 1e-12).all()
        and (scenarios.sum(axis=1) <= budget_set.budget + 1e-9).all()
    )


@settings(max_examples=40, deadline=None)
@given(dim=st.integers(1, 6), budget=st.floats(0, 7), seed=st.integers(0, 99))
def test_budget_set(dim, budget, seed):
    chosen, rng = BudgetSet(dim, budget), np.random.default_rng(seed)
    assert inside(chosen, chosen.sample(10, rng))
    points = rng.normal(0.5, 1.5, (20, dim))
    nearest = chosen.project(points)
    assert inside(chosen, nearest)
    assert chosen.project(nearest) == pytest.approx(nearest, abs=1e-9)
    corners = chosen.vertices()
    assert inside(chosen, corners)
    for point, near in zip(points, nearest, strict=True):
        # A projection makes an obtuse angle with every vertex.
        assert ((corners - near) @ (point - near) <= 1e-6).all()
        assert chosen.maximise(point) @ point == pytest.approx((corners @ point).max(), abs=1e-9)
    D, d = chosen.inequalities()
    assert (corners @ D.T <= d + 1e-9).all()


def test_samples_of_a_budget_set_reach_its_extremes():
    scenarios = BudgetSet(10, 2.5).sample(400, np.random.default_rng(0))
    assert (np.sort(scenarios, axis=1)[:, -3:] == [0.5, 1.0, 1.0]).all(axis=1).sum() >= 200


def test_box_and_finite_sets():
    box, rng = BoxSet(3), np.random.default_rng(0)
    assert len(box.vertices()) == 8
    assert np.array_equal(box.maximise(np.array([1.0, -2.0, 0.5])), [1, -1, 1])
    assert (np.abs(box.sample(50, rng)) <= 1).all()
    assert np.array_equal(box.project(np.array([[2.0, -3.0, 0.2]])), [[1, -1, 0.2]])
    D, d = box.inequalities()
    assert (box.vertices() @ D.T <= d).all()
    points = FiniteSet(((0.0, 0.0), (0.0, 1.0), (1.0, 0.0)))
    assert points.dim == 2
    assert np.array_equal(points.maximise(np.array([0.0, 1.0])), [0, 1])
    assert np.array_equal(points.project(np.array([[0.9, 0.2]])), [[1, 0]])
    assert {tuple(row) for row in points.sample(60, rng)} == set(points.points)


def test_too_many_vertices_are_refused():
    with pytest.raises(ValueError, match="vertices"):
        BudgetSet(80, 16).vertices()
    with pytest.raises(ValueError, match="corners"):
        BoxSet(30).vertices()
