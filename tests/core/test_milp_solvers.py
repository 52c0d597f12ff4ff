"""One interface to HiGHS, SCIP and Gurobi: the same optimum, bound, incumbents, start and message of each."""

import importlib
import importlib.util
import itertools

import numpy as np
import pytest

import designopt as do
from designopt.envs.robust.knapsack import RobustKnapsack
from designopt.milp import INFINITY, MILP, SOLVERS, solve

PACKAGES = {"highs": "highspy", "scip": "pyscipopt", "gurobi": "gurobipy"}


@pytest.fixture(params=SOLVERS)
def solver(request):
    if importlib.util.find_spec(PACKAGES[request.param]) is None:
        pytest.skip(f"{PACKAGES[request.param]} is not installed")
    return request.param


def random_programme(seed):
    """Six binaries and a continuous variable, rows of all three kinds."""
    rng = np.random.default_rng(seed)
    A = rng.integers(-5, 10, (3, 7)).astype(float)
    return MILP(
        cost=rng.normal(size=7),
        A=A,
        row_lower=np.array([-INFINITY, -8.0, -4.0]),
        row_upper=np.array([12.0, INFINITY, 15.0]),
        lower=np.append(np.zeros(6), -2.0),
        upper=np.append(np.ones(6), 3.0),
        integer=np.append(np.ones(6, dtype=bool), False),
    )


def enumerated(problem):
    """Least cost over the binaries; the continuous variable is at an end of what the rows leave."""
    best = np.inf
    for x in itertools.product([0.0, 1.0], repeat=6):
        rest, slope = problem.A[:, :6] @ x, problem.A[:, 6]
        low, high = problem.lower[6], problem.upper[6]
        feasible = True
        for r, s, below, above in zip(rest, slope, problem.row_lower, problem.row_upper, strict=True):
            if s == 0:
                feasible &= below <= r <= above
            else:
                ends = sorted([(below - r) / s, (above - r) / s])
                low, high = max(low, ends[0]), min(high, ends[1])
        if feasible and low <= high:
            best = min(best, problem.cost[:6] @ x + min(problem.cost[6] * low, problem.cost[6] * high))
    return best


@pytest.mark.parametrize("presolve", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_every_solver_finds_the_enumerated_optimum(solver, seed, presolve):
    problem = random_programme(seed)
    answer = solve(problem, gap=0.0, solver=solver, presolve=presolve)
    expected = enumerated(problem)
    assert answer.optimal
    assert answer.cost == pytest.approx(expected, abs=1e-6)
    assert answer.bound == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(answer.incumbents[-1], answer.values)
    assert problem.cost @ answer.values == pytest.approx(answer.cost)
    assert set(answer.values[:6]) <= {0.0, 1.0}


def test_every_solver_says_infeasible(solver):
    one, whole = np.ones(1), np.ones(1, dtype=bool)
    problem = MILP(one, -np.ones((1, 1)), -INFINITY * one, -2.0 * one, 0.0 * one, one, whole)
    nothing = solve(problem, solver=solver)
    assert nothing.values is None
    assert nothing.bound == np.inf


def test_every_solver_completes_a_start_and_gives_a_bound_out_of_time(solver):
    rng = np.random.default_rng(0)
    n = 60
    weights = rng.integers(100, 1000, (5, n)).astype(float)
    problem = MILP(
        -rng.integers(100, 1000, n + 1).astype(float),
        np.hstack([weights, np.zeros((5, 1))]),
        np.full(5, -INFINITY),
        weights.sum(axis=1) / 2,
        np.zeros(n + 1),
        np.ones(n + 1),
        np.ones(n + 1, dtype=bool),
    )
    start = np.append(np.zeros(n), np.nan)
    answer = solve(problem, seconds=0.3, gap=0.0, start=start, solver=solver)
    assert answer.values is not None
    assert (weights @ answer.values[:n] <= weights.sum(axis=1) / 2 + 1e-6).all()
    assert problem.cost.sum() - 1e-6 <= answer.bound <= answer.cost + 1e-6


def test_backends_take_the_solver(solver):
    env = RobustKnapsack(n=6, deviation=0.25, seed=2)
    best = env.evaluate(np.array(list(itertools.product([0.0, 1.0], repeat=6)))).objectives.max()
    result = do.optimize(
        env, search="relaxed_recourse", budget=50, descent_seconds=0.0, relaxed_seconds=60.0, solver=solver
    )
    assert result.best_value == pytest.approx(best, rel=1e-6)
    assert result.bound == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("backend", ["ccg", "k_adaptability", "nominal", "price_and_branch", "static_robust"])
def test_absent_and_unknown_solvers_are_named_by_every_backend(backend, monkeypatch):
    real = importlib.import_module

    def without(name, *arguments):
        if name in ("pyscipopt", "gurobipy"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without)
    for name, package in list(PACKAGES.items())[1:]:
        message = rf"solver = '{name}' needs the package {package}; install it with: pip install 'designopt\[{name}\]'"
        with pytest.raises(ValueError, match=message):
            do.optimize(RobustKnapsack(n=4), search=backend, budget=5, solver=name)
    with pytest.raises(ValueError, match="solver = 'cplex'; allowed: highs, scip, gurobi"):
        do.optimize(RobustKnapsack(n=4), search=backend, budget=5, solver="cplex")
