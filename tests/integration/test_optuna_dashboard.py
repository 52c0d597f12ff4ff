"""optuna-dashboard on an export: it starts, on this machine only, and lists the run with its trials."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import designopt as do
from designopt.export import to_optuna

DASHBOARD = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent)) or shutil.which("optuna-dashboard")
pytestmark = pytest.mark.skipif(DASHBOARD is None, reason="needs optuna-dashboard (pip install optuna-dashboard)")


@pytest.fixture
def dashboard(tmp_path):
    """Exports a run, starts the dashboard on it -> (the run's result, function that asks its API)."""
    result = do.optimize("designopt/WeldedBeam-v0", search="random", budget=20, seed=0, store=tmp_path / "runs.db")
    with do.Store(tmp_path / "runs.db", read_only=True) as store:
        to_optuna(store, result.run_id, f"sqlite:///{tmp_path}/optuna.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [DASHBOARD, f"sqlite:///{tmp_path}/optuna.db", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def get(path):
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.URLError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
        raise AssertionError("the dashboard does not answer")

    try:
        yield result, get
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_dashboard_lists_the_exported_run_and_its_feasible_trials(dashboard):
    result, get = dashboard
    (study,) = get("/api/studies")["study_summaries"]
    assert study["study_name"] == result.run_id
    assert study["directions"] == ["minimize"]
    trials = get(f"/api/studies/{study['study_id']}?after=0")["trials"]
    assert len(trials) == 20
    feasible = [all(limit <= 0 for limit in trial["constraints"]) for trial in trials]
    assert feasible == result.evaluation.feasible.tolist()
    best = min(t["values"][0] for t, ok in zip(trials, feasible, strict=True) if ok)
    assert float(best) == pytest.approx(result.best_value)
