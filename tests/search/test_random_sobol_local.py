import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from designopt import (
    Categorical,
    Constraint,
    DesignEnv,
    DesignSpace,
    Evaluation,
    Integer,
    Objective,
    Ordinal,
    Real,
    Sequence,
    backend,
)
from designopt.testing import MixedProblem

NOTHING = np.empty((0, 0))


class Problem(DesignEnv):
    """A space and functions of the designs, given when it is made."""

    def __init__(self, space, loss, constraints=None, scales=()):
        super().__init__()
        self.design_space, self.loss, self.limits = space, loss, constraints
        self.objectives = (Objective("loss"),)
        self.constraints = tuple(Constraint(f"g{i}", scale=scale) for i, scale in enumerate(scales))

    def evaluate(self, designs):
        limits = None if self.limits is None else np.stack(self.limits(*designs.T), axis=1)
        return Evaluation(self.loss(*designs.T)[:, None], limits)


PLANE = DesignSpace(x=Real(-1, 1), y=Real(-1, 1))


def sphere(*columns):
    return sum(column**2 for column in columns)


# Random ------------------------------------------------------------------------------------------------------------


def test_random_designs_are_uniform_in_the_unit_coding():
    searcher = backend("random")(MixedProblem(), seed=1)
    designs = searcher.ask(2000, NOTHING)
    unit = searcher.space.to_unit(designs)
    assert stats.kstest(unit[:, 0], "uniform").pvalue > 0.01  # real
    assert stats.kstest(unit[:, 1], "uniform").pvalue > 0.01  # real on a log scale
    counts = np.unique(designs[:, 2], return_counts=True)[1]
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_as_many_designs_as_wanted(name):
    searcher = backend(name)(MixedProblem(), seed=1)
    assert searcher.batch is None
    assert [len(searcher.ask(n, NOTHING)) for n in (1, 7, 1000)] == [1, 7, 1000]


# Sobol -------------------------------------------------------------------------------------------------------------


def test_sobol_covers_the_space_more_evenly_than_random():
    def discrepancy(name, seed):
        searcher = backend(name)(Problem(PLANE, sphere), seed=seed)
        return qmc.discrepancy(searcher.space.to_unit(searcher.ask(128, NOTHING)))

    assert (
        max(discrepancy("sobol", seed) for seed in range(5)) < min(discrepancy("random", seed) for seed in range(5)) / 3
    )


def test_sobol_continues_one_sequence_however_it_is_asked():
    at_once, in_parts = (backend("sobol")(Problem(PLANE, sphere), seed=3) for _ in range(2))
    parts = [in_parts.ask(n, NOTHING) for n in (1, 5, 2, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), at_once.ask(16, NOTHING))


def test_sobol_does_not_warn_of_any_number_of_designs():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (1, 3, 100):
            searcher = backend("sobol")(Problem(PLANE, sphere), seed=0)
            searcher.ask(n, NOTHING)
            searcher.ask(n, NOTHING)


def test_sobol_without_scrambling_starts_at_the_lower_corner_for_every_seed():
    sobol = backend("sobol")
    for seed in (0, 1):
        designs = sobol(Problem(PLANE, sphere), sobol.Config(scramble=False), seed=seed).ask(2, NOTHING)
        np.testing.assert_array_equal(designs, [[-1, -1], [0, 0]])


# Local -------------------------------------------------------------------------------------------------------------

KNOBS = DesignSpace(
    a=Integer(0, 9),
    b=Ordinal([1, 2, 4, 8, 16, 32]),
    c=Categorical("uvwxyz"),
    d=Sequence("ACGT", 3),
    e=Integer(-3, 3),
)


def knobs_off(a, b, c, d0, d1, d2, e):
    """Number of steps from the one best design, column by column."""
    return abs(a - 7) + abs(np.log2(b) - 1) + (c != 4) + (d0 != 0) + (d1 != 3) + (d2 != 2) + abs(e + 2)


@pytest.mark.parametrize("seed", range(5))
def test_local_finds_the_optimum_of_a_separable_discrete_problem(seed, run):
    searcher = backend("local")(Problem(KNOBS, knobs_off), seed=seed)
    assert run(searcher, 250).best == 0  # of 967680 designs


def local(space=PLANE, loss=sphere, constraints=None, scales=(), seed=0, **hyperparameters):
    cls = backend("local")
    return cls(Problem(space, loss, constraints, scales), cls.Config(**hyperparameters), seed=seed)


def start(searcher, design):
    """Make that design the incumbent."""
    designs = np.array([design], dtype=float)
    searcher.tell(designs, searcher.env.evaluate(designs))
    return designs


def test_local_changes_one_column_by_one_step():
    searcher = local(KNOBS, knobs_off)
    incumbent = start(searcher, [5, 4, 0, 1, 1, 1, 0])
    neighbours = searcher.ask(20, NOTHING)
    changed = neighbours != incumbent
    assert (changed.sum(axis=1) == 1).all()
    assert set(neighbours[changed[:, 0], 0]) == {4, 6}
    assert set(neighbours[changed[:, 1], 1]) == {2, 8}
    assert set(neighbours[changed[:, 2], 2]) == {1, 2, 3, 4, 5}
    assert set(neighbours[changed[:, 3], 3]) == {0, 2, 3}
    assert len(np.unique(neighbours, axis=0)) == 2 + 2 + 5 + 3 * 3 + 2


def test_local_stays_inside_at_the_ends_of_ordered_columns():
    searcher = local(DesignSpace(a=Integer(0, 3), b=Ordinal([1, 2, 4])), lambda a, b: a + b)
    start(searcher, [0, 1])
    assert sorted(map(tuple, searcher.ask(2, NOTHING))) == [(0, 2), (1, 1)]


