"""Figures: what they show is what the run did."""

import struct

import numpy as np
import pytest

from designopt import Constraint, Reference
from designopt.report import constraints, convergence, pareto, save_convergence, style
from designopt.report.figures import NO_FEASIBLE


def trace(figure, name):
    (found,) = [t for t in figure.data if t.name is not None and t.name.split(" (")[0] == name]
    return found


def names(figure):
    return {t.name for t in figure.data if t.name is not None}


def shapes(figure):
    return {s.name: s for s in figure.layout.shapes}


MIXED = {
    "objectives": [5.0, 3.0, 4.0, 2.0, 2.5, np.nan],
    "constraints": [[-1.0], [-1.0], [-1.0], [1.0], [0.0], [np.nan]],
    "status": ["ok"] * 5 + ["failed"],
}


def test_best_line_steps_at_each_feasible_improvement_and_runs_to_the_last_evaluation(run_result):
    best = trace(convergence(run_result(**MIXED)), "best so far")
    assert best.x.tolist() == [1, 2, 5, 6]
    assert best.y.tolist() == [5, 3, 2.5, 2.5]
    assert best.line.shape == "hv"


def test_best_line_rises_in_the_own_sign_when_maximised(run_result):
    best = trace(convergence(run_result([-3.0, -5.0, 2.0], senses=("max",))), "best so far")
    assert best.x.tolist() == [1, 3]
    assert best.y.tolist() == [-3, 2]


def test_evaluations_are_told_apart_and_counted(run_result):
    figure = convergence(run_result(**MIXED))
    assert names(figure) == {"feasible (4)", "infeasible (1)", "best so far", "failed (1)"}
    assert trace(figure, "feasible").x.tolist() == [1, 2, 3, 5]
    assert trace(figure, "infeasible").x.tolist() == [4]
    assert trace(figure, "failed").x.tolist() == [6]
    assert len({trace(figure, n).marker.color for n in ("feasible", "infeasible", "failed")}) == 3


def test_share_panel_is_the_running_feasible_share_in_percent(run_result):
    figure = convergence(run_result([1.0, 1.0, 1.0, 1.0], [[1.0], [-1.0], [-1.0], [1.0]]))
    (share,) = [t for t in figure.data if t.yaxis == "y2" and t.mode == "lines"]
    assert share.x.tolist() == [1, 2, 3, 4]
    assert share.y.tolist() == pytest.approx([0, 50, 200 / 3, 50])


def test_share_panel_is_left_out_when_everything_is_feasible(run_result):
    assert all(t.yaxis != "y2" for t in convergence(run_result([3.0, 2.0])).data)


def test_stretch_before_the_first_feasible_design_is_marked(run_result):
    figure = convergence(run_result([1.0, 2.0, 3.0, 4.0], [[1.0], [1.0], [-1.0], [-1.0]]))
    stretch = shapes(figure)[NO_FEASIBLE]
    assert (stretch.x0, stretch.x1) == (1, 3)
    assert "first feasible: 3" in figure.layout.title.subtitle.text
    assert [a.text for a in figure.layout.annotations] == [NO_FEASIBLE]


def test_short_stretch_is_explained_in_the_legend_only(run_result):
    figure = convergence(run_result([1.0] * 20, [[1.0]] + [[-1.0]] * 19))
    assert shapes(figure)[NO_FEASIBLE].showlegend
    assert not figure.layout.annotations


def test_no_stretch_when_the_first_design_is_feasible(run_result):
    assert NO_FEASIBLE not in shapes(convergence(run_result([1.0, 2.0], [[-1.0], [1.0]])))


def test_run_without_feasible_design_has_no_best_line(run_result):
    figure = convergence(run_result([1.0, 2.0, 3.0], [[1.0]] * 3))
    assert "best so far" not in names(figure)
    assert shapes(figure)[NO_FEASIBLE].x1 == 3
    assert "no feasible design" in figure.layout.title.subtitle.text


def test_title_and_axes_name_environment_backend_and_unit(run_result):
    figure = convergence(run_result([1.0, 2.0]))
    assert figure.layout.title.text == "acme/Bracket-v0 · gp"
    assert figure.layout.yaxis.title.text == "cost ($)"
    assert figure.layout.xaxis.title.text == "evaluation"


