"""Sweeps on a local Ray: what is run, skipped, continued and stopped, into SQLite and PostgreSQL."""

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import sqlalchemy as sa
import typer.testing

import designopt as do
import designopt.sweep
from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real
from designopt.store import Store
from designopt.sweep.command import sweep as command
from designopt.sweep.plan import read_plan

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import test modules


class Slope(DesignEnv):
    """f = x, feasible everywhere; every call leaves a trace in a file, so that evaluations can be counted."""

    design_space = DesignSpace(x=Real(0, 1))
    objectives = (Objective("f", "max"),)

    def __init__(self, directory, seconds=0.0):
        super().__init__()
        self.directory, self.seconds = Path(directory), seconds

    def evaluate(self, designs):
        with (self.directory / f"calls-{os.getpid()}").open("a") as file:
            file.write("x" * len(designs))
        time.sleep(self.seconds * len(designs))
        return Evaluation(designs)


def calls(directory):
    return sum(path.stat().st_size for path in directory.glob("calls-*"))


def settings(directory, *envs, budget=30, seeds=2, backends=("random", "local"), **tables):
    return {
        "sweep": {"name": "night", "budget": budget, "seeds": seeds, "store": str(directory / "runs.db")},
        "env": [{"id": env} for env in envs or [Slope(directory)]],
        "backend": [{"name": name} if isinstance(name, str) else name for name in backends],
        **tables,
    }


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    import ray

    from designopt.executors.ray_executor import join

    join(None, cpus=2)
    yield
    ray.shutdown()


def test_a_sweep_runs_every_study_as_optimize_would_and_goes_on_where_it_stopped(tmp_path):
    result = designopt.sweep(settings(tmp_path))
    frame = result.frame
    assert result.name == "night"
    assert not result.failed
    assert frame["state"].tolist() == ["finished"] * 4
    assert frame["evaluations"].tolist() == [30] * 4
    assert frame["error"].tolist() == [""] * 4
    assert frame[["backend", "seed"]].to_numpy().tolist() == [["random", 0], ["random", 1], ["local", 0], ["local", 1]]
    for row in frame.itertuples():
        alone = do.optimize(Slope(tmp_path), row.backend, 30, seed=row.seed)
        study = result.load(row.run_id)
        assert np.array_equal(study.designs, alone.designs)
        assert row.best_value == alone.best_value == study.best_value
        assert set(study.frame["worker"].str.match(r"node-\w{8}/serial \(\d+\)")) == {True}
    with Store(tmp_path / "runs.db", read_only=True) as store:
        runs = store.runs("night")
        assert {run.configuration for run in runs} == {"default"}
        assert {run.command for run in runs} != {""}
    done = calls(tmp_path)

    assert designopt.sweep(settings(tmp_path)).frame.equals(frame)
    assert calls(tmp_path) == done  # nothing was evaluated again

    more = designopt.sweep(settings(tmp_path, seeds=3)).frame
    assert len(more) == 6
    assert calls(tmp_path) == done + 2 * 30  # the new seed only

    longer = designopt.sweep(settings(tmp_path, budget=40)).frame
    assert longer["evaluations"].tolist() == [40] * 4
    assert calls(tmp_path) == done + 2 * 30 + 4 * 10  # ten more of each


def test_what_is_in_the_store_in_part_is_not_evaluated_again(tmp_path):
    plan = read_plan(settings(tmp_path, seeds=1))
    designopt.sweep(plan)
    with Store(plan.store) as store, store.engine.begin() as connection:
        whole = {study.run_id: store.load(study.run_id).designs for study in plan.studies}
        connection.execute(sa.text("DELETE FROM evaluations WHERE sequence >= 12"))
        connection.execute(sa.text('DELETE FROM asks WHERE "first" >= 12'))
        connection.execute(sa.text("UPDATE runs SET state = 'running'"))
    before = calls(tmp_path)
    designopt.sweep(plan)
    assert calls(tmp_path) == before + 2 * 18
    with Store(plan.store, read_only=True) as store:
        assert all(np.array_equal(store.load(run_id).designs, designs) for run_id, designs in whole.items())


def test_hopeless_studies_are_stopped_early_when_asked_for(tmp_path):
    slopes = [{"name": "random"}, {"name": "local", "grid": {"step": [0.1, 0.2, 0.3]}}]
    plan = settings(tmp_path, seeds=3, backends=slopes, budget=90, asha={"grace": 10, "reduction": 3})
    result = designopt.sweep(plan)
    frame = result.frame
    assert not result.failed
    stopped = frame["state"] == "stopped"
    assert 0 < stopped.sum() < len(frame)
    assert set(frame["evaluations"][stopped]) <= {10, 30}
    assert set(frame["evaluations"][~stopped]) == {90}
    # Whatever was stopped was not the best of its rung, so the best of all studies is there.
    best = max(result.load(run_id).evaluation.objectives[:10].max() for run_id in frame["run_id"])
    survivors = frame["run_id"][frame["evaluations"] > 10]
    assert any(result.load(run_id).evaluation.objectives[:10].max() == best for run_id in survivors)
    assert designopt.sweep(plan).frame.equals(frame)  # stopped is an end, too


def test_resources_that_no_node_has_are_named(tmp_path):
    with pytest.warns(UserWarning, match=r"reserves 1 CPU and 0.5 GPU for a study, but no node.*at most 2 CPU, 0 GPU"):
        interrupt(settings(tmp_path, resources={"num_gpus": 0.5}))


