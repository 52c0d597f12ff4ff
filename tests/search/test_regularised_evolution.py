import numpy as np
import pytest

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Objective, backend, data
from designopt import make as make_env


class Count(DesignEnv):
    """How many of twelve letters are "c"; the constraint forbids the first to be one."""

    design_space = DesignSpace({f"x{i}": Categorical("abc") for i in range(12)}, only=Categorical(["one"]))
    objectives = (Objective("hits", "max"),)
    constraints = (Constraint("first"),)

    def evaluate(self, designs):
        hits = (designs[:, :12] == 2).sum(axis=1)
        return Evaluation(hits[:, None], (designs[:, :1] == 2) - 0.5)


def make(env, **config):
    cls = backend("regularised_evolution")
    return cls(env, cls.Config(**config), seed=0)


def tell(searcher, designs):
    searcher.tell(designs, searcher.env.evaluate(designs))


def test_a_child_differs_from_a_member_in_one_column_that_has_a_choice():
    searcher = make(Count(), population=5)
    members = Count.design_space.sample(5, 3)
    tell(searcher, members)
    children = searcher.ask(200, np.empty((0, 13)))
    distance = (children[:, None] != members).sum(axis=2)
    assert (distance.min(axis=1) == 1).all()
    assert (children[:, 12] == 0).all()
    changed = {(c, v) for child in children for m in members if (child != m).sum() == 1
               for c, v in [(int(np.flatnonzero(child != m)[0]), child[np.flatnonzero(child != m)[0]])]}  # fmt: skip
    assert {c for c, _ in changed} == set(range(12))
    assert {v for _, v in changed} == {0, 1, 2}


def test_the_oldest_leaves_however_good_it_is():
    searcher = make(Count(), population=5, sample=50)
    best = np.array([[0.0] + [2.0] * 11 + [0.0]])
    poor = np.zeros((5, 13))
    tell(searcher, best)
    tell(searcher, poor[:4])
    near = searcher.ask(20, np.empty((0, 13)))
    assert ((near != best).sum(axis=1) == 1).all()
    tell(searcher, poor[4:])
    assert ((searcher.ask(20, np.empty((0, 13))) != 0).sum(axis=1) == 1).all()


def test_a_feasible_member_wins_and_what_has_no_value_is_none():
    searcher = make(Count(), population=2, sample=50)
    infeasible, feasible = np.array([[2.0] * 12 + [0.0]]), np.array([[0.0] * 13])
    tell(searcher, np.concatenate([infeasible, feasible]))
    failed = Evaluation(np.full((2, 1), np.nan), np.full((2, 1), np.nan), status=np.array(["failed"] * 2))
    searcher.tell(np.repeat(infeasible, 2, axis=0), failed)
    assert ((searcher.ask(20, np.empty((0, 13))) != feasible).sum(axis=1) == 1).all()


def test_finds_the_optimum_where_random_search_does_not(run):
    env = Count()
    assert run(make(env, population=10), 600, 1).best == -11
    assert run(backend("random")(env, seed=0), 600).best > -11


@pytest.mark.parametrize("name", ["population", "sample"])
def test_wrong_hyperparameters_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} = 0"):
        make(Count(), **{name: 0})


REGRETS = {
    ("random", "cifar10"): (0.90, 0.66, 0.51),
    ("random", "cifar100"): (2.95, 2.33, 1.95),
    ("regularised_evolution", "cifar10"): (0.62, 0.36, 0.16),
    ("regularised_evolution", "cifar100"): (2.24, 1.49, 0.95),
}
"""Mean regret of the truth on NAS-Bench-201 after 50, 100 and 200 look-ups, computed independently."""
APART = pytest.mark.xfail(strict=True, reason="one or two of three points are more than two errors away")


@pytest.mark.slow
@pytest.mark.skipif(not data.available("nas/nb201.csv.gz"), reason="the table of NAS-Bench-201 is not on this machine")
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
@pytest.mark.parametrize("name", ["random", pytest.param("regularised_evolution", marks=APART)])
def test_reproduces_reference_regrets_within_two_errors(name, dataset):
    runs, none = 500, np.empty((0, 6))
    env = make_env("designopt/NASBench201-v0", dataset=dataset)
    searchers = [backend(name)(env, seed=seed) for seed in range(runs)]
    best, held, found = np.full(runs, -np.inf), np.zeros((runs, 6)), {}
    for step in range(1, 201):
        asked = np.concatenate([searcher.ask(1, none) for searcher in searchers])
        evaluation = env.evaluate(asked)
        for i, searcher in enumerate(searchers):
            searcher.tell(asked[i : i + 1], evaluation[i])
        better = evaluation.objectives[:, 0] > best
        best[better], held[better] = evaluation.objectives[better, 0], asked[better]
        found[step] = held.copy()
    optimum = {"cifar10": 94.373, "cifar100": 73.513}[dataset]
    for step, reference in zip((50, 100, 200), REGRETS[name, dataset], strict=True):
        regret = optimum - env.truth(found[step])
        error = regret.std() * np.sqrt(2 / runs)  # of the difference of two means of as many runs
        assert abs(regret.mean() - reference) < 2 * error
