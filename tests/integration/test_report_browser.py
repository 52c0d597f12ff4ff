"""Reports in a real browser: figures draw, legend and brush act, nothing is loaded and the console shows no error."""

import shutil

import numpy as np
import pytest

import designopt as do
from designopt.executors import Finished
from designopt.report import style, write_report, write_sweep_report
from designopt.runs import Ask, RunInfo

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (apt-get install chromium)")


@do.design_env(
    do.DesignSpace(width=do.Real(0.01, 0.1, unit="m"), height=do.Real(0.01, 0.2, unit="m")),
    minimize=["mass"],
    constraints={"stress": "<= 2e6"},
    units={"mass": "kg", "stress": "Pa"},
)
def bracket(width, height):
    if width > 0.095:
        raise RuntimeError("mesh <failed> & stopped")
    return {"mass": 7800 * width * height, "stress": 6 * 1e2 / (width * height**2)}


@do.design_env(do.DesignSpace(x=do.Real(0, 1), y=do.Real(0, 0.2)), minimize=["a", "b"])
def pair(x, y):
    return {"a": x + y, "b": 1 - np.sqrt(x) + y}


@do.design_env(do.DesignSpace(x=do.Real(0, 1), y=do.Real(0, 1)), minimize=["a", "b"], maximize=["c"])
def triple(x, y):
    return {"a": x, "b": y, "c": x * y}


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a page and checks in the end that it complained of nothing and loaded nothing."""
    seen, contexts = [], []

    def open_page(path, dark=False, width=1100):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url) if not _own(request.url) else None)
        page.goto(path.as_uri())
        page.wait_for_function("[...document.querySelectorAll('.plotly-graph-div')].every((f) => f._fullLayout)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert seen == []


def _own(url):
    return url.startswith(("file:", "data:", "blob:"))


def drawn(page):
    """Ids of the figures, each checked to have drawn something larger than nothing."""
    figures = page.locator(".plotly-graph-div.js-plotly-plot")
    for figure in figures.all():
        box = figure.locator(".main-svg").first.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
    return [figure.get_attribute("id") for figure in figures.all()]


def drag(page, box, start, end):
    """Drag the mouse between two places of a box, given as shares of its width and height."""
    spots = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*spots[0])
    page.mouse.down()
    page.mouse.move(*spots[1], steps=8)
    page.mouse.up()


@pytest.mark.parametrize("dark", [False, True])
def test_page_of_a_run_draws_its_figures_in_the_brightness_of_the_reader(tmp_path, visit, dark):
    result = do.optimize(bracket, search="random", budget=60, seed=1)
    page = visit(write_report(result, tmp_path / "report.html"), dark)
    assert drawn(page) == ["constraint-slacks", "convergence", "what-mattered", "designs", "timeline"]
    convergence = page.locator("#convergence")
    assert convergence.locator(".js-line").count() >= 1  # the best so far
    assert convergence.locator("path.point").count() == (result.evaluation.status == "ok").sum() + _marks(result)
    assert page.locator("#timeline .point path").count() == 60
    ink = f"rgb({', '.join(map(str, bytes.fromhex(style.INK[dark][1:])))})"
    page.wait_for_function(
        "ink => getComputedStyle(document.querySelector('#convergence .xtitle')).fill === ink", arg=ink
    )


def _marks(result):
    """Crosses of evaluations without values, and the dots of improvements."""
    best = np.minimum.accumulate(np.where(result.evaluation.feasible, result.evaluation.objectives[:, 0], np.inf))
    improved = np.flatnonzero(np.diff(best, prepend=np.inf) < 0)
    return (result.evaluation.status != "ok").sum() + len(set(improved) | {59})


def test_click_on_the_legend_hides_and_shows_a_trace(tmp_path, visit):
    result = do.optimize(bracket, search="random", budget=40, seed=1)
    page = visit(write_report(result, tmp_path / "report.html"))
    name = f"infeasible ({((result.evaluation.status == 'ok') & ~result.evaluation.feasible).sum()})"
    entry = page.locator("#convergence .legend .traces", has_text=name)
    state = "name => document.getElementById('convergence').data.find((t) => t.name === name).visible"
    points = page.locator("#convergence path.point")
    before = points.count()
    entry.locator(".legendtoggle").click()
    page.wait_for_function(f"name => ({state})(name) === 'legendonly'", arg=name)
    assert points.count() < before
    page.wait_for_timeout(500)  # a second click sooner would be a double click
    entry.locator(".legendtoggle").click()
    page.wait_for_function(f"name => ({state})(name) === true", arg=name)


def test_brush_over_the_front_lists_only_the_designs_under_it(tmp_path, visit):
    result = do.optimize(pair, search="nsga2", budget=300, seed=1)
    page = visit(write_report(result, tmp_path / "report.html"))
    rows = page.locator("#front tbody tr")
    every = rows.count()
    assert every == len(result.pareto_rows)
    page.locator("#pareto-front").scroll_into_view_if_needed()
    drag(page, page.locator("#pareto-front .nsewdrag").bounding_box(), (0.01, 0.01), (0.5, 0.99))
    page.wait_for_selector("#chosen:has-text('selected')")
    low, high = page.evaluate("document.getElementById('pareto-front').layout.selections.map((s) => [s.x0, s.x1])[0]")
    objective = result.evaluation.objectives[result.pareto_rows, 0]
    under = result.pareto_rows[(objective >= low) & (objective <= high)]
    assert 0 < len(under) < every
    listed = page.eval_on_selector_all("#front tbody tr:not([hidden])", "rows => rows.map((row) => row.dataset.row)")
    assert sorted(map(int, listed)) == sorted(under)
    assert page.locator("#chosen").inner_text() == f"{len(under)} of {every} listed designs selected"
    page.locator("#all").click()
    page.wait_for_function("n => document.querySelectorAll('#front tbody tr:not([hidden])').length === n", arg=every)
    assert page.locator("#all").is_hidden()


def test_brush_over_a_pair_of_three_objectives_filters_the_table_and_marks_the_solid_front(tmp_path, visit):
    result = do.optimize(triple, search="random", budget=80, seed=1)
    page = visit(write_report(result, tmp_path / "report.html"))
    assert drawn(page)[1:3] == ["pareto-front", "trade-offs"]
    assert page.locator("text=WebGL is not supported").count() == 0
    page.locator("#trade-offs").scroll_into_view_if_needed()
    drag(page, page.locator("#trade-offs .nsewdrag").first.bounding_box(), (0.02, 0.02), (0.5, 0.98))
    page.wait_for_selector("#chosen:has-text('selected')")
    listed = page.locator("#front tbody tr:not([hidden])").count()
    assert 0 < listed < len(result.pareto_rows)
    colours = page.evaluate("document.getElementById('pareto-front').data.find((t) => t.customdata).marker.color")
    assert sum(colour == style.LINE for colour in colours) == listed


def test_narrow_page_scrolls_downwards_only(tmp_path, visit):
    result = do.optimize(bracket, search="random", budget=60, seed=1)
    page = visit(write_report(result, tmp_path / "report.html"), width=420)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_page_of_a_sweep_draws_its_figures(tmp_path, visit):
    with do.Store(tmp_path / "s.db") as store:
        for backend in ("random", "ga", "tpe"):
            for configuration in ("default", "c01"):
                for seed in range(2):
                    _record(store, backend, configuration, seed)
        page = visit(write_sweep_report(store, "beams", tmp_path / "sweep.html"))
    assert drawn(page) == ["race-1", "draws-1", "tries", "rank-line", "timeline"]
    assert page.locator("#race-1 .js-line").count() >= 6  # a line and a band for each backend
    assert page.locator("#draws-1 path.point").count() == 6
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def _record(store, backend, configuration, seed):
    """A finished study of 20 random designs."""
    info = {
        "env": bracket.id,
        "env_arguments": {},
        "backend": backend,
        "hyperparameters": {},
        "seed": seed,
        "budget": 20,
    }
    given = {"space": bracket.design_space, "objectives": bracket.objectives, "constraints": bracket.constraints}
    run = store.create_run(RunInfo(**info, **given, sweep="beams", configuration=configuration))
    designs = bracket.design_space.sample(20, [seed, len(configuration), len(backend)])
    done = Finished(np.arange(20), designs, bracket.evaluate(designs), "serial")
    store.record(run, [Ask(first=0, n=20, told_before=0, wanted=20)], [done], 0)
    store.finish_run(run, "finished")