def interrupt(plan):
    """Start a sweep and press Ctrl-C at the first sign of progress."""

    def progress(_, __):
        progress.calls += 1
        if progress.calls == 2:
            raise KeyboardInterrupt

    progress.calls = 0
    with pytest.raises(KeyboardInterrupt):
        designopt.sweep(plan, progress=progress)


def test_an_interrupted_sweep_leaves_ray_free_and_is_continued(tmp_path):
    import ray

    interrupt(settings(tmp_path))
    assert ray.is_initialized()
    assert set(designopt.sweep(settings(tmp_path)).frame["state"]) == {"finished"}


def test_fractions_of_a_cpu_put_more_studies_on_it(tmp_path):
    result = designopt.sweep(settings(tmp_path, seeds=4, resources={"num_cpus": 0.5}))
    pids = {worker for run_id in result.frame["run_id"] for worker in result.load(run_id).workers}
    assert len(pids) > 2


def test_workers_are_kept_from_study_to_study(tmp_path):
    result = designopt.sweep(settings(tmp_path, Slope(tmp_path, seconds=0.06), seeds=8, budget=10, backends=["random"]))
    pids = {result.load(run_id).workers[0] for run_id in result.frame["run_id"]}
    assert len(pids) <= 4  # of two CPUs, not a process for each of the eight


# The command ----------------------------------------------------------------------------------------------------

FILE = """
[sweep]
name = "night"
budget = 10
seeds = 2

[[env]]
id = "designopt/WeldedBeam-v0"

[[backend]]
name = "random"
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("night.toml").write_text(FILE)
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: typer.testing.CliRunner().invoke(app, [*arguments])


def test_a_dry_run_lists_the_studies_and_touches_nothing(run):
    rows = json.loads(run("night.toml", "--dry-run", "--json").stdout)
    assert [(row["backend"], row["config"], row["seed"]) for row in rows] == [("random", "default", i) for i in (0, 1)]
    assert "weldedbeam-random-1-" in run("night.toml", "--dry-run").stdout
    assert os.listdir() == ["night.toml"]


def test_the_command_prints_every_study_and_shows_progress(run):
    done = run("night.toml", "--json", "--store", "here.db")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [(row["state"], row["evaluations"], row["seed"]) for row in rows] == [
        ("finished", 10, 0),
        ("finished", 10, 1),
    ]
    assert "2 of 2 studies, 0 failed" in done.stderr
    assert "20/20 evaluations" in done.stderr
    assert Path("here.db").exists()


def test_the_command_names_a_study_that_failed(run):
    Path("broken.py").write_text(
        "import designopt as do\n"
        "class Broken(do.DesignEnv):\n"
        "    design_space = do.DesignSpace(x=do.Real(0, 1))\n"
        "    objectives = (do.Objective('f'),)\n"
        "    def __reduce__(self):\n"
        "        return exec, (\"raise ImportError('no simulator here')\",)\n"
    )
    Path("night.toml").write_text(FILE.replace("designopt/WeldedBeam-v0", "broken.py:Broken"))
    done = run("night.toml")
    assert type(done.exception).__name__ == "RunFailed"
    assert "2 of 2 studies failed, the first with ImportError: no simulator here" in str(done.exception)
    assert "2 failed" in done.stderr
    assert "failed: ImportError: no simulator here" in done.stderr


# PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.fixture
def postgresql():
    """URL of a new database on a server of its own."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[4]))
    programs = str(installed[-1]) if installed else os.path.dirname(shutil.which("initdb") or "")
    if not programs:
        pytest.skip("PostgreSQL is not installed (no initdb)")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    place.chmod(0o755)
    if user:
        shutil.chown(place, user)

    def run(program, *arguments):
        command = [f"{programs}/{program}", "-D", str(place / "data"), *arguments]
        subprocess.run(command, check=True, user=user, cwd=place, stdout=subprocess.DEVNULL, timeout=120)

    try:
        run("initdb", "--auth=trust", "--username=me", "--no-sync", "--encoding=UTF8", "--locale=C")
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-l", str(place / "log"), "-w", "-o", options, "start")
        yield f"postgresql://me@127.0.0.1:{port}/postgres"
        run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(place)


@pytest.mark.postgres
def test_workers_write_to_postgresql_themselves(tmp_path, postgresql, monkeypatch):
    def nobody(url):
        raise AssertionError("a database server needs no writer")

    monkeypatch.setattr("designopt.sweep.run.start_writer", nobody)
    seen = []
    result = designopt.sweep(
        settings(tmp_path), store=postgresql, progress=lambda _, evaluations: seen.append(evaluations)
    )
    assert result.frame["evaluations"].tolist() == [30] * 4
    assert seen[-1] == 120
    with Store(postgresql, read_only=True) as store:
        assert sorted(run.id for run in store.runs("night")) == sorted(result.frame["run_id"])
        assert all(store.load(run_id).orders.tolist() == list(range(30)) for run_id in result.frame["run_id"])
    done = calls(tmp_path)
    assert designopt.sweep(settings(tmp_path), store=postgresql).frame.equals(result.frame)
    assert calls(tmp_path) == done


def test_the_example_runs_and_its_file_is_a_plan(tmp_path):
    examples = Path(__file__).parents[2] / "examples"
    assert len(read_plan(examples / "sweep.toml").studies) == 28
    result = runpy.run_path(str(examples / "sweep.py"))["main"](backends=("random",), budget=5, folder=tmp_path)
    assert set(result.frame["state"]) == {"finished"}
    assert len(result.frame) == 6
