"""Parameter importance: what was built to matter is found, on mixed spaces and with invalid rows."""

import numpy as np
import pytest

from designopt import Categorical, DesignSpace, Integer, Real
from designopt.report.importance import LEAST, importance_figure, importances

SPACE = DesignSpace(idle=Real(0, 1), size=Real(0, 1), kind=Categorical(["a", "b", "c"]), count=Integer(0, 9))


def sampled(n=600):
    designs = SPACE.sample(n, 0)
    return designs, *designs.T


def test_parameters_matter_as_they_were_built_to(run_result):
    designs, _, size, kind, count = sampled()
    values = 5 * size + 1.5 * (kind == 1) + 0.05 * count
    (found,) = importances(run_result(values, space=SPACE, designs=designs))
    idle, size, kind, count = found.drop
    assert size > kind > 0.1 > count >= 0
    assert idle < 0.01
    assert found.score > 0.9
    assert (found.target, found.n) == ("cost", 600)


def test_what_decides_feasibility_is_told_apart_from_what_moves_the_objective(run_result):
    designs, _, size, _, count = sampled()
    cost, feasibility = importances(run_result(size, (count - 4.5)[:, None], space=SPACE, designs=designs))
    assert cost.drop.argmax() == 1
    assert feasibility.target == "feasibility"
    assert feasibility.drop.argmax() == 3
    assert feasibility.drop[1] < 0.05


def test_rows_without_values_teach_feasibility_and_nothing_else(run_result):
    designs, _, size, kind, _ = sampled()
    broken = kind == 2
    values = np.where(broken, np.nan, size)
    result = run_result(values, status=np.where(broken, "failed", "ok"), space=SPACE, designs=designs)
    cost, feasibility = importances(result)
    assert cost.n == (~broken).sum()
    assert feasibility.drop.argmax() == 2
    assert feasibility.score > 0.99


def test_outliers_do_not_matter_because_objectives_are_ranked(run_result):
    designs, _, size, _, _ = sampled()
    (plain,) = importances(run_result(size, space=SPACE, designs=designs))
    (wild,) = importances(run_result(np.exp(100 * size), space=SPACE, designs=designs))
    assert wild.drop.tolist() == plain.drop.tolist()


def test_nothing_is_learnt_from_noise_and_the_score_says_so(run_result):
    designs, *_ = sampled()
    (found,) = importances(run_result(np.random.default_rng(1).random(600), space=SPACE, designs=designs))
    assert found.score < 0.1
    assert found.drop.max() < 0.1


@pytest.mark.parametrize(("n", "forests"), [(LEAST - 1, 0), (LEAST, 1)])
def test_too_few_rows_have_no_forest(run_result, n, forests):
    assert len(importances(run_result(np.arange(float(n))))) == forests


def test_constant_objective_has_no_forest(run_result):
    assert importances(run_result(np.ones(200))) == []


def test_every_objective_has_a_forest_and_a_colour_of_its_own(run_result):
    designs, _, size, kind, count = sampled(200)
    result = run_result(np.stack([size, count], axis=1), (kind - 1.5)[:, None], space=SPACE, designs=designs)
    figure = importance_figure(result, importances(result))
    assert [bar.name for bar in figure.data] == ["cost", "mass", "feasibility"]
    assert len({bar.marker.color for bar in figure.data}) == 3
    assert figure.data[0].y[:3] != tuple(SPACE.columns[:3])
    assert figure.data[0].y[-1] == "idle"


def test_figure_of_a_wide_space_shows_the_most_important(run_result):
    space = DesignSpace(**{f"x{i}": Real(0, 1) for i in range(40)})
    designs = space.sample(300, 0)
    result = run_result(designs[:, 33], space=space, designs=designs)
    (bar,) = importance_figure(result, importances(result)).data
    assert len(bar.y) == 20
    assert bar.y[0] == "x33"
