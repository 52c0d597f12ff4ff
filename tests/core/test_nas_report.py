"""Figures of architecture searches, of real small runs and of numbers known by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import designopt as do
from designopt.launch import make_searcher
from designopt.report import nas_figures as figures
from designopt.result import Result
from designopt.search.nas.judging import judge


@pytest.fixture(scope="module")
def result() -> Result:
    env = do.make("designopt/HyperCuboid-v0", layers=1, steps=2, epochs=1)
    return do.optimize(env, search="sharpdarts", budget=1, seed=0, epochs=2, batch_size=600)


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


def test_groups_are_called_by_their_parameters_where_they_are_parameters():
    edges = do.DesignSpace(edge1=do.Categorical(["none", "skip"]), edge2=do.Categorical(["none", "skip"]))
    named = SimpleNamespace(space=edges, choices={"cell": ("nothing", "copy")})
    assert figures.labels(named, "cell", 2, 2) == (["edge1", "edge2"], ["nothing", "copy"])
    assert figures.labels(named, "other", 3, 2) == (["group 1", "group 2", "group 3"], ["choice 1", "choice 2"])


def test_choices_have_the_names_that_the_environment_gives_them(result):
    assert result.choices["grid"][:3] == ("4>4 pool", "4>4 sharp_sep_conv", "4>8 pool")
    assert [line.name.split("&gt;")[0] for line in figures.alpha_trajectories(result).data[:8]] == ["4"] * 4 + ["8"] * 4
    assert list(figures.operation_heatmap(result).data[0].y) == ["group 1", "group 2"]


# Cells and judgement ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged():
    """A small search of MiniNAS with its result, judged over some cells by the table."""
    env = do.make("designopt/MiniNAS-v0")
    search = make_searcher(env, "darts", seed=0, epochs=2, batch_size=250, eigenvalue="record")
    with do.Study(env, search, budget=1) as study:
        result = study.run()
    cells = np.array([[0, 1, 0], [3, 3, 3], [3, 4, 3], [1, 1, 1], [2, 0, 2]], dtype=float)
    judge(search, cells)
    return env, search, cells, result


def test_what_warns_of_a_collapse_is_drawn_as_recorded(judged):
    result = judged[-1]
    lines = {line.name: list(line.y) for line in figures.collapse(result).data}
    assert lines["skip"] == [row["skip_share"] for row in result.trace[:2]]
    assert lines["none"] == [row["none_share"] for row in result.trace[:2]]
    assert lines["largest eigenvalue of the Hessian in alpha"] == [row["eigenvalue"] for row in result.trace[:2]]


def test_regret_of_an_epoch_is_what_its_cell_lacks_to_the_best_truth(judged):
    env, _, cells, result = judged
    moments = np.array([row["design"] for row in result.trace[:2]])
    best = max(env.truth(cells).max(), env.truth(moments).max())
    assert [row["regret"] for row in result.trace[:2]] == pytest.approx(best - env.truth(moments))
    (line,) = figures.drawings(result)["Regret against CPU seconds"][1].data
    assert list(line.x) == [row["cpu_seconds"] for row in result.trace[:2]]
    assert list(line.y) == [row["regret"] for row in result.trace[:2]]


def test_one_shot_scores_are_accuracies_of_single_cells_with_the_weights_of_the_supernet(judged):
    env, search, cells, result = judged
    row = result.trace[-1]
    assert row["truth"] == env.truth(cells).tolist()
    assert row["names"][2] == "nor_conv_3x3, avg_pool_3x3, nor_conv_3x3"
    network, data = env.build_supernet(), env.search_data(0)
    network.load_state_dict(search.w)
    with torch.no_grad():
        for cell, score in zip(cells, row["one_shot"], strict=True):
            mixture = {"cell": torch.eye(5)[cell.astype(int)]}
            right = network(data.validation_inputs, mixture).argmax(1) == data.validation_labels
            assert score == pytest.approx(100 * right.float().mean().item())


def test_the_report_of_a_judged_search_shows_all_of_it(judged, tmp_path):
    page = judged[-1].report(tmp_path / "judged.html").read_text()
    for heading in ("Weights of operations", "Regret against CPU seconds", "Supernet against truth", "Cell"):
        assert f">{heading}</h2>" in page
    assert "over 5 architectures" in page


def test_the_best_cell_is_drawn_where_parameters_are_edges(judged, result):
    best = judged[-1].best
    assert figures.cell_of(judged[-1]) == [(0, 1, best["edge_0_1"]), (0, 2, best["edge_0_2"]), (1, 2, best["edge_1_2"])]
    assert figures.cell_of(result) == []


def test_what_has_no_supernet_or_has_not_searched_is_not_judged():
    toy = make_searcher(do.make("designopt/BilevelToy-v0"), "darts", seed=0)
    with pytest.raises(ValueError, match="BilevelToy-v0 has no supernet and truth"):
        judge(toy, np.zeros((1, 2)))
    fresh = make_searcher(do.make("designopt/MiniNAS-v0"), "darts", seed=0)
    with pytest.raises(ValueError, match="has no epochs to judge"):
        judge(fresh, np.zeros((1, 3)))
