"""Parallel coordinates and the trade-offs of the front: every drawn line is a design of the run."""

import numpy as np
import pytest

from designopt import Categorical, DesignSpace, Integer, Ordinal, Real, Sequence
from designopt.report.designs import parallel, trade_offs

SPACE = DesignSpace(
    width=Real(1.0, 1000.0, unit="mm", log=True),
    bolts=Integer(2, 8),
    metal=Categorical(["steel", "<b>"]),
    sheet=Ordinal([0.5, 1.0, 4.0], unit="mm"),
    code=Sequence("AC", 2),
)
DESIGNS = [[10.0, 3, 0, 0.5, 0, 1], [100.0, 4, 1, 4.0, 1, 1], [1.0, 8, 1, 1.0, 0, 0]]


def axes(figure):
    return {axis.label: axis for axis in figure.data[0].dimensions}


def test_every_parameter_and_objective_has_an_axis_with_its_unit(run_result):
    found = axes(parallel(run_result([1.0, 2.0, 3.0], space=SPACE, designs=DESIGNS)))
    assert list(found) == ["width (mm)", "bolts", "metal", "sheet (mm)", "code[0]", "code[1]", "cost ($)"]


def test_lines_are_the_designs_the_best_drawn_last(run_result):
    found = axes(parallel(run_result([3.0, 1.0, 2.0], space=SPACE, designs=DESIGNS)))
    assert found["bolts"].values.tolist() == [3, 8, 4]
    assert found["cost ($)"].values.tolist() == [3, 2, 1]


def test_maximised_objective_has_its_largest_value_last_and_darkest(run_result):
    figure = parallel(run_result([3.0, 1.0, 2.0], senses=("max",), space=SPACE, designs=DESIGNS))
    assert axes(figure)["cost ($)"].values.tolist() == [1, 2, 3]
    assert figure.data[0].line.color.tolist() == [3, 2, 1]
    assert figure.data[0].line.colorscale[0][1] == "#0072B2"


def test_logarithmic_parameters_are_drawn_as_logarithms_and_written_as_numbers(run_result):
    axis = axes(parallel(run_result([3.0, 2.0, 1.0], space=SPACE, designs=DESIGNS)))["width (mm)"]
    assert axis.values.tolist() == pytest.approx([1, 2, 0])
    assert (axis.ticktext[0], axis.ticktext[-1]) == ("1", "100")


def test_choices_and_letters_are_named_and_escaped(run_result):
    found = axes(parallel(run_result([3.0, 2.0, 1.0], space=SPACE, designs=DESIGNS)))
    assert found["metal"].ticktext == ("steel", "&lt;b&gt;")
    assert found["code[1]"].ticktext == ("A", "C")
    assert found["code[1]"].values.tolist() == [1, 1, 0]


def test_infeasible_designs_are_left_out_unless_there_are_no_others(run_result):
    def lines(limits):
        return parallel(run_result([3.0, 2.0, 1.0], limits, space=SPACE, designs=DESIGNS))

    some = lines([[-1.0], [1.0], [0.0]])
    assert axes(some)["cost ($)"].values.tolist() == [3, 1]
    assert some.layout.title.subtitle.text == "2 feasible designs"
    none = lines([[1.0], [1.0], [1.0]])
    assert len(axes(none)["bolts"].values) == 3
    assert none.layout.title.subtitle.text == "3 designs, none feasible"


def test_designs_without_values_are_never_drawn(run_result):
    result = run_result([3.0, np.nan, 1.0], status=["ok", "failed", "ok"], space=SPACE, designs=DESIGNS)
    assert axes(parallel(result))["bolts"].values.tolist() == [3, 8]


def test_long_run_draws_the_best_and_a_fixed_sample(run_result):
    values = np.random.default_rng(0).permutation(5000).astype(float)
    figure = parallel(run_result(values))
    drawn = axes(figure)["cost ($)"].values
    assert len(drawn) == 500
    assert drawn[-250:].tolist() == list(range(249, -1, -1))
    assert 2000 < np.median(drawn[:250]) < 3200
    assert figure.to_json() == parallel(run_result(values)).to_json()
    assert figure.layout.title.subtitle.text.startswith("500 of 5,000 feasible designs")


def test_wide_space_shows_the_parameters_that_matter_most_in_their_own_order(run_result):
    space = DesignSpace(**{f"x{i}": Real(0, 1) for i in range(30)})
    result = run_result([1.0, 2.0], space=space)
    figure = parallel(result, np.arange(30)[::-1])
    assert list(axes(figure)) == [*(f"x{i}" for i in range(18, 30)), "cost ($)"]
    assert "12 most important of 30 parameters" in figure.layout.title.subtitle.text
    assert list(axes(parallel(result)))[:12] == [f"x{i}" for i in range(12)]


def test_constant_column_has_room_around_it(run_result):
    axis = axes(parallel(run_result([2.0, 2.0], designs=[[1, 1, 0], [1, 2, 0]])))["cost ($)"]
    assert axis.range == (1.5, 2.5)


def test_trade_offs_are_the_objectives_of_the_given_rows_and_know_which_they_are(run_result):
    values = np.arange(12.0).reshape(3, 4)
    (splom,) = trade_offs(run_result(values), np.array([2, 0])).data
    assert [d.label for d in splom.dimensions] == ["cost ($)", "mass (kg)", "drag (N)", "noise (dB)"]
    assert [d["values"].tolist() for d in splom.dimensions] == values[[2, 0]].T.tolist()
    assert splom.customdata == (2, 0)
