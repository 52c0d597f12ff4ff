"""Figures of sequence searches: logo, latent space, improvement on initial data, calls to thresholds."""

import numpy as np
import pytest

import designopt as do
from designopt import DesignSpace, Evaluation, Objective, Reference, Sequence
from designopt.report import offline_figures as offline
from designopt.report import sequence_figures as figures
from designopt.report import write_report, write_sweep_report
from designopt.report.offline_figures import Course
from designopt.store import Store
from designopt.sweep.plan import read_plan
from designopt.sweep.run import enter


class Letters(do.DesignEnv):
    """Share of letters that agree with ABCA; ABBB and AAAA are known."""

    design_space = DesignSpace(sequence=Sequence("ABCD", 4))
    objectives = (Objective("fitness", "max"),)
    reference = Reference("made", 1.0, (0, 1, 2, 0))

    def evaluate(self, designs):
        return Evaluation((designs == [0, 1, 2, 0]).mean(axis=1, keepdims=True))

    def offline_data(self, seed=None):
        designs = np.array([[0.0, 1, 1, 1], [0, 0, 0, 0]])
        return designs, self.evaluate(designs)


@pytest.fixture(scope="module")
def found():
    return do.optimize(Letters(), "pgvae", budget=60, batch=30, epochs=5, latent=3, width=16, n_initial=2)


def test_heights_of_a_logo_are_bits():
    heights = figures.information(np.array([[0, 0], [0, 1], [0, 2], [0, 3]]), 4)
    assert heights[0].tolist() == [2, 0, 0, 0]
    assert heights[1] == pytest.approx(np.zeros(4))
    assert figures.information(np.array([[0], [0], [1], [1]]), 4)[0] == pytest.approx([0.5, 0.5, 0, 0])


@pytest.mark.parametrize("letter", ["A", "I", "Q"])
def test_a_glyph_fills_its_box_in_height_and_stays_within_it(letter):
    path = figures.glyph(letter, 2.0, 1.0, 0.9, 3.0)
    corners = np.array([pair.split(",") for pair in path.split() if "," in pair], dtype=float)
    assert corners.min(axis=0) == pytest.approx([corners[:, 0].min(), 1.0], abs=1e-3)
    assert corners[:, 1].max() == pytest.approx(4.0, abs=1e-3)
    assert corners[:, 0].min() >= 2.0 - 1e-3
    assert corners[:, 0].max() <= 2.9 + 1e-3
    assert corners[:, 0].mean() == pytest.approx(2.45, abs=0.2)


def test_a_logo_shows_the_last_sequences_the_best_and_the_optimum(found):
    figure = figures.logo(found)
    heights = figures.information(found.designs[-figures.LAST :], 4)
    assert len(figure.layout.shapes) == (heights >= 0.02).sum()
    said = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    at = {name: [a for a in figure.layout.annotations if a.y == said[name]] for name in ("best found", "optimum")}
    assert [a.text for a in at["optimum"]] == ["<b>A</b>", "<b>B</b>", "<b>C</b>", "<b>A</b>"]
    best = found.designs[found.best_row].astype(int)
    agrees = best == [0, 1, 2, 0]
    letters = [f"<b>{'ABCD'[b]}</b>" if a else "ABCD"[b] for b, a in zip(best, agrees, strict=True)]
    assert [a.text for a in at["best found"]] == letters


def test_no_logo_where_designs_are_no_sequences():
    result = do.optimize("designopt/WeldedBeam-v0", "random", budget=3)
    assert figures.drawings(result) == {}
    with pytest.raises(ValueError, match="a logo needs designs that are one sequence"):
        figures.logo(result)
    with pytest.raises(ValueError, match="the trace of random has no codes"):
        figures.latent_space(result)


def test_only_the_last_row_of_a_trace_has_the_latent_space_and_it_is_of_that_model(found):
    assert ["codes" in row for row in found.trace] == [False, True]
    last = found.trace[-1]
    known = np.unique(np.concatenate([Letters().offline_data()[0], found.designs[:30]]), axis=0)
    assert last["codes"].shape == (len(known), 3)
    assert sorted(last["fitness"]) == pytest.approx(sorted(Letters().evaluate(known).objectives[:, 0]))
    assert last["proposed"].shape == (30, 3)


@pytest.mark.parametrize("name", ["rwr", "weighted_retraining"])
def test_the_weighted_family_has_a_latent_space_too(name):
    result = do.optimize(Letters(), name, budget=40, batch=20, epochs=2, latent=2, width=16, n_initial=2)
    assert result.trace[-1]["proposed"].shape == (20, 2)
    assert "codes" not in result.trace[0]
    assert list(figures.drawings(result)) == ["Sequence logo", "Latent space"]