def test_known_optimum_is_a_labelled_line_within_view(run_result):
    figure = convergence(run_result([3.0, 2.0], reference=Reference("proof", value=1.0)))
    line = shapes(figure)["known optimum 1"]
    assert line.y0 == line.y1 == 1.0
    low, high = figure.layout.yaxis.range
    assert low < 1.0 < 3.0 < high


def test_outlier_sits_on_the_edge_of_the_view_and_tells_its_value(run_result):
    values = [3.0, 2.0, *np.linspace(2.1, 2.9, 40), 1e6]
    figure = convergence(run_result(values))
    points = trace(figure, "feasible")
    assert figure.layout.yaxis.range[1] < 10
    assert points.y[-1] == figure.layout.yaxis.range[1]
    assert points.customdata[-1] == 1e6


def test_designs_worse_than_the_curve_are_in_view_as_far_as_they_do_not_flatten_it(run_result):
    figure = convergence(run_result([1.1, 1.0, 1.25, 1.25, 1.25]))
    assert figure.layout.yaxis.range[1] > 1.25
    figure = convergence(run_result([1.1, 1.0, 9.0, 9.0, 9.0]))
    assert 1.1 < figure.layout.yaxis.range[1] < 1.4


def test_view_of_a_maximised_objective_reaches_down_to_worse_designs(run_result):
    low, high = convergence(run_result([1.0, 1.1, 0.9, 0.9, 0.9], senses=("max",))).layout.yaxis.range
    assert low < 0.9 < 1.1 < high


@pytest.mark.parametrize(
    ("values", "log"),
    [([100.0, 5.0], True), ([99.0, 5.0], False), ([500.0, -5.0], False), ([-5.0, -500.0], False), ([500.0], False)],
)
def test_axis_is_logarithmic_when_the_curve_spans_a_factor_of_twenty_above_zero(run_result, values, log):
    axis = convergence(run_result(values)).layout.yaxis
    assert (axis.type == "log") == log
    if log:
        assert axis.range[0] < np.log10(5.0)
        assert axis.range[1] > np.log10(100.0)


def test_logarithmic_view_has_room_for_worse_designs(run_result):
    axis = convergence(run_result([100.0, 5.0] + [900.0] * 8)).layout.yaxis
    assert np.log10(900.0) < axis.range[1] < np.log10(9000.0)


@pytest.mark.parametrize(("first", "ticks"), [(100.0, "D2"), (1e6, 1)])
def test_short_logarithmic_axis_has_ticks_between_decades(run_result, first, ticks):
    assert convergence(run_result([first, 1.0])).layout.yaxis.dtick == ticks


@pytest.mark.parametrize("n", [1, 50, 5000])
def test_evaluation_axis_spans_the_run_closely(run_result, n):
    low, high = convergence(run_result(np.ones(n))).layout.xaxis.range
    assert low < 1
    assert n < high <= max(1.05 * n, 2)


def test_improvements_have_markers_as_long_as_they_stay_apart(run_result):
    assert trace(convergence(run_result(np.arange(60.0, 0.0, -1))), "best so far").mode == "lines+markers"
    assert trace(convergence(run_result(np.arange(61.0, 0.0, -1))), "best so far").mode == "lines"


def test_known_optimum_counts_for_the_span_of_the_axis(run_result):
    figure = convergence(run_result([50.0, 5.0], reference=Reference("proof", value=2.0)))
    assert figure.layout.yaxis.type == "log"


def test_gap_is_the_distance_to_the_known_optimum_in_its_unit(run_result):
    result = run_result([110.0, 12.0, 10.5], reference=Reference("proof", value=10.0))
    figure = convergence(result, "gap")
    assert trace(figure, "best so far").y.tolist() == [100, 2, 0.5]
    assert figure.layout.yaxis.title.text == "gap to the known optimum ($)"
    assert figure.layout.yaxis.type == "log"


def test_gap_of_a_maximised_objective_is_positive_below_the_optimum(run_result):
    result = run_result([1.0, 4.0], senses=("max",), reference=Reference("proof", value=5.0))
    assert trace(convergence(result, "gap"), "best so far").y.tolist() == [4, 1]


def test_gap_curve_ends_where_the_optimum_is_reached(run_result):
    result = run_result([20.0, 11.0, 10.0, 9.0], reference=Reference("proof", value=10.0))
    figure = convergence(result, "gap")
    assert trace(figure, "best so far").x.tolist() == [1, 2, 3]
    assert trace(figure, "best so far").y.tolist() == [10, 1, 1]
    assert "known optimum reached: 3" in figure.layout.title.subtitle.text


