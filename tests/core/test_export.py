"""Runs for other tools: what they read is what was recorded."""

import json
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from designopt import Categorical, Constraint, DesignSpace, Evaluation, Integer, Objective, Ordinal, Real, Sequence
from designopt.export import export, to_optuna
from designopt.store import RunInfo, Store

SPACE = DesignSpace(
    width=Real(0.01, 0.1, unit="m", log=True),
    bolts=Integer(2, 8),
    plate=Ordinal([1.5, 2.0, 4.0], unit="mm"),
    material=Categorical(["steel", "al, cast", 7, None, ("pair", 2)]),
    tail=Sequence("ACGT", 2),
    layers=Sequence(["fc", "conv"], 2),
)

INFO = RunInfo(
    env="designopt/WeldedBeam-v0",
    env_arguments={},
    space=SPACE,
    objectives=(Objective("cost", "min", unit="€"),),
    constraints=(Constraint("stress", unit="Pa"), Constraint("width")),
    backend="gp",
    hyperparameters={"beta": float("inf")},
    seed=3,
)

DESIGNS = np.array(
    [
        [0.02, 3, 2.0, 1, 0, 1, 1, 0],
        [0.1 / 3, 8, 4.0, 3, 2, 3, 0, 0],
        [0.01, 2, 1.5, 4, 1, 1, 1, 1],
        [0.1, 5, 1.5, 2, 3, 0, 0, 1],
    ]
)
EVALUATION = Evaluation(
    objectives=np.array([[2.0], [np.nan], [1.0], [-3.5]]),
    constraints=np.array([[-1.0, 0.0], [np.nan, np.nan], [-0.5, -0.1], [0.1, -1.0]]),
    metrics={"mass": np.array([0.1, np.nan, np.inf, 0.3]), "cells": np.array([4, 5, 6, 7])},
    status=["ok", "failed", "ok", "ok"],
    attempts=[1, 3, 1, 1],
    seconds=[0.5, 2.0, 0.25, 1.0],
    errors=["", 'mesh, "bad"\nnext', "", ""],
)


def record(store, info=INFO, designs=DESIGNS, evaluation=EVALUATION, first=0):
    run_id = store.create_run(info)
    orders = np.arange(first, first + len(designs))
    part = SimpleNamespace(orders=orders, designs=designs, evaluation=evaluation, worker="node-1")
    store.record(run_id, [], [part], 0)
    return run_id


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("export") / "runs.db") as store:
        yield store


@pytest.fixture(scope="module")
def run_id(store):
    return record(store)


COLUMNS = {
    "order": [0, 1, 2, 3],
    "width": [0.02, 0.1 / 3, 0.01, 0.1],
    "bolts": [3, 8, 2, 5],
    "plate": [2.0, 4.0, 1.5, 1.5],
    "material": ["al, cast", None, "('pair', 2)", "7"],
    "tail": ["AC", "GT", "CC", "TA"],
    "layers": ["('conv', 'fc')", "('fc', 'fc')", "('conv', 'conv')", "('fc', 'conv')"],
    "cost": [2.0, np.nan, 1.0, -3.5],
    "stress": [-1.0, np.nan, -0.5, 0.1],
    "constraint:width": [0.0, np.nan, -0.1, -1.0],
    "mass": [0.1, np.nan, np.inf, 0.3],
    "cells": [4, 5, 6, 7],
    "status": ["ok", "failed", "ok", "ok"],
    "error": ["", 'mesh, "bad"\nnext', "", ""],
    "attempts": [1, 3, 1, 1],
    "seconds": [0.5, 2.0, 0.25, 1.0],
    "worker": ["node-1"] * 4,
    "feasible": [True, False, True, False],
}


def same(values, expected):
    """Equal, NaN to NaN, bit by bit otherwise."""
    return all(a == b or (a != a and b != b) for a, b in zip(values, expected, strict=True))


def test_parquet_has_one_row_per_evaluation_in_natural_units(store, run_id, tmp_path):
    assert export(store, run_id[:-1], tmp_path / "run.parquet") == 4
    table = pq.read_table(tmp_path / "run.parquet")
    assert table.column_names == ["run_id", *COLUMNS]
    assert table["run_id"].to_pylist() == [run_id] * 4
    for name, expected in COLUMNS.items():
        assert same(table[name].to_pylist(), expected), name
    assert [path.name for path in tmp_path.iterdir()] == ["run.parquet"]


def test_parquet_says_where_the_run_came_from_and_what_the_units_are(store, run_id, tmp_path):
    export(store, run_id, str(tmp_path / "run.parquet"))
    schema = pq.read_schema(tmp_path / "run.parquet")
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert metadata["run_id"] == run_id
    assert (metadata["env"], metadata["backend"], metadata["seed"]) == ("designopt/WeldedBeam-v0", "gp", "3")
    assert json.loads(metadata["units"]) == {"width": "m", "plate": "mm", "cost": "€", "stress": "Pa"}
    assert json.loads(metadata["hyperparameters"]) == {"beta": float("inf")}
    assert schema.field("plate").metadata[b"unit"] == b"mm"


