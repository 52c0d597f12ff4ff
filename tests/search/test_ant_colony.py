import numpy as np
import pytest

import designopt as do
from designopt.search.ant_colony import BINS, AntColonySearch

LETTERS = "abcd"


def letters(d=4, choices=4, names=None):
    """Minimise the number of columns that are not 0; solved when all are."""
    space = do.DesignSpace({f"x{i}": do.Categorical(range(choices)) for i in range(d)})

    @do.design_env(space, minimize=["wrong"], vectorized=True)
    def count(**columns):
        return {"wrong": sum((np.array(list(c)) != 0).astype(float) for c in columns.values())}

    return count


def searcher(env, seed=0, **config):
    return AntColonySearch(env, AntColonySearch.Config(**config), seed=seed)


def evaluation(env, losses, **more):
    return do.Evaluation(np.array(losses, dtype=float)[:, None], **more)


def shares(colony, column, choices, n=2000):
    """How often each of the choices is taken by ants that leave no trace."""
    trails = colony._trails.copy()
    taken = np.zeros(choices)
    for _ in range(n):
        colony._trails[:] = trails
        taken[colony._walk()[column]] += 1
    colony._trails[:] = trails
    return taken / n


def test_ants_first_choose_uniformly():
    for greediness in (0.0, 1.0):
        colony = searcher(letters(), greediness=greediness)
        assert shares(colony, 0, 4) == pytest.approx(np.full(4, 0.25), abs=0.04)


def test_the_best_of_a_generation_strengthens_its_levels_and_ants_follow():
    env = letters()
    colony = searcher(env, ants=2, evaporation=0.5, greediness=0.0)
    colony.tell(np.array([[1.0, 2, 3, 0], [2.0, 2, 2, 2]]), evaluation(env, [3, 4]))
    # trail of the levels of the best: 0.1 + 0.5 * 0.9 = 0.55, of the three others 0.1
    for column, level in enumerate([1, 2, 3, 0]):
        expected = np.full(4, 0.1 / 0.85)
        expected[level] = 0.55 / 0.85
        assert shares(colony, column, 4) == pytest.approx(expected, abs=0.04)


def test_greedy_ants_take_the_strongest_level():
    env = letters()
    colony = searcher(env, ants=1, greediness=1.0)
    colony.tell(np.array([[1.0, 2, 3, 0]]), evaluation(env, [3]))
    assert shares(colony, 0, 4)[1] == 1.0
    half = searcher(env, ants=1, greediness=0.5, evaporation=1.0)
    half.tell(np.array([[1.0, 2, 3, 0]]), evaluation(env, [3]))
    assert shares(half, 0, 4)[1] == pytest.approx(0.5 + 0.5 / 1.3, abs=0.04)


def test_where_an_ant_has_gone_the_trail_falls_back_towards_its_start():
    env = letters()
    colony = searcher(env, ants=1, greediness=1.0, evaporation=1.0)
    colony.tell(np.array([[1.0, 2, 3, 0]]), evaluation(env, [3]))
    colony._walk()
    assert colony._trails[0].tolist() == pytest.approx([0.1, 0.91, 0.1, 0.1])


def test_the_best_design_stays_the_best_over_generations():
    env = letters()
    colony = searcher(env, ants=1, greediness=1.0, evaporation=0.5)
    colony.tell(np.array([[1.0, 1, 1, 1]]), evaluation(env, [1]))
    colony.tell(np.array([[2.0, 2, 2, 2]]), evaluation(env, [2]))
    assert colony._trails[0].tolist() == pytest.approx([0.1, 0.775, 0.1, 0.1])


def test_after_depth_generations_the_trails_are_laid_anew():
    env = letters()
    colony = searcher(env, ants=1, depth=2, evaporation=0.5, greediness=0.0)
    best = np.array([[1.0, 1, 1, 1]])
    colony.tell(best, evaluation(env, [1]))
    assert colony._trails.max() > 0.5
    colony.tell(best, evaluation(env, [1]))
    assert np.all(colony._trails == 0.1)
    colony.tell(np.array([[2.0, 2, 2, 2]]), evaluation(env, [5]))  # worse, but the best was forgotten
    assert colony._trails[0].argmax() == 2


