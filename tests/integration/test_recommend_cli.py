"""`designopt recommend` on a small table, its JSON, its report and its one-line refusals; and the example."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from designopt.search.counterfactual.command import read_target, recommend

app = typer.Typer()
app.command()(recommend)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"name": [f"r{i}" for i in range(60)], "width": rng.uniform(1, 5, 60)})
    frame["depth [cm]"] = rng.uniform(1, 5, 60)
    frame["kind"] = rng.choice(["oak", "pine"], 60)
    frame["note"] = "x"
    frame["mass"] = frame["width"] * frame["depth [cm]"] * np.where(frame["kind"] == "oak", 2.0, 1.0)
    path = tmp_path_factory.mktemp("tables") / "shelves.csv"
    frame.to_csv(path, index=False)
    return path, frame


def call(table, *words):
    path, frame = table
    heavy = frame["name"][frame["mass"].idxmax()]
    options = ["--query", heavy, "--index", "name", "--drop", "note", "--target", "mass<=15", "--budget", "400", *words]
    return CliRunner().invoke(app, [str(path), *options])


def test_json_and_report(table, tmp_path):
    _, frame = table
    page = tmp_path / "page.html"
    done = call(table, "--freeze", "kind", "-n", "3", "--bounds", "width:1.5..", "--json", "--report", str(page))
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["found"]
    assert len(answer["designs"]) == 3
    assert {design["kind"] for design in answer["designs"]} == {frame["kind"][frame["mass"].idxmax()]}
    assert all(design["width"] >= 1.5 for design in answer["designs"])
    assert all(row["mass"] <= 15 for row in answer["performance"])
    assert "R2" in answer["quality"]["mass"]
    html = page.read_text()
    assert "Recommended designs" in html
    assert html.count('<h3>Design') == 3  # fmt: skip
    assert "parcoords" in html
    assert "depth [cm]" in html
    assert 'src="http' not in html


def test_the_table_shows_quality_changes_and_marks(table):
    done = call(table, "-n", "2")
    assert done.exit_code == 0, done.output
    assert "model of mass (cross-validated): R2 0." in done.stdout
    assert "design 2: mass" in done.stdout
    assert "met" in done.stdout
    assert "->" in done.stdout
    assert "valid designs among" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "mass"], r"target 'mass': write NAME<=NUMBER"),
        (["--bounds", "width"], r"bounds 'width': write NAME:LOW..HIGH"),
        (["--freeze", "kindd"], r"unknown feature 'kindd'; did you mean 'kind'"),
        (["--drop", "notes"], r"the data have no column 'notes'; did you mean 'note'"),
    ],
)
def test_refusals(table, words, message):
    done = call(table, *words)
    assert isinstance(done.exception, ValueError)
    assert message in str(done.exception)


def test_a_missing_file_is_named(tmp_path):
    done = CliRunner().invoke(app, [str(tmp_path / "no.csv"), "--query", "0", "--target", "y<=1"])
    assert "no file" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mass<=3", ("mass", "<= 3")),
        ("Safety Factor >= 1.5", ("Safety Factor", ">= 1.5")),
        ("class==valid", ("class", "== valid")),
        ("mass:1..2", ("mass", "1..2")),
        ("cost:min", ("cost", "min")),
    ],
)
def test_targets_on_a_command_line(text, target):
    assert read_target(text) == target


def test_the_example_runs(tmp_path):
    path = Path(__file__).parents[2] / "examples" / "recommend.py"
    answer = runpy.run_path(str(path))["main"](budget=1500, folder=tmp_path)  # a small first try works
    assert answer.found
    assert (tmp_path / "recommend.html").stat().st_size > 1_000_000
    idle = answer.archive["SSB_Include"] == 0
    assert (answer.archive.loc[idle, "SSB OD"] == answer.query["SSB OD"]).all()
