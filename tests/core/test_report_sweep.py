"""The page of a sweep: figures and tables show what the studies did."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import designopt as do
from designopt import lottery
from designopt.executors import Finished
from designopt.ranking import rank_backends
from designopt.report import sweep_figures as figures
from designopt.report import write_sweep_report
from designopt.runs import Ask, RunInfo
from designopt.store import Store, StoreError


@do.design_env(do.DesignSpace(x=do.Real(0, 10)), maximize=["gain"], constraints={"x": "<= 9"}, units={"gain": "kg"})
def line(x):
    return {"gain": 10 * x, "x": x}


class Page(HTMLParser):
    """Text, tables (id -> rows of cells) and ids of figures of a page."""

    def __init__(self, path):
        super().__init__()
        self.text, self.tables, self.figures, self.tags = "", {}, [], []
        self._rows, self._cell, self._raw = [], None, False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._raw = tag in ("script", "style")
        if tag == "table":
            self._rows = self.tables.setdefault(attributes.get("id"), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""
        if attributes.get("class") == "plotly-graph-div":
            self.figures.append(attributes["id"])

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._rows[-1].append(self._cell)
            self._cell = None
        self._raw = False

    def handle_data(self, data):
        if not self._raw:
            self.text += data
            if self._cell is not None:
                self._cell += data


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        yield opened


def record(store, designs, state="finished", error="", **facts):
    info = {"env": line.id, "backend": "ga", "hyperparameters": {"population": 4}, "seed": 0, "budget": len(designs)}
    given = {"space": line.design_space, "objectives": line.objectives, "constraints": line.constraints}
    given |= {"env_arguments": {}, "sweep": "beams", "configuration": "default"}
    run = store.create_run(RunInfo(**(given | info | facts)))
    if designs:
        designs = np.array(designs, dtype=float)[:, None]
        done = Finished(np.arange(len(designs)), designs, line.evaluate(designs), "serial")
        store.record(run, [Ask(first=0, n=len(designs), told_before=0, wanted=len(designs))], [done], 0)
    if state != "running":
        store.finish_run(run, state, error=error)
    return run


def fill(store):
    """Random closes nothing, ga a half or everything, tpe is always infeasible and once fails."""
    for seed in range(2):
        record(store, [1.0, 2.0], backend="random", seed=seed, hyperparameters={})
        record(store, [1.0, 5.0], seed=seed)
        record(store, [9.0, 8.0], seed=seed, configuration="c01", hyperparameters={"population": 7})
    record(store, [9.5, 9.5], backend="tpe")
    record(store, [9.5], backend="tpe", seed=1, budget=2, state="failed", error="ValueError: no <good>\n  line 2")


def test_page_of_a_sweep_has_the_lottery_of_every_environment(store, tmp_path):
    fill(store)
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    assert page.figures == ["race-1", "draws-1", "tries", "rank-line", "timeline"]
    head, *rows = page.tables["problem-1-table"]
    assert [row[0] for row in rows] == ["ga", "random", "tpe"]
    ga, random, tpe = (dict(zip(head, row, strict=True)) for row in rows)
    # the gap is from 20 to 90: half of ga's studies closed 30 / 70 of it
    assert ga["configurations × seeds"] == "2 × 2"
    assert (ga["median"], ga["gap closed"]) == ("70", "71 %")
    assert (ga["IQR configurations"], ga["IQR seeds"]) == ("29", "0")
    assert ga["variance: configuration / seed / rest"] == "100 / 0 / 0 %"
    assert ga["reach 95 %"] == "50 % (0 to 100)"
    assert ga["default's rank"] == "2 of 2"
    assert (random["gap closed"], random["default's rank"]) == ("0 %", "–")
    assert (tpe["median"], tpe["without feasible design"]) == ("none feasible", "2 of 2")
    assert "The typical study did best with ga on line." in page.text
    assert "gain (kg), maximised. Best known 90 kg; best found 90 kg by ga (c01, seed 0)" in page.text
    assert "The gap begins at 20 kg, the median of random search." in page.text


def test_page_ranks_backends_by_choice_of_configuration(store, tmp_path):
    fill(store)
    ranks = Page(write_sweep_report(store, "beams", tmp_path / "page.html")).tables["ranks-table"]
    assert ranks[1:4] == [
        ["ga", "1.00", "1.00", "1.00"],
        ["random", "2.00", "2.00", "2.00"],
        ["tpe", "3.00", "3.00", "3.00"],
    ]
    assert ranks[4] == ["Friedman's p", "0.14", "0.14", "0.14"]


def record_elsewhere(store, backend):
    for seed in range(2):
        record(store, [1.0, 2.0], backend=backend, seed=seed, env="slope")


def test_backends_that_did_not_run_everywhere_are_named_and_not_ranked(store, tmp_path):
    fill(store)
    record_elsewhere(store, "ga")
    record_elsewhere(store, "random")
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    assert [row[:2] for row in page.tables["ranks-table"][1:3]] == [["ga", "1.25"], ["random", "1.75"]]
    assert "Not ranked, because not run on every environment: tpe." in page.text


def test_a_sweep_without_a_backend_on_all_environments_has_no_ranks(store, tmp_path):
    fill(store)
    record_elsewhere(store, "local")
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    assert "ranks-table" not in page.tables
    assert "rank-line" not in page.figures
    assert ("a", {"href": "#ranks"}) not in page.tags


def test_page_names_winning_configurations_and_failed_studies(store, tmp_path):
    fill(store)
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    assert ["line", "ga", "c01", "100 %", "population = 7"] in page.tables["winners"]
    (failed,) = page.tables["failed"][1:]
    assert failed[:5] == ["line", "tpe", "default", "1", "1"]
    assert failed[6] == "ValueError: no <good> line 2"
    assert "1 failed, 1 listed." in page.text


def test_page_tells_the_commands_and_versions(store, tmp_path):
    fill(store)
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    (run, *_) = store.runs()
    assert run.command in page.text
    assert ["numpy", np.__version__] in page.tables["versions"]


def test_links_lead_within_the_page_and_nothing_is_loaded(store, tmp_path):
    fill(store)
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = {attributes["href"] for _, attributes in page.tags if "href" in attributes}
    assert links == {f"#{link[1:]}" for link in links if link[1:] in ids}
    assert not any({"src", "srcset", "data", "action"} & set(attributes) for _, attributes in page.tags)


def test_sweep_that_has_just_begun_has_a_page_without_comparison(store, tmp_path):
    record(store, [], state="running", budget=5)
    page = Page(write_sweep_report(store, "beams", tmp_path / "page.html"))
    assert page.figures == ["timeline"]
    assert "Nothing to compare yet" in page.text
    assert "None of 1 studies has spent its budget yet." in page.text


def test_unknown_sweep_has_no_page(store, tmp_path):
    with pytest.raises(StoreError, match="unknown sweep 'beam'"):
        write_sweep_report(store, "beam", tmp_path / "page.html")


# Figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(store):
    fill(store)
    return lottery.compare(lottery.studies(store, "beams"))


COLOURS = figures.colours(["random", "ga", "tpe"])


def test_race_draws_the_median_in_the_objectives_own_sign(compared):
    figure = figures.race(compared, COLOURS)
    lines = {t.name: t for t in figure.data if t.name}
    assert set(lines) == {"ga", "random"}  # tpe has nothing feasible to draw
    assert lines["ga"].y.tolist() == [50, 70]
    assert lines["random"].y.tolist() == [10, 20]
    assert lines["random"].line.color != lines["ga"].line.color
    assert figure.layout.yaxis.title.text == "gain (kg)"
    assert [s.y0 for s in figure.layout.shapes] == [90]
    assert figure.layout.yaxis.range[0] < 10 < 90 < figure.layout.yaxis.range[1]


def test_band_lies_around_its_line(compared):
    figure = figures.race(compared[compared["backend"] == "ga"], COLOURS)
    band = next(t for t in figure.data if t.fill == "toself")
    assert (min(band.y), max(band.y)) == (10, 90)


def test_draws_are_configurations_with_the_default_marked(compared):
    traces = {t.name: t for t in figures.draws(compared, COLOURS).data}
    ga = traces["ga"]
    assert ga.text == ("default", "c01")
    assert ga.y.tolist() == pytest.approx([300 / 7, 100])
    assert ga.marker.symbol == ("diamond", "circle")
    assert traces["tpe"].y.tolist() == [0]


def test_tries_rise_from_the_mean_to_the_best(compared):
    traces = {t.name: t for t in figures.tries(compared, COLOURS).data}
    assert traces["ga"].y.tolist() == pytest.approx([500 / 7, 100])
    assert traces["random"].x.tolist() == [1]


def test_rank_line_places_backends_and_joins_those_that_are_not_told_apart():
    ranking = rank_backends(pd.DataFrame({"ga": [1.0] * 8, "random": [2.0] * 8, "tpe": [3.0] * 8}))
    figure = figures.rank_line(ranking, COLOURS)
    dots = next(t for t in figure.data if t.mode == "markers")
    assert dots.x.tolist() == [1, 2, 3]
    assert dots.marker.color == tuple(COLOURS[name] for name in ("ga", "random", "tpe"))
    bars = [t.hovertext for t in figure.data if t.mode == "lines"]
    assert bars == ["not told apart: ga, random", "not told apart: random, tpe"]
    assert f"critical difference {ranking.critical_difference:.2f}" in str(figure.data[-1].text)


def test_lanes_are_as_few_as_studies_at_a_time():
    start, end = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 5.0, 4.0, 6.0])
    assert figures.lanes(start, end).tolist() == [0, 1, 0, 2]


def test_study_timeline_marks_failures(store):
    fill(store)
    figure = figures.study_timeline(lottery.studies(store, "beams"))
    assert {bar.name for bar in figure.data} == {"finished (7)", "failed (1)"}
    (failed,) = [bar for bar in figure.data if bar.name == "failed (1)"]
    assert failed.hovertext[0].startswith("line, tpe default, seed 1<br>failed, 1 evaluations")


@pytest.mark.parametrize(
    ("env", "name"),
    [("designopt/WeldedBeam-v0", "WeldedBeam"), ("bracket", "bracket"), ("a/B-v12 (n=3, m=a/b)", "B (n=3, m=a/b)")],
)
def test_environments_have_short_names(env, name):
    assert figures.short(env) == name


def test_backend_has_the_same_colour_whatever_the_order():
    assert figures.colours(["b", "a", "random"]) == figures.colours(["random", "a", "b"])
    assert len(set(figures.colours([f"b{i}" for i in range(9)]).values())) == 9
