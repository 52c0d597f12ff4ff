"""Location-transportation, facility disruption and capital budgeting: certified worst cases against brute force."""

import csv
import io
import itertools
import zipfile

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

import designopt as do
from designopt import data
from designopt.envs.robust.capital_budgeting import (
    LATE_SHARE,
    BudgetingInstance,
    CapitalBudgeting,
    generate_budgeting,
    read_budgeting,
)
from designopt.envs.robust.facility_disruption import FacilityDisruption
from designopt.envs.robust.location_transport import LocationTransport, polytope_vertices
from designopt.testing import check_env
from designopt.two_stage import ScenarioBlocks

INSTANCES, KNOWN, POOL = (f"robust/cb_{name}" for name in ("instances.zip", "best_known.csv", "scenarios.npz"))


@pytest.mark.parametrize(
    "env", [LocationTransport(), LocationTransport(3, 3), FacilityDisruption(4, 3, 1), CapitalBudgeting(n=5)]
)
def test_environments_conform(env):
    check_env(env, samples=4)
    assert isinstance(env, ScenarioBlocks)


# Location and transportation -----------------------------------------------------------------------------------------


def test_the_textbook_case_costs_33680_and_column_generation_proves_it():
    env = LocationTransport()
    found = env.evaluate(np.array([env.reference.design]))
    assert found.objectives[0, 0] == pytest.approx(33680, abs=1e-6)
    assert found.constraints.max() <= 1e-9
    result = do.optimize(env, search="ccg", budget=30, seed=0)
    assert result.best_value == pytest.approx(33680, abs=1e-4)
    assert result.bound == pytest.approx(33680, rel=1e-5)


def test_worst_demand_is_at_a_vertex_of_the_demand_set():
    env, rng = LocationTransport(), np.random.default_rng(0)
    D, d = env.demand_set
    corners = env.scenarios
    assert (corners @ D.T <= d + 1e-9).all()
    for direction in rng.normal(size=(20, 3)):
        best = linprog(-direction, A_ub=D, b_ub=d, bounds=[(None, None)] * 3)
        assert (corners @ direction).max() == pytest.approx(-best.fun, abs=1e-9)
    assert len(polytope_vertices(np.vstack([np.eye(2), -np.eye(2)]), np.array([1.0, 1, 0, 0]))) == 4
    (low, high), scenario, recourse = env.worst_case(env.reference.design)
    assert low == high == pytest.approx(env.second_stage(env.reference.design, scenario).value)
    inside = rng.dirichlet(np.ones(len(corners)), size=20) @ corners
    assert (env.second_stage_values(np.tile(env.reference.design, (20, 1)), inside) <= high + 1e-6).all()
    shipped, missed = recourse[:9].reshape(3, 3), recourse[9:]
    assert shipped.sum(axis=0) + missed == pytest.approx(env.base + env.deviation * scenario)
    assert (shipped.sum(axis=1) <= np.array(env.reference.design[3:]) + 1e-6).all()


def test_too_little_capacity_and_capacity_at_closed_places_are_violations_not_errors():
    env = LocationTransport()
    nothing, closed, little = np.zeros(6), np.array([1.0, 0, 0, 800, 50, 0]), np.array([1.0, 0, 0, 700, 0, 0])
    found = env.evaluate(np.array([nothing, closed, little]))
    assert np.isfinite(found.objectives).all()
    assert found.constraints[0] == pytest.approx([772.0, 0.0])  # 700 units of demand and 1.8 times 40
    assert found.constraints[1] == pytest.approx([-28.0, 50.0])
    assert found.constraints[2, 0] == pytest.approx(72.0)
    assert found.objectives[0, 0] == pytest.approx(772 * 33.0)  # nothing is served: the dearest route a unit


def test_worst_cases_stop_at_a_cutoff_and_out_of_time():
    env = LocationTransport()
    (low, high), *_ = env.worst_case(env.reference.design, cutoff=30_000)
    assert 30_000 <= low <= 33680 + 1e-6
    assert high == np.inf
    assert env.worst_case(env.reference.design, seconds=0).interval[1] == np.inf


