"""The store: what goes in comes back, whatever happens in between."""

import importlib.metadata
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from designopt import (
    Categorical,
    Constraint,
    DesignSpace,
    Evaluation,
    Integer,
    Objective,
    Ordinal,
    Real,
    Sequence,
)
from designopt.store import Ask, Batch, RunInfo, Store, StoreConflict, StoreError, run_name

SPACE = DesignSpace(
    width=Real(0.01, 0.1, unit="m", log=True),
    bolts=Integer(2, 8),
    plate=Ordinal([1.5, 2.0, 4.0], unit="mm"),
    material=Categorical(["steel", "Aluminium·Ü", 7, None, ("pair", 2)]),
    tail=Sequence("ACGT", 3),
)

INFO = RunInfo(
    env="designopt/WeldedBeam-v2",
    env_arguments={"load": 6000.0, "layers": (1, 2)},
    space=SPACE,
    objectives=(Objective("cost", "min", unit="€"), Objective("life", "max", target=1e4)),
    constraints=(Constraint("stress", unit="Pa", scale=2.5e8),),
    backend="gp",
    hyperparameters={"hidden": (64, 32), "beta": float("inf"), "kernel": "matern"},
    seed=3,
    budget=100,
    batch=4,
    seconds=60.5,
    workers=2,
    executor="process",
    limits={"timeout": 10.0, "retries": 2},
)


@dataclass
class Part:
    """What an executor returns."""

    orders: np.ndarray
    designs: np.ndarray
    evaluation: Evaluation
    worker: str = "w0"


def part(first, n, info=INFO, **columns):
    rng = np.random.default_rng(first)
    m, k = len(info.objectives), len(info.constraints)
    evaluation = Evaluation(rng.normal(size=(n, m)), rng.normal(size=(n, k)), **columns)
    return Part(np.arange(first, first + n), info.space.sample(n, rng), evaluation)


def assert_same(actual, expected):
    assert np.array_equal(actual.objectives, expected.objectives, equal_nan=True)
    zero = expected.objectives == 0
    assert np.array_equal(np.signbit(actual.objectives[zero]), np.signbit(expected.objectives[zero]))
    assert np.array_equal(actual.constraints, expected.constraints, equal_nan=True)
    assert actual.status.tolist() == expected.status.tolist()
    assert actual.attempts.tolist() == expected.attempts.tolist()
    assert actual.seconds.tolist() == expected.seconds.tolist()
    assert actual.errors.tolist() == expected.errors.tolist()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        yield store


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("store") / "runs.db") as store:
        yield store


# Round trips ----------------------------------------------------------------------------------------------------


def test_what_a_run_sets_out_to_do_comes_back(store):
    run = store.run(store.create_run(INFO))
    for name in RunInfo.__dataclass_fields__:
        assert getattr(run, name) == getattr(INFO, name), name
    assert run.env_version == 2
    assert run.state == "running"
    assert run.ended is None
    assert run.evaluations == 0


def test_designs_and_evaluations_come_back_in_order_with_the_sequence_in_which_they_were_told(store):
    run_id = store.create_run(INFO)
    late = part(0, 2, status=["failed", "timeout"], attempts=[3, 1], seconds=[0.25, 10.0], errors=["bad\nmesh", ""])
    early = part(2, 3)
    early.worker = "node7"
    store.record(run_id, [Ask(0, 2, 0, 4), Ask(2, 3, 0, 3)], [early], 0)
    store.record(run_id, [], [late], 3)
    run = store.load(run_id)
    assert run.asks == [Ask(0, 2, 0, 4), Ask(2, 3, 0, 3)]
    assert run.orders.tolist() == [0, 1, 2, 3, 4]
    assert run.sequence.tolist() == [3, 4, 0, 1, 2]
    assert run.workers.tolist() == ["w0", "w0", "node7", "node7", "node7"]
    assert np.array_equal(run.designs, np.concatenate([late.designs, early.designs]))
    assert_same(run.evaluation, Evaluation.concatenate([late.evaluation, early.evaluation]))
    assert run.info.evaluations == 5


