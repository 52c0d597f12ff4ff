import numpy as np
import pytest

from designopt.search.beliefs import memorable
from designopt.search.targets import penalised, penalty, scalarised


def test_penalised_losses_are_standardised_and_grow_with_squared_violations():
    losses = np.array([0.0, 2.0, 4.0])
    constraints = np.array([[-1.0, -5.0], [2.0, -1.0], [1.0, 3.0]])
    expected = losses / losses.std() + 1.5 * np.array([0.0, 4.0, 10.0])
    assert penalised(losses, constraints, 1.5) == pytest.approx(expected)
    assert penalised(1e9 * losses, constraints, 1.5) == pytest.approx(expected)


def test_equal_losses_are_penalised_as_they_are():
    assert penalised(np.array([3.0, 3.0]), np.array([[1.0], [-1.0]]), 1.0).tolist() == [4.0, 3.0]


def holds(*rows):
    return np.array(rows, dtype=bool)


def test_the_penalty_grows_after_every_five_evaluations_without_improvement():
    losses = np.full(14, 9.0)
    none = np.zeros(14, dtype=bool)
    assert [penalty(losses[:n], none[:n], 2) for n in (2, 6, 7, 11, 12)] == [1.0, 1.0, 1.5, 1.5, 2.25]


def test_a_better_feasible_design_starts_the_count_again():
    losses = np.array([9.0, 8.0, 8.0, 8.0, 8.0, 7.0, 7.0, 7.0, 7.0, 7.0])
    assert penalty(losses, np.ones(10, dtype=bool), 1) == 1.0  # 9 is the initial best; better at 8, again at 7
    infeasible = np.array([True, True, *[False] * 8])
    assert penalty(losses, infeasible, 1) == 1.5


def test_initial_designs_are_not_counted_and_missing_values_count_as_no_improvement():
    losses = np.array([9.0] * 5 + [np.nan] * 5)
    feasible = np.array([True] * 5 + [False] * 5)
    assert penalty(losses[:5], feasible[:5], 5) == 1.0
    assert penalty(losses, feasible, 5) == 1.5


def test_a_scalarised_loss_respects_dominance_and_units():
    losses = np.array([[0.0, 10.0], [1.0, 0.0], [1.0, 10.0], [0.5, 5.0]])
    value = scalarised(losses, np.random.default_rng(0))
    assert value.argmax() == 2
    assert scalarised(losses * [1e6, 1e-6], np.random.default_rng(0)) == pytest.approx(value)
    weights = np.random.default_rng(0).dirichlet([1.0, 1.0])
    assert value[0] == pytest.approx(1.05 * weights[1])
    assert value[3] == pytest.approx(weights.max() / 2 + 0.025)


def test_a_constant_objective_scalarises():
    assert np.isfinite(scalarised(np.array([[1.0, 2.0], [1.0, 3.0]]), np.random.default_rng(0))).all()


def test_a_network_is_shown_the_best_the_nearly_feasible_and_the_latest():
    losses = np.array([5.0, 1.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    violation = np.array([-4.0, -4.0, 7.0, -0.1, 0.2, 5.0, 5.0, 5.0, 6.0, 6.0])
    assert memorable(losses, violation, 6).tolist() == [0, 1, 3, 4, 8, 9]


def test_without_feasible_designs_the_least_infeasible_are_the_best():
    violation = np.array([3.0, 2.0, 1.0, 4.0, 5.0, 6.0, 7.0])
    assert memorable(np.zeros(7), violation, 3).tolist() == [1, 2, 6]