def test_latent_space_draws_codes_in_their_main_plane_around_the_origin(found):
    figure = figures.latent_space(found)
    row = found.trace[-1]
    codes, proposed, *circles = figure.data
    axes = figures.plane(row["codes"])
    assert axes.T @ axes == pytest.approx(np.eye(2), abs=1e-5)
    assert np.diff(codes.marker.color).min() >= 0  # the good ones on top
    shown = np.stack([proposed.x, proposed.y], axis=1)
    assert shown == pytest.approx(row["proposed"] @ axes, abs=1e-5)
    assert [np.hypot(c.x, c.y).mean() for c in circles] == pytest.approx([1.0, 3.0349], abs=1e-3)
    assert figures.plane(np.ones((4, 1))).shape == (1, 2)
    spread = np.random.default_rng(0).normal(size=(500, 3)) * [0.1, 5.0, 1.0]
    assert np.abs(figures.plane(spread)[1, 0]) == pytest.approx(1, abs=0.01)


def test_the_report_of_a_run_has_both(found, tmp_path):
    text = write_report(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="sequence-logo"' in text
    assert 'id="latent-space"' in text


# Over seeds -----------------------------------------------------------------------------------------------------


def course(best, search="pgvae", seed=0, optimum=np.nan, cell="separation 1"):
    return Course("Made", cell, search, seed, np.array(best, dtype=float), 2, optimum)


def test_bands_are_means_over_seeds_and_their_bootstrap():
    mean, low, high = offline.band([np.array([0.0, 1, 1]), np.array([0.0, 3, 5]), np.array([0.0, 2, 3, 9])])
    assert mean.tolist() == [0, 2, 3]
    assert low[0] == high[0] == 0
    assert 1 <= low[1] < 2 < high[1] <= 3
    assert offline.band([np.array([0.0, 4.0])] * 5)[1].tolist() == [0, 4]


def test_gains_are_taken_after_each_round():
    assert course([1, 1, 4, 5, 6]).gains.tolist() == [0, 3, 5]


def test_calls_to_reach_count_from_the_initial_data():
    one = course([1, 1, 2, 3, 3])
    assert [offline.calls_to_reach(one, share, 5.0) for share in (0.25, 0.5, 0.75)] == [2, 3, np.inf]


def test_thresholds_are_medians_over_seeds_and_say_how_many_got_there():
    runs = [course([0, 1, 2, 2, 2], seed=s) for s in (0, 1)] + [course([0, 0, 0, 0, 0], seed=2)]
    columns, rows = offline.thresholds([*runs, course([0, 0, 0, 0, 4], "rwr")])
    assert columns[2:] == ["25 % of the way", "50 % of the way", "75 % of the way", "95 % of the way"]
    assert rows[0] == ["separation 1", "pgvae", "1 (2 of 3)", "2 (2 of 3)", "– (0 of 3)", "– (0 of 3)"]
    assert rows[1][2:] == ["4 (1 of 1)"] * 4
    known = offline.thresholds([course([0, 1, 2, 2, 2], optimum=2.0)])[1]
    assert known[0][-1] == "2 (1 of 1)"


def test_improvement_has_a_panel_a_cell_and_a_line_a_search():
    runs = [course([0, 0, s, s, s], name, s, cell=c) for c in ("a", "b") for name in ("x", "y") for s in (1, 3)]
    figure = offline.improvement(runs, {"x": "red", "y": "blue"})
    assert [a.text for a in figure.layout.annotations] == ["a", "b"]
    lines = [t for t in figure.data if t.fill != "toself"]
    assert [(t.name, t.xaxis) for t in lines] == [("x", "x"), ("y", "x"), ("x", "x2"), ("y", "x2")]
    assert list(lines[0].x) == [0, 2, 4]
    assert list(lines[0].y) == [0, 2, 2]
    assert [t.showlegend for t in lines] == [True, True, False, False]


def test_the_page_of_a_sweep_compares_improvements(tmp_path):
    plan = {
        "sweep": {"name": "made", "budget": 20, "batch": 10, "seeds": 2, "store": str(tmp_path / "made.db")},
        "env": [
            {"id": "designopt/GaussianMixture-v0", "arguments": {"separation": s, "imbalance": 0.05}} for s in (1, 0)
        ]
        + [{"id": "designopt/WeldedBeam-v0"}],
        "backend": [{"name": "random"}],
    }
    read = read_plan(plan)
    with Store(read.store) as store:
        enter(read)
        for study in read.studies:
            env = read.envs[study.env]
            searcher = do.backend("random")(env, None, seed=study.info.seed)
            searcher.name = "random"
            do.Study(env, searcher, budget=20, batch=10, store=store, resumed=store.load(study.run_id)).run()
        text = write_sweep_report(store, "made", tmp_path / "page.html").read_text(encoding="utf-8")
        from designopt import lottery

        runs = store.runs("made")
        courses = offline.courses(lottery.compare(lottery.studies(store, "made")), runs)
    assert "Improvement on initial data" in text
    assert 'id="rounds-1-table"' in text
    assert 'id="rounds-2"' not in text
    assert [(c.env, c.cell, c.seed) for c in courses] == [
        ("GaussianMixture", f"separation {s}, imbalance 0.05", seed) for s in (0, 1) for seed in (0, 1)
    ]
    env = do.make("designopt/GaussianMixture-v0", separation=0, imbalance=0.05)
    assert courses[0].best[0] == pytest.approx(env.offline_data()[1].objectives.max())
    assert courses[0].optimum == pytest.approx(2.5)
    assert (np.diff(courses[0].best) >= 0).all()
    assert courses[0].batch == 10
