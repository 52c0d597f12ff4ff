import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from designopt.metrics import (
    best_so_far,
    feasible_share,
    hypervolume,
    mean_ranks,
    non_dominated,
    simple_regret,
)

# Few distinct values, so that ties and equal rows are common.
VALUES = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([np.nan, np.inf, -np.inf]))
LOSSES = hnp.arrays(np.float64, st.tuples(st.integers(0, 25), st.integers(1, 4)), elements=VALUES)
FINITE = hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(0, 1))


def dominated_by_any(losses, row):
    return any((other <= row).all() and (other < row).any() for other in losses)


@given(LOSSES)
def test_non_dominated_is_what_the_definition_says(losses):
    expected = [not np.isnan(row).any() and not dominated_by_any(losses, row) for row in losses]
    assert non_dominated(losses).tolist() == expected


def test_equal_rows_are_all_non_dominated_and_nan_never_is():
    losses = np.array([[1.0, 2.0], [1.0, 2.0], [np.nan, 0.0], [2.0, 2.0]])
    assert non_dominated(losses).tolist() == [True, True, False, False]


@pytest.mark.parametrize("m", [2, 3])
def test_non_dominated_handles_a_hundred_thousand_rows(m):
    losses = np.random.default_rng(m).random((100_000, m))
    on_sphere = losses[:1000] / np.linalg.norm(losses[:1000], axis=1, keepdims=True)
    mask = non_dominated(np.concatenate([losses + 1, on_sphere]))
    assert mask[-1000:].all()  # no point of a sphere dominates another
    assert not mask[:-1000].any()  # and (1, 1, ...) and beyond is behind all of it


@pytest.mark.parametrize("metric", [non_dominated, mean_ranks, lambda x: hypervolume(x, [1.0])])
def test_one_axis_is_refused(metric):
    with pytest.raises(ValueError, match=r"two axes, got shape \(3,\)"):
        metric([1.0, 2.0, 3.0])


def test_hypervolume_of_boxes():
    assert hypervolume([[0.0, 0.0]], [2.0, 3.0]) == pytest.approx(6)
    assert hypervolume([[0.0, 1.0], [1.0, 0.0]], [2.0, 2.0]) == pytest.approx(3)
    assert hypervolume([[1.0, 1.0, 1.0]], [3.0, 3.0, 3.0]) == pytest.approx(8)
    assert hypervolume([[-1.0]], [1.0]) == pytest.approx(2)


@pytest.mark.parametrize("n", [4, 50])
def test_hypervolume_of_a_straight_front(n):
    # n points on f1 + f2 = 1: a staircase of n (n + 1) / 2 squares of side 1 / (n - 1), seen from just beyond (1, 1).
    f1 = np.linspace(0, 1, n)
    step = 1 / (n - 1)
    assert hypervolume(np.stack([f1, 1 - f1], axis=1), [1 + step] * 2) == pytest.approx(n * (n + 1) / 2 * step**2)


def test_hypervolume_ignores_rows_beyond_the_reference_point_and_nan():
    losses = [[0.0, 0.0], [-5.0, 1.0], [-5.0, 7.0], [np.nan, -1.0], [np.inf, -1.0], [-np.inf, 0.0]]
    assert hypervolume(losses, [1.0, 1.0]) == pytest.approx(1)
    assert hypervolume(losses[1:], [1.0, 1.0]) == 0.0
    assert hypervolume(np.empty((0, 2)), [1.0, 1.0]) == 0.0


@pytest.mark.parametrize("point", [[1.0], [1.0, np.nan], [1.0, np.inf], 1.0])
def test_an_unfit_reference_point_is_refused(point):
    with pytest.raises(ValueError, match="2 finite numbers"):
        hypervolume([[0.0, 0.0]], point)


@given(FINITE, st.data())
def test_only_non_dominated_rows_count_for_the_hypervolume(losses, data):
    point = np.full(losses.shape[1], 1.1)
    whole = hypervolume(losses, point)
    assert hypervolume(losses[non_dominated(losses)], point) == pytest.approx(whole)
    order = data.draw(st.permutations(range(len(losses))))
    assert hypervolume(losses[order], point) == pytest.approx(whole)
    assert hypervolume(losses[1:], point) <= whole * (1 + 1e-12)


@given(FINITE)
def test_hypervolume_counts_the_share_of_a_grid_that_is_dominated(losses):
    # Rounded to a grid of cell centres, the volume is a number of cells.
    losses = np.round(losses * 4)
    m = losses.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(5) + 0.5] * m), axis=-1).reshape(-1, m)
    dominated = (losses[None] <= cells[:, None]).all(axis=2).any(axis=1).sum()
    assert hypervolume(losses, [5.0] * m) == pytest.approx(dominated)


@given(st.lists(st.tuples(VALUES, st.booleans()), max_size=30))
def test_best_so_far_is_the_least_feasible_loss_up_to_there(history):
    losses = np.array([loss for loss, _ in history])
    feasible = np.array([ok for _, ok in history], dtype=bool)
    best = best_so_far(losses, feasible)
    assert best.shape == losses.shape
    for i in range(len(history)):
        seen = [loss for loss, ok in history[: i + 1] if ok and not math.isnan(loss)]
        assert best[i] == min(seen, default=np.inf)


def test_simple_regret_keeps_sign_and_shape():
    assert simple_regret([3.0, 2.0, 0.5], 1.0).tolist() == [2.0, 1.0, -0.5]
    assert float(simple_regret(3.0, 1.0)) == 2.0


def test_feasible_share():
    assert feasible_share([True, False, False, False]) == 0.25
    assert math.isnan(feasible_share([]))


def test_mean_ranks_share_ties_and_put_nan_last():
    assert mean_ranks([[10.0, 30.0, 20.0]]).tolist() == [1, 3, 2]
    assert mean_ranks([[1.0, 1.0, 5.0]]).tolist() == [1.5, 1.5, 3]
    assert mean_ranks([[np.nan, np.inf, 0.0], [np.nan, np.nan, 0.0]]).tolist() == [2.75, 2.25, 1]
    assert mean_ranks([[1.0, 2.0], [2.0, 1.0]]).tolist() == [1.5, 1.5]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=VALUES))
def test_mean_ranks_add_up(values):
    methods = values.shape[1]
    assert mean_ranks(values).sum() == pytest.approx(methods * (methods + 1) / 2)