def test_rounding_of_the_known_optimum_is_no_gap(run_result):
    result = run_result([20.0, 10.0 + 1e-10], reference=Reference("proof", value=10.0))
    assert "known optimum reached: 2" in convergence(result, "gap").layout.title.subtitle.text


def test_gap_needs_a_known_optimum(run_result):
    with pytest.raises(ValueError, match="acme/Bracket-v0 has no known optimum"):
        convergence(run_result([1.0]), "gap")


@pytest.mark.parametrize(("m", "quantity"), [(1, "hypervolume"), (2, "objective"), (2, "gap")])
def test_quantity_must_fit_the_number_of_objectives(run_result, m, quantity):
    with pytest.raises(ValueError, match=f"quantity = '{quantity}' does not fit {m} objective"):
        convergence(run_result(np.ones((2, m))), quantity)


def test_hypervolume_of_the_front_so_far_by_hand(run_result):
    known = Reference("proof", hypervolume=9.0, reference_point=(4.0, 4.0))
    values = [[1.0, 3.0], [0.0, 0.0], [2.0, 1.0], [3.0, 3.0]]
    result = run_result(values, [[-1.0], [1.0], [-1.0], [1.0]], reference=known)
    figure = convergence(result)
    best = trace(figure, "best so far")
    assert best.x.tolist() == [1, 3, 4]
    assert best.y.tolist() == [3, 7, 7]  # 3 x 1, then 2 x 2 more
    assert shapes(figure)["known front 9"].y0 == 9
    assert figure.layout.yaxis.title.text == "hypervolume"


def test_hypervolume_turns_maximised_objectives_to_losses(run_result):
    known = Reference("proof", reference_point=(4.0, 0.0))
    result = run_result([[1.0, 1.0], [2.0, 3.0]], senses=("min", "max"), reference=known)
    assert trace(convergence(result), "best so far").y.tolist() == [3, 7]


def test_hypervolume_without_reference_point_says_which_it_took(run_result):
    figure = convergence(run_result([[1.0, 3.0], [2.0, 1.0], [4.0, 4.0]]))
    assert trace(figure, "best so far").y.tolist() == [3, 7, 7]
    assert "reference point: the worst feasible values" in figure.layout.title.subtitle.text


def test_hypervolume_of_many_objectives_is_an_estimate_and_says_so(run_result):
    names = tuple("abcdef")
    values = np.array([[0.5] * 6, [0.5] * 5 + [0.25], [2.0] * 6])
    known = Reference("proof", reference_point=(1.0,) * 6)
    figure = convergence(run_result(values, names=names, units=names, reference=known))
    assert trace(figure, "best so far").y == pytest.approx([2.0**-6, 1.5 * 2.0**-6, 1.5 * 2.0**-6], rel=0.05)
    assert figure.layout.title.subtitle.text.endswith("· estimated")


def test_hypervolume_of_a_long_run_is_measured_at_some_evaluations_and_ends_right(run_result):
    rng = np.random.default_rng(0)
    known = Reference("proof", reference_point=(1.0, 1.0))
    result = run_result(rng.random((5000, 2)), reference=known)
    best = trace(convergence(result), "best so far")
    assert 60 < len(best.x) <= 101
    assert best.x[[0, -1]].tolist() == [1, 5000]
    assert best.y[-1] == pytest.approx(result.hypervolume())
    middle = int(best.x[50])
    part = run_result(result.evaluation.objectives[:middle], reference=known)
    assert best.y[50] == pytest.approx(part.hypervolume())


def test_long_run_keeps_improvements_counts_and_a_fixed_sample(run_result):
    n = 100_000
    rng = np.random.default_rng(3)
    values = rng.lognormal(size=n)
    limit = rng.normal(size=(n, 1))
    result = run_result(values, limit)
    figure = convergence(result)
    feasible = limit[:, 0] <= 0
    best = np.minimum.accumulate(np.where(feasible, values, np.inf))
    improved = np.flatnonzero(np.diff(best, prepend=np.inf) < 0)
    line = trace(figure, "best so far")
    assert line.x[:-1].tolist() == (improved + 1).tolist()
    assert f"feasible ({feasible.sum():,})" in names(figure)
    drawn = [trace(figure, kind).x for kind in ("feasible", "infeasible")]
    assert sum(map(len, drawn)) == 3000
    assert len(drawn[0]) / 3000 == pytest.approx(0.5, abs=0.05)
    assert "100,000 evaluations · 3,000 of them drawn" in figure.layout.title.subtitle.text
    assert len(figure.to_json()) < 200_000
    assert figure.to_json() == convergence(result).to_json()