def test_feasible_designs_come_before_infeasible_ones_and_rows_without_values_never_lead():
    @do.design_env(
        do.DesignSpace(x=do.Categorical(LETTERS)), minimize=["y"], constraints={"g": "<= 0"}, vectorized=True
    )
    def constrained(x):
        return {"y": np.zeros(len(x)), "g": np.zeros(len(x))}

    told = do.Evaluation(
        [[-9.0], [1.0], [2.0], [-99.0]], [[0.5], [0.0], [0.0], [0.0]], status=np.array(["ok", "ok", "ok", "failed"])
    )
    colony = searcher(constrained, ants=4)
    colony.tell(np.array([[0.0], [1.0], [2.0], [3.0]]), told)
    assert colony._trails[0].argmax() == 1
    hopeless = searcher(constrained, ants=1)
    hopeless.tell(np.zeros((1, 1)), do.Evaluation.failure(1, 1, 1, "invalid", "no"))
    assert np.all(hopeless._trails == 0.1)


def test_known_designs_are_drawn_again_until_the_space_is_exhausted():
    env = letters(d=2, choices=3)
    colony = searcher(env, ants=1, greediness=1.0, evaporation=1.0)
    colony.tell(np.array([[1.0, 1.0]]), evaluation(env, [0]))  # every greedy ant would go there
    asked = np.concatenate([colony.ask(1, np.empty((0, 2))) for _ in range(8)])
    assert len(np.unique(np.concatenate([asked, [[1.0, 1.0]]]), axis=0)) == 9


def test_reals_and_long_ranges_are_cut_into_equal_bins_of_the_unit_coding():
    space = do.DesignSpace(x=do.Real(1, 2**BINS, log=True), n=do.Integer(1, 128), k=do.Integer(1, 4, log=True))

    @do.design_env(space, minimize=["y"], vectorized=True)
    def mixed(x, n, k):
        return {"y": np.zeros(len(x))}

    colony = searcher(mixed, ants=1, greediness=1.0, evaporation=1.0)
    colony.tell(np.array([[3.0, 64.0, 3.0]]), evaluation(mixed, [0]))
    asked = colony.ask(40, np.empty((0, 3)))
    first = asked[0]
    assert 2 <= first[0] <= 4  # the second of 32 octaves
    assert 61 <= first[1] <= 64
    assert first[2] == 3  # few values: each is a level, whatever its scale
    space.validate(asked)
    fresh = searcher(mixed, greediness=0.0).ask(400, np.empty((0, 3)))
    assert len(np.unique(fresh[:, 1])) > 100, "places inside a bin are random"


def test_a_colony_solves_what_random_search_does_not():
    env = letters(d=8, choices=6)
    aco, random = (do.optimize(env, search=name, budget=600, seed=0).best_value for name in ("aco", "random"))
    assert aco == 0 < random


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ants": 0}, "ants = 0; it must be at least 1"),
        ({"depth": 0}, "depth = 0; it must be at least 1"),
        ({"evaporation": 0.0}, r"evaporation = 0.0; it must be in \(0, 1\]"),
        ({"evaporation": 1.1}, "evaporation = 1.1"),
        ({"greediness": -0.1}, "greediness = -0.1; it must be from 0 to 1"),
        ({"greediness": 1.1}, "greediness = 1.1"),
    ],
)
def test_bad_hyperparameters_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        AntColonySearch.Config(**config)


def test_a_sweep_draws_from_the_published_grid():
    ranges = {name: f.metadata["range"].choices for name, f in AntColonySearch.Config.__dataclass_fields__.items()}
    assert ranges == {
        "ants": (2, 4, 8, 16, 32, 64),
        "evaporation": (0.1, 0.25, 0.5, 0.75, 1.0),
        "greediness": (0.0, 0.25, 0.5, 0.75, 1.0),
        "depth": (2, 4, 8, 16),
    }