def test_results_of_several_workers_are_told_in_the_order_given(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [Ask(0, 5, 0, 5)], [part(3, 2), part(0, 3)], 0)
    assert store.load(run_id).sequence.tolist() == [2, 3, 4, 0, 1]


def test_a_run_without_evaluations_loads_as_empty_arrays(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [Ask(0, 2, 0, 2)], [], 0)
    run = store.load(run_id)
    assert run.asks == [Ask(0, 2, 0, 2)]
    assert run.designs.shape == (0, SPACE.dim)
    assert run.evaluation.objectives.shape == (0, 2)
    assert run.evaluation.constraints.shape == (0, 1)


def test_an_environment_without_constraints(store):
    info = replace(INFO, constraints=())
    run_id = store.create_run(info)
    store.record(run_id, [], [part(0, 3, info)], 0)
    assert store.load(run_id).evaluation.constraints.shape == (3, 0)


@settings(deadline=None, max_examples=50)
@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(2)), elements=st.floats(width=64)),
    error=st.text(),
    text=st.text(),
    name=st.text(min_size=1),
)
def test_every_float_and_every_text_survives(shared_store, values, error, text, name):
    n = len(values)
    info = replace(INFO, objectives=(Objective(name), Objective("%s" + name)), env_arguments={name: text})
    metrics = {name: values[:, 0], "label": np.full(n, text), "%d": np.arange(n)}
    evaluation = Evaluation(values, np.zeros((n, 1)), metrics, errors=[error] * n)
    designs = SPACE.sample(n, 0)
    run_id = shared_store.create_run(info)
    shared_store.record(run_id, [], [Part(np.arange(n), designs, evaluation, text)], 0)
    run = shared_store.load(run_id)
    evaluation.errors = np.array([e.replace("\0", "\\x00") for e in evaluation.errors], dtype=object)
    assert_same(run.evaluation, evaluation)
    assert np.array_equal(run.evaluation.metrics[name], values[:, 0], equal_nan=True)
    assert run.evaluation.metrics["label"].tolist() == [text] * n
    assert run.evaluation.metrics["%d"].tolist() == list(range(n))
    assert run.info.objectives == info.objectives
    assert run.info.env_arguments == {name: text}


def test_the_text_in_the_tables_is_json_also_for_nan_and_infinity(store):
    values = np.array([[np.nan, np.inf], [-np.inf, 0.1]])
    metrics = {"a": values[:, 0], "note": np.array(["NaN \\", 'Infinity"NaN'])}
    run_id = store.create_run(INFO)
    store.record(run_id, [], [Part(np.arange(2), SPACE.sample(2, 0), Evaluation(values, [[0.0]] * 2, metrics))], 0)
    with store.engine.connect() as connection:
        query = (
            'SELECT objectives, metrics, json_valid(objectives), json_valid(metrics) FROM evaluations ORDER BY "order"'
        )
        rows = connection.exec_driver_sql(query).all()
    assert [row[0] for row in rows] == ["[null,1e999]", "[-1e999,0.1]"]
    assert rows[0][1] == '{"a":null,"note":"NaN \\\\"}'
    assert [row[2:] for row in rows] == [(1, 1), (1, 1)]
    assert store.load(run_id).evaluation.metrics["note"].tolist() == metrics["note"].tolist()


def test_metrics_keep_their_kind_and_may_differ_between_batches(store):
    run_id = store.create_run(INFO)
    first = {"cells": np.array([2**60, 3]), "converged": np.array([True, False]), "log": np.array([None, {"a": 1}])}
    first["trace"] = np.fromiter([[1, 2], [3, 4]], dtype=object)
    first["when"] = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    store.record(run_id, [], [part(0, 2, metrics=first)], 0)
    store.record(run_id, [], [part(2, 1, metrics={"drag": np.array([0.5])})], 2)
    metrics = store.load(run_id).evaluation.metrics
    assert metrics["drag"].tolist()[2] == 0.5
    assert np.isnan(metrics["drag"][:2]).all()
    assert metrics["cells"][0] == 2**60
    assert metrics["converged"][:2].tolist() == [True, False]
    assert metrics["log"].tolist() == [None, {"a": 1}, None]
    assert metrics["trace"].tolist() == [[1, 2], [3, 4], None]
    assert metrics["when"].tolist() == ["2020-01-01", "2021-01-01", None]


