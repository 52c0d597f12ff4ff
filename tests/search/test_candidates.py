import numpy as np
import pytest
import torch

from designopt import Categorical, DesignSpace, Integer, Ordinal, Real, Sequence
from designopt.search.candidates import (
    all_designs,
    first_fresh,
    fresh,
    initial_designs,
    neighbours,
    perturbed,
    sobol,
)
from designopt.search.maximise import climb, maximise, polish

MIXED = DesignSpace(
    x=Real(-1, 1),
    n=Integer(1, 9),
    steps=Integer(1, 1000, log=True),
    gauge=Ordinal([1.0, 2.5, 8.0]),
    kind=Categorical(["a", "b", "c"]),
    word=Sequence("AC", 2),
)
LIKE = torch.zeros(1, dtype=torch.double)


def test_a_sobol_sequence_goes_on_where_it_stopped():
    assert np.array_equal(np.concatenate([sobol(3, 0, 5, 7), sobol(3, 5, 6, 7)]), sobol(3, 0, 11, 7))


def test_fresh_designs_differ_from_known_ones_and_from_each_other():
    space = DesignSpace(x=Real(0, 10), y=Real(0, 10))
    designs = np.array([[1.0, 1.0], [2.0, 2.0], [2.0, 2.0], [1.0 + 1e-7, 1.0], [1.0, 1.1]])
    assert fresh(space, designs, np.array([[1.0, 1.0]])).tolist() == [False, True, False, False, True]
    assert fresh(space, designs, np.empty((0, 2))).tolist() == [True, True, False, False, True]


def test_the_first_fresh_ones_come_first_and_a_known_one_only_when_nothing_else_is_left():
    space = DesignSpace(n=Integer(0, 3))
    designs = np.array([[2.0], [0.0], [2.0], [1.0], [3.0]])
    assert first_fresh(space, designs, np.array([[0.0]]), 2).tolist() == [[2.0], [1.0]]
    assert first_fresh(space, designs, np.arange(4.0)[:, None], 2).tolist() == [[2.0]]


def test_initial_designs_pass_over_known_ones():
    space = DesignSpace(n=Integer(0, 7))
    known = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert sorted(initial_designs(space, 0, 4, 0, known)[:, 0]) == [4, 5, 6, 7]


def test_perturbations_stay_in_the_cube_near_their_centre_and_move_something():
    space = DesignSpace({f"x{i}": Real(0, 1) for i in range(40)})
    centre = np.full((1, 40), 0.5)
    unit = perturbed(space, centre, 500, np.random.default_rng(0))
    moved = unit != centre
    assert ((unit >= 0) & (unit <= 1)).all()
    assert moved.any(axis=1).all()
    assert moved.sum(axis=1).max() <= 32
    assert (moved.sum(axis=1) == 1).mean() > 0.1
    away = np.abs(unit - centre).max(axis=1)
    assert (away < 0.01).mean() > 0.2
    assert (away > 0.2).mean() > 0.2


def test_perturbed_categories_change_to_any_other():
    space = DesignSpace(kind=Categorical(["a", "b", "c", "d"]))
    unit = perturbed(space, np.array([[0.125]]), 200, np.random.default_rng(0))
    assert set(space.from_unit(unit)[:, 0]) == {0, 1, 2, 3}


def test_neighbours_differ_in_one_discrete_column_by_doubling_steps_or_any_choice():
    design = np.array([0.3, 9.0, 500.0, 2.5, 0.0, 1.0, 0.0])
    found = neighbours(MIXED, design)
    changes = {(int(np.flatnonzero(row != design)[0]), row[row != design][0]) for row in found}
    assert {c for c in changes if c[0] != 2} == {
        (1, 8),
        (1, 7),
        (1, 5),
        (1, 1),
        (3, 1),
        (3, 8),
        (4, 1),
        (4, 2),
        (5, 0),
        (6, 1),
    }
    assert {value - 500 for column, value in changes if column == 2} == {
        *(1, 2, 4, 8, 16, 32, 64, 128, 256),
        *(-1, -2, -4, -8, -16, -32, -64, -128, -256),
    }
    assert len(found) == len(changes)
    assert MIXED.contains(found).all()


def test_all_designs_of_a_small_finite_space():
    space = DesignSpace(n=Integer(2, 4), gauge=Ordinal([1.0, 2.5]), word=Sequence("AC", 2))
    every = all_designs(space)
    assert len(np.unique(every, axis=0)) == len(every) == 24
    assert space.contains(every).all()
    assert all_designs(MIXED) is None
    assert all_designs(DesignSpace(n=Integer(0, 1000))) is None
    assert all_designs(DesignSpace(n=Integer(0, 10**12))) is None


