"""Figures of architecture searches, of real small runs and of numbers known by hand."""

import numpy as np
import pytest

import designopt as do
from designopt.report import nas_figures as figures
from designopt.result import Result


@pytest.fixture(scope="module")
def result() -> Result:
    env = do.make("designopt/HyperCuboid-v0", layers=1, steps=2, epochs=1)
    return do.optimize(env, search="sharpdarts", budget=1, seed=0, epochs=2, batch_size=200, eigenvalue="record")


def test_trajectories_are_the_softmax_of_the_trace(result):
    figure = figures.alpha_trajectories(result)
    alpha = np.array([row["alpha"]["grid"] for row in result.trace])
    weight = np.exp(alpha) / np.exp(alpha).sum(axis=2, keepdims=True)
    assert len(figure.data) == 2 * 8
    for i, line in enumerate(figure.data):
        assert list(line.x) == [1, 2]
        assert np.asarray(line.y) == pytest.approx(weight[:, i // 8, i % 8])


def test_the_heat_map_is_the_last_epoch(result):
    heat = figures.operation_heatmap(result).data[0]
    alpha = np.array(result.trace[-1]["alpha"]["grid"])
    assert np.asarray(heat.z) == pytest.approx(np.exp(alpha) / np.exp(alpha).sum(axis=1, keepdims=True))
    assert np.asarray(heat.z).sum(axis=1) == pytest.approx([1, 1])


def test_what_warns_of_a_collapse_is_drawn_as_recorded(result):
    lines = {line.name: list(line.y) for line in figures.collapse(result).data}
    assert lines["skip"] == [row["skip_share"] for row in result.trace]
    assert lines["none"] == [row["none_share"] for row in result.trace]
    assert lines["largest eigenvalue of the Hessian in alpha"] == [row["eigenvalue"] for row in result.trace]


def test_the_report_shows_them_for_such_a_search_alone(result, tmp_path):
    page = result.report(tmp_path / "search.html").read_text()
    other = do.optimize("designopt/Ackley-v0", search="random", budget=2, seed=0).report(tmp_path / "other.html")
    for heading in ("Weights of operations", "Operations at the end", "Signs of collapse"):
        assert heading in page
        assert heading not in other.read_text()


def test_another_search_has_no_such_figures():
    other = do.optimize("designopt/Ackley-v0", search="random", budget=2, seed=0)
    assert figures.epochs(other) == []
    for draw in (figures.alpha_trajectories, figures.operation_heatmap, figures.collapse):
        with pytest.raises(ValueError, match="the trace of random has no epochs"):
            draw(other)


def test_kendall_tau_stands_above_the_scatter():
    figure = figures.one_shot_scatter(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 40, 30]), ["a", "b", "c", "<d>"])
    assert figure.layout.title.subtitle.text == "Kendall tau 0.67 over 4 architectures"  # 5 pairs agree, 1 does not
    assert list(figure.data[0].x) == [1, 2, 3, 4]
    assert figure.data[0].text[3] == "&lt;d&gt;"
    with pytest.raises(ValueError, match=r"\(1,\) one-shot scores for \(2,\) true ones"):
        figures.one_shot_scatter(np.ones(1), np.ones(2))


def test_a_cell_is_drawn_edge_by_edge():
    edges = [(0, 1, "skip"), (0, 2, "none"), (1, 2, "conv"), (0, 2, "conv")]
    figure = figures.cell_drawing(edges, {0: "in", 2: "out"})
    *arcs, nodes = figure.data
    assert [arc.name for arc in arcs] == [operation for *_, operation in edges]
    assert [(arc.x[0], arc.x[-1]) for arc in arcs] == [(s, t) for s, t, _ in edges]
    assert list(nodes.text) == ["in", "1", "out"]
    assert [arc.line.dash for arc in arcs] == ["solid", "dot", "solid", "solid"]
    assert [arc.showlegend for arc in arcs] == [True, True, True, False]
    assert arcs[1].y[20] != arcs[3].y[20]  # the same two nodes, yet told apart


def test_regret_is_drawn_as_steps_over_seconds():
    (line,) = figures.regret_against_seconds({"darts": ([1.0, 2.0], [5.0, 3.0])}).data
    assert (list(line.x), list(line.y), line.line.shape) == ([1.0, 2.0], [5.0, 3.0], "hv")


def test_groups_are_called_by_their_parameters_where_they_are_parameters(result):
    class Named:
        space = do.DesignSpace(edge1=do.Categorical(["none", "skip"]), edge2=do.Categorical(["none", "skip"]))

    assert figures.labels(Named, 2, 2) == (["edge1", "edge2"], ["none", "skip"])
    assert figures.labels(result, 2, 8)[0] == ["group 1", "group 2"]
