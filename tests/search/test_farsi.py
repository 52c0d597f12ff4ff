import math

import numpy as np
import pytest

import designopt as do
from designopt.search.farsi import FARSISearch, _excess
from designopt.testing import check_searcher


@pytest.fixture
def env():
    return do.make("designopt/SoC-v0")


def searcher(env, seed=0, **config):
    return FARSISearch(env, FARSISearch.Config(**config), seed=seed)


def none(env):
    return np.empty((0, env.design_space.dim))


def test_the_backend_conforms_on_its_environment(env):
    check_searcher(FARSISearch, env, rounds=2)


def test_an_environment_without_blocks_is_refused():
    with pytest.raises(ValueError, match="FARSISearch needs an environment that offers BlockDesign"):
        do.optimize("designopt/ThreeTruss-v0", search="farsi", budget=3)


def test_the_smallest_design_comes_first_and_then_its_moves(env):
    search = searcher(env)
    first = search.ask(1, none(env))
    assert np.array_equal(first[0], env.initial_design())
    search.tell(first, env.evaluate(first))
    asked = search.ask(40, none(env))
    assert (env.coding.violations(asked) == 0).all()
    reachable = {
        design.tobytes()
        for task in range(len(env.graph))
        for block in range(14)
        for designs in env.moves(first[0], "latency", task, block).values()
        for design in designs
    }
    moves = [design.tobytes() in reachable for design in asked]
    assert all(moves[:10])
    assert len({design.tobytes() for design in asked}) == 40, "known designs are not asked again"


def test_moves_go_to_those_to_blame(env):
    match, median = (env.graph.tasks.index(task) for task in ("match", "median"))
    asked = []

    class Blaming:
        """The environment, with all blame on one task, and what is asked about it."""

        def __getattr__(self, name):
            return getattr(env, name)

        def bottlenecks(self, design):
            shares = np.zeros((len(env.graph), 14))
            shares[match, 0], shares[median, 8] = 0.75, 0.25
            return {"latency": (3.0, shares), "area": (1.0, shares)}

        def moves(self, design, concern, task, block):
            asked.append((concern, task, block))
            return {"swap": np.empty((0, len(design))), "split": design[None], "migrate": np.empty((0, len(design)))}

    search = searcher(env)
    search.problem = Blaming()
    for _ in range(400):
        search._options = {}
        assert np.array_equal(search._move(env.initial_design()), env.initial_design())
    assert {(task, block) for _, task, block in asked} == {(match, 0), (median, 8)}
    assert np.mean([task == match for _, task, _ in asked]) == pytest.approx(0.75, abs=0.08)
    assert np.mean([concern == "latency" for concern, *_ in asked]) == pytest.approx(0.75, abs=0.08)


def test_better_results_become_current_and_worse_ones_by_annealing(env):
    designs = env.sample_feasible(3, 0)

    def told(losses, **config):
        search = searcher(env, **config)
        for design, loss in zip(designs, losses, strict=True):
            search.tell(design[None], do.Evaluation([[loss]], np.zeros((1, len(env.constraints)))))
        return search

    cold = told([2.0, 1.0, 3.0], temperature=1e-9)
    assert np.array_equal(cold._current, designs[1])
    hot = told([2.0, 1.0, 3.0], temperature=1e9)
    assert np.array_equal(hot._current, designs[2])
    assert np.array_equal(hot._best, designs[1])
    cooled = told([2.0, 1.0, 3.0], temperature=1e3, cooling=1e-5)
    assert np.array_equal(cooled._current, designs[1])


def test_excess_is_relative_in_violation_first():
    assert _excess((0.0, 3.0), (0.0, 2.0)) == 0.5
    assert _excess((3.0, 0.0), (2.0, 9.0)) == 0.5
    assert _excess((0.1, 0.0), (0.0, 9.0)) == math.inf
    assert _excess((0.0, -1.0), (0.0, -2.0)) == 0.5


def test_after_patience_the_search_goes_back_to_its_best_and_heats_up(env):
    designs = env.sample_feasible(4, 0)
    search = searcher(env, patience=3, temperature=1e9, cooling=0.5)
    for i, design in enumerate(designs):
        search.tell(design[None], do.Evaluation([[1.0 + i]], np.zeros((1, len(env.constraints)))))
        if i == 2:
            assert np.array_equal(search._current, designs[2])
            assert search._temperature == pytest.approx(1e9 / 8)
    assert np.array_equal(search._current, designs[0])
    assert search._temperature == 1e9


def test_designs_without_values_never_lead(env):
    search = searcher(env)
    design = env.sample_feasible(1, 0)
    failure = do.Evaluation.failure(1, 1, len(env.constraints), "failed", "no")
    search.tell(design, failure)
    assert search._current is None


def test_it_meets_a_deadline_that_random_valid_designs_do_not(env):
    result = do.optimize(env, search="farsi", budget=300, seed=0)
    assert result.best is not None
    random = env.evaluate(env.sample_feasible(300, 0))
    assert not random.feasible.any()
    assert (result.evaluation.constraints[:, :3] == 0).all(), "every design is valid"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0; it must be positive"),
        ({"cooling": 0.0}, r"cooling = 0.0; it must be in \(0, 1\]"),
        ({"cooling": 1.5}, "cooling = 1.5"),
        ({"patience": 0}, "patience = 0; it must be at least 1"),
    ],
)
def test_bad_hyperparameters_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        FARSISearch.Config(**config)