def test_neighbours_cross_a_huge_range():
    space = DesignSpace(n=Integer(0, 10**12))
    found = neighbours(space, np.array([5.0]))[:, 0]
    assert found.max() > 5e11
    assert {4.0, 3.0, 1.0, 6.0} <= set(found)


def peak(space, target):
    """An acquisition that is greatest at one design."""
    at = torch.as_tensor(space.to_unit(np.array([target]))[0])
    return lambda X: -(X[:, 0] - at).square().sum(dim=-1)


def everywhere(space):
    return {"low": np.zeros(space.dim), "high": np.ones(space.dim)}


def find(space, acquisition, known, screened=64, polished=3, box=None, centre=None):
    centres = np.full((1, space.dim), 0.5) if centre is None else centre
    box = box or everywhere(space)
    rng = np.random.default_rng(0)
    return maximise(
        space, acquisition, centres, known, rng, screened=screened, polished=polished, steps=60, like=LIKE, **box
    )


def test_finds_the_maximum_over_mixed_columns():
    target = [0.123456, 7.0, 300.0, 8.0, 2.0, 0.0, 1.0]
    found = find(MIXED, peak(MIXED, target), np.empty((0, 7)))
    assert found[0, 2] == pytest.approx(300, abs=3)
    assert found[0, [1, 3, 4, 5, 6]].tolist() == [7, 8, 2, 0, 1]
    assert found[0, 0] == pytest.approx(0.123456, abs=1e-4)


def test_takes_the_next_best_of_a_finite_space_when_the_best_is_known():
    space = DesignSpace(n=Integer(0, 9))
    assert find(space, peak(space, [6.0]), np.array([[6.0], [5.0]])).tolist() == [[7.0]]


def test_climbs_past_known_designs_to_the_best_new_one():
    space = DesignSpace(n=Integer(0, 5000))
    known = np.arange(2980.0, 3021.0)[:, None]
    assert find(space, peak(space, [3000.0]), known)[0, 0] in (2979, 3021)


def test_stays_in_the_box():
    space = DesignSpace(x=Real(0, 1), y=Real(0, 1))
    box = {"low": np.array([0.2, 0.0]), "high": np.array([0.4, 0.3])}
    found = find(space, peak(space, [0.9, 0.1]), np.empty((0, 2)), box=box, centre=np.array([[0.3, 0.2]]))
    assert found == pytest.approx(np.array([[0.4, 0.1]]), abs=1e-3)


def test_an_acquisition_without_a_value_somewhere_is_not_followed_there():
    space = DesignSpace(x=Real(0, 1))
    found = find(space, lambda X: torch.where(X[:, 0, 0] > 0.5, torch.nan, X[:, 0, 0]), np.empty((0, 1)))
    assert 0.45 < found[0, 0] <= 0.5


def test_climbing_ignores_neighbours_without_a_value():
    space = DesignSpace(n=Integer(0, 5000))
    unit = space.to_unit(np.array([[3000.0]]))[0, 0] + 1e-9

    def rising(X):
        return torch.where(X[:, 0, 0] > unit, torch.nan, X[:, 0, 0])

    assert find(space, rising, np.empty((0, 1)))[0, 0] == 3000


def test_polish_moves_real_columns_only():
    start = np.array([[0.9, 2.0, 5.0, 1.0, 0.0, 0.0, 0.0]])
    target = [0.1, 7.0, 300.0, 8.0, 2.0, 1.0, 1.0]
    moved = polish(MIXED, peak(MIXED, target), start, LIKE, np.zeros(7), np.ones(7), 60)
    assert moved[0, 0] == pytest.approx(0.1, abs=1e-4)
    assert np.array_equal(moved[:, 1:], start[:, 1:])


def test_climb_moves_discrete_columns_only():
    start = np.array([[0.9, 2.0, 5.0, 1.0, 0.0, 0.0, 0.0]])

    def score(designs):
        return -np.abs(designs - [0.1, 7.0, 7.0, 8.0, 2.0, 1.0, 1.0]).sum(axis=1)

    assert climb(MIXED, score, start)[0, 0] == 0.9
    assert climb(MIXED, score, climb(MIXED, score, start))[0].tolist() == [0.9, 7, 7, 8, 2, 1, 1]
