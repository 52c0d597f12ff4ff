"""The HTML page: right numbers, self-contained, and nothing of the user's runs in it."""

from html.parser import HTMLParser

import numpy as np
import pytest

from designopt import Constraint, Reference
from designopt.report import write_report


class Page(HTMLParser):
    """Visible text, tables (id -> rows of cells), tags and their attributes of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.tables, self.scripts, self.text = [], {}, [], ""
        self._rows = self._cell = None
        self._raw = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs)["id"], [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._rows[-1].append(self._cell)
            self._cell = None
        self.text += " "
        self._raw = False

    def handle_data(self, data):
        if self._raw:
            self.scripts.append(data)
            return
        self.text += data
        if self._cell is not None:
            self._cell += data

    def row(self, table, name):
        (found,) = [r for r in self.tables[table] if r[0] == name]
        return found

    def facts(self):
        return " ".join(self.text.split())


@pytest.fixture
def page(tmp_path):
    return lambda result: Page(write_report(result, tmp_path / "report.html"))


LIMITS = (Constraint("stress", "Pa", 1e6), Constraint("fit", "mm"))


def test_best_design_stands_beside_the_known_optimum_with_units_and_gap(run_result, page):
    result = run_result(
        [4.0, 2.5, 1.0],
        [[-1.0, -1.0], [-2.5e5, -1e-5], [1.0, -1.0]],
        designs=[[1.0, 1, 0], [2.123456789, 123456, 1], [3.0, 3, 0]],
        limits=LIMITS,
        reference=Reference("multi-start SLSQP", value=2.0, design=(2.0, 5.0, 0.0)),
    )
    page = page(result)
    assert page.tables["design"][0] == ["", "value", "unit", "known optimum", ""]
    assert page.row("design", "width") == ["width", "2.12346", "mm", "2", ""]
    assert page.row("design", "bolts") == ["bolts", "123456", "", "5", ""]
    assert page.row("design", "material") == ["material", "aluminium", "", "steel", ""]
    assert page.row("design", "cost") == ["cost", "2.5", "$", "2", "minimised; 25 % worse than the known optimum"]
    assert page.row("design", "stress") == ["stress", "slack 250000", "Pa", "", "satisfied"]
    assert page.row("design", "fit") == ["fit", "slack 1e-5", "mm", "", "active"]
    assert "Best feasible design, evaluation 2" in page.text
    assert "multi-start SLSQP" in page.text


def test_gap_has_the_direction_of_the_objective(run_result, page):
    def note(values, sense, known):
        result = run_result(values, senses=(sense,), reference=Reference("proof", value=known))
        return page(result).row("design", "cost")[-1]

    assert note([3.0, 4.0], "max", 5.0) == "maximised; 20 % worse than the known optimum"
    assert note([6.0, 4.0], "max", 5.0) == "maximised; 20 % better than the known optimum"
    assert note([-6.0, 4.0], "min", -5.0) == "minimised; 20 % better than the known optimum"
    assert note([5.0], "min", 5.0) == "minimised; equal to the known optimum"
    assert note([0.25], "min", 0.0) == "minimised; 0.25 worse than the known optimum"


def test_table_without_known_optimum_has_no_column_for_it(run_result, page):
    page = page(run_result([1.0]))
    assert page.tables["design"][0] == ["", "value", "unit", ""]
    assert page.row("design", "cost") == ["cost", "1", "$", "minimised"]


def test_least_infeasible_design_is_called_so_and_says_what_is_violated(run_result, page):
    result = run_result([1.0, 2.0], [[5e6, -1.0], [2e6, -1.0]], limits=LIMITS, reference=Reference("proof", value=1.0))
    page = page(result)
    assert "Least infeasible design (nothing feasible was found), evaluation 2" in page.text
    assert page.row("design", "stress") == ["stress", "excess 2000000", "Pa", "", "violated"]
    assert page.row("design", "cost")[-1] == "minimised"  # an infeasible value has no gap


def test_facts_of_the_run(run_result, page):
    result = run_result(
        [4.0, 2.0, np.nan, np.nan],
        [[-1.0], [1.0], [np.nan], [np.nan]],
        status=["ok", "ok", "timeout", "failed"],
        seconds=[1.0, 60.0, 100.0, 39.0],
        search_seconds=0.25,
    )
    facts = page(result).facts()
    assert "best cost 4 $ evaluations 4 feasible 1 (25 %) without values 1 failed, 1 timeout" in facts
    assert "search time 250 ms evaluation time 3 min 20 s" in facts
    assert "acme/Bracket-v0 searched by gp, seed 7, run run-1" in facts


def test_failures_are_listed_by_status_with_an_example_error(run_result, page):
    nan = np.full(5, np.nan)
    status = ["ok", "failed", "lost", "failed", "invalid"]
    errors = ["", "ZeroDivisionError: a < b", "node died", "other", "no mesh"]
    page = page(run_result(np.where(np.array(status) == "ok", 1.0, nan), status=status, errors=errors))
    assert page.tables["failures"][1:] == [
        ["invalid", "1", "5", "no mesh"],
        ["failed", "2", "2", "ZeroDivisionError: a < b"],
        ["lost", "1", "3", "node died"],
    ]


def test_no_list_of_failures_without_failures(run_result, page):
    assert "failures" not in page(run_result([1.0])).tables


def test_endless_error_text_is_cut(run_result, page):
    page = page(run_result([np.nan], status=["failed"], errors=["x" * 10**6]))
    assert len(page.tables["failures"][1][3]) == 2000


def test_command_settings_and_versions_are_exact(run_result, page):
    command = "designopt run acme/Bracket-v0 --set 'a<b&c'"
    page = page(run_result([1.0], command=command, config={"batch": 4, "kernel": "rbf"}, versions={"numpy": "2.4.1"}))
    assert command in page.text
    assert page.row("settings", "batch") == ["batch", "4"]
    assert page.row("settings", "kernel") == ["kernel", "rbf"]
    assert page.row("settings", "numpy") == ["numpy", "2.4.1"]


def test_front_is_a_table_by_the_first_objective(run_result, page):
    values = [[3.0, 1.0], [1.0, 3.0], [3.0, 3.0]]
    page = page(run_result(values, designs=[[1.0, 1, 0], [2.0, 2, 1], [3.0, 3, 0]]))
    assert page.tables["front"] == [
        ["cost ($)", "mass (kg)", "width (mm)", "bolts", "material"],
        ["1", "3", "2", "2", "aluminium"],
        ["3", "1", "1", "1", "steel"],
    ]
    assert "Non-dominated designs: 2" in page.text
    assert "design" not in page.tables


def test_large_front_is_thinned_evenly_between_its_ends(run_result, page):
    x = np.linspace(0.0, 1.0, 5001)
    page = page(run_result(np.stack([x, 1 - x], axis=1)))
    shown = [float(row[0]) for row in page.tables["front"][1:]]
    assert len(shown) == 1000
    assert (shown[0], shown[-1]) == (0.0, 1.0)
    assert np.ptp(np.diff(shown)) < 0.00021
    assert "Non-dominated designs: 5,001 (1,000 shown, spread evenly along cost)" in page.text


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"objectives": []}, "Nothing was evaluated."),
        ({"objectives": [np.nan] * 2, "status": ["failed"] * 2}, "No design could be evaluated in 2 evaluations."),
        ({"objectives": [1.0], "constraints": [[1.0]]}, "No feasible design was found in 1 evaluation."),
        ({"objectives": [3.0, 2.0, 4.0]}, "Best feasible design: cost 2 $. Found at evaluation 2 of 3."),
        (
            {"objectives": [2.5], "reference": Reference("p", value=2.0)},
            "Best feasible design: cost 2.5 $, 25 % worse than the known optimum. Found at evaluation 1 of 1.",
        ),
        (
            {"objectives": [[1.0, 2.0], [2.0, 1.0], [3.0, 3.0], [0.0, 0.0]], "constraints": [[-1.0]] * 3 + [[1.0]]},
            "2 of 3 feasible designs are not dominated by any other, in 4 evaluations.",
        ),
    ],
)
def test_page_begins_with_what_the_run_came_to(run_result, page, case, sentence):
    assert sentence in page(run_result(**case)).facts()


def test_hypervolume_stands_beside_the_known_one(run_result, page):
    known = Reference("proof", hypervolume=9.5, reference_point=(4.0, 4.0))
    assert "hypervolume 7 (known front: 9.5)" in page(run_result([[1.0, 3.0], [2.0, 1.0]], reference=known)).facts()


ONE = Reference("p", value=1.0)


@pytest.mark.parametrize(
    ("case", "ids"),
    [
        ({"objectives": [1.0]}, "convergence designs"),
        ({"objectives": [np.nan], "status": ["failed"]}, "convergence"),
        ({"objectives": [1.0], "constraints": [[-1.0]]}, "constraint-slacks convergence designs"),
        ({"objectives": [[1.0, 2.0]], "constraints": [[-1.0]]}, "convergence pareto-front designs"),
        ({"objectives": [[1.0, 2.0, 3.0]]}, "convergence pareto-front trade-offs designs"),
        ({"objectives": [[1.0, 2.0, 3.0, 4.0]]}, "convergence trade-offs designs"),
        ({"objectives": [900.0, 5.0], "reference": ONE}, "convergence gap-to-the-known-optimum designs"),
        ({"objectives": [6.0, 5.0], "reference": ONE}, "convergence designs"),
        ({"objectives": np.arange(99.0)}, "convergence what-mattered designs"),
        ({"objectives": [1.0, 2.0], "finished": np.array([10.0, 11.0])}, "convergence designs timeline"),
    ],
)
def test_page_draws_the_figures_that_the_result_has(run_result, page, case, ids):
    page = page(run_result(**case))
    drawn = [attributes["id"] for tag, attributes in page.tags if attributes.get("class") == "plotly-graph-div"]
    assert drawn == ids.split()
    links = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert links >= {f"{name}-section" for name in drawn}
    assert links <= {attributes.get("id") for _, attributes in page.tags}


def test_page_loads_nothing(run_result, page):
    page = page(run_result([[1.0, 2.0]]))
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "data", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    own = "".join(s for s in page.scripts if "plotly.js v" not in s)
    assert "@import" not in own
    assert "url(" not in own
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert sum("plotly.js v" in s for s in page.scripts) == 1


EVIL = "</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}\x00\x1b[31m\ud800"


def test_nothing_that_the_user_names_becomes_markup(run_result, page):
    def report(text):
        one = run_result(
            [1.0, np.nan],
            [[-1.0], [np.nan]],
            status=["ok", "failed"],
            errors=["", text],
            names=(text,),
            units=(text,),
            limits=(Constraint(text, text),),
            reference=Reference(text, value=2.0),
            config={text: text},
            versions={text: text},
            **dict.fromkeys(("env_id", "search", "run_id", "command"), text),
        )
        two = run_result([[1.0, 2.0]], names=(text, text + "2"), units=(text, text))
        return [page(one), page(two)]

    for evil, plain in zip(report(EVIL), report("plain"), strict=True):
        assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
        assert "<img src=x onerror=alert(1)>" in evil.text
        assert "{{7*7}}" in evil.text
        assert "\x1b" not in evil.text


def test_hundred_thousand_evaluations_stay_a_small_file(run_result, tmp_path):
    rng = np.random.default_rng(0)
    n = 100_000
    status = np.where(rng.random(n) < 0.05, "failed", "ok")
    errors = np.where(status == "failed", "RuntimeError: " + "diverged " * 50, "").astype(object)
    result = run_result(rng.random((n, 2)), rng.normal(size=(n, 3)), status=status, errors=errors)
    assert write_report(result, tmp_path / "big.html").stat().st_size < 6_000_000


def test_unusual_results_have_a_page(unusual_result, page):
    page = page(unusual_result)
    n = len(unusual_result.designs)
    assert f"evaluations {n:,} feasible" in page.facts()
    nothing = not (unusual_result.evaluation.status == "ok").any()
    assert ("No design to show" in page.text) == nothing
    assert ("Nothing was evaluated." in page.text) == (n == 0)


def test_report_of_a_folder_that_does_not_exist_is_an_error(run_result, tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(run_result([1.0]), tmp_path / "missing" / "report.html")