def test_whole_metrics_stay_whole(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [], [part(0, 2, metrics={"cells": np.array([2**62 + 1, 3])})], 0)
    assert store.load(run_id).evaluation.metrics["cells"].tolist() == [2**62 + 1, 3]


def test_a_long_run_is_read_in_chunks_that_join(store):
    run_id = store.create_run(INFO)
    parts = [part(first, 500) for first in range(0, 12_000, 500)]
    store.record(run_id, [], parts, 0)
    run = store.load(run_id)
    assert run.orders.tolist() == list(range(12_000))
    assert np.array_equal(run.designs, np.concatenate([p.designs for p in parts]))
    sizes = [len(chunk.orders) for chunk in store.chunks(run_id, 5000)]
    assert sizes == [5000, 5000, 2000]


# Runs -----------------------------------------------------------------------------------------------------------


def test_a_run_id_says_what_was_run(store):
    assert re.fullmatch(r"weldedbeam-gp-3-[0-9a-f]{8}", store.create_run(INFO))
    assert re.fullmatch(r"run-gp-3-[0-9a-f]{8}", store.create_run(replace(INFO, env="压力")))


def test_a_run_may_be_named_by_the_beginning_of_its_id(store):
    first, second = store.create_run(INFO), store.create_run(replace(INFO, seed=4))
    assert store.run("weldedbeam-gp-4").id == second
    assert store.load(first[:-1]).info.id == first
    with pytest.raises(StoreError, match=f"begins several ids: {first}, {second}"):
        store.run("weldedbeam")
    with pytest.raises(StoreError, match=r"unknown run 'weldedbeem-gp-3'; did you mean .*'weldedbeam-gp-3-"):
        store.load("weldedbeem-gp-3")
    with pytest.raises(StoreError, match="unknown run '%'"):
        store.run("%")


def test_runs_are_listed_oldest_first_with_their_number_of_evaluations(store):
    ids = [store.create_run(replace(INFO, seed=seed)) for seed in (2, 1)]
    store.record(ids[1], [], [part(0, 3)], 0)
    assert [(run.id, run.evaluations) for run in store.runs()] == [(ids[0], 0), (ids[1], 3)]


def test_states_of_a_run(store):
    run_id = store.create_run(INFO)
    store.finish_run(run_id, "failed", error="no\0power", search_seconds=1.5)
    run = store.run(run_id)
    assert (run.state, run.error, run.search_seconds) == ("failed", "no\\x00power", 1.5)
    assert run.started <= run.ended
    assert run.ended.endswith("+00:00")
    store.restart_run(run_id, budget=200, seconds=None)
    run = store.run(run_id)
    assert (run.state, run.error, run.ended, run.budget, run.seconds, run.batch) == ("running", "", None, 200, None, 4)
    assert run.search_seconds == 1.5
    store.finish_run(run_id, "finished")
    assert store.run(run_id).state == "finished"
    with pytest.raises(ValueError, match="state = 'running'; allowed: finished, stopped, failed, interrupted"):
        store.finish_run(run_id, "running")
    with pytest.raises(ValueError, match="'host' of a run cannot change; allowed: batch, budget"):
        store.restart_run(run_id, host=1)


def test_an_unknown_run_cannot_be_written(store):
    run_id = store.create_run(INFO)
    for write in (
        lambda: store.record("weldedbeam", [], [part(0, 1)], 0),
        lambda: store.finish_run("weldedbeam", "finished"),
        lambda: store.restart_run("weldedbeam"),
    ):
        with pytest.raises(StoreError, match=f"unknown run 'weldedbeam'; .*{run_id}"):
            write()