def test_csv_has_the_same_rows(store, run_id, tmp_path):
    export(store, run_id, tmp_path / "run.txt", format="csv")
    kinds = {"material": str, "worker": str}
    table = pd.read_csv(tmp_path / "run.txt", keep_default_na=False, na_values={"cost": ["nan"]}, dtype=kinds)
    assert list(table.columns) == ["run_id", *COLUMNS]
    for name, expected in COLUMNS.items():
        wanted = ["" if value is None else value for value in expected]
        values = table[name].tolist()
        if isinstance(wanted[0], float):
            values = [float(value) for value in values]
        assert same(values, wanted), name


def test_another_format_is_refused_and_nothing_is_written(store, run_id, tmp_path):
    for name, format in (("run.xlsx", None), ("run", None), ("run.csv", "json")):
        with pytest.raises(ValueError, match="allowed: parquet, csv"):
            export(store, run_id, tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_former_file(store, run_id, tmp_path, monkeypatch):
    export(store, run_id, tmp_path / "run.csv")
    before = (tmp_path / "run.csv").read_bytes()
    chunks = store.chunks

    def failing(run_id):
        yield from chunks(run_id)
        if (tmp_path / "run.csv.part").exists():
            raise OSError("the disk is gone")

    monkeypatch.setattr(store, "chunks", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        export(store, run_id, tmp_path / "run.csv")
    assert (tmp_path / "run.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]


def test_a_run_without_evaluations_is_a_table_without_rows(store, tmp_path):
    assert export(store, store.create_run(INFO), tmp_path / "run.parquet") == 0
    assert pq.read_table(tmp_path / "run.parquet").num_rows == 0


def test_names_that_are_taken_get_a_prefix(store, tmp_path):
    info = replace(
        INFO,
        space=DesignSpace({"order": Real(0, 1), "x": Real(0, 1), "objective:x": Real(0, 1)}),
        objectives=(Objective("x"), Objective("order")),
        constraints=(Constraint("x"),),
    )
    metrics = {"x": np.array([7.0]), "feasible": np.array([8.0])}
    evaluation = Evaluation([[4.0, 5.0]], [[6.0]], metrics)
    export(store, record(store, info, np.array([[0.1, 0.2, 0.3]]), evaluation), tmp_path / "run.parquet")
    row = pq.read_table(tmp_path / "run.parquet").to_pylist()[0]
    assert (row["order"], row["parameter:order"], row["x"], row["objective:x"]) == (0, 0.1, 0.2, 0.3)
    assert (row["objective:objective:x"], row["objective:order"]) == (4.0, 5.0)
    assert (row["constraint:x"], row["metric:x"], row["metric:feasible"], row["feasible"]) == (6.0, 7.0, 8.0, False)


def test_metrics_that_come_and_go_over_a_long_run(store, tmp_path):
    n = 10_000  # one chunk
    parts = [
        {"a": np.arange(n), "flag": np.ones(n, bool), "note": np.full(n, "x"), "mixed": np.arange(n)},
        {"a": np.full(n, 0.5), "late": np.arange(n), "mixed": np.full(n, "y")},
    ]
    info = replace(INFO, space=DesignSpace(x=Real(0, 1)), constraints=())
    run_id = store.create_run(info)
    for i, metrics in enumerate(parts):
        evaluation = Evaluation(np.zeros((n, 1)), metrics=metrics)
        orders = np.arange(i * n, (i + 1) * n)
        part = SimpleNamespace(orders=orders, designs=np.zeros((n, 1)), evaluation=evaluation, worker="")
        store.record(run_id, [], [part], i * n)
    assert export(store, run_id, tmp_path / "run.parquet") == 2 * n
    table = pq.read_table(tmp_path / "run.parquet")
    assert table["order"].to_pylist() == list(range(2 * n))
    assert table["a"].to_pylist() == [*map(float, range(n)), *[0.5] * n]
    assert table["flag"].to_pylist() == [True] * n + [None] * n
    assert table["note"].to_pylist() == ["x"] * n + [None] * n
    assert table["late"].to_pylist() == [None] * n + list(range(n))
    assert table["mixed"].to_pylist() == [*map(str, range(n)), *["y"] * n]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1),
    error=st.text(),
    metric=st.text(min_size=1),
    value=st.floats(allow_nan=False),
    choices=st.lists(st.text(), min_size=1, unique=True),
)
def test_any_name_and_value_reaches_parquet(store, tmp_path, name, error, metric, value, choices):
    space = DesignSpace({name: Categorical(choices)})
    info = replace(INFO, space=space, objectives=(Objective("\0" + name),), constraints=())
    evaluation = Evaluation([[0.5]], metrics={metric + "m": np.array([value])}, errors=[error])
    export(store, record(store, info, np.array([[len(choices) - 1.0]]), evaluation), tmp_path / "run.parquet")
    row = list(pq.read_table(tmp_path / "run.parquet").to_pylist()[0].values())
    assert row[2:5] == [choices[-1], 0.5, value]
    assert row[6] == error.replace("\0", "\\x00")


# Optuna ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "journal"])
def storage(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("optuna")
    return f"sqlite:///{directory}/optuna.db" if request.param == "sqlite" else str(directory / "optuna.log")


def opened(storage):
    if "://" in storage:
        return optuna.storages.RDBStorage(storage)
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(storage))


def test_optuna_finds_the_same_best_design(store, run_id, storage):
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        to_optuna(store, run_id, storage)
    study = optuna.load_study(study_name=run_id, storage=opened(storage))
    assert study.best_value == 1.0  # -3.5 is infeasible
    assert study.best_trial.number == 2
    assert study.best_params == {
        "width": 0.01,
        "bolts": 2,
        "plate": 1.5,
        "material": "('pair', 2)",
        "tail[0]": "C",
        "tail[1]": "C",
        "layers[0]": "conv",
        "layers[1]": "conv",
    }
    distributions = study.best_trial.distributions
    assert distributions["width"] == optuna.distributions.FloatDistribution(0.01, 0.1, log=True)
    assert distributions["bolts"] == optuna.distributions.IntDistribution(2, 8)
    assert distributions["plate"].choices == (1.5, 2.0, 4.0)
    assert distributions["material"].choices == ("steel", "al, cast", 7, None, "('pair', 2)")
    assert study.user_attrs["constraint_names"] == ["stress", "width"]
    assert study.user_attrs["env"] == "designopt/WeldedBeam-v0"
    assert study.metric_names == ["cost"]


def test_optuna_sees_failures_constraints_and_times(store, run_id, storage):
    name = f"again-{run_id}"
    trials = to_optuna(store, run_id, storage, name).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [list(trial.constraints.values()) for trial in trials] == [[-1.0, 0.0], [], [-0.5, -0.1], [0.1, -1.0]]
    assert trials[1].user_attrs["error"] == 'mesh, "bad"\nnext'
    assert (trials[1].user_attrs["attempts"], trials[1].user_attrs["status"]) == (3, "failed")
    assert (trials[3].user_attrs["mass"], trials[3].user_attrs["cells"]) == (0.3, 7)
    assert (trials[3].user_attrs["worker"], trials[3].user_attrs["order"]) == ("node-1", 3)
    assert [trial.duration.total_seconds() for trial in trials] == EVALUATION.seconds.tolist()
    age = datetime.now(UTC) - trials[0].datetime_complete.astimezone(UTC)
    assert 0 <= age.total_seconds() < 600
    with pytest.raises(ValueError, match=f"it has a study '{name}'; give another study_name"):
        to_optuna(store, run_id, storage, name)


def test_optuna_turns_with_the_sense_of_several_objectives(store, tmp_path):
    info = replace(INFO, objectives=(Objective("mass"), Objective("life", "max")), constraints=())
    evaluation = Evaluation(np.array([[1.0, 5.0], [2.0, 9.0], [3.0, 7.0], [4.0, 4.0]]))
    study = to_optuna(store, record(store, info, DESIGNS, evaluation), str(tmp_path / "study.log"))
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert sorted(trial.values for trial in study.best_trials) == [[1.0, 5.0], [2.0, 9.0]]


def test_another_storage_is_refused(store, run_id, tmp_path):
    with pytest.raises(ValueError, match=r"allowed: a URL such as sqlite:///optuna.db, or a journal NAME.log"):
        to_optuna(store, run_id, str(tmp_path / "optuna.db"))


def test_the_dashboard_shows_the_study_and_which_trials_are_feasible(store, run_id, storage):
    dashboard = pytest.importorskip("optuna_dashboard")
    to_optuna(store, run_id, storage, f"shown-{run_id}")
    app = dashboard.wsgi(opened(storage))

    def get(path):
        answer = {}

        def start_response(status, headers, exc_info=None):
            answer["status"] = status

        environ = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
        setup_testing_defaults(environ)
        body = b"".join(app(environ, start_response))
        assert answer["status"] == "200 OK"
        return json.loads(body, parse_constant=pytest.fail)  # browsers read no NaN

    studies = {study["study_name"]: study["study_id"] for study in get("/api/studies")["study_summaries"]}
    trials = get(f"/api/studies/{studies[f'shown-{run_id}']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Fail", "Complete", "Complete"]
    assert [trial.get("constraints") for trial in trials] == [[-1.0, 0.0], [], [-0.5, -0.1], [0.1, -1.0]]
    assert trials[2]["values"] == [1.0]