def test_steadily_improving_long_run_is_thinned_between_its_ends(run_result):
    line = trace(convergence(run_result(np.linspace(2.0, 1.0, 20_000))), "best so far")
    assert len(line.x) <= 3001
    assert (line.y[0], line.y[-1]) == (2.0, 1.0)


def test_pareto_marks_the_front_and_dims_the_dominated(run_result):
    values = [[3.0, 1.0], [1.0, 3.0], [3.0, 3.0], [0.0, 0.0]]
    figure = pareto(run_result(values, [[-1.0], [-1.0], [-1.0], [1.0]]))
    front, rest = trace(figure, "non-dominated"), trace(figure, "dominated")
    assert (front.x.tolist(), front.y.tolist()) == ([1, 3], [3, 1])
    assert (rest.x.tolist(), rest.y.tolist()) == ([3], [3])
    assert rest.marker.opacity < front.marker.opacity
    assert figure.layout.title.subtitle.text == "2 non-dominated of 3 feasible"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("cost ($)", "mass (kg)")


@pytest.mark.parametrize(("senses", "edge"), [(("min", "max"), "hv"), (("max", "min"), "vh")])
def test_pareto_edge_runs_through_what_is_attained(run_result, senses, edge):
    figure = pareto(run_result([[1.0, 1.0], [2.0, 2.0]], senses=senses))
    front = trace(figure, "non-dominated")
    assert front.x.tolist() == [1, 2]
    assert front.line.shape == edge


def test_pareto_hover_tells_the_design(run_result):
    front = trace(pareto(run_result([[1.0, 1.0]], designs=[[2.5, 12, 1]])), "non-dominated")
    assert front.hovertext[0] == "evaluation 1<br>width = 2.5 mm<br>bolts = 12 <br>material = aluminium "


def test_pareto_of_three_objectives_is_seen_from_the_good_side(run_result):
    figure = pareto(run_result([[1.0, 3.0, 2.0], [2.0, 1.0, 2.0], [0.0, 9.0, 9.0]], senses=("min", "max", "min")))
    assert {t.type for t in figure.data} == {"scatter3d"}
    eye = figure.layout.scene.camera.eye
    assert [np.sign(v) for v in (eye.x, eye.y, eye.z)] == [-1, 1, -1]
    assert figure.layout.scene.zaxis.title.text == "drag (N)"
    front = trace(figure, "non-dominated")
    assert [front.x.tolist(), front.y.tolist(), front.z.tolist()] == [[0, 1], [9, 3], [9, 2]]


@pytest.mark.parametrize("m", [1, 4])
def test_pareto_needs_two_or_three_objectives(run_result, m):
    with pytest.raises(ValueError, match=f"2 or 3 objectives; acme/Bracket-v0 has {m}"):
        pareto(run_result(np.ones((2, m))))


def test_pareto_of_a_long_run_draws_a_sample_and_counts_all(run_result):
    figure = pareto(run_result(np.random.default_rng(0).random((50_000, 2))))
    assert len(trace(figure, "dominated").x) == 3000
    front = trace(figure, "non-dominated")
    assert names(figure) == {f"non-dominated ({len(front.x)})", f"dominated ({50_000 - len(front.x):,})"}


LIMITS = (Constraint("stress", "Pa", 1e6), Constraint("fit", "mm", 2.0), Constraint("mass", "kg", 1.0))


def test_constraint_bars_are_slacks_of_the_best_design_over_their_scale(run_result):
    result = run_result([2.0, 1.0], [[-1.0, -1.0, -1.0], [-5e5, -1e-4, -7.0]], limits=LIMITS)
    (bar,) = constraints(result).data
    assert bar.y == ("fit", "stress", "mass")
    assert bar.x.tolist() == [5e-5, 0.5, 1.0]
    assert bar.text == ("active, 5e-5", "satisfied, 0.5", "satisfied, 7")
    assert bar.marker.color[0] != bar.marker.color[1]