def test_what_cannot_be_read_back_is_refused_before_anything_is_evaluated(store):
    with pytest.raises(StoreError, match=r"env_arguments of designopt/WeldedBeam-v2 cannot be stored: <object"):
        store.create_run(replace(INFO, env_arguments={"solver": object()}))
    with pytest.raises(StoreError, match="too large"):
        store.create_run(replace(INFO, seed=2**70))
    assert store.runs() == []


def test_numpy_values_are_plain_data(store):
    info = replace(INFO, hyperparameters={"a": np.float64(0.1), "n": np.int64(3), "w": np.array([1.0, np.nan])})
    stored = store.run(store.create_run(info)).hyperparameters
    assert (stored["a"], stored["n"], stored["w"][0]) == (0.1, 3, 1.0)


# Where a run came from ------------------------------------------------------------------------------------------


def test_versions_command_and_host_are_recorded(store, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["designopt", "run", "--store", "postgresql://me:s3:c/ret@db/runs", "a b"])
    run = store.run(store.create_run(INFO))
    assert run.command == "designopt run --store postgresql://me:***@db/runs 'a b'"
    monkeypatch.setattr(
        sys, "argv", ["designopt", "postgresql://db/runs?user=me&password=secret", "http://localhost:8265"]
    )
    command = "designopt 'postgresql://db/runs?user=me&password=***' http://localhost:8265"
    assert store.run(store.create_run(INFO)).command == command
    assert run.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("designopt", "numpy", "torch", "botorch", "optuna", "pymoo", "ray", "gymnasium"):
        assert run.versions[name] == importlib.metadata.version(name)
    assert run.host == os.uname().nodename


