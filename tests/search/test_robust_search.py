"""White-box robust searches: optimal where brute force says so, bounds that hold, networks encoded exactly."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

import designopt as do
from designopt.envs.robust.capital_budgeting import CapitalBudgeting
from designopt.envs.robust.knapsack import RobustKnapsack
from designopt.launch import make_searcher
from designopt.milp import INFINITY, MILP, solve
from designopt.search.robust.adversary import ADVERSARIES, worst_scenario
from designopt.search.robust.descent import Neighbourhood, Screen
from designopt.search.robust.encoder import Programme, design_embedding, head_inputs, prediction, scenario_embedding
from designopt.search.robust.hull_cuts import hull_cut, with_cuts
from designopt.search.robust.labels import make_labels
from designopt.search.robust.main_descent import MainObjective, main_descent
from designopt.search.robust.models import one_recourse
from designopt.search.robust.neur2ro import arg_max_main, predict, repeated, without
from designopt.study import Study
from designopt.surrogates.training import write_weights
from designopt.surrogates.value_network import ValueNetwork

SMALL = {"n": 7, "deviation": 0.25, "seed": 2}
FAST = {
    "ccg": {},
    "k_adaptability": {"main_seconds": 5.0},
    "nominal": {},
    "price_and_branch": {},
    "relaxed_recourse": {"descent_seconds": 1.0, "restarts": 2},
    "robust_local": {"restarts": 3, "descent_seconds": 2.0},
    "static_robust": {},
}
EXACT = {"ccg", "relaxed_recourse", "robust_local"}


def brute_force(env):
    designs = np.array(list(itertools.product([0.0, 1.0], repeat=env.design_space.dim)))
    evaluation = env.evaluate(designs)
    return designs, evaluation.objectives[:, 0]


@pytest.fixture(scope="module", params=["UN", "WC", "ASC", "SC"])
def small(request):
    env = RobustKnapsack(correlation=request.param, **SMALL)
    designs, values = brute_force(env)
    return env, designs, values


def write_network(folder, kind="value", seed=0, features=6):
    torch.manual_seed(seed)
    network = ValueNetwork(features, 0.01 if kind == "residual" else 1.0)
    facts = {"network": "ValueNetwork", "features": features, "scale": network.scale}
    write_weights(folder / f"{kind}.safetensors", network, facts)
    return str(folder / f"{kind}.safetensors")


@pytest.mark.parametrize("name", FAST)
def test_backends_on_a_problem_that_brute_force_solves(name, small):
    env, _, values = small
    result = do.optimize(env, search=name, budget=200, seed=0, **FAST[name])
    assert result.best_value <= values.max() + 1e-6
    assert np.isclose(values, result.best_value, rtol=1e-6).any()
    if name in EXACT:
        assert result.best_value == pytest.approx(values.max(), rel=1e-6)
    if result.bound is not None:
        assert result.bound >= values.max() - 1e-6 * abs(values.max())
    if name == "ccg":
        assert result.bound == pytest.approx(values.max(), rel=1e-6)


def test_static_robust_programme_is_pessimistic_and_the_relaxed_one_optimistic(small):
    env, _, values = small
    model = env.affine_model()
    static = -solve(one_recourse(model, relaxed=False), gap=0.0).cost
    relaxed = -solve(one_recourse(model, relaxed=True), gap=0.0).cost
    assert static <= values.max() + 1e-6 <= relaxed + 2e-6
    assert relaxed - static > 1e-3


def test_two_recourses_are_worth_at_least_one(small):
    env, _, _ = small
    one = do.optimize(env, search="static_robust", budget=5)
    two = do.optimize(env, search="k_adaptability", budget=50, main_seconds=5.0)
    assert two.best_value >= one.best_value - 1e-6


def test_column_generation_bounds_better_than_relaxing_the_recourse(small):
    env, _, values = small
    price = do.optimize(env, search="price_and_branch", budget=50)
    relaxed = do.optimize(env, search="relaxed_recourse", budget=50, descent_seconds=0.5)
    assert values.max() - 1e-6 <= price.bound
    # Not at binary designs: there the hull is that of the recourse alone. Still both hold, and both are reported.
    assert relaxed.bound >= values.max() - 1e-6
    assert {"seconds", "event", "incumbent", "bound"} <= set(relaxed.trace[-1])
    assert "bound" in price.summary()


def test_cuts_hold_for_every_recourse_and_are_tight_at_their_design(small):
    env, designs, _ = small
    model, n = env.affine_model(), 7
    weights, room = model.recourse.W[-1], model.recourse.h[-1]
    recourses = np.array([np.array(z).T.ravel() for z in itertools.product([(0, 0), (1, 0), (1, 1)], repeat=n)])
    recourses = recourses[recourses @ weights <= room]
    rng = np.random.default_rng(0)
    for x in designs[rng.choice(len(designs), 4, replace=False)]:
        xi = env.worst_case(x).scenario
        cut = hull_cut(env, model, x, xi)
        slack = recourses @ cut.slopes - cut.least
        assert slack.min() == pytest.approx(0.0, abs=1e-3)
        assert slack.min() >= 0.0
        # Lifted: every entry that some recourse may use is in a recourse that the cut holds back.
        for j in np.flatnonzero(recourses.any(axis=0)):
            assert slack[recourses[:, j] > 0].min() == pytest.approx(0.0, abs=1e-3)
        allowed = recourses[(recourses[:, :n] <= x).all(axis=1)]
        least = min(allowed @ (model.recourse.z_cost + model.Q.T @ xi))
        assert cut.least == pytest.approx(least, abs=1e-3)


def test_programme_with_the_cut_of_its_design_is_exact_there(small):
    env, designs, values = small
    model = env.affine_model()
    relaxed = one_recourse(model, relaxed=True)
    missed = 0.0
    for i in (37, 90, 127):
        x = designs[i]
        fixed = dataclasses.replace(
            relaxed, lower=np.append(x, relaxed.lower[7:]), upper=np.append(x, relaxed.upper[7:])
        )
        cut = hull_cut(env, model, x, env.worst_case(x).scenario)
        assert -solve(with_cuts(fixed, [cut], 7)).cost == pytest.approx(values[i], rel=1e-5, abs=1e-3)
        missed = max(missed, -solve(with_cuts(fixed, [], 7)).cost - values[i])
    assert missed > 1.0  # without the cut it is not


def test_relaxed_recourse_proves_the_optimum_of_small_instances(small):
    env, _, values = small
    result = do.optimize(env, search="relaxed_recourse", budget=200, descent_seconds=0.0, relaxed_seconds=60.0)
    assert result.best_value == pytest.approx(values.max(), rel=1e-6)
    assert result.bound == pytest.approx(values.max(), rel=2e-6)


def test_a_larger_instance_is_solved_with_a_small_proved_gap():
    env = RobustKnapsack(n=40, correlation="UN", seed=1)
    result = do.optimize(env, search="relaxed_recourse", budget=100, relaxed_seconds=3.0, descent_seconds=1.0)
    assert result.best_value <= result.bound * (1 + 1e-6)
    assert result.bound - result.best_value < 0.01 * result.best_value


def test_structured_backends_refuse_other_environments():
    with pytest.raises(ValueError, match=r"RelaxedRecourseSearch needs an environment that offers AffineRecourse"):
        do.optimize("designopt/WeldedBeam-v0", search="relaxed_recourse", budget=5)


@pytest.mark.parametrize("name", ["relaxed_recourse", "ccg", "robust_local"])
def test_same_seed_same_designs_and_black_box_told_designs_are_not_asked_again(name):
    env = RobustKnapsack(n=5, correlation="SC", deviation=0.25, seed=2)
    runs = [do.optimize(env, search=name, budget=30, seed=1, **FAST[name]).designs for _ in range(2)]
    assert np.array_equal(*runs)
    searcher = make_searcher(env, name, seed=1, **FAST[name])
    searcher.tell(runs[0][:1], env.evaluate(runs[0][:1]))
    again = Study(env, searcher, budget=30).run()
    assert not (again.designs == runs[0][0]).all(axis=1).any()
    assert again.best_value is None or again.best_value <= env.evaluate(runs[0]).objectives.max() + 1e-9


def test_a_study_stops_in_time_and_keeps_its_incumbent():
    env = RobustKnapsack(n=60, correlation="WC", seed=3)
    result = do.optimize(env, search="relaxed_recourse", budget=1000, seconds=3.0)
    assert result.best_value > 0
    assert result.search_seconds < 30  # each programme is cut at what is left, however slow the machine


def test_local_search_keeps_to_the_budget_of_the_first_stage():
    env = CapitalBudgeting(n=6, factors=1, seed=1, boxes=256)
    designs = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    evaluation = env.evaluate(designs)
    values = evaluation.objectives[evaluation.feasible, 0]
    assert not evaluation.feasible.all()
    result = do.optimize(env, search="robust_local", budget=30, restarts=60, descent_seconds=60.0)
    assert result.best_value == pytest.approx(values.max(), rel=1e-5)
    assert result.evaluation.feasible.all()


# Programmes ------------------------------------------------------------------------------------------------------


def toy(cost, rows, high, upper, integer):
    A = np.atleast_2d(np.array(rows, dtype=float))
    return MILP(
        np.array(cost, dtype=float),
        A,
        np.full(len(A), -INFINITY),
        np.array(high, dtype=float),
        np.zeros(len(cost)),
        np.array(upper, dtype=float),
        np.array(integer),
    )


def test_solver_gives_value_bound_and_incumbents():
    answer = solve(toy([-5, -4, -3], [[2, 3, 1]], [5], [1, 1, 1], [True] * 3), gap=0.0)
    assert answer.optimal
    assert answer.cost == pytest.approx(-9.0)
    assert answer.bound == pytest.approx(-9.0)
    assert np.array_equal(answer.values, [1, 1, 0])
    assert np.array_equal(answer.incumbents[-1], answer.values)


def test_solver_says_infeasible_and_takes_a_start():
    nothing = solve(toy([1], [[-1]], [-2], [1], [True]))
    assert nothing.values is None
    assert nothing.bound == np.inf
    problem = toy([-1.0] * 30, [np.arange(1, 31)], [100], [1.0] * 30, [True] * 30)
    started = solve(problem, seconds=0.01, start=np.zeros(30))
    assert started.values is not None


def test_solver_completes_a_partial_start():
    # The second entry is the first one's square: to be found by the solver from the first alone.
    problem = toy([0.0, -1.0, 0.0], [[-1, 1, 0], [1, -1, 0], [0, 0, 1]], [0, 0, 1], [1, 1, 1], [True, False, False])
    answer = solve(problem, seconds=5.0, start=np.array([1.0, np.nan, np.nan]))
    assert answer.cost == pytest.approx(-1.0)
    assert np.array_equal(answer.values[:2], [1, 1])


def test_solver_prints_nothing(capfd):
    solve(toy([-1], [[1]], [0.5], [1], [True]))
    assert capfd.readouterr().out == ""


# Screening -------------------------------------------------------------------------------------------------------


def test_screened_bounds_hold_for_every_flip_and_swap(small):
    env, designs, values = small
    rng = np.random.default_rng(0)
    screen = Screen(7, 7)
    for xi in env.uncertainty.sample(10, rng):
        screen.add(-env.second_stage((rng.random(7) < 0.6).astype(float), xi).bound, xi)
    x = np.array([1, 0, 1, 0, 1, 1, 0.0])
    around = Neighbourhood(x, screen)
    worst = {row.tobytes(): -value for row, value in zip(designs, values, strict=True)}
    seen = set()
    for move in range(len(around.score)):
        y = around.design(move)
        seen.add(y.tobytes())
        assert around.score[move] <= worst[y.tobytes()] + 1e-6
        assert around.score[move] == pytest.approx(screen.bounds(y).max())
        assert 1 <= np.abs(y - x).sum() <= 2
    assert len(seen) == len(around.score) == 7 + 4 * 3


# Networks --------------------------------------------------------------------------------------------------------


def test_network_ignores_padding_and_the_order_of_items():
    torch.manual_seed(0)
    network = ValueNetwork()
    X, Xi, F = torch.rand(3, 5).round(), torch.rand(4, 5), torch.rand(5, 6)
    count = torch.tensor(5.0)
    values = network(X, Xi, F, count)
    assert values.shape == (3, 4)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(network(X[:, order], Xi[:, order], F[order], count), values, atol=1e-6)
    pad = torch.nn.functional.pad
    padded = network(pad(X, (0, 3)), pad(Xi, (0, 3)), pad(F, (0, 0, 0, 3)), count)
    assert torch.allclose(padded, values, atol=1e-6)


def test_labels_are_exact_and_reproducible():
    labels = make_labels(3, designs=4, scenarios=6, sizes=(5, 9), seed=3)
    again = make_labels(1, designs=4, scenarios=6, sizes=(5, 9), seed=3, first=2)
    assert np.array_equal(again.value[0], labels.value[2])
    assert labels.X.shape == (3, 4, 9)
    assert (labels.residual >= -1e-6).all()
    assert labels.residual.max() > 0
    assert (labels.value <= 1e-6).all()
    assert (labels.value >= -1).all()
    assert (labels.Xi.sum(axis=2) <= 0.2 * labels.count[:, None] + 1e-4).all()
    assert not labels.X[0, :, int(labels.count[0]) :].any()


@pytest.mark.parametrize("seed", range(3))
def test_encoded_network_equals_its_forward_pass_at_every_design(seed):
    env = RobustKnapsack(n=5, seed=1)
    torch.manual_seed(seed)
    network = ValueNetwork()
    features = env.item_features()
    xi = env.uncertainty.sample(3, np.random.default_rng(seed))[2]
    programme = Programme()
    columns = programme.add(5, 0.0, 1.0, integer=True)
    e_x = design_embedding(programme, network.design, features, columns)
    inputs = head_inputs(programme, network, e_x)
    output = prediction(programme, network, inputs, scenario_embedding(network.scenario, features, xi))
    built = programme.build()
    for design in itertools.product([0.0, 1.0], repeat=5):
        x = np.array(design)
        fixed = dataclasses.replace(built, lower=np.append(x, built.lower[5:]), upper=np.append(x, built.upper[5:]))
        values = solve(fixed, gap=0.0).values
        encoded = output.constant[0] + output.coefficients[0] @ values[output.columns]
        expected = predict(network, features, x, xi[None])[0]
        assert encoded == pytest.approx(expected, abs=1e-5)
        assert output.low[0] - 1e-6 <= expected <= output.high[0] + 1e-6


def test_arg_max_main_problem_takes_the_recourse_cost_of_the_scenario_the_network_calls_worst():
    env = RobustKnapsack(n=6, seed=4)
    torch.manual_seed(1)
    network, features = ValueNetwork(), env.item_features()
    scenarios = list(env.uncertainty.sample(3, np.random.default_rng(1)))
    model = env.affine_model()
    answer = solve(arg_max_main(env, model, network, features, scenarios), gap=0.0)
    best = np.inf
    for design in itertools.product([0.0, 1.0], repeat=6):
        x = np.array(design)
        worst = scenarios[int(predict(network, features, x, np.stack(scenarios)).argmax())]
        best = min(best, -env.second_stage(x, worst).value)
    assert answer.cost == pytest.approx(best, abs=1e-4)


def test_main_objective_is_the_exact_second_stage_under_the_scenario_called_worst():
    env = RobustKnapsack(n=6, seed=4)
    network, features = ValueNetwork.load(), env.item_features()
    scenarios = [env.worst_case(x).scenario for x in (np.eye(6)[0] + np.eye(6)[1], np.ones(6))]
    scenarios += [env.uncertainty.maximise(direction) for direction in np.eye(6)]
    X = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    objective = MainObjective(env, network, features, scenarios)
    chosen = [scenarios[int(predict(network, features, x, np.stack(scenarios)).argmax())] for x in X]
    assert np.array_equal(objective.worst(X), chosen)
    assert len(np.unique(objective.worst(X), axis=0)) > 1
    expected = [-env.second_stage(x, xi).value for x, xi in zip(X, chosen, strict=True)]
    assert objective(X) == pytest.approx(expected, abs=1e-8)


def test_main_descent_ends_where_no_design_within_its_reach_is_better():
    weights = np.array([3.0, -2.0, 1.0, -4.0, -1.0, 2.0, -3.0, 5.0])

    def objective(X):
        return X @ weights + 2.5 * (X[:, 1] * X[:, 3]) + 1.5 * X[:, 4] * X[:, 6]

    def run(x, visited=(), radius=8):
        start = np.array(x, dtype=float)
        rng = np.random.default_rng(0)
        return main_descent(objective, start, float(objective(start[None])[0]), visited, radius, rng, lambda: False)

    X = np.array(list(itertools.product([0.0, 1.0], repeat=8)))
    best, value = run(np.zeros(8))
    assert value == objective(best[None])[0]
    near = np.abs(X - best).sum(axis=1)
    one_way = np.isin((X - best).sum(axis=1), [-1, 0, 1])  # a flip, or a swap of one in for one out
    assert (objective(X[(near <= 2) & one_way]) >= value).all()
    assert np.abs(run(np.ones(8), radius=3)[0] - 1).sum() <= 3
    other, worse = run(np.zeros(8), visited={best.tobytes()})
    assert not np.array_equal(other, best)
    assert worse >= value
    # A swap where no flip helps: one item has to leave for the other to enter.
    swapped, _ = main_descent(
        lambda X: np.where(X.sum(axis=1) == 1, X @ np.arange(8.0), 100.0),
        np.eye(8)[7], 7.0, (), 8, np.random.default_rng(0), lambda: False,
    )  # fmt: skip
    assert np.array_equal(swapped, np.eye(8)[0])
    assert np.array_equal(
        main_descent(objective, np.ones(8), 1.0, (), 8, np.random.default_rng(0), lambda: True)[0], np.ones(8)
    )


def test_programme_without_visited_and_far_designs():
    gains = np.array([-4.0, -3.0, -2.0, -1.0])
    main = toy(gains, [[1, 1, 1, 1]], [4], [1] * 4, [True] * 4)
    allowed, left = [], []
    centre = np.array([1.0, 1, 0, 0])
    while (answer := solve(without(main, left, centre, 1), gap=0.0)).values is not None:
        assert gains @ answer.values >= (gains @ allowed[-1] if allowed else -np.inf) - 1e-9
        left.append(answer.values)
        allowed.append(answer.values)
    expected = [x for x in itertools.product([0.0, 1.0], repeat=4) if np.abs(np.array(x) - centre).sum() <= 1]
    assert {tuple(x) for x in allowed} == set(expected)
    assert np.array_equal(solve(without(main, [np.ones(4)]), gap=0.0).values, [1, 1, 1, 0])
    assert without(main, []) is main


def test_repeated_scenarios_are_told_as_published():
    old = np.array([0.5, 0.5, 0.0])
    step = np.array([1.0, -1.0, 0.0])
    assert repeated(old + 0.0004 * step, [np.ones(3), old])
    assert not repeated(old + 0.0006 * step, [np.ones(3), old])
    assert not repeated(old, [])


@pytest.mark.parametrize("kind", ADVERSARIES)
def test_adversaries_stay_in_the_set_and_leave_absent_items_alone(kind):
    env = RobustKnapsack(n=8, seed=4)
    torch.manual_seed(2)
    network, features = ValueNetwork(), env.item_features()
    x = np.array([1, 1, 0, 1, 0, 1, 1, 1.0])
    exact = env.worst_case(x).scenario
    arguments = env, network, features, x, exact
    scenario, predicted = worst_scenario(kind, *arguments, np.random.default_rng(0))
    assert scenario.sum() <= env.instance.budget + 1e-6
    assert (scenario >= -1e-9).all()
    assert predicted == pytest.approx(predict(network, features, x, scenario[None])[0], abs=1e-5)
    if kind == "exact":
        assert np.array_equal(scenario, exact)
    else:
        assert not scenario[x == 0].any()
        sampled = worst_scenario("sampling", *arguments, np.random.default_rng(0))[1]
        assert predicted >= sampled - 1e-6


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_neur2ro_returns_the_best_exactly_evaluated_design_whatever_its_network(adversary, residual, tmp_path):
    env = RobustKnapsack(correlation="WC", **SMALL)
    _, values = brute_force(env)
    weights = write_network(tmp_path, "residual" if residual else "value")
    result = do.optimize(
        env, search="neur2ro", budget=50, adversary=adversary, residual=residual, weights=weights, iterations=4
    )
    assert np.isclose(values, result.best_value, rtol=1e-6).any()
    rows = [row for row in result.trace if row["event"] == "adversary"]
    assert rows
    assert max(row["exact"] for row in rows) == pytest.approx(result.best_value, rel=1e-6)
    assert all(np.isfinite(row["predicted"]) for row in rows)


def test_neur2ro_ends_when_a_scenario_comes_again_but_goes_on_within_a_time_limit(tmp_path):
    env = RobustKnapsack(n=5, correlation="WC", deviation=0.25, seed=2)
    weights = write_network(tmp_path)
    ended = do.optimize(env, search="neur2ro", budget=500, weights=weights)
    went_on = do.optimize(env, search="neur2ro", budget=500, weights=weights, seconds=600, iterations=25)
    visited = [[row["exact"] for row in run.trace if row["event"] == "adversary"] for run in (ended, went_on)]
    assert len(visited[0]) < len(visited[1])
    _, values = brute_force(env)
    assert went_on.best_value == pytest.approx(values.max(), rel=1e-6)
    # No design twice: no value more often than designs have it.
    for value in visited[1]:
        assert np.isclose(visited[1], value, rtol=1e-7).sum() <= np.isclose(values, value, rtol=1e-5).sum()
    assert (np.diff(went_on.evaluation.objectives[:, 0]) > 0).all()


def test_polished_neur2ro_is_locally_optimal(tmp_path):
    env = RobustKnapsack(correlation="SC", **SMALL)
    _, values = brute_force(env)
    result = do.optimize(env, search="neur2ro", budget=50, polish=True, weights=write_network(tmp_path), iterations=3)
    assert result.best_value >= np.sort(values)[-3]


def test_weights_of_other_dimensions_or_kinds_are_refused(tmp_path):
    env = RobustKnapsack(n=5)
    with pytest.raises(ValueError, match="describe an item by 4 features; RobustKnapsack has 6"):
        do.optimize(env, search="neur2ro", budget=3, weights=write_network(tmp_path, features=4))
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"broken\.safetensors is not a safetensors file"):
        do.optimize(env, search="neur2ro", budget=3, weights=str(tmp_path / "broken.safetensors"))
    with pytest.raises(ValueError, match="no weights file"):
        do.optimize(env, search="neur2ro", budget=3, weights=str(tmp_path / "absent.safetensors"))