def test_local_crosses_a_wide_integer_range_in_doubling_strides(run):
    searcher = local(DesignSpace(n=Integer(0, 10**6)), lambda n: abs(n - 765432.0))
    assert run(searcher, 500).best == 0


def test_local_starts_again_elsewhere_when_every_neighbour_was_tried():
    searcher = local(KNOBS, knobs_off)
    incumbent = start(searcher, [7, 2, 4, 0, 3, 2, -2])  # the optimum
    for _ in range(20):
        start(searcher, searcher.ask(1, NOTHING)[0])
    assert (searcher.ask(1, NOTHING) != incumbent).sum() > 1


def test_local_waits_for_pending_neighbours_before_it_starts_again():
    searcher = local(KNOBS, knobs_off)
    start(searcher, [5, 4, 0, 1, 1, 1, 0])
    neighbours = searcher.ask(20, NOTHING)
    elsewhere = searcher.ask(1, neighbours)
    assert len(elsewhere) == 1
    better = neighbours[neighbours[:, 2] == 4]
    start(searcher, better[0])
    assert (searcher.ask(1, neighbours) != better[0]).sum() == 1  # the walk goes on from the better neighbour


def test_local_starts_again_when_patience_is_exhausted():
    searcher = local(patience=5)
    start(searcher, [0, 0])  # the optimum
    for i in range(5):
        neighbour = searcher.ask(1, NOTHING)
        assert (neighbour == 0).sum() == 1, i
        start(searcher, neighbour[0])
    assert (searcher.ask(1, NOTHING) != 0).all()


def test_local_forgets_results_of_the_walk_before():
    searcher = local(patience=3)
    start(searcher, [0.1, 0])
    late = searcher.ask(1, NOTHING)
    for _ in range(3):  # three results of others, none better
        start(searcher, [0.9, 0.9])
    new = searcher.ask(1, late)
    start(searcher, new[0])
    start(searcher, late[0])
    assert (searcher.ask(1, NOTHING) == new).sum() == 1


def test_local_crosses_plateaus():
    searcher = local(loss=lambda x, y: np.zeros_like(x))
    start(searcher, [0.1, 0.2])
    start(searcher, [0.7, 0.8])  # no better, no worse
    assert (searcher.ask(1, NOTHING) == [0.7, 0.8]).sum() == 1


def test_local_prefers_feasibility_then_less_scaled_violation_then_the_objective():
    def limits(x, y):
        return x - 0.5, 1000 * (y - 0.5)

    searcher = local(loss=lambda x, y: -x - y, constraints=limits, scales=(1.0, 1000.0))
    start(searcher, [0.9, 0.7])  # violated by 0.4 and 0.2
    start(searcher, [0.6, 0.9])  # by 0.1 and 0.4: less, although more in the second constraint's own unit
    assert (searcher.ask(1, NOTHING) == [0.6, 0.9]).sum() == 1
    start(searcher, [-1, -1])  # feasible, and the worst of all
    assert (searcher.ask(1, NOTHING) == [-1, -1]).sum() == 1
    start(searcher, [0.51, 0.51])  # hardly infeasible, much better
    assert (searcher.ask(1, NOTHING) == [-1, -1]).sum() == 1
    start(searcher, [0.4, 0.4])
    assert (searcher.ask(1, NOTHING) == [0.4, 0.4]).sum() == 1


def test_local_ignores_designs_without_values():
    searcher = local()
    incumbent = start(searcher, [0.9, 0.9])
    searcher.tell(np.zeros((1, 2)), Evaluation.failure(1, 1, 0, "failed", "crash"))
    assert (searcher.ask(1, NOTHING) == incumbent).sum() == 1


def test_local_adapts_its_step_to_precision(run):
    def best(adaptive):
        return max(run(local(adaptive=adaptive, seed=seed), 200).best for seed in range(3))

    assert best(adaptive=True) < 1e-6 < best(adaptive=False)


def test_local_steps_as_far_as_declared():
    def spread(step):
        searcher = local(step=step)
        start(searcher, [0, 0])
        return np.abs(searcher.ask(400, NOTHING)).max(axis=1).mean()

    # Mean of |N(0, s)| is s sqrt(2/pi), and the range is two units wide.
    assert spread(0.05) == pytest.approx(2 * 0.05 * np.sqrt(2 / np.pi), rel=0.1)


def test_local_adapts_its_step_to_results_of_real_columns_only():
    space = DesignSpace(x=Real(-1, 1), n=Integer(0, 100))
    searcher = local(space, lambda x, n: np.abs(x) + n, step=0.2, patience=1000)
    start(searcher, [0, 0])
    for n in range(1, 61):
        start(searcher, [0, n])
    steps = searcher.ask(300, NOTHING)[:, 0]
    assert np.abs(steps[steps != 0]).mean() == pytest.approx(2 * 0.2 * np.sqrt(2 / np.pi), rel=0.15)


def test_local_widens_its_step_after_success():
    searcher = local(step=0.01, patience=1000)
    start(searcher, [1, 1])
    for value in np.linspace(0.99, 0.5, 12):
        start(searcher, [value, 1])
    assert np.abs(searcher.ask(100, NOTHING) - [0.5, 1]).max() > 0.2


@pytest.mark.parametrize(("name", "value"), [("step", 0.0), ("step", 1.5), ("patience", 0)])
def test_local_refuses_senseless_hyperparameters(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        backend("local").Config(**{name: value})