def test_the_commit_and_whether_it_was_changed_are_recorded(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert store.run(store.create_run(INFO)).git is None
    (tmp_path / "a.txt").write_text("1")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "a.txt"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert store.run(store.create_run(INFO)).git == {"commit": commit, "dirty": False}
    (tmp_path / "a.txt").write_text("2")
    assert store.run(store.create_run(INFO)).git == {"commit": commit, "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert store.run(store.create_run(INFO)).git is None


# Opening --------------------------------------------------------------------------------------------------------


def test_a_path_and_a_url_name_the_same_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store("runs.db") as store:
        run_id = store.create_run(INFO)
        assert store.url == "sqlite:///runs.db"
    for name in (Path("runs.db"), "sqlite:///runs.db", f"sqlite:///{tmp_path}/runs.db"):
        with Store(name) as store:
            assert [run.id for run in store.runs()] == [run_id]


def test_the_file_is_in_wal_mode_and_connections_are_set_up(store):
    with store.engine.connect() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")
        ]
        assert modes == ["wal", 1, 1]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_a_closed_store_leaves_one_file(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        store.create_run(INFO)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is a directory"),
        (".", "is a directory"),
        ("missing/runs.db", "the directory missing does not exist; create it first"),
        ("sqlite://", "a store is sqlite:///FILE or postgresql"),
        ("mysql://u:secret@h/d", r"^mysql://u:\*\*\*@h/d: a store is"),
        ("postgresql://u:secret@h", r"^postgresql\+psycopg://u:\*\*\*@h: a store is"),
        ("postgresql://u:se@c:ret@h/d", "the store's URL cannot be read"),
        ("text.db", "file is not a database; give the name of a new file"),
        ("/proc/runs.db", "unable to open database file; check that you may write"),
    ],
)
def test_a_store_that_cannot_be_opened_is_refused_in_one_line(tmp_path, monkeypatch, url, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    with pytest.raises(StoreError, match=message) as caught:
        Store(url)
    error = caught.value
    while error is not None:
        assert "secret" not in str(error)
        assert "c:ret" not in str(error)
        error = error.__cause__
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'designopt\[postgres\]'"):
        Store("postgresql://u:secret@h/d")


def test_a_store_of_a_newer_schema_is_refused_and_left_alone(tmp_path):
    Store(tmp_path / "runs.db").close()
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("UPDATE meta SET value = '3' WHERE key = 'schema'")
    before = (tmp_path / "runs.db").read_bytes()
    with pytest.raises(StoreError, match=r"schema version 3 is newer than 2.*upgrade designopt"):
        Store(tmp_path / "runs.db")
    assert (tmp_path / "runs.db").read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_the_first_schema_is_read_and_gets_the_new_columns_when_written(tmp_path, read_only):
    path = tmp_path / "runs.db"
    with Store(path) as store:
        run_id = store.create_run(INFO)
        store.record(run_id, [Ask(0, 4, 0, 4)], [part(0, 4)], 0)
    with sqlite3.connect(path) as connection:  # as the first version wrote it
        for column in ("sweep", "configuration"):
            connection.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    before = path.read_bytes()
    with Store(path, read_only=read_only) as store:
        run = store.load(run_id)
        assert (run.info.sweep, run.info.configuration, len(run.orders)) == ("", "", 4)
        assert [r.id for r in store.runs()] == [run_id]
        assert store.runs(sweep="night") == []
        if read_only:
            assert path.read_bytes() == before
        else:
            store.create_run(replace(INFO, sweep="night", configuration="c01"))
    if not read_only:
        with Store(path, read_only=True) as store:
            assert [(r.sweep, r.configuration) for r in store.runs("night")] == [("night", "c01")]
            assert [r.sweep for r in store.runs()] == ["", "night"]


def test_planned_runs_wait_under_the_ids_they_are_given_until_they_begin(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        assert run_name(INFO, "0123") == "weldedbeam-gp-3-0123"
        store.plan_runs([(INFO, "beam-1"), (INFO, "beam-2")])
        with pytest.raises(StoreError, match=r"UNIQUE"):
            store.plan_runs([(INFO, "beam-3"), (INFO, "beam-1")])
        assert [(run.id, run.state) for run in store.runs()] == [("beam-1", "waiting"), ("beam-2", "waiting")]
        entered = store.run("beam-1").started
        time.sleep(0.01)
        store.restart_run("beam-1")
        began = store.run("beam-1")
        assert began.state == "running"
        assert began.started > entered
        store.record("beam-1", [], [part(0, 3)], 0)
        assert [store.count(name) for name in ("beam-1", "beam-2")] == [3, 0]
        store.finish_run("beam-1", "stopped")
        store.label_run("beam-1", "c07")
        assert [(run.state, run.configuration) for run in store.runs()] == [("waiting", ""), ("stopped", "c07")]
        store.restart_run("beam-1")
        assert store.run("beam-1").started == began.started


def test_several_runs_are_recorded_together_or_not_at_all(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        one, two = store.create_run(INFO), store.create_run(INFO)
        store.record_all([Batch(one, [Ask(0, 2, 0, 2)], [part(0, 1), part(1, 1)], 0), Batch(two, [], [part(5, 3)], 7)])
        with pytest.raises(StoreConflict, match=f"run {one} or {two} already holds these orders"):
            store.record_all([Batch(one, [], [part(2, 1)], 2), Batch(two, [], [part(5, 1)], 10)])
        first, second = store.load(one), store.load(two)
    assert (first.orders.tolist(), first.sequence.tolist()) == ([0, 1], [0, 1])
    assert (second.orders.tolist(), second.sequence.tolist()) == ([5, 6, 7], [7, 8, 9])


@pytest.mark.parametrize("table", ["runs (a)", "meta (key, value)"])
def test_another_programs_database_is_refused_and_left_alone(tmp_path, table):
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute(f"CREATE TABLE {table}")
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(StoreError, match="belong to another program"):
        Store(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_store_opened_to_be_read_must_exist_and_is_not_written(tmp_path):
    with pytest.raises(StoreError, match="there is no such file"):
        Store(tmp_path / "runs.db", read_only=True)
    sqlite3.connect(tmp_path / "runs.db").close()
    with pytest.raises(StoreError, match="holds no store"):
        Store(tmp_path / "runs.db", read_only=True)
    with Store(tmp_path / "runs.db") as store:
        run_id = store.create_run(INFO)
    before = (tmp_path / "runs.db").read_bytes()
    with Store(tmp_path / "runs.db", read_only=True) as store:
        assert store.load(run_id).info.id == run_id
    assert (tmp_path / "runs.db").read_bytes() == before


def run_python(code, *arguments):
    """Run Python code in a process of its own -> its output."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_a_file_that_may_not_be_written_is_refused_at_opening(tmp_path):
    Store(tmp_path / "runs.db").close()
    (tmp_path / "runs.db").chmod(0o444)
    for path in (tmp_path, *tmp_path.parents):
        if tempfile.gettempdir() in map(str, path.parents):
            path.chmod(0o755)
    code = """
        import os, sys
        from designopt.store import Store, StoreError
        Store(sys.argv[2]).close()  # imports what is needed while it may be read
        if os.geteuid() == 0:  # root may write anything
            os.setuid(65534)
        try:
            Store(sys.argv[1])
        except StoreError as error:
            print(error)
    """
    line = run_python(code, tmp_path / "runs.db", tmp_path / "other.db")
    assert "readonly database; check that you may write to the file and its directory" in line


# Writing --------------------------------------------------------------------------------------------------------


def test_a_run_that_another_process_continues_is_noticed_and_nothing_of_the_batch_remains(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [Ask(0, 2, 0, 2)], [part(0, 2)], 0)
    for asks, orders in (([Ask(2, 2, 2, 2)], part(1, 2)), ([Ask(0, 2, 0, 2)], part(2, 2))):
        with pytest.raises(StoreError, match=f"run {run_id} already holds these orders: another process is continuing"):
            store.record(run_id, asks, [part(5, 1), orders], 2)
    run = store.load(run_id)
    assert run.orders.tolist() == [0, 1]
    assert run.asks == [Ask(0, 2, 0, 2)]
    store.record(run_id, [], [part(2, 2)], 2)
    assert store.run(run_id).evaluations == 4


def test_a_full_disk_is_reported_and_what_was_recorded_before_stays(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [], [part(0, 10)], 0)
    with store.engine.connect() as connection:  # the only connection of the pool
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full; free some space") as caught:
        store.record(run_id, [Ask(10, 1000, 10, 1000)], [part(10, 1000)], 10)
    assert caught.value.__cause__ is not None
    run = store.load(run_id)
    assert run.orders.tolist() == list(range(10))
    assert run.asks == []


def test_a_write_that_the_system_refuses_is_reported(tmp_path):
    code = """
        import resource, sys
        from tests_store import INFO, part
        from designopt.store import Store, StoreError
        store = Store(sys.argv[1])
        run_id = store.create_run(INFO)
        store.record(run_id, [], [part(0, 10)], 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            store.record(run_id, [], [part(10, 5000)], 10)
        except StoreError as error:
            print(run_id, error)
    """
    run_id, _, error = run_writer(code, tmp_path / "runs.db").partition(" ")
    assert error.startswith(f"sqlite:///{tmp_path}/runs.db: ")
    with Store(tmp_path / "runs.db") as store:
        assert store.load(run_id).orders.tolist() == list(range(10))


def test_a_busy_store_is_waited_for(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        run_id = store.create_run(INFO)
        blocker = sqlite3.connect(tmp_path / "runs.db", isolation_level=None, check_same_thread=False)
        blocker.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, blocker.execute, ["COMMIT"]).start()
        store.record(run_id, [], [part(0, 1)], 0)
        assert store.run(run_id).evaluations == 1
        blocker.close()


def test_reading_goes_on_while_another_writes(store):
    run_id = store.create_run(INFO)
    store.record(run_id, [], [part(0, 30)], 0)
    with Store(store.engine.url.database, read_only=True) as reader:
        chunks = reader.chunks(run_id, 10)
        seen = next(chunks).orders.tolist()
        store.record(run_id, [], [part(30, 30)], 30)  # not seen by the reading that began before
        for chunk in chunks:
            seen += chunk.orders.tolist()
        assert seen == list(range(30))
        assert reader.run(run_id).evaluations == 60


# Several processes ----------------------------------------------------------------------------------------------


WRITE = """
    import itertools, sys
    from tests_store import INFO, part
    from designopt.store import Ask, Store
    store = Store(sys.argv[1])
    run_id = store.create_run(INFO)
    print(run_id, flush=True)
    for first in range(0, int(sys.argv[2]), 20):
        store.record(run_id, [Ask(first, 20, first, 20)], [part(first, 10), part(first + 10, 10)], first)
    store.finish_run(run_id, "finished")
"""


def start_writer(code, *arguments):
    """A process that can import this file as ``tests_store``."""
    load = f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("tests_store", {__file__!r})
        sys.modules["tests_store"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tests_store"])
    """
    command = [sys.executable, "-c", textwrap.dedent(load) + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_writer(code, *arguments):
    return start_writer(code, *arguments).communicate()[0].strip()


def test_a_killed_writer_leaves_whole_transactions(tmp_path):
    path = tmp_path / "runs.db"
    with start_writer(WRITE, path, 10**9) as writer:
        run_id = writer.stdout.readline().strip()
        with Store(path, read_only=True) as store:
            while store.run(run_id).evaluations < 200:
                time.sleep(0.01)
        writer.kill()
    with Store(path) as store:
        run = store.load(run_id)
        n = len(run.orders)
        assert n >= 200
        assert n % 20 == 0
        assert run.orders.tolist() == run.sequence.tolist() == list(range(n))
        assert [ask.first for ask in run.asks] == list(range(0, n, 20))
        assert_same(run.evaluation[n - 10 :], part(n - 10, 10).evaluation)
        assert run.info.state == "running"
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        store.record(run_id, [], [part(n, 1)], n)


def test_processes_open_one_new_store_and_write_their_own_runs_at_once(tmp_path):
    path = tmp_path / "runs.db"
    writers = [start_writer(WRITE, path, 1000) for _ in range(2)]
    ids = [writer.communicate()[0].strip() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    with Store(path) as store:
        assert sorted(run.id for run in store.runs()) == sorted(ids)
        for run_id in ids:
            run = store.load(run_id)
            assert run.info.state == "finished"
            assert run.orders.tolist() == list(range(1000))
            assert_same(run.evaluation[500:510], part(500, 10).evaluation)


def test_memory_does_not_grow_with_what_was_recorded(store):
    run_id = store.create_run(INFO)
    batch = part(0, 1000)

    def record(batches):
        for first in batches:
            batch.orders = np.arange(first * 1000, (first + 1) * 1000)
            store.record(run_id, [Ask(first * 1000, 1000, first * 1000, 1000)], [batch], first * 1000)

    record(range(3))
    tracemalloc.start()
    try:
        record(range(3, 6))
        before = tracemalloc.get_traced_memory()[0]
        record(range(6, 16))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000  # bytes; the rows themselves are 4 MB


# Documentation --------------------------------------------------------------------------------------------------


def test_the_queries_in_the_documentation_answer(store):
    run_id = store.create_run(INFO)
    values = np.array([[3.0, 0], [1.0, 0], [2.0, 0], [np.nan, 0]])
    evaluation = Evaluation(values, np.array([[-1.0], [0.5], [0.0], [-1.0]]))
    store.record(run_id, [], [Part(np.arange(4), SPACE.sample(4, 0), evaluation)], 0)
    text = (Path(__file__).parents[2] / "docs/store.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    with store.engine.connect() as connection:
        listed, best, wrong = (connection.exec_driver_sql(query).all() for query in queries)
    assert [(row[0], row[1], row[3]) for row in listed] == [(run_id, "running", 4)]
    assert [row[:3] for row in best] == [(run_id, 2, 2.0)]
    assert wrong == [(run_id, "invalid", "NaN or inf in an objective or constraint", 1)]


def test_the_documentation_names_every_column(store):
    text = (Path(__file__).parents[2] / "docs/store.md").read_text(encoding="utf-8")
    with store.engine.connect() as connection:
        for table in ("meta", "runs", "asks", "evaluations"):
            for row in connection.exec_driver_sql(f"PRAGMA table_info({table})"):
                assert f"`{row[1]}`" in text