def test_constraint_bars_of_the_least_infeasible_design_show_what_is_violated(run_result):
    result = run_result([1.0, 2.0], [[-1e6, 4.0, -1.0], [-1e6, 1.0, -1.0]], limits=LIMITS)
    figure = constraints(result)
    assert figure.data[0].x.tolist() == [-0.5, 1.0, 1.0]
    assert figure.data[0].text[0] == "violated, -0.5"
    assert "evaluation 2" in figure.layout.title.subtitle.text


def test_constraint_bars_show_the_tightest_of_many(run_result):
    figure = constraints(run_result([1.0], [-np.arange(1.0, 101.0) / 100]))
    assert len(figure.data[0].x) == 40
    assert figure.data[0].x.max() == pytest.approx(0.4)
    assert "the 40 tightest of 100" in figure.layout.title.subtitle.text


@pytest.mark.parametrize("case", [{"objectives": [1.0]}, {"objectives": [[1.0, 1.0]], "constraints": [[-1.0]]}])
def test_constraint_bars_need_constraints_and_one_design(run_result, case):
    with pytest.raises(ValueError, match="no single design with constraints"):
        constraints(run_result(**case))


def test_names_reach_the_figures_escaped(run_result):
    evil = "<a href='x'>&\x1b[31m"
    result = run_result(
        [[1.0, 2.0]], [[-1.0]], names=(evil, evil), limits=(Constraint(evil),), env_id=evil, search=evil
    )
    text = pareto(result).to_json() + convergence(result).to_json()
    single = run_result([1.0], [[-1.0]], names=(evil,), limits=(Constraint(evil),), env_id=evil)
    text += constraints(single).to_json() + convergence(single).to_json()
    assert "href" in text
    assert "<a" not in text
    assert "\\u001b" not in text
    assert "&lt;a" in text.replace("\\u003c", "<").replace("\\u0026", "&")


def test_dark_and_light_templates_differ_in_ink_only(run_result):
    light, dark = style.template(False), style.template(True)
    assert light.layout.font.color != dark.layout.font.color
    assert light.layout.margin == dark.layout.margin


def png_size(path):
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


def test_picture_is_a_small_png_that_shows_the_best_line(run_result, tmp_path):
    from matplotlib.image import imread

    rng = np.random.default_rng(0)
    values, limits = rng.lognormal(size=400), rng.normal(size=(400, 1))
    limits[:5] = 1.0
    path = save_convergence(
        run_result(values, limits, reference=Reference("p", value=0.01)), tmp_path / "convergence.png"
    )
    assert png_size(path) == (1600, 1000)
    assert path.stat().st_size < 300_000
    pixels = np.rint(imread(path)[..., :3] * 255)
    for colour in (style.LINE, style.REFERENCE):
        assert (pixels == tuple(bytes.fromhex(colour[1:]))).all(axis=-1).any()


def test_pictures_of_different_runs_differ_and_of_one_run_are_equal(run_result, tmp_path):
    one = save_convergence(run_result([3.0, 2.0]), tmp_path / "a.png").read_bytes()
    assert save_convergence(run_result([3.0, 2.0]), tmp_path / "b.png").read_bytes() == one
    assert save_convergence(run_result([3.0, 1.0]), tmp_path / "c.png").read_bytes() != one


def test_picture_as_html_is_one_file_with_the_figure(run_result, tmp_path):
    text = save_convergence(run_result([3.0, 2.0]), str(tmp_path / "c.html")).read_text(encoding="utf-8")
    assert "plotly.js v" in text
    assert "best so far" in text


def test_picture_refuses_other_suffixes(run_result, tmp_path):
    with pytest.raises(ValueError, match=r"suffix '.svgz' is not understood; allowed: .png, .html"):
        save_convergence(run_result([1.0]), tmp_path / "c.svgz")


def test_picture_takes_names_as_text_not_as_formulas(run_result, tmp_path):
    assert save_convergence(run_result([1.0], names=("$\\frac$_$",), units=("$^$",)), tmp_path / "c.png").exists()


def test_unusual_results_can_be_drawn(unusual_result, tmp_path):
    figure = convergence(unusual_result)
    assert f"{len(unusual_result.designs) or 'no'} evaluations" in figure.layout.title.subtitle.text
    low, high = figure.layout.yaxis.range
    assert np.isfinite([low, high]).all()
    assert low < high
    assert png_size(save_convergence(unusual_result, tmp_path / "c.png")) == (1600, 1000)
