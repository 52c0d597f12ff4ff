"""The live view: what it says of each study is what the store holds, and it only reads."""

import hashlib
import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

import designopt as do
from designopt.executors import Finished
from designopt.runs import Ask, RunInfo
from designopt.store import Store, StoreError
from designopt.watch import Watch
from designopt.watch_command import watch


@do.design_env(do.DesignSpace(x=do.Real(0, 10)), maximize=["gain"], constraints={"x": "<= 5"}, units={"gain": "kg"})
def line(x):
    if x == 1:
        raise ValueError("no mesh\nat all")
    return {"gain": 10 * x, "x": x}


@do.design_env(do.DesignSpace(x=do.Real(0, 10)), minimize=["a", "b"])
def pair(x):
    return {"a": x, "b": 10 - x}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        yield opened


def start(store, env=line, **facts):
    given = {"space": env.design_space, "objectives": env.objectives, "constraints": env.constraints}
    info = {"env": env.id, "env_arguments": {}, "backend": "ga", "hyperparameters": {}, "seed": 0, "budget": 10}
    return store.create_run(RunInfo(**(given | info | facts)))


def add(store, run, designs, told=0, env=line):
    designs = np.array(designs, dtype=float)[:, None]
    orders = told + np.arange(len(designs))
    ask = Ask(first=told, n=len(designs), told_before=told, wanted=len(designs))
    store.record(run, [ask], [Finished(orders, designs, env.evaluate(designs), "serial")], told)


def cells(view, now=None):
    """Rows of a frame as text, by study."""
    table = view.frame(now)
    columns = [[getattr(cell, "plain", cell) for cell in column._cells] for column in table.columns]
    names = [str(column.header) for column in table.columns]
    return {row[0]: dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)}


def test_row_says_how_far_a_study_is_and_what_went_wrong_last(store):
    run = start(store)
    add(store, run, [2.0, 1.0, 7.0, 4.0])
    row = cells(Watch(store))[run]
    assert row["state"] == "running"
    assert row["evaluations"].startswith("4/10")
    assert row["best feasible"] == "gain 40 kg"
    assert row["feasible"] == "50 %"
    assert row["last error"] == "1 without values: ValueError: no mesh at all"
    assert row["last result"].endswith("ago")


def test_next_frame_takes_in_what_is_new(store):
    run = start(store)
    view = Watch(store)
    assert cells(view)[run]["best feasible"] == ""
    add(store, run, [2.0])
    assert cells(view)[run]["best feasible"] == "gain 20 kg"
    add(store, run, [7.0, 5.0], told=1)
    row = cells(view)[run]
    assert (row["best feasible"], row["feasible"]) == ("gain 50 kg", "66.7 %")
    assert view.progress(store.run(run)).read == 3


def test_rate_is_of_the_last_evaluations_and_falls_while_nothing_arrives(store):
    run = start(store)
    view = Watch(store)
    add(store, run, [2.0, 2.0, 2.0, 2.0, 2.0])
    last = datetime.fromisoformat(store.load(run).finished[-1])
    row = cells(view, last + timedelta(seconds=2))[run]
    assert row["per second"] == "2"
    assert row["evaluations"] == "5/10 (2.5 s left)"
    assert row["last result"] == "2.0 s ago"
    assert cells(view, last + timedelta(seconds=8))[run]["per second"] == "0.5"


def test_study_that_ended_has_no_rate_and_its_own_error(store):
    run = start(store)
    add(store, run, [1.0, 2.0])
    store.finish_run(run, "failed", error="MemoryError: too\nmuch")
    row = cells(Watch(store))[run]
    assert (row["state"], row["evaluations"], row["per second"]) == ("failed", "2/10", "")
    assert row["last error"] == "MemoryError: too much"


def test_several_objectives_are_counted_by_what_is_not_dominated(store):
    run = start(store, pair)
    add(store, run, [1.0, 2.0, 2.0], env=pair)
    assert cells(Watch(store))[run]["best feasible"] == "2 not dominated"


def test_running_studies_come_first_and_the_rest_is_counted(store):
    done = [start(store, seed=i) for i in range(3)]
    for run in done:
        store.finish_run(run, "finished")
    running = start(store, seed=9)
    frame = Watch(store, limit=2).frame()
    assert next(iter(cells(Watch(store, limit=2)))) == running
    assert frame.caption == "2 more"
    assert str(frame.title).endswith("s.db: 3 finished, 1 running")


def test_names_and_errors_cannot_write_markup_or_control_codes(store):
    run = start(store, env=line, seed=1)
    store.finish_run(run, "failed", error="[red]x[/red] \x1b[31m")
    out = io.StringIO()
    Console(file=out, width=200).print(Watch(store).frame())
    assert "[red]x[/red]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


app = Typer()
app.command()(watch)


def test_command_prints_one_frame_and_leaves_the_store_as_it_was(store, tmp_path):
    run = start(store)
    add(store, run, [3.0])
    store.close()
    before = hashlib.sha256((tmp_path / "s.db").read_bytes()).hexdigest()
    result = CliRunner().invoke(app, [str(tmp_path / "s.db"), "--once"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "gain 30 kg" in result.output
    assert hashlib.sha256((tmp_path / "s.db").read_bytes()).hexdigest() == before


def test_command_without_a_terminal_prints_one_frame(store, tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "s.db")], env={"COLUMNS": "200"})
    assert "no studies yet" in result.output


def test_store_that_is_not_there_is_an_error(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path / "none.db"), "--once"])
    assert isinstance(result.exception, StoreError)
    assert not (tmp_path / "none.db").exists()


def test_live_view_follows_until_it_is_interrupted(store, tmp_path, monkeypatch):
    run = start(store)
    add(store, run, [3.0])
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 1:
            add(store, run, [4.0], told=1)
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("designopt.watch_command.time.sleep", sleep)
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True)
    monkeypatch.setattr("rich.console.Console", lambda: console)
    watch(str(tmp_path / "s.db"), once=False, interval=0.5, limit=5)
    assert slept == [0.5, 0.5]
    assert out.getvalue().index("gain 30 kg") < out.getvalue().rindex("gain 40 kg")


def test_now_defaults_to_the_present(store):
    run = start(store)
    add(store, run, [3.0])
    age = cells(Watch(store))[run]["last result"]
    assert age != cells(Watch(store), datetime.now(UTC) + timedelta(hours=5))[run]["last result"]
