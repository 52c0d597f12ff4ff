"""Diverse subsets: the quick greedy algorithm against the slow one, and against chance."""

import itertools

import numpy as np
import pytest

from designopt.counterfactual import Gower
from designopt.search.counterfactual.dpp import draw, greedy_map, log_determinant


def kernel(n, seed, d=4):
    rng = np.random.default_rng(seed)
    designs, quality = rng.random((n, d)), np.exp(rng.random(n))
    gower = Gower(np.ones(d), np.zeros(d, dtype=bool))
    return quality[:, None] * (1 - gower.pairwise(designs, designs)) * quality


def naive(L, k):
    chosen = []
    for _ in range(k):
        gains = [
            -np.inf if i in chosen else np.linalg.det(L[np.ix_([*chosen, i], [*chosen, i])]) for i in range(len(L))
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_it_picks_what_naive_greedy_picks(seed):
    L = kernel(400, seed)
    assert greedy_map(L.__getitem__, L.diagonal(), 10) == naive(L, 10)


def test_it_beats_the_best_of_a_hundred_thousand_random_subsets():
    L = kernel(400, 0)
    rng = np.random.default_rng(1)
    chosen = greedy_map(L.__getitem__, L.diagonal(), 10)
    best = -np.inf
    for _ in range(20):
        subsets = rng.random((5000, 400)).argpartition(10, axis=1)[:, :10]
        best = max(best, np.linalg.slogdet(L[subsets[:, :, None], subsets[:, None, :]])[1].max())
    assert np.linalg.slogdet(L[np.ix_(chosen, chosen)])[1] > best


def test_it_comes_close_to_the_best_of_all_small_subsets():
    L = kernel(14, 2)
    best = max(np.linalg.det(L[np.ix_(s, s)]) for s in itertools.combinations(range(14), 4))
    chosen = greedy_map(L.__getitem__, L.diagonal(), 4)
    assert np.linalg.det(L[np.ix_(chosen, chosen)]) > 0.75 * best


def test_it_stops_where_nothing_is_left_to_span():
    base = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    L = base @ base.T
    assert len(greedy_map(L.__getitem__, L.diagonal(), 4)) == 2


GOWER = Gower(np.ones(2), np.zeros(2, dtype=bool))


def test_without_diversity_the_best_scores_are_drawn():
    designs = np.random.default_rng(0).random((50, 2))
    scores = np.random.default_rng(1).random(50)
    assert draw(designs, scores, GOWER, 5, 0.0) == np.argsort(scores)[:5].tolist()
    assert draw(designs, scores, GOWER, 1, 0.7) == [int(scores.argmin())]


def test_more_diversity_spreads_the_draw_and_costs_score():
    designs = np.random.default_rng(0).random((500, 2))
    scores = np.linalg.norm(designs, axis=1)
    close, wide = (draw(designs, scores, GOWER, 6, diversity) for diversity in (0.02, 2.0))
    assert log_determinant(designs[wide], GOWER) > log_determinant(designs[close], GOWER)
    assert scores[close].mean() < scores[wide].mean()


def test_equal_scores_and_equal_designs_give_no_nan():
    designs = np.repeat([[0.2, 0.3]], 5, axis=0)
    assert sorted(draw(designs, np.full(5, 0.7), GOWER, 3, 0.3)) == [0, 1, 2]
    spread = np.random.default_rng(0).random((40, 2))
    assert len(set(draw(spread, np.full(40, 0.7), GOWER, 10, 0.3))) == 10


def test_fewer_designs_than_wanted_are_all_drawn():
    assert sorted(draw(np.eye(2), np.array([0.1, 0.2]), GOWER, 5, 0.3)) == [0, 1]


def test_the_log_determinant_is_that_of_similarities():
    designs = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert log_determinant(designs, GOWER) == pytest.approx(np.log(1 - 0.25), abs=1e-8)