def test_generated_cases_of_location_have_their_sizes():
    env = LocationTransport(facilities=4, customers=5, budget=2, seed=1)
    assert env.design_space.dim == 8
    assert len(env.scenarios) == 1 + 5 + 10
    assert env.most_demand == pytest.approx(env.base.sum() + np.sort(env.deviation)[-2:].sum())
    everything = np.concatenate([np.ones(4), env.largest])
    assert env.evaluate(everything[None]).feasible.all()
    same, other = LocationTransport(4, 5, 2, 1), LocationTransport(4, 5, 2, 2)
    assert np.array_equal(same.route, env.route)
    assert not np.array_equal(other.route, env.route)
    with pytest.raises(ValueError, match="budget = 9"):
        LocationTransport(2, 3, budget=9)


# Facility disruption -------------------------------------------------------------------------------------------------


def transport(env, x, working):
    """Cost of one design and one set of working facilities, with shares instead of units."""
    m, n = env.distance.shape
    cost = np.concatenate([(env.distance * env.demand).ravel(), env.penalty * env.demand])
    load = np.hstack([np.kron(np.eye(m), env.demand[None]), np.zeros((m, n))])
    answer = linprog(
        cost,
        A_ub=load,
        b_ub=env.capacity * x * working,
        A_eq=np.hstack([np.tile(np.eye(n), m), np.eye(n)]),
        b_eq=np.ones(n),
    )
    return env.opening @ x + answer.fun


def test_disruption_agrees_with_brute_force_over_designs_and_all_failures():
    env = FacilityDisruption(facilities=5, customers=4, failures=2, seed=3)
    designs = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    # Every set of at most two failures, not only the largest ones.
    sets = [np.isin(np.arange(5), rows) for k in range(3) for rows in itertools.combinations(range(5), k)]
    exact = np.array([max(transport(env, x, 1.0 - failed) for failed in sets) for x in designs[::3]])
    found = env.evaluate(designs).objectives[:, 0]
    assert found[::3] == pytest.approx(exact, rel=1e-7)
    result = do.optimize(env, search="ccg", budget=40, seed=0)
    assert result.best_value == pytest.approx(found.min(), rel=1e-7)
    assert result.bound == pytest.approx(found.min(), rel=1e-4)


def test_more_failures_are_never_better_and_none_is_the_plain_location_problem():
    worst = [
        FacilityDisruption(5, 4, failures, seed=1).evaluate(np.ones((1, 5))).objectives[0, 0] for failures in range(6)
    ]
    assert (np.diff(worst) >= -1e-9).all()
    assert worst[5] > worst[0]
    env = FacilityDisruption(5, 4, 5, seed=1)
    assert worst[5] == pytest.approx(env.opening.sum() + env.penalty * env.demand.sum())  # everything is lost
    assert worst[0] == pytest.approx(transport(env, np.ones(5), np.ones(5)))


def test_disruptions_that_cannot_be_listed_are_refused():
    with pytest.raises(ValueError, match="184756 scenarios"):
        FacilityDisruption(facilities=20, failures=10)
    with pytest.raises(ValueError, match="failures = 9"):
        FacilityDisruption(facilities=3, failures=9)


# Capital budgeting ---------------------------------------------------------------------------------------------------


def recourse_milp(env, x, xi):
    """The second stage by scipy: profit."""
    cost, revenue = env.costs(xi[None])[0], env.revenues(xi[None])[0]
    room = LinearConstraint(cost[None], ub=env.budget - cost @ x)
    bounds = Bounds(0, 1 - x)
    answer = milp(
        -LATE_SHARE * revenue,
        constraints=[room],
        integrality=np.ones(len(x)),
        bounds=bounds,
        options={"mip_rel_gap": 0},
    )
    return revenue @ x - answer.fun


@pytest.mark.parametrize("n", [6, 15])
def test_second_stage_of_budgeting_equals_its_programme(n):
    env, rng = CapitalBudgeting(n=n, seed=4), np.random.default_rng(0)
    for xi in env.uncertainty.sample(8, rng):
        x = np.zeros(n)
        x[rng.choice(n, n // 4)] = 1.0
        stage = env.second_stage(x, xi)
        assert stage.value == pytest.approx(recourse_milp(env, x, xi), abs=1e-7)
        assert env.second_stage_values(x[None], xi[None])[0] == pytest.approx(stage.value, abs=1e-12)
        assert (x + stage.recourse).max() <= 1
        assert env.costs(xi[None])[0] @ (x + stage.recourse) <= env.budget + 1e-9


def test_a_design_is_feasible_when_the_dearest_scenario_is_affordable():
    env = CapitalBudgeting(n=8, boxes=2)
    designs = env.design_space.sample(40, 0)
    dearest = np.array([env.costs(env.uncertainty.vertices()) @ x for x in designs]).max(axis=1)
    feasible = env.evaluate(designs).feasible
    assert np.array_equal(feasible, dearest <= env.budget)
    assert 0 < feasible.sum() < 40


def enumerated_worst(env, x):
    """The infimum for one risk factor: profits right after every price at which a recourse stops being affordable."""
    k, n = env.instance, len(x)
    points = [-1.0, 1.0]
    for y in itertools.product([0.0, 1.0], repeat=n):
        if (x + y).max() <= 1:
            held = x + np.array(y)
            slope = held @ (k.cost * k.cost_loading[:, 0]) / 2
            if slope > 0:
                points.append(float(np.clip((env.budget - held @ k.cost) / slope, -1, 1)) + 1e-12)
    scenarios = np.clip(np.array(points), -1, 1)[:, None]
    return env.sampled_worst_case(x, scenarios)


@pytest.mark.parametrize("seed", range(5))
def test_bracket_of_budgeting_closes_on_the_enumerated_infimum(seed):
    env = CapitalBudgeting(n=6, factors=1, seed=seed, boxes=20_000)
    for x in np.eye(6)[:3]:
        (low, high), scenario, recourse = env.worst_case(x)
        exact = enumerated_worst(env, x)
        assert low - 1e-9 <= exact <= high + 1e-6
        assert high - low <= 1e-6 * max(1, high)
        assert env.second_stage(x, scenario).value == pytest.approx(high, abs=1e-12)
        assert np.array_equal(env.second_stage(x, scenario).recourse, recourse)


def test_no_sample_of_four_factors_falls_below_the_bracket_and_more_boxes_narrow_it():
    x = np.eye(10)[2]
    widths = []
    scenarios = np.vstack(
        [np.random.default_rng(0).uniform(-1, 1, (20_000, 4)), CapitalBudgeting().uncertainty.vertices()]
    )
    for boxes in (500, 4000, 64_000):
        env = CapitalBudgeting(n=10, seed=2, boxes=boxes)
        (low, high), *_ = env.worst_case(x)
        assert low <= env.sampled_worst_case(x, scenarios)
        assert low <= high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 1e-2
    assert high <= env.sampled_worst_case(x, scenarios)  # sampled is optimistic
    found = env.evaluate(x[None])
    assert found.objectives[0, 0] == found.metrics["profit_lower"][0] == low
    assert found.metrics["profit_upper"][0] == high


def test_budgeting_stops_at_a_cutoff_and_out_of_time():
    env, x = CapitalBudgeting(seed=2, boxes=64_000), np.eye(10)[2]
    low, high = env.worst_case(x).interval
    cut = env.worst_case(x, cutoff=high + 0.5).interval
    assert cut[0] < low
    assert high <= cut[1] <= high + 0.5
    late = env.worst_case(x, seconds=0).interval
    assert late[0] <= low
    assert late[1] >= high


def test_generated_budgeting_follows_the_published_rule():
    k = generate_budgeting(30, 4, 5)
    assert (k.cost >= 1).all()
    assert (k.cost <= 10).all()
    assert k.revenue == pytest.approx(k.cost / 5)
    assert k.budget == pytest.approx(k.cost.sum() / 2)
    for loading in (k.cost_loading, k.revenue_loading):
        assert loading.shape == (30, 4)
        assert (loading >= 0).all()
        assert loading.sum(axis=1) == pytest.approx(np.ones(30))
    assert not np.array_equal(k.cost_loading, k.revenue_loading)
    with pytest.raises(ValueError, match="n = 0"):
        generate_budgeting(0)
    with pytest.raises(ValueError, match="'nominal'"):
        CapitalBudgeting(budget="nominal")
    with pytest.raises(ValueError, match="boxes = 0"):
        CapitalBudgeting(boxes=0)


GOOD = "3 2 2 5.9 4\n4 6\n1 2\n0.5 0.5\n0.2 0.8\n1 0\n0.3 0.7\n"


def test_files_are_read_and_the_published_budget_is_cut_to_a_whole_number(tmp_path):
    (tmp_path / "ok").write_text(GOOD)
    k = read_budgeting(tmp_path / "ok")
    assert k.cost.tolist() == [4, 6]
    assert k.revenue.tolist() == [1, 2]
    assert k.cost_loading.tolist() == [[0.5, 0.5], [0.2, 0.8]]
    assert k.revenue_loading.tolist() == [[1, 0], [0.3, 0.7]]
    assert CapitalBudgeting(str(tmp_path / "ok")).budget == 5.9
    assert CapitalBudgeting(k, budget="published").budget == 5.0
    assert isinstance(k, BudgetingInstance)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 5 values"),
        (GOOD.replace("3 2 2 5.9 4", "3 2 2 5.9"), "line 1: expected 5 values"),
        (GOOD.replace("4 6", "4 six"), "line 2: .*six"),
        (GOOD.replace("4 6", "4 6 7"), "line 2: 3 costs; expected 2"),
        (GOOD.replace("1 2", "1 nan"), "line 3: a value is not finite"),
        (GOOD.replace("0.2 0.8", "0.2"), "line 5: 1 loadings; expected 2"),
        (GOOD.replace("1 0", "-1 2"), "line 6, field loadings: -1"),
        (GOOD.replace("3 2 2", "3 4 2"), "7 lines; line 1 says n = 4, so expected 11"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path, text, message):
    (tmp_path / "broken").write_text(text)
    with pytest.raises(ValueError, match=rf"broken.*{message}"):
        read_budgeting(tmp_path / "broken")


def test_absent_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        CapitalBudgeting(str(tmp_path / "absent"))


@pytest.mark.skipif(
    not all(data.available(name) for name in (INSTANCES, KNOWN, POOL)), reason=f"{INSTANCES} is not on this machine"
)
def test_published_values_of_ten_projects_are_reproduced_and_are_not_worst_cases(tmp_path):
    rows = [r for r in csv.DictReader(io.StringIO(data.find(KNOWN).read_text())) if r["n"] == "10"]
    sampled = np.random.RandomState(10000).uniform(-1, 1, (10000, 4))
    pool = np.load(data.find(POOL))
    optimistic = 0
    with zipfile.ZipFile(data.find(INSTANCES)) as archive:
        members = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        for row in rows[:6]:
            path = tmp_path / row["instance"]
            path.write_bytes(archive.read(members[row["instance"]]))
            env = CapitalBudgeting(path, budget="published")
            x = np.array(list(row["neur2ro_x"]), dtype=float)
            value = env.sampled_worst_case(x, np.vstack([sampled, pool[row["instance"]]]))
            assert value == pytest.approx(-float(row["neur2ro_obj"]), abs=1e-12)
            low, high = env.worst_case(x).interval
            assert low <= value
            optimistic += high < value - 1e-3
    assert optimistic > 0
